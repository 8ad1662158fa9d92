/** What kustomize makes of overlays, and what istioctl says of the example with the Gateway API; of the committed manifests it's asked in tests/istio. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { parse, parseAllDocuments } from "yaml";
import { projectRoot } from "../../control/projectPaths.ts";
import { runCli } from "../../cli/program.ts";
import { istioTools, skipReason } from "../istio/tools.ts";
import { temporaryFolder } from "../kit/folders.ts";

const run = promisify(execFile);
const limits = { timeout: 120_000, maxBuffer: 1 << 27 };
const scratch = temporaryFolder("manifests");

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Loose = any;
const committed = join(projectRoot(), "manifests");
const anew = join(scratch, "gateway-api");

describe("kustomize and istioctl", { skip: await skipReason() }, async () => {
  const tools = (await istioTools())!;
  const example = join(projectRoot(), "examples/istio/tollgate.yaml");
  const image = `registry.example.com/tollgate@sha256:${"0".repeat(64)}`;
  const errors: string[] = [];
  // The example's versions by label and its retries are Istio's own; the rest is said in the Gateway API as well.
  const parsed = parse(readFileSync(example, "utf8")) as Loose;
  for (const api of parsed.apis) for (const field of ["versions", "retries"]) delete api.traffic?.[field];
  const input = join(scratch, "tollgate.yaml");
  writeFileSync(input, JSON.stringify(parsed));
  const code = await runCli(["manifests", "-f", input, "-o", anew, "--routing", "gateway-api", "--image", image], {
    env: {},
    streams: { out: () => undefined, err: (text) => void errors.push(text) },
    readInput: async () => "",
  });

  it("the example is made with the Gateway API too", () => assert.equal(code, 0, errors.join("")));

  for (const [name, folder] of [
    ["istio", committed],
    ["gateway-api", anew],
  ] as const) {
    describe(name, () => {
      for (const overlay of ["sqlite", "postgres-valkey"]) {
        it(`kustomize builds overlays/${overlay}: control with its data`, async () => {
          const objects = await build(join(folder, "overlays", overlay));
          const deployment = only(objects, "Deployment");
          const [container] = deployment.spec.template.spec.containers;
          const variables = (container.env as Loose[]).map((one) => one.name as string);
          assert.equal(deployment.spec.template.spec.containers.length, 1, "the patch met its container");
          if (overlay === "sqlite") {
            assert.deepEqual(deployment.spec.template.spec.volumes, [
              { name: "data", persistentVolumeClaim: { claimName: "tollgate-control" } },
            ]);
            assert.deepEqual([deployment.spec.replicas, deployment.spec.strategy], [1, { type: "Recreate" }]);
            assert.deepEqual(variables, ["TOLLGATE_ADMIN_TOKEN"]);
          } else {
            assert.equal(deployment.spec.replicas, undefined, "the HorizontalPodAutoscaler's alone");
            assert.equal(deployment.spec.strategy.type, "RollingUpdate");
            assert.deepEqual(variables.sort(), ["TOLLGATE_ADMIN_TOKEN", "TOLLGATE_DATABASE_URL", "TOLLGATE_REDIS_URL"]);
            assert.equal(only(objects, "HorizontalPodAutoscaler").spec.scaleTargetRef.name, deployment.metadata.name);
            assert.deepEqual(
              only(objects, "PodDisruptionBudget").spec.selector.matchLabels,
              deployment.spec.selector.matchLabels,
            );
          }
          if (name === "istio") return;
          const path = join(scratch, `${name}-${overlay}.yaml`);
          writeFileSync(path, objects.map((object) => `---\n${JSON.stringify(object)}\n`).join(""));
          const { stdout, stderr } = await run(tools.istioctl, ["analyze", "--use-kube=false", path], limits);
          assert.match(`${stdout}${stderr}`, /No validation issues found/);
        });
      }

      it("every component goes with every overlay, and with the others", async () => {
        const components = readdirSync(join(folder, "components"));
        assert.deepEqual(components.sort(), ["filtered-clusters", "mesh-identity", "traffic-extension"]);
        // Components are named relative to the overlay that lists them.
        const overlay = join(folder === anew ? folder : copied(folder), "overlays", "all");
        mkdirSync(overlay);
        writeFileSync(
          join(overlay, "kustomization.yaml"),
          JSON.stringify({
            apiVersion: "kustomize.config.k8s.io/v1beta1",
            kind: "Kustomization",
            resources: ["../postgres-valkey"],
            components: components.map((one) => `../../components/${one}`),
          }),
        );
        const objects = await build(overlay);
        const gatewayPlugins = objects.filter(
          ({ kind, metadata }) =>
            (kind === "WasmPlugin" || kind === "TrafficExtension") && metadata.namespace === "istio-ingress",
        );
        assert.deepEqual(
          gatewayPlugins.map(({ kind }) => kind as string),
          ["TrafficExtension"],
          "one filter, whichever way it comes",
        );
        assert.ok(
          objects.some(({ kind, metadata }) => kind === "AuthorizationPolicy" && metadata.namespace === "shop"),
        );
      });

      if (name === "istio") return;
      it("istioctl validate takes every file", async () => {
        const files = readdirSync(folder, { recursive: true })
          .map(String)
          .filter((path) => path.endsWith(".yaml") && !path.startsWith(join("overlays", "all")));
        const { stdout, stderr } = await run(
          tools.istioctl,
          ["validate", ...files.flatMap((path) => ["-f", join(folder, path)])],
          limits,
        ).catch((error: Loose) => assert.fail(`${error.stdout}${error.stderr}`));
        assert.doesNotMatch(`${stdout}${stderr}`, /unknown field|invalid|Error:/i);
      });

      it("istioctl makes an installation of istio/install.yaml, without a gateway: istiod makes that", async () => {
        const { stdout } = await run(
          tools.istioctl,
          ["manifest", "generate", "-f", join(folder, "istio", "install.yaml")],
          limits,
        );
        const objects = parseAllDocuments(stdout)
          .map((document) => document.toJS() as Loose)
          .filter(Boolean);
        const mesh = objects.find(({ kind, data }) => kind === "ConfigMap" && data?.mesh !== undefined)!.data
          .mesh as string;
        assert.match(mesh, /normalization: DECODE_AND_MERGE_SLASHES/);
        assert.match(mesh, /name: tollgate-access-log/);
        const gateways = objects.filter(({ kind, metadata }) => kind === "Deployment" && !/istiod/.test(metadata.name));
        assert.deepEqual(gateways, []);
      });
    });
  }

  async function build(folder: string): Promise<Loose[]> {
    const { stdout } = await run(tools.kustomize, ["build", folder], limits);
    return parseAllDocuments(stdout).map((document) => document.toJS() as Loose);
  }
});

function only(objects: readonly Loose[], kind: string): Loose {
  const found = objects.filter((object) => object.kind === kind);
  assert.equal(found.length, 1, kind);
  return found[0];
}

/** A folder that may be written to. */
function copied(folder: string): string {
  const target = join(scratch, "copy");
  cpSync(folder, target, { recursive: true });
  return target;
}
