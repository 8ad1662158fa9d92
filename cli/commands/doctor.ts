/** doctor: what is wrong with a gateway, in words. */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { InvalidArgumentError, type Command } from "commander";
import type { Evidence } from "../../tools/doctor/evidence.ts";
import { examine } from "../../tools/doctor/examine.ts";
import { gather } from "../../tools/doctor/gather.ts";
import { findingsText } from "../../tools/doctor/text.ts";
import { adminTokenOf, environmentOf, optionsOf, print, type Context, urlOf } from "../context.ts";
import { RefusedError } from "../failure.ts";
import { json } from "../output.ts";
import { collect } from "../values.ts";

const defaultUrl = "http://127.0.0.1:8090";
const secondMs = 1000;

interface DoctorOptions {
  envoyAdmin: string;
  envoy: boolean;
  control: boolean;
  module?: string[];
  wait: number;
  all?: boolean;
  save?: string;
  from?: string;
}

export function addDoctorCommand(program: Command, context: Context): void {
  program
    .command("doctor")
    .description("Diagnose a gateway and its control plane, and suggest fixes. Exits with 1 if it finds a fault.")
    .option(
      "--envoy-admin <url>",
      "URL of the Envoy admin interface; in a mesh, run kubectl port-forward <pod> 15000 first",
      "http://127.0.0.1:9901",
    )
    .option("--no-envoy", "Skip Envoy")
    .option("--no-control", "Skip the control plane")
    .option(
      "--module <module>",
      "Module that should run: a file, or the sha256:<hex> of the file or its image; repeatable",
      collect,
    )
    .option("--wait <seconds>", "How long to watch failure counters that aren't zero; 0 skips this", seconds, 6)
    .option("--all", "Show passed checks too")
    .option(
      "--save <file>",
      "Save the responses to diagnose them elsewhere; the file contains names, but no tokens or keys",
    )
    .option("--from <file>", "Diagnose a saved file, without a network call")
    .action(async (_options, command: Command) => {
      const options = optionsOf<DoctorOptions>(command);
      const evidence =
        options.from === undefined
          ? await ask(context, options)
          : await saved(options.from, await digests(options.module));
      if (options.save !== undefined) await writeFile(options.save, json(evidence));
      const findings = examine(evidence);
      print(context, options, findings, () => findingsText(findings, options.all === true));
      if (findings.some(({ status }) => status === "fault")) throw new RefusedError("");
    });
}

async function ask(context: Context, options: DoctorOptions & ReturnType<typeof optionsOf>): Promise<Evidence> {
  const token = adminTokenOf(context, options);
  const named = urlOf(context, options);
  return gather({
    envoyAdmin: options.envoy ? options.envoyAdmin : undefined,
    // Nobody said where control is, and it isn't where it would be by default: it wasn't meant.
    control: options.control
      ? { url: named ?? defaultUrl, token, mayBeSilent: named === undefined && token === undefined }
      : undefined,
    expectedSha256: await digests(options.module),
    waitMs: options.wait * secondMs,
    environment: environmentOf(context, options),
  });
}

async function saved(path: string, expectedSha256: string[]): Promise<Evidence> {
  const text = await readFile(path, "utf8").catch((error: Error) => {
    throw new RefusedError(`${path} can't be read: ${error.message}`);
  });
  try {
    const evidence = JSON.parse(text) as Evidence;
    if (evidence.version === 1 && "envoy" in evidence && "control" in evidence)
      return { ...evidence, expectedSha256: [...(evidence.expectedSha256 ?? []), ...expectedSha256] };
  } catch {
    // said below
  }
  throw new RefusedError(`${path} isn't what \`tollgate doctor --save\` writes.`);
}

/** `sha256:…` as it is, anything else as a file. */
async function digests(modules: readonly string[] = []): Promise<string[]> {
  return Promise.all(
    modules.map(async (module) => {
      const digest = /^(?:.*@)?(?:sha256:)?([0-9a-fA-F]{64})$/.exec(module)?.[1];
      if (digest !== undefined) return digest.toLowerCase();
      const content = await readFile(module).catch((error: Error) => {
        throw new RefusedError(`${module} can't be read: ${error.message}`);
      });
      return createHash("sha256").update(content).digest("hex");
    }),
  );
}

function seconds(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value > 600) throw new InvalidArgumentError("Give seconds, at most 600.");
  return value;
}
