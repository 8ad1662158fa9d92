/** Checks on the way between gateway and control, and on what goes over it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { controlCluster } from "../../tools/doctor/checks/controlCluster.ts";
import { controlClusterHealth } from "../../tools/doctor/checks/controlClusterHealth.ts";
import { controlReachable } from "../../tools/doctor/checks/controlReachable.ts";
import { envoyReachable } from "../../tools/doctor/checks/envoyReachable.ts";
import { gatewayKnown } from "../../tools/doctor/checks/gatewayKnown.ts";
import { gatewayToken } from "../../tools/doctor/checks/gatewayToken.ts";
import { gatewayTokens } from "../../tools/doctor/checks/gatewayTokens.ts";
import { internalTokens } from "../../tools/doctor/checks/internalTokens.ts";
import { leases } from "../../tools/doctor/checks/leases.ts";
import { snapshot } from "../../tools/doctor/checks/snapshot.ts";
import { syncCalls } from "../../tools/doctor/checks/syncCalls.ts";
import type { JsonObject } from "../../tools/doctor/evidence.ts";
import { recorded, reconfigure, says, shop, type Recorded } from "./support.ts";

const dayMs = 86_400_000;

describe("envoy", () => {
  it("names the version", () => says(envoyReachable, recorded("healthy"), "ok", /^Envoy 1\.\d+\.\d+ serves/));
  it("tells silence from not being asked", () => {
    says(
      envoyReachable,
      { ...recorded("healthy"), envoy: { url: "http://127.0.0.1:1", unreached: "connection refused" } },
      "fault",
      /127\.0\.0\.1:1 can't be read: connection refused/,
    );
    says(
      envoyReachable,
      { ...recorded("healthy"), envoy: { url: "", unreached: "", notAsked: true } },
      "skipped",
      /not asked/,
    );
  });
  it("tells states apart", () => {
    const evidence = recorded("healthy");
    evidence.envoy.serverInfo["state"] = "DRAINING";
    says(envoyReachable, evidence, "warning", /draining/);
    evidence.envoy.serverInfo["state"] = "INITIALIZING";
    says(envoyReachable, evidence, "fault", /INITIALIZING/);
  });
});

describe("control", () => {
  it("is content with one that is ready", () =>
    says(controlReachable, recorded("healthy"), "ok", /takes the admin token/));
  it("says that it is away, not ready, or refuses the admin token", () => {
    says(
      controlReachable,
      { ...recorded("control-stopped"), control: { url: "http://control", unreached: "connection refused" } },
      "fault",
      /can't be read: connection refused/,
    );
    const evidence = recorded("healthy");
    evidence.control.ready = "The database doesn't respond.";
    says(controlReachable, evidence, "fault", /isn't ready: The database/);
    evidence.control.ready = true;
    evidence.control.admin = "refused";
    says(controlReachable, evidence, "fault", /refuses the admin token/);
    evidence.control.admin = "none";
    says(controlReachable, evidence, "warning", /no admin token/);
  });
});

describe("control-cluster", () => {
  it("finds it", () => says(controlCluster, recorded("healthy"), "ok", /the cluster control/));
  it("names the usual causes where Istio leaves it out, and a name that was probably meant", () => {
    const evidence = recorded("no-cluster");
    says(controlCluster, evidence, "fault", /no cluster outbound\|8091\|\|tollgate-control/);
    assert.match(
      controlCluster.look(evidence)[0]!.remedy!,
      /no Service tollgate-control\.tollgate\.svc\.cluster\.local with the port 8091.*PILOT_FILTER_GATEWAY_CLUSTER_CONFIG/,
    );
    const configs = evidence.envoy.configDump["configs"] as JsonObject[];
    configs.push({
      "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
      dynamic_active_clusters: [{ cluster: { name: "outbound|8091||tollgate-control.gateways.svc.cluster.local" } }],
    });
    says(
      controlCluster,
      evidence,
      "fault",
      /There is outbound\|8091\|\|tollgate-control\.gateways\.svc\.cluster\.local\./,
    );
  });
  it("has nothing to say of standalone plugins", () =>
    says(controlCluster, recorded("standalone"), "skipped", /No plugin calls/));
});

describe("control-cluster-health", () => {
  const hosts = (evidence: Recorded): JsonObject[] =>
    (evidence.envoy.clusters["cluster_statuses"] as { name: string; host_statuses: JsonObject[] }[]).find(
      ({ name }) => name === "control",
    )!.host_statuses;

  it("is content with endpoints that take connections", () =>
    says(controlClusterHealth, recorded("healthy"), "ok", /1 healthy endpoint/));
  it("finds connections that fail", () =>
    says(
      controlClusterHealth,
      recorded("control-stopped"),
      "fault",
      /can't connect to 127\.0\.0\.1:\d+ \(control\): \d+ attempts failed in 3 s/,
    ));
  it("finds a cluster without endpoints, and one whose endpoints are all unhealthy", () => {
    const evidence = recorded("healthy");
    hosts(evidence)[0]!["health_status"] = { eds_health_status: "HEALTHY", failed_outlier_check: true };
    says(controlClusterHealth, evidence, "fault", /No endpoint .*failed outlier check/);
    hosts(evidence).push({ ...hosts(evidence)[0]!, health_status: { eds_health_status: "HEALTHY" } });
    says(controlClusterHealth, evidence, "warning", /1 of 2 endpoints/);
    hosts(evidence).length = 0;
    says(controlClusterHealth, evidence, "fault", /has no endpoint/);
  });
  it("has nothing to say without the cluster", () =>
    says(controlClusterHealth, recorded("no-cluster"), "skipped", /no cluster/));
});

describe("gateway-token", () => {
  it("is content when control answers", () =>
    says(gatewayToken, recorded("healthy"), "ok", /takes the gateway's token for shop/));
  it("finds one that control refuses", () =>
    says(gatewayToken, recorded("token-refused"), "fault", /refuses the gateway token: it answered 401 \d+ times/));
  it("finds one of another environment", () => {
    const evidence = recorded("healthy");
    evidence.envoy.stats["cluster.control.upstream_rq_403"] = 4;
    evidence.envoy.later = { afterMs: 3000, stats: { ...evidence.envoy.stats, "cluster.control.upstream_rq_403": 5 } };
    says(gatewayToken, evidence, "fault", /isn't one of shop: it answered 403 5 times/);
  });
  it("doesn't judge what can't reach control", () => {
    const evidence = recorded("no-cluster");
    evidence.control.syncProblems = { token_unknown: 7 };
    says(gatewayToken, evidence, "skipped", /no cluster/);
  });
  it("tells what was from what is", () => {
    const evidence = recorded("healthy");
    evidence.envoy.stats["cluster.control.upstream_rq_401"] = 4;
    says(gatewayToken, evidence, "warning", /has answered 401 4 times/);
    evidence.envoy.later = { afterMs: 3000, stats: { ...evidence.envoy.stats } };
    says(gatewayToken, evidence, "ok", /takes the gateway's token/);
  });
  it("asks control where Envoy doesn't count by status", () => {
    const evidence = recorded("token-refused");
    for (const stats of [evidence.envoy.stats, evidence.envoy.later!.stats])
      for (const name of Object.keys(stats)) if (name.startsWith("cluster.")) delete stats[name];
    evidence.control.syncProblems = { token_unknown: 7 };
    says(gatewayToken, evidence, "warning", /refused 7 calls for their token/);
    evidence.control.syncProblems = {};
    says(gatewayToken, evidence, "skipped", /no call has reached it/);
  });
});

describe("sync-calls", () => {
  it("is content with calls that succeed", () =>
    says(syncCalls, recorded("healthy"), "ok", /No call to control for shop has failed/));
  it("finds calls that fail now", () => {
    for (const name of ["token-refused", "control-stopped", "no-cluster"] as const)
      says(syncCalls, recorded(name), "fault", /Calls to control for shop fail: \d+ in 3 s, \d+ since/);
  });
  it("tells what was from what is", () => {
    const evidence = recorded("control-stopped");
    delete evidence.envoy.later;
    says(syncCalls, evidence, "warning", /wasn't looked at/);
    evidence.envoy.later = { afterMs: 6000, stats: { ...evidence.envoy.stats } };
    says(syncCalls, evidence, "ok", /succeed; \d+ have failed/);
  });
});

describe("snapshot", () => {
  it("names version, keys and age", () =>
    says(snapshot, recorded("healthy"), "ok", /version 2 of shop, 1 keys; control was heard of \d+ s ago/));
  it("can't be missing where it is in the configuration", () =>
    says(snapshot, recorded("standalone"), "ok", /in the plugin's configuration/));
  it("finds that none has arrived", () => {
    for (const name of ["token-refused", "no-cluster"] as const)
      says(snapshot, recorded(name), "fault", /No snapshot of shop has arrived.*not_ready/);
  });
  it("says that no worker has needed one yet", () => {
    const evidence = recorded("healthy");
    delete evidence.envoy.stats["wasmcustom.tollgate.shop.snapshot_version"];
    says(snapshot, evidence, "ok", /no request has come yet/);
  });
  it("finds a stale one, and warns before", () => {
    const evidence = recorded("healthy");
    reconfigure(evidence, (configuration) => ({ ...configuration, maxSnapshotAgeSeconds: 600 }));
    evidence.envoy.stats["wasmcustom.tollgate.shop.snapshot_age_seconds"] = 100;
    says(snapshot, evidence, "warning", /heard of 100 s ago.*In 500 s/);
    evidence.envoy.stats["wasmcustom.tollgate.shop.snapshot_age_seconds"] = 601;
    evidence.envoy.stats["wasmcustom.tollgate.shop.refused.snapshot_stale"] = 9;
    says(snapshot, evidence, "fault", /601 s old, more than maxSnapshotAgeSeconds \(600\).*\(9 so far\)/);
    reconfigure(evidence, (configuration) => ({ ...configuration, maxSnapshotAgeSeconds: 0 }));
    says(snapshot, evidence, "warning", /heard of 601 s ago: changes and revocations don't reach shop\.$/);
  });
});

describe("gateway-known", () => {
  it("names gateway, group and version", () =>
    says(gatewayKnown, recorded("healthy"), "ok", /edge-1~[0-9a-f]{16}, group edge, up to date with version 2/));
  it("finds one that control has lost, or never heard of", () => {
    const evidence = recorded("healthy");
    for (const gateway of shop(evidence).gateways) gateway.state = "lost";
    says(gatewayKnown, evidence, "fault", /\(edge-1\) isn't connected to this control: it heard of it last at 20/);
    shop(evidence).gateways = [];
    says(gatewayKnown, evidence, "fault", /has never heard of it/);
  });
  it("takes no other gateway for it", () => {
    const evidence = recorded("healthy");
    for (const gateway of shop(evidence).gateways) gateway.id = gateway.id.replace("edge-1~", "edge-10~");
    says(gatewayKnown, evidence, "fault", /never heard/);
  });
  it("warns of lag, and names a missing environment", () => {
    const evidence = recorded("healthy");
    for (const gateway of shop(evidence).gateways) gateway.lag = 3;
    says(gatewayKnown, evidence, "warning", /3 versions behind/);
    shop(evidence).missing = true;
    says(gatewayKnown, evidence, "fault", /no environment shop/);
  });
});

describe("gateway-tokens", () => {
  const expiring = (...inMs: (number | null)[]): Recorded => {
    const evidence = recorded("healthy");
    const [token] = shop(evidence).gatewayTokens;
    shop(evidence).gatewayTokens = inMs.map((ms) => ({
      ...token!,
      expiresAt: ms === null ? null : new Date(evidence.takenMs + ms).toISOString(),
    }));
    return evidence;
  };
  it("is content while each group's last lives long", () => {
    says(gatewayTokens, recorded("healthy"), "ok", /Every group of shop \(edge\)/);
    says(gatewayTokens, expiring(-1000, 15 * dayMs), "ok", /Every group/);
  });
  it("finds none, and warns of the last one's end", () => {
    says(gatewayTokens, expiring(), "fault", /no valid gateway token/);
    says(gatewayTokens, expiring(-1000), "fault", /no valid gateway token/);
    says(gatewayTokens, expiring(dayMs), "warning", /last token of the group edge of shop expires at/);
  });
  it("warns of a group that has expired ones alone", () => {
    const evidence = expiring(null, -1000);
    shop(evidence).gatewayTokens[1]!.group = "partners";
    says(gatewayTokens, evidence, "warning", /group partners of shop has expired tokens alone/);
  });
});

describe("leases", () => {
  const later = (grown: Record<string, number>): Recorded => {
    const evidence = recorded("healthy");
    const stats = { ...evidence.envoy.stats };
    for (const [name, value] of Object.entries(grown)) stats[`wasmcustom.tollgate.shop.${name}`] = value;
    evidence.envoy.later = { afterMs: 6000, stats };
    return evidence;
  };
  it("is content with calls that succeed", () =>
    says(leases, recorded("healthy"), "ok", /No call for allowance has failed/));
  it("finds calls that fail, and requests that are refused for it", () => {
    says(leases, later({ leases_failed: 4 }), "fault", /4 calls failed and 0 requests/);
    says(leases, later({ "refused.limit_unavailable": 2 }), "fault", /0 calls failed and 2 requests were refused/);
  });
  it("warns of overshoot and of usage that isn't taken", () => {
    says(leases, later({ overshoot: 12 }), "warning", /12 requests of shop went on beyond/);
    says(leases, later({ usage_failed: 1 }), "warning", /Usage of shop isn't taken/);
  });
  it("tells what was from what is", () => {
    const evidence = later({ leases_failed: 4 });
    evidence.envoy.stats = { ...evidence.envoy.later!.stats };
    says(leases, evidence, "ok", /succeed; 4 have failed/);
  });
});

describe("internal-tokens", () => {
  const failing = (grown: Record<string, number>): Recorded => {
    const evidence = recorded("healthy");
    reconfigure(evidence, (configuration) => ({ ...configuration, claims: { token: "x-tollgate-token" } }));
    evidence.envoy.later = { afterMs: 6000, stats: { ...evidence.envoy.stats, ...grown } };
    return evidence;
  };
  it("has nothing to find where none are set, and is content where they come", () => {
    says(internalTokens, recorded("healthy"), "ok", /No plugin sets/);
    says(internalTokens, failing({}), "ok", /are had/);
  });
  it("finds calls that fail and requests that are refused for it", () => {
    says(
      internalTokens,
      failing({ "wasmcustom.tollgate.shop.tokens_failed": 3, "wasmcustom.tollgate.shop.refused.token_unavailable": 8 }),
      "fault",
      /3 calls failed and 8 requests were refused/,
    );
  });
});
