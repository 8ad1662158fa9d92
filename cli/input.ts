import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import type { EnvironmentSpec } from "../control/domain/model.ts";
import { problemLine, type LocatedProblem } from "../control/domain/problem.ts";
import { loadFile, readDocument } from "../control/domain/yamlFile.ts";
import type { Context } from "./context.ts";
import { RefusedError } from "./failure.ts";

/** Adds `-f`; `shown` is what help says in place of the standard path. */
export function withFile(command: Command, standard?: string, shown?: string): Command {
  const option = new Option("-f, --file <path>", "File to read; - for standard input");
  return command.addOption(standard === undefined ? option.makeOptionMandatory() : option.default(standard, shown));
}

/** A file's text, or standard input for `-`; from then on messages name that file. */
export async function readInputFile(context: Context, path: string): Promise<string> {
  context.file = path === "-" ? "standard input" : path;
  if (path === "-") return context.readInput();
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "there is no such file" : code === "EISDIR" ? "it is a folder" : message;
    throw new RefusedError(`${path} can't be read: ${why}. Name the file with -f.`);
  }
}

/** Reads a `tollgate.yaml` and checks it without control. Throws a RefusedError with every error and its place. */
export async function readSpec(
  context: Context,
  path: string,
  environment?: string,
): Promise<{ spec: EnvironmentSpec; warnings: LocatedProblem[] }> {
  const { spec, problems } = loadFile(await readInputFile(context, path), environment);
  if (spec === undefined)
    throw new RefusedError(problems.map((problem) => problemLine(context.file!, problem)).join("\n"));
  return { spec, warnings: problems };
}

/** Reads YAML or JSON of any content. Throws a RefusedError with the place of every mistake of syntax. */
export async function readYaml(context: Context, path: string): Promise<unknown> {
  const { document, syntax } = readDocument(await readInputFile(context, path));
  if (syntax.length > 0)
    throw new RefusedError(syntax.map((problem) => problemLine(context.file!, problem)).join("\n"));
  return document.toJS({ maxAliasCount: 100 });
}
