/** What `tollgate manifests` writes of a file, built by kustomize: what a user would apply. */
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { parse, parseAllDocuments, stringify } from "yaml";
import { runCli } from "../../../cli/program.ts";
import type { FileInput } from "../../../control/domain/schema.ts";
import { filterModule } from "../../kit/filterModule.ts";
import { istioTools } from "../tools.ts";
import { makeFolder, removeFolder } from "../../kit/folders.ts";
import { gatewayNamespace } from "./gateway.ts";

const run = promisify(execFile);

export type Routing = "istio" | "gateway-api";

export interface Manifests {
  /** what an overlay is built to */
  objects: object[];
  /** of Istio's installation */
  meshConfig: object;
  /** istiod's environment, of the same */
  istiodEnv: Record<string, string>;
}

/** A gateway's Envoy reads the module from a file: in a cluster it's Istio's agent that fetches the image and gives Envoy its file. */
export async function manifestsOf(
  file: FileInput,
  routing: Routing,
  components: readonly string[] = [],
): Promise<Manifests> {
  const folder = makeFolder("manifests");
  try {
    const input = join(folder, "tollgate.yaml");
    const output = join(folder, "manifests");
    writeFileSync(input, stringify(file));
    await command(
      "manifests",
      "-f",
      input,
      "-o",
      output,
      "--routing",
      routing,
      "--gateway",
      `${gatewayNamespace}/tollgate`,
      "--image",
      `file://${await filterModule()}`,
    );
    const overlay = join(output, "overlays", "tests");
    mkdirSync(overlay);
    writeFileSync(
      join(overlay, "kustomization.yaml"),
      stringify({
        apiVersion: "kustomize.config.k8s.io/v1beta1",
        kind: "Kustomization",
        resources: ["../sqlite"],
        components: components.map((name) => `../../components/${name}`),
      }),
    );
    const install = parse(readFileSync(join(output, "istio", "install.yaml"), "utf8")) as {
      spec: { meshConfig: object; values: { pilot: { env: Record<string, string> } } };
    };
    const { meshConfig, values } = install.spec;
    return { objects: await build(overlay), meshConfig, istiodEnv: values.pilot.env };
  } finally {
    removeFolder(folder);
  }
}

/** What kustomize makes of a folder. */
export async function build(folder: string): Promise<object[]> {
  const { kustomize } = (await istioTools())!;
  const { stdout } = await run(kustomize, ["build", folder], { maxBuffer: 1 << 26 });
  return parseAllDocuments(stdout).map((document) => document.toJS() as object);
}

async function command(...args: string[]): Promise<void> {
  let output = "";
  const say = (text: string): void => void (output += text);
  const code = await runCli(args, { env: {}, streams: { out: say, err: say }, readInput: async () => "" });
  if (code !== 0) throw new Error(`tollgate ${args.join(" ")} ended with ${code}: ${output}`);
}
