/** Checks on the plugin itself: is it there, is it the right one, does it stand in the right place? */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bearerKeys } from "../../tools/doctor/checks/bearerKeys.ts";
import { failurePolicy } from "../../tools/doctor/checks/failurePolicy.ts";
import { moduleDigest } from "../../tools/doctor/checks/moduleDigest.ts";
import { pluginConfiguration } from "../../tools/doctor/checks/pluginConfiguration.ts";
import { pluginLoaded } from "../../tools/doctor/checks/pluginLoaded.ts";
import { pluginPhase } from "../../tools/doctor/checks/pluginPhase.ts";
import { sharedNames } from "../../tools/doctor/checks/sharedNames.ts";
import { tokenVariable } from "../../tools/doctor/checks/tokenVariable.ts";
import { tokenVerification } from "../../tools/doctor/checks/tokenVerification.ts";
import { vmTraps } from "../../tools/doctor/checks/vmTraps.ts";
import { httpFilters, recorded, reconfigure, says, shop, wasmConfig } from "./support.ts";

describe("plugin-loaded", () => {
  it("finds the plugin on its listener", () =>
    says(pluginLoaded, recorded("healthy"), "ok", /listener 0\.0\.0\.0_8080\.$/));

  it("finds plugins that come by discovery, and what Istio's agent puts in a missing one's place", () => {
    says(
      pluginLoaded,
      recorded("discovered"),
      "fault",
      /0\.0\.0\.0_8443: in place of \S+tollgate-missing there is a filter that refuses everybody/,
    );
    const evidence = recorded("discovered");
    httpFilters(evidence, 1).shift();
    says(pluginLoaded, evidence, "ok", /0\.0\.0\.0_8080, listener 0\.0\.0\.0_8443/);
  });

  it("says when a configuration has not arrived by discovery", () => {
    const evidence = recorded("discovered");
    const configs = evidence.envoy.configDump["configs"] as { "@type": string }[];
    evidence.envoy.configDump["configs"] = configs.filter((section) => !section["@type"].endsWith("EcdsConfigDump"));
    const words = pluginLoaded.look(evidence).map((said) => said.words);
    assert.equal(words.length, 2);
    for (const one of words) assert.match(one, /has not arrived/);
  });

  it("says when no listener has the plugin, and when there is no listener", () => {
    const evidence = recorded("standalone");
    httpFilters(evidence).shift();
    says(pluginLoaded, evidence, "fault", /^No Tollgate plugin on any listener \(listener 0\.0\.0\.0_8080\)/);
    evidence.envoy.configDump = { configs: [] };
    says(pluginLoaded, evidence, "fault", /no listener with HTTP filters/);
  });

  it("says when the module didn't load", () => {
    const evidence = recorded("standalone");
    evidence.envoy.stats["wasm.envoy.wasm.runtime.v8.active"] = 0;
    says(pluginLoaded, evidence, "fault", /no Wasm VM runs/);
  });

  it("says when Envoy refused an update by discovery, or of a listener", () => {
    const evidence = recorded("standalone");
    const stat = (counter: string): string => `extension_config_discovery.http_filter.tollgate.${counter}`;
    evidence.envoy.stats[stat("update_rejected")] = 2;
    says(
      pluginLoaded,
      evidence,
      "fault",
      /has taken no configuration of tollgate since it started \(update_rejected\)/,
    );
    evidence.envoy.stats[stat("update_success")] = 1;
    says(pluginLoaded, evidence, "warning", /it has taken one since/);
    evidence.envoy.texts = { [stat("version_text")]: "3" };
    (evidence.envoy.configDump["configs"] as object[]).push({
      "@type": "type.googleapis.com/envoy.admin.v3.EcdsConfigDump",
      ecds_filters: [{ version_info: "4", ecds_filter: { name: "tollgate" } }],
    });
    says(pluginLoaded, evidence, "fault", /refused the newest configuration of tollgate; the one before is in force/);
    const other = recorded("standalone");
    const section = (other.envoy.configDump["configs"] as Record<string, unknown>[]).find((one) =>
      String(one["@type"]).endsWith("ListenersConfigDump"),
    )!;
    section["dynamic_listeners"] = [
      { name: "0.0.0.0_9090", error_state: { details: "Unable to create Wasm plugin tollgate" } },
    ];
    says(pluginLoaded, other, "fault", /listener 0\.0\.0\.0_9090: Unable to create Wasm/);
  });
});

describe("plugin-configuration", () => {
  it("takes what the filter takes", () => says(pluginConfiguration, recorded("healthy"), "ok", /valid/));
  it("says when it is empty", () => says(pluginConfiguration, recorded("empty"), "fault", /503 not_configured/));
  it("says which field is wrong", () => {
    const evidence = recorded("healthy");
    reconfigure(evidence, (configuration) => ({ ...configuration, snapshotWaitTimeoutMs: "long" }));
    says(pluginConfiguration, evidence, "fault", /snapshotWaitTimeoutMs must be integer/);
  });
  it("says when it is no JSON", () => {
    const evidence = recorded("healthy");
    wasmConfig(evidence)["configuration"] = {
      "@type": "type.googleapis.com/google.protobuf.StringValue",
      value: "environment: shop",
    };
    says(pluginConfiguration, evidence, "fault", /isn't a JSON object/);
  });
});

describe("plugin-digest", () => {
  const sha256 = (evidence: ReturnType<typeof recorded>): string => Object.values(evidence.envoy.moduleFiles)[0]!;

  it("shows the digest of the file where this machine has it", () => {
    const evidence = recorded("healthy");
    says(moduleDigest, evidence, "ok", new RegExp(sha256(evidence)));
  });
  it("is content with the expected one, and names both when it's another", () => {
    const evidence = recorded("healthy");
    evidence.expectedSha256 = [sha256(evidence)];
    says(moduleDigest, evidence, "ok", /runs the expected module/);
    evidence.expectedSha256 = ["0".repeat(64)];
    says(moduleDigest, evidence, "fault", new RegExp(`${sha256(evidence)}, not 0{64}`));
  });
  it("reads the digest that Envoy verifies, and the one in the name that Istio's agent gives", () => {
    const evidence = recorded("healthy");
    evidence.envoy.moduleFiles = {};
    const vm = wasmConfig(evidence)["vm_config"] as Record<string, unknown>;
    vm["code"] = { remote: { http_uri: { uri: "https://modules.test/a.wasm" }, sha256: "A".repeat(64) } };
    evidence.expectedSha256 = ["a".repeat(64)];
    says(moduleDigest, evidence, "ok", /expected module/);
    vm["code"] = { local: { filename: `/var/lib/istio/data/${"c".repeat(64)}/${"b".repeat(64)}.wasm` } };
    says(moduleDigest, evidence, "fault", /sha256 b{64}, not a{64}/);
    evidence.expectedSha256.push("b".repeat(64));
    says(moduleDigest, evidence, "ok", /expected module/);
  });
  it("says when nothing tells what runs", () => {
    const evidence = recorded("healthy");
    evidence.envoy.moduleFiles = {};
    says(moduleDigest, evidence, "warning", /can't be told/);
  });
});

describe("plugin-phase", () => {
  it("is content before authorization, in AUTHN and AUTHZ, whatever only marks before it", () => {
    says(pluginPhase, recorded("phase-authn"), "ok", /as in phase AUTHN/);
    says(pluginPhase, recorded("phase-authz"), "ok", /as in phase AUTHZ/);
    says(pluginPhase, recorded("standalone"), "ok", /no token verification/);
  });
  it("finds STATS, where forged claims pass", () =>
    says(pluginPhase, recorded("phase-stats"), "fault", /as in phase STATS.*forged claims pass/));
  it("warns of a place behind every phase", () => {
    const evidence = recorded("standalone");
    httpFilters(evidence).unshift({
      name: "envoy.filters.http.cors",
      typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors" },
    });
    says(pluginPhase, evidence, "warning", /runs after envoy\.filters\.http\.cors/);
  });
});

describe("token-verification", () => {
  const taking = (name: "standalone" | "phase-authn" | "phase-authz", mode = "jwt") => {
    const evidence = recorded(name);
    evidence.control.environments["shop"] = {
      ...shop(recorded("healthy")),
      apis: [
        { id: "orders", mode: "key" },
        { id: "partners", mode },
      ],
    };
    return evidence;
  };
  it("is content without tokens, and with tokens that are verified first", () => {
    says(tokenVerification, recorded("healthy"), "ok", /No API .* takes tokens/);
    says(tokenVerification, taking("phase-authz"), "ok", /verified before/);
  });
  it("finds APIs that take tokens which nobody verifies, or only later", () => {
    for (const mode of ["jwt", "key-or-jwt", "key-and-jwt"])
      says(
        tokenVerification,
        taking("standalone", mode),
        "fault",
        /the API partners would take tokens, and nothing verifies/,
      );
    says(tokenVerification, taking("phase-authn"), "fault", /before they are verified/);
  });
  it("leaves out APIs that the gateway's group may not see", () => {
    const evidence = taking("standalone");
    const environment = shop(evidence);
    environment.gatewayTokens = environment.gatewayTokens.map((token) => ({ ...token, apis: ["orders"] }));
    says(tokenVerification, evidence, "ok", /No API/);
  });
  it("doesn't judge without control", () => {
    const evidence = recorded("phase-authn");
    evidence.control.admin = "none";
    says(tokenVerification, evidence, "skipped", /for control to say/);
  });
});

describe("bearer-keys", () => {
  it("finds keys that are taken for tokens", () =>
    says(bearerKeys, recorded("phase-authz"), "fault", /`Bearer tg_…` is refused/));
  it("finds the header by its name too", () => {
    const evidence = recorded("phase-authz");
    reconfigure(evidence, (configuration) => ({ ...configuration, keySources: [{ header: "Authorization" }] }));
    says(bearerKeys, evidence, "fault", /Authorization/);
  });
  it("is content with other sources, and where tokens are verified later", () => {
    const evidence = recorded("phase-authz");
    reconfigure(evidence, (configuration) => ({ ...configuration, keySources: [{ header: "x-api-key" }] }));
    says(bearerKeys, evidence, "ok", /No key source/);
    says(bearerKeys, recorded("phase-authn"), "ok", /No key source/);
  });
});

describe("plugins-share-names", () => {
  it("finds two plugins of equal claims, however these are written", () =>
    says(
      sharedNames,
      recorded("two-plugins"),
      "fault",
      /tollgate and tollgate-canary both work on every request.*\(x-tollgate-\*\)/,
    ));
  it("only warns when names differ, and finds a name under the other's prefix", () => {
    const evidence = recorded("two-plugins");
    reconfigure(evidence, (configuration) => ({ ...configuration, claims: { prefix: "x-other-" } }));
    says(sharedNames, evidence, "warning", /different names/);
    reconfigure(evidence, (configuration) => ({
      ...configuration,
      claims: { prefix: "x-other-", names: { tier: "x-tollgate-plan" } },
    }));
    says(sharedNames, evidence, "fault", /\(x-tollgate-plan\)/);
  });
  it("lets plugins be on different listeners", () =>
    says(sharedNames, recorded("discovered"), "ok", /No request passes two/));
});

describe("failure-policy", () => {
  it("is content with closed ones", () => says(failurePolicy, recorded("healthy"), "ok", /refused/));
  it("finds a plugin that fails open, by either field", () => {
    for (const fields of [{ failure_policy: "FAIL_OPEN" }, { failure_policy: "", fail_open: true }]) {
      const evidence = recorded("healthy");
      Object.assign(wasmConfig(evidence), fields);
      says(failurePolicy, evidence, "fault", /fails open/);
    }
  });
  it("warns of failureMode: open", () => {
    const evidence = recorded("healthy");
    reconfigure(evidence, (configuration) => ({ ...configuration, failureMode: "open" }));
    says(failurePolicy, evidence, "warning", /failureMode: open/);
  });
});

describe("token-variable", () => {
  it("is content with a variable of the host's", () =>
    says(tokenVariable, recorded("healthy"), "ok", /Envoy's environment/));
  it("has nothing to say of standalone plugins", () =>
    says(tokenVariable, recorded("standalone"), "skipped", /No plugin calls/));
  it("finds a variable that isn't given, and a token in the configuration", () => {
    const evidence = recorded("healthy");
    const vm = wasmConfig(evidence)["vm_config"] as Record<string, unknown>;
    vm["environment_variables"] = { host_env_keys: ["OTHER"] };
    says(tokenVariable, evidence, "fault", /isn't given the variable TOLLGATE_GATEWAY_TOKEN/);
    vm["environment_variables"] = { key_values: { TOLLGATE_GATEWAY_TOKEN: "tgg_secret" } };
    says(tokenVariable, evidence, "fault", /stands in Envoy's configuration/);
    assert.doesNotMatch(JSON.stringify(tokenVariable.look(evidence)), /tgg_secret/);
  });
});

describe("vm-traps", () => {
  it("is content without any", () => says(vmTraps, recorded("healthy"), "ok", /No VM has trapped/));
  it("counts them", () => {
    const evidence = recorded("healthy");
    evidence.envoy.stats["wasm.tollgate.vm_reload_success"] = 3;
    says(vmTraps, evidence, "warning", /vm_reload_success 3/);
  });
});
