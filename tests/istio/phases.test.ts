/** What an AuthorizationPolicy sees of forged claims in each phase of the plugin: why it stands in AUTHN or AUTHZ, and never in STATS. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Pair } from "../kit/http1.ts";
import { eventually } from "../kit/eventually.ts";
import { paidPolicy, shopFile, shopRoute, shopServices, wasmPlugin, type Phase } from "./support/definitions.ts";
import { Mesh } from "./support/mesh.ts";
import { skipReason } from "./tools.ts";

/** How a client may say that it is of the tier platinum: every spelling that Envoy lets through. */
const forgeries: Pair[][] = [
  [["x-tollgate-tier", "platinum"]],
  [["X-Tollgate-TIER", "platinum"]],
  [
    ["x-tollgate-tier", "platinum"],
    ["x-tollgate-tier", "platinum"],
  ],
];

describe("the plugin's phase and AuthorizationPolicy on claims", { skip: await skipReason() }, () => {
  const { file, keys } = shopFile();
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.start({
      file,
      services: shopServices,
      objects: { route: shopRoute(), policy: [paidPolicy("platinum")] },
    });
  });
  after(() => mesh?.stop());

  for (const phase of ["AUTHN", "AUTHZ"] as const) {
    it(`${phase}: the policy decides on what the filter says, and forged claims are gone before it looks`, async () => {
      await pluginIs(phase);
      const order = await mesh.gateway.filters();
      assert.ok(
        order.findIndex((name) => name.includes("trafficextension")) < order.indexOf("envoy.filters.http.rbac"),
        order.join(", "),
      );
      assert.equal(await paid(keys.platinum), 200);
      assert.equal(await paid(keys.bronze), 403);
      for (const forged of forgeries) assert.equal(await paid(keys.bronze, forged), 403, JSON.stringify(forged));
      assert.equal(
        (await mesh.gateway.send({ path: "/free", headers: [["x-api-key", keys.bronze], ...forgeries[0]!] })).status,
        200,
      );
    });
  }

  it("STATS: the policy believes what the client forged, and refuses who is of the tier", async () => {
    await pluginIs("STATS");
    const order = await mesh.gateway.filters();
    assert.ok(
      order.findIndex((name) => name.includes("trafficextension")) > order.indexOf("envoy.filters.http.rbac"),
      order.join(", "),
    );
    assert.equal(await paid(keys.bronze, forgeries[0]), 200);
    assert.equal(await paid(keys.platinum), 403);
  });

  /** The phase is in the claims' prefix too, so that a test can see when the change has come. */
  async function pluginIs(phase: Phase): Promise<void> {
    const names = { "key-id": `x-key-${phase.toLowerCase()}` };
    mesh.put("plugin", [
      wasmPlugin({ modulePath: mesh.modulePath, phase, configuration: { claims: { prefix: "x-tollgate-", names } } }),
    ]);
    await eventually(`the plugin in ${phase}`, async () =>
      (await mesh.gateway.send({ headers: [["x-api-key", keys.bronze]] })).body.includes(
        `"x-key-${phase.toLowerCase()}":"corner-1"`,
      ),
    );
  }

  async function paid(key: string, more: Pair[] = []): Promise<number> {
    return (await mesh.gateway.send({ path: "/paid", headers: [["x-api-key", key], ...more] })).status;
  }
});
