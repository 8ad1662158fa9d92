/** A mesh whose gateways get clusters of routes alone (PILOT_FILTER_GATEWAY_CLUSTER_CONFIG): control has no route, and its component keeps its cluster. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { reasonOf } from "../kit/gateway.ts";
import { eventually } from "../kit/eventually.ts";
import { shopFile, shopServices } from "./support/definitions.ts";
import { manifestsOf } from "./support/manifests.ts";
import { Mesh } from "./support/mesh.ts";
import { skipReason } from "./tools.ts";

const controlCluster = "outbound|8091||tollgate-control.tollgate.svc.cluster.local";

describe("a mesh that filters gateways' clusters", { skip: await skipReason() }, () => {
  const { file, keys } = shopFile();
  let mesh: Mesh;
  before(async () => {
    const { objects, meshConfig, istiodEnv } = await manifestsOf(file, "istio");
    assert.equal(istiodEnv["PILOT_FILTER_GATEWAY_CLUSTER_CONFIG"], "false", "as install.yaml would have it");
    mesh = await Mesh.start({
      file,
      services: shopServices,
      manifests: true,
      meshConfig,
      istiodEnv: { PILOT_FILTER_GATEWAY_CLUSTER_CONFIG: "true" },
      objects: { tollgate: objects },
    });
  });
  after(() => mesh?.stop());

  it("has no cluster of control without the component, and refuses: not_ready", async () => {
    assert.equal(
      reasonOf(await eventually("an answer", () => mesh.gateway.send({ headers: [["x-api-key", keys.platinum]] }))),
      "not_ready",
    );
    assert.ok(!(await mesh.gateway.admin("/clusters")).includes(controlCluster));
  });

  it("has it with the component, and serves", async () => {
    mesh.put("tollgate", (await manifestsOf(file, "istio", ["filtered-clusters"])).objects);
    await eventually(
      "keys to pass",
      async () => (await mesh.gateway.send({ headers: [["x-api-key", keys.platinum]] })).status === 200,
    );
    assert.ok((await mesh.gateway.admin("/clusters")).includes(controlCluster));
  });
});
