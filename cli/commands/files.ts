/** What works on a tollgate.yaml: validate, diff, apply, export, compile. */
import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { PluginSchema } from "../../control/domain/pluginSchema.ts";
import { pathText, problemLine, type LocatedProblem } from "../../control/domain/problem.ts";
import { structureCheck } from "../../control/domain/structure.ts";
import { loadFile } from "../../control/domain/yamlFile.ts";
import { pluginConfiguration } from "../../devstack/gateway.ts";
import { compileSnapshot } from "../../control/sync/compile.ts";
import { clientOf, environmentOf, optionsOf, print, type Context, type GlobalOptions } from "../context.ts";
import { RefusedError } from "../failure.ts";
import { readInputFile, readSpec, readYaml, withFile } from "../input.ts";
import { json } from "../output.ts";

const standardFile = "tollgate.yaml";

interface Change {
  action: "create" | "update" | "delete";
  kind: string;
  id: string;
  fields?: string[];
  limits?: string[];
}

interface Warning {
  path: string;
  message: string;
  remedy: string;
  line?: number;
  column?: number;
}

interface Plan {
  environment: string;
  changes: Change[];
  warnings: Warning[];
}

export function addFileCommands(program: Command, context: Context): void {
  withFile(program.command("validate"), standardFile)
    .description("Validate a configuration file without a control plane.")
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ file: string }>(command);
      const text = await readInputFile(context, options.file);
      const { spec, problems } = loadFile(text, environmentOf(context, options));
      const valid = spec !== undefined;
      const result = { valid, problems: problems.map(({ path, ...rest }) => ({ ...rest, path: pathText(path) })) };
      print(context, options, result, () => (valid ? `${context.file}: valid\n` : ""));
      if (!options.json) warn(context, problems);
      if (!valid) throw new RefusedError("");
    });

  withFile(program.command("diff"), standardFile)
    .description("Preview what applying a configuration file would change.")
    .option("--prune", "Also delete records that the sections of the file don't name")
    .option("--exit-code", "Exit with 1 if there are changes")
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ file: string; prune?: boolean; exitCode?: boolean }>(command);
      const plan = await send<Plan>(context, options, "/v1/diff");
      print(context, options, plan, () => changesText(plan.changes));
      if (!options.json) warnOf(context, plan.warnings);
      if (options.exitCode && plan.changes.length > 0) throw new RefusedError("");
    });

  withFile(program.command("apply"), standardFile)
    .description("Apply a configuration file atomically.")
    .option("--prune", "Also delete records that the sections of the file don't name")
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ file: string; prune?: boolean }>(command);
      const applied = await send<Plan & { version: number }>(context, options, "/v1/apply");
      print(
        context,
        options,
        applied,
        () => `${changesText(applied.changes)}Environment ${applied.environment} is at version ${applied.version}.\n`,
      );
      if (!options.json) warnOf(context, applied.warnings);
    });

  program
    .command("export")
    .description("Export the environment as a configuration file. Keys are exported as digests only.")
    .option("-o, --output <path>", "Write to this file")
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ output?: string }>(command);
      const text = await clientOf(context, options).call<string>("GET", "/v1/export", {
        query: { environment: environmentOf(context, options) },
      });
      const result = options.json ? json(loadFile(text).spec) : text;
      await deliver(context, result, options.output);
    });

  withFile(program.command("compile"), standardFile)
    .description("Print the plugin configuration, with a snapshot, for a gateway without a control plane.")
    .option("--snapshot", "Print only the snapshot, in base64")
    .option("--plugin-config <path>", "YAML or JSON file with more plugin configuration, such as keySources")
    .option("-o, --output <path>", "Write to this file")
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ file: string; snapshot?: boolean; pluginConfig?: string; output?: string }>(command);
      const plugin = options.pluginConfig === undefined ? {} : await readPluginConfig(context, options.pluginConfig);
      const { spec, warnings } = await readSpec(context, options.file, environmentOf(context, options));
      warn(context, warnings);
      const snapshot = compileSnapshot(spec).toString("base64");
      const result = options.snapshot
        ? `${snapshot}\n`
        : json(pluginConfiguration({ environment: spec.environment, snapshot, plugin }));
      await deliver(context, result, options.output);
    });
}

/** What the commands write into the plugin's configuration themselves. */
const ownFields = ["control", "environment", "snapshot"];
const checkPlugin = structureCheck(PluginSchema);

/** Reads the part of a plugin's configuration that the user wrote. Throws a RefusedError that names what is wrong with it. */
export async function readPluginConfig(context: Context, path: string): Promise<Record<string, unknown>> {
  const value = await readYaml(context, path);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new RefusedError(`${path}: the plugin's configuration must be an object.`);
  const given = ownFields.filter((field) => field in value);
  if (given.length > 0)
    throw new RefusedError(
      `${path}: ${given.join(", ")} can't be given here: the command itself says where keys come from. Leave it out.`,
    );
  const probe = pluginConfiguration({ environment: "default", plugin: value as Record<string, unknown> });
  const problems = checkPlugin(probe);
  if (problems.length > 0)
    throw new RefusedError(
      problems.map((problem) => `${path}: ${pathText(problem.path)}: ${problem.message} ${problem.remedy}`).join("\n"),
    );
  return value as Record<string, unknown>;
}

/** Writes a result to a file, or to standard output. */
export async function deliver(context: Context, text: string, path: string | undefined): Promise<void> {
  if (path === undefined) {
    context.streams.out(text);
    return;
  }
  await writeFile(path, text).catch((error: Error) => {
    throw new RefusedError(`${path} can't be written: ${error.message}`);
  });
}

async function send<T>(
  context: Context,
  options: GlobalOptions & { file: string; prune?: boolean },
  path: string,
): Promise<T> {
  const client = clientOf(context, options);
  const body = await readInputFile(context, options.file);
  return client.call<T>("POST", path, {
    query: { environment: environmentOf(context, options), prune: options.prune },
    raw: { contentType: "application/yaml", body },
  });
}

const signs = { create: "+", update: "~", delete: "-" } as const;

function changesText(changes: readonly Change[]): string {
  if (changes.length === 0) return "Nothing to change.\n";
  return changes
    .map(({ action, kind, id, fields, limits = [] }) => {
      const head = `${signs[action]} ${kind} ${id}${fields === undefined ? "" : ` (${fields.join(", ")})`}`;
      return [head, ...limits.map((line) => `    ${line}`)].map((line) => `${line}\n`).join("");
    })
    .join("");
}

function warn(context: Context, problems: readonly LocatedProblem[]): void {
  for (const problem of problems) context.streams.err(`${problemLine(context.file!, problem)}\n`);
}

function warnOf(context: Context, warnings: readonly Warning[]): void {
  for (const { line, column, path, message, remedy } of warnings) {
    const where = line === undefined ? "" : `${context.file}:${line}:${column}: `;
    context.streams.err(`${where}warning: ${path === "" ? "" : `${path}: `}${message} ${remedy}\n`);
  }
}
