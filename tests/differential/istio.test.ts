/** The same for the routes that a real istiod makes of what `tollgate manifests` writes, for VirtualServices and for HTTPRoutes. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventually } from "../kit/eventually.ts";
import { manifestsOf } from "../istio/support/manifests.ts";
import { Mesh } from "../istio/support/mesh.ts";
import { skipReason } from "../istio/tools.ts";
import { sendAll } from "./clients.ts";
import { addTo, emptyReport, findingText, reportText } from "./differential.ts";
import { fileOf, meshApis, randomApis, type RandomApi } from "./environments.ts";
import { Random, seedOf } from "./random.ts";
import { randomRequest, type WireRequest } from "./requests.ts";
import { startUpstreams } from "./upstreams.ts";

const seed = seedOf();
const requests = 4_000;
const environments = 4;
/** Answers once the routes and the filter's snapshot are there. */
const canary: RandomApi = {
  id: "canary",
  hosts: ["canary.differential.test"],
  paths: ["/canary"],
  methods: [],
  keyed: false,
  cors: false,
};
const canaryRequest: WireRequest = {
  protocol: "http1",
  method: "GET",
  target: "/canary",
  hosts: canary.hosts,
  headers: [],
};

describe("the API that the filter decided by is the one whose upstream answers", { skip: await skipReason() }, () => {
  for (const routing of ["istio", "gateway-api"] as const) {
    it(`for ${requests} random requests by the routes that istiod makes of ${routing}`, async () => {
      const random = new Random(`${seed}/${routing}`);
      const apis = meshApis([
        canary,
        ...Array.from({ length: environments }, (_, index) => randomApis(random, `m${index}-a`)).flat(),
      ]);
      const upstreams = await startUpstreams(apis.map(({ id }) => id));
      let mesh: Mesh | undefined;
      try {
        const file = fileOf(apis, "default", (id) => ({ service: `${id}.shop.svc.cluster.local`, port: 8080 }));
        const { objects, meshConfig } = await manifestsOf(file, routing);
        const services = apis.map(({ id }) => ({ name: id, namespace: "shop", port: upstreams.port(id) }));
        mesh = await Mesh.start({
          file,
          services,
          gatewayApi: routing === "gateway-api",
          manifests: true,
          meshConfig,
          objects: { tollgate: objects },
          workers: 1,
        });
        const port = mesh.gateway.port();
        await eventually(
          "the canary's answer",
          async () => (await sendAll(port, [canaryRequest]))[0]!.policy !== undefined,
          120_000,
        );
        const sent = Array.from({ length: requests }, () => randomRequest(random, apis));
        const report = emptyReport();
        addTo(report, apis, sent, await sendAll(port, sent));
        console.log(`seed ${seed}, ${routing}: ${reportText(report)}`);
        const [finding] = report.findings;
        if (finding !== undefined)
          assert.fail(
            `seed ${seed} (TOLLGATE_TEST_SEED=${seed} repeats it): ${findingText(finding)}\n${report.findings.length} findings in all`,
          );
        assert.ok((report.outcomes.get("served") ?? 0) > requests / 8, reportText(report));
      } finally {
        await mesh?.stop();
        await upstreams.close();
      }
    });
  }
});
