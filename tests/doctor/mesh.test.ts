/** What the doctor says of a gateway that a real istiod programs: plugins by discovery, Istio's cluster names, its filter orders. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { runCli } from "../../cli/program.ts";
import type { Finding } from "../../tools/doctor/model.ts";
import { adminToken } from "../kit/control.ts";
import { eventually } from "../kit/eventually.ts";
import { paidPolicy, shopFile, shopRoute, shopServices, wasmPlugin } from "../istio/support/definitions.ts";
import { Issuer, requestAuthentication } from "../istio/support/tokens.ts";
import { Mesh } from "../istio/support/mesh.ts";
import { skipReason } from "../istio/tools.ts";

async function doctor(mesh: Mesh, ...args: string[]): Promise<Finding[]> {
  let out = "";
  const env = { TOLLGATE_URL: `http://127.0.0.1:${mesh.control.adminPort}`, TOLLGATE_ADMIN_TOKEN: adminToken };
  await runCli(["doctor", "--json", "--envoy-admin", `http://127.0.0.1:${mesh.gateway.adminPort}`, ...args], {
    env,
    streams: { out: (text) => void (out += text), err: () => {} },
    readInput: async () => "",
  });
  return JSON.parse(out) as Finding[];
}

const wrong = (findings: Finding[]): string[] =>
  findings
    .filter(({ status }) => status === "fault" || status === "warning")
    .map(({ id, status }) => `${status} ${id}`);

/** What is wrong, once a change has reached Envoy. */
async function becomes(mesh: Mesh, expected: string[], ...args: string[]): Promise<Finding[]> {
  let found: Finding[] = [];
  await eventually(`the doctor to say ${expected.join(", ") || "that nothing is wrong"}`, async () => {
    found = await doctor(mesh, "--wait", "0", ...args);
    assert.deepEqual(
      wrong(found),
      expected,
      JSON.stringify(found.filter(({ status }) => status === "fault" || status === "warning")),
    );
    return true;
  });
  return found;
}

const { file, keys } = shopFile();

describe("a gateway of a mesh", { skip: await skipReason() }, () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.start({
      file,
      services: shopServices,
      objects: { route: shopRoute(), policy: [paidPolicy("platinum")] },
    });
    mesh.put("plugin", [wasmPlugin({ modulePath: mesh.modulePath })]);
    await eventually(
      "a request to be admitted",
      async () => (await mesh.gateway.send({ headers: [["x-api-key", keys.platinum]] })).status === 200,
    );
  });
  after(() => mesh?.stop());

  it("is well, with the expected module", async () => {
    const findings = await becomes(mesh, [], "--module", mesh.modulePath);
    const words = (id: string): string => findings.find((finding) => finding.id === id)!.words;
    assert.match(words("control-cluster"), /outbound\|8091\|\|tollgate-control\.tollgate\.svc\.cluster\.local/);
    assert.match(words("gateway-known"), /up to date/);
    assert.match(words("plugin-digest"), /runs the expected module/);
  });

  it("has the plugin in phase STATS", async () => {
    mesh.put("plugin", [wasmPlugin({ modulePath: mesh.modulePath, phase: "STATS" })]);
    await becomes(mesh, ["fault plugin-phase"]);
  });

  it("takes keys where tokens are verified first", async () => {
    mesh.put("tokens", [requestAuthentication(await Issuer.make("https://issuer.test"))]);
    mesh.put("plugin", [wasmPlugin({ modulePath: mesh.modulePath, phase: "AUTHZ" })]);
    await becomes(mesh, ["fault bearer-keys"]);
    mesh.put("plugin", [
      wasmPlugin({
        modulePath: mesh.modulePath,
        phase: "AUTHZ",
        configuration: { keySources: [{ header: "x-api-key" }] },
      }),
    ]);
    await becomes(mesh, []);
    mesh.remove("tokens");
  });

  it("has two plugins", async () => {
    mesh.put("plugin", [
      wasmPlugin({ modulePath: mesh.modulePath }),
      wasmPlugin({ modulePath: mesh.modulePath, name: "tollgate-canary" }),
    ]);
    await becomes(mesh, ["fault plugins-share-names"]);
    mesh.put("plugin", [wasmPlugin({ modulePath: mesh.modulePath })]);
    await becomes(mesh, []);
  });

  it("has refused a change of the plugin", async () => {
    mesh.put("plugin", [wasmPlugin({ modulePath: "/nowhere/tollgate.wasm" })]);
    await eventually("the refusal to be found", async () =>
      (await doctor(mesh, "--wait", "0")).some(
        ({ id, status, words }) => id === "plugin-loaded" && status === "fault" && /refused the newest/.test(words),
      ),
    );
    assert.equal((await mesh.gateway.send({ headers: [["x-api-key", keys.platinum]] })).status, 200);
  });

  it("has no plugin, or one whose module is missing", async () => {
    mesh.remove("plugin");
    await becomes(mesh, ["fault plugin-loaded"]);
    mesh.put("plugin", [wasmPlugin({ modulePath: "/nowhere/tollgate.wasm", name: "tollgate-missing" })]);
    await eventually("what was never taken to be found", async () => {
      const findings = await doctor(mesh, "--wait", "0");
      assert.ok(
        findings.some(
          ({ id, status, words }) =>
            id === "plugin-loaded" &&
            status === "fault" &&
            /has taken no configuration of \S+tollgate-missing/.test(words),
        ),
        JSON.stringify(findings.filter(({ id }) => id.startsWith("plugin-"))),
      );
      return true;
    });
  });
});

describe("a gateway of a mesh with PILOT_FILTER_GATEWAY_CLUSTER_CONFIG", { skip: await skipReason() }, () => {
  it("has no cluster to control", async () => {
    const mesh = await Mesh.start({
      file,
      services: shopServices,
      objects: { route: shopRoute() },
      istiodEnv: { PILOT_FILTER_GATEWAY_CLUSTER_CONFIG: "true" },
    });
    try {
      mesh.put("plugin", [wasmPlugin({ modulePath: mesh.modulePath })]);
      await eventually("the missing cluster to be found", async () => {
        const findings = await doctor(mesh, "--wait", "0");
        return findings.some(
          ({ id, status, remedy }) =>
            id === "control-cluster" && status === "fault" && /PILOT_FILTER_GATEWAY_CLUSTER_CONFIG/.test(remedy ?? ""),
        );
      });
    } finally {
      await mesh.stop();
    }
  });
});
