/** What Istio's and Kubernetes' own tools say of the manifests: every generated file is valid, every overlay builds, the installation can be made. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parseAllDocuments, stringify } from "yaml";
import { projectRoot } from "../../control/projectPaths.ts";
import { makeFolder, removeFolder } from "../kit/folders.ts";
import { build } from "./support/manifests.ts";
import { istioTools, skipReason } from "./tools.ts";

const root = projectRoot();
const folders = ["manifests", "tests/manifests"];
const accepted = [
  /will deny all traffic to TCP ports/, // a policy that refuses by HTTP alone: the gateway has no TCP ports
  /EnvoyFilter exposes internal implementation details/, // the component filtered-clusters patches nothing: only its annotation is wanted
];

describe("istioctl and kustomize", { skip: await skipReason() }, () => {
  let scratch: string;
  let istioctlPath: string;
  before(async () => {
    scratch = makeFolder("istioctl");
    ({ istioctl: istioctlPath } = (await istioTools())!);
  });
  after(() => removeFolder(scratch));

  it("refuse what is wrong: a field that isn't there, a version that nobody defines", async () => {
    const wrongField = write("field.yaml", [
      {
        apiVersion: "extensions.istio.io/v1alpha1",
        kind: "WasmPlugin",
        metadata: { name: "a", namespace: "b" },
        spec: { url: "oci://a", pluginConfg: {} },
      },
    ]);
    assert.match((await istioctl("validate", "-f", wrongField)).output, /unknown field "pluginConfg"/);
    const route = { hosts: ["a.example.com"], http: [{ route: [{ destination: { host: "b", subset: "none" } }] }] };
    const noSubset = write("subset.yaml", [
      {
        apiVersion: "networking.istio.io/v1",
        kind: "VirtualService",
        metadata: { name: "a", namespace: "b" },
        spec: route,
      },
    ]);
    const { code, output } = await istioctl("analyze", "--all-namespaces", "--use-kube=false", noSubset);
    assert.notEqual(code, 0);
    assert.match(output, /IST0101/);
  });

  it("find every generated file valid", async () => {
    const files = folders.flatMap((folder) => yamlFiles(folder)).filter(isOfKubernetes);
    assert.ok(files.length > 50, `${files.length} files`);
    const wrong: string[] = [];
    // Together they would be refused for a name that two folders have; a few at a time, for speed.
    for (let i = 0; i < files.length; i += 8) {
      const answers = await Promise.all(
        files.slice(i, i + 8).map(async (file) => ({ file, ...(await istioctl("validate", "-f", join(root, file))) })),
      );
      for (const { file, code, output } of answers)
        if (code !== 0 || complaints(output).length > 0) wrong.push(`${file}: ${output}`);
    }
    assert.deepEqual(wrong, []);
  });

  for (const overlay of namesIn("manifests/overlays")) {
    const components = namesIn("manifests/components");
    for (const chosen of [[], ...components.map((name) => [name]), components]) {
      it(`build and analyze the overlay ${overlay}${chosen.length === 0 ? "" : ` with ${chosen.join(", ")}`}`, async () => {
        const objects =
          chosen.length === 0
            ? await build(join(root, "manifests", "overlays", overlay))
            : await buildWith(overlay, chosen);
        const built = write(`${overlay}.yaml`, objects);
        for (const args of [
          ["validate", "-f", built],
          ["analyze", "--all-namespaces", "--use-kube=false", built],
        ]) {
          const { code, output } = await istioctl(...args);
          assert.deepEqual([code, complaints(output)], [0, []], output);
        }
      });
    }
  }

  it("make an installation whose gateway has the token and whose mesh has the access log", async () => {
    const { code, stdout, output } = await istioctl(
      "manifest",
      "generate",
      "-f",
      join(root, "manifests", "istio", "install.yaml"),
    );
    assert.equal(code, 0, output);
    const objects = parseAllDocuments(stdout)
      .map((document) => document.toJS() as KubernetesObject | null)
      .filter((object) => object !== null);
    const gateways = objects.filter(({ kind, metadata }) => kind === "Deployment" && metadata.name !== "istiod");
    assert.equal(gateways.length, 1, gateways.map(({ metadata }) => metadata.name).join(", "));
    const [gateway] = gateways as [KubernetesObject];
    assert.equal(gateway.metadata.namespace, "istio-ingress");
    const { containers } = (
      gateway["spec"] as { template: { spec: { containers: { env: { name: string; valueFrom?: object }[] }[] } } }
    ).template.spec;
    const token = containers[0]!.env.find(({ name }) => name === "TOLLGATE_GATEWAY_TOKEN");
    assert.ok(token?.valueFrom !== undefined && "secretKeyRef" in token.valueFrom, "from a Secret");
    const mesh = objects.find(
      ({ kind, metadata }) => kind === "ConfigMap" && metadata.name === "istio",
    ) as KubernetesObject & { data: { mesh: string } };
    assert.match(mesh.data.mesh, /tollgate-access-log/);
    assert.match(mesh.data.mesh, /DECODE_AND_MERGE_SLASHES/);
  });

  async function buildWith(overlay: string, components: readonly string[]): Promise<object[]> {
    const copy = join(scratch, "manifests");
    if (!existsSync(copy)) cpSync(join(root, "manifests"), copy, { recursive: true });
    const folder = mkdtempSync(join(copy, "overlays", "chosen-"));
    writeFileSync(
      join(folder, "kustomization.yaml"),
      stringify({
        apiVersion: "kustomize.config.k8s.io/v1beta1",
        kind: "Kustomization",
        resources: [`../${overlay}`],
        components: components.map((name) => `../../components/${name}`),
      }),
    );
    return build(folder);
  }

  function write(name: string, objects: readonly object[]): string {
    const path = join(scratch, name);
    writeFileSync(path, objects.map((object) => `---\n${stringify(object)}`).join(""));
    return path;
  }

  function istioctl(...args: string[]): Promise<{ code: number; stdout: string; output: string }> {
    return new Promise((resolve) => {
      execFile(istioctlPath, args, { maxBuffer: 1 << 26, timeout: 60_000 }, (error, stdout, stderr) => {
        resolve({
          code: error === null ? 0 : typeof error.code === "number" ? error.code : -1,
          stdout,
          output: stdout + stderr,
        });
      });
    });
  }
});

interface KubernetesObject {
  kind: string;
  metadata: { name: string; namespace?: string };
  [field: string]: unknown;
}

function complaints(output: string): string[] {
  return output
    .split("\n")
    .filter((line) => /^(Error|Warning|Info) \[|^\s+\* /.test(line) && !accepted.some((one) => one.test(line)));
}

function yamlFiles(folder: string): string[] {
  const names = existsSync(join(root, folder))
    ? (readdirSync(join(root, folder), { recursive: true }) as string[])
    : [];
  return names
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => join(folder, name))
    .sort();
}

/** What `tollgate manifests` made; not what it was made of, and not what is for kustomize. */
function isOfKubernetes(file: string): boolean {
  return (
    basename(file) !== "kustomization.yaml" &&
    readFileSync(join(root, file), "utf8").includes("Made by `tollgate manifests`") &&
    !readFileSync(join(root, file), "utf8").includes("kind: Kustomization")
  );
}

function namesIn(folder: string): string[] {
  return existsSync(join(root, folder))
    ? readdirSync(join(root, folder))
        .filter((name) => !name.startsWith("."))
        .sort()
    : [];
}
