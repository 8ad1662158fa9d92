/** Every golden of the manifests, given to istiod: the gateway's Envoy takes what istiod makes of it, and routes of the Gateway API are accepted. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parseAllDocuments } from "yaml";
import { projectRoot } from "../../control/projectPaths.ts";
import { eventually } from "../kit/eventually.ts";
import { shopFile } from "./support/definitions.ts";
import { Mesh } from "./support/mesh.ts";
import { skipReason } from "./tools.ts";

const fixtures = join(projectRoot(), "tests", "manifests", "fixtures");

interface KubernetesObject {
  kind: string;
  metadata: { name: string; namespace?: string };
  status?: { parents?: { conditions: { type: string; status: string; message: string }[] }[] };
}

for (const routing of ["istio", "gateway-api"] as const) {
  describe(`goldens of --routing ${routing}`, { skip: await skipReason() }, () => {
    let mesh: Mesh;
    before(async () => {
      mesh = await Mesh.start({ file: shopFile().file, services: [], gatewayApi: routing === "gateway-api" });
    });
    after(() => mesh?.stop());

    for (const name of readdirSync(fixtures).sort()) {
      const folder = join(fixtures, name, "out", routing);
      if (!existsSync(folder)) continue;
      it(name, async () => {
        const objects = objectsIn(folder);
        const before = await mesh.istiod.taken();
        mesh.put("golden", objects);
        await eventually(
          "Envoy to have taken or refused it",
          async () => mesh.istiod.refusals() > 0 || ![undefined, before].includes(await mesh.istiod.taken()),
        );
        assert.equal(
          mesh.istiod.refusals(),
          0,
          mesh.istiod
            .log()
            .split("\n")
            .filter((line) => line.includes("ACK ERROR"))
            .join("\n"),
        );
        if (routing === "gateway-api")
          for (const route of objects.filter(({ kind }) => kind === "HTTPRoute")) await accepted(route);
      });
    }

    /** What istiod wrote of the route. */
    async function accepted({ metadata: { name, namespace = "default" } }: KubernetesObject): Promise<void> {
      const place = { group: "gateway.networking.k8s.io", plural: "httproutes", namespace, name };
      const condition = await eventually(`the status of ${name}`, () =>
        (mesh.kubernetes.store.get(place) as KubernetesObject | undefined)?.status?.parents?.[0]?.conditions.find(
          ({ type }) => type === "Accepted",
        ),
      );
      assert.equal(condition.status, "True", `${name}: ${condition.message}`);
    }
  });
}

function objectsIn(folder: string): KubernetesObject[] {
  const files = (readdirSync(folder, { recursive: true }) as string[]).filter((name) => name.endsWith(".yaml"));
  return files.flatMap((name) =>
    parseAllDocuments(readFileSync(join(folder, name), "utf8")).map((document) => document.toJS() as KubernetesObject),
  );
}
