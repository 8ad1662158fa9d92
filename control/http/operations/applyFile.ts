/** `tollgate.yaml` against the store: what would change, and changing it. */
import { type Change, diff, type Kind, kinds, type Records, sectionOf } from "../../domain/diff.ts";
import { fillEnvironment } from "../../domain/defaults.ts";
import type { Api, Consumer, EnvironmentSpec } from "../../domain/model.ts";
import { type LocatedProblem, pathText, type Problem } from "../../domain/problem.ts";
import type { FileInput } from "../../domain/schema.ts";
import { checkEnvironment, type KnownIds } from "../../domain/semantics.ts";
import { type ParsedFile, parseFile } from "../../domain/yamlFile.ts";
import { ControlError, type ErrorDetail } from "../../errors.ts";
import { internalTokenOf } from "../../store/internalToken.ts";
import type { ChangeContext, RecordReader, Store } from "../../store/store.ts";
import { changeIn, readIn } from "./environment.ts";
import { refuseReferenced, referencesShown } from "./putRecord.ts";

export interface FilePlan {
  environment: string;
  changes: Change[];
  warnings: ErrorDetail[];
}

export interface Applied extends FilePlan {
  version: number;
}

/** Reads a file's text. Throws invalid_file with every error, or environment_mismatch when the caller named another environment. */
function readFile(
  text: string,
  asked: string | undefined,
): { file: ParsedFile; input: FileInput; environment: string } {
  const file = parseFile(text);
  if (file.input === undefined) throw invalidFile(file.problems);
  const named = file.input.environment;
  if (asked !== undefined && named !== undefined && asked !== named) {
    throw new ControlError("environment_mismatch", `The file names \`${named}\`, the query \`${asked}\`.`);
  }
  return { file, input: file.input, environment: named ?? asked ?? "default" };
}

/** What applying the file would change. Throws whatever `applyFile` would throw: every check is in `plan`. */
export async function planFile(
  store: Store,
  text: string,
  asked: string | undefined,
  prune: boolean,
): Promise<FilePlan> {
  const { file, input, environment } = readFile(text, asked);
  return readIn(store, environment, async (reader) => {
    const { changes, warnings } = await plan(reader, file, input, environment, prune);
    return { value: { environment, changes, warnings } };
  });
}

/**
 * Makes the environment as the file says, in one change. Records that the file doesn't name stay, unless `prune`: then those of the sections
 * that the file has are deleted. Throws record_referenced when something that stays refers to what has to go.
 */
export async function applyFile(
  store: Store,
  text: string,
  asked: string | undefined,
  prune: boolean,
  context: ChangeContext,
): Promise<Applied> {
  const { file, input, environment } = readFile(text, asked);
  const { version, result } = await changeIn(store, environment, context, async (writer) => {
    const { changes, warnings, desired } = await plan(writer, file, input, environment, prune);
    const records = recordsById(desired);
    for (const change of changes) {
      if (change.kind === "internal-token") await writer.putInternalToken(desired.internalToken!, "apply");
      else if (change.action === "delete") await writer.delete(change.kind, change.id);
      else await writer.put(change.kind, records[change.kind].get(change.id)!, "apply");
    }
    return { changes, warnings };
  });
  return { environment, version, ...result };
}

/** Checks all that can stand against the file, so that making the changes can't be refused halfway and a preview promises nothing more. */
async function plan(
  reader: RecordReader,
  file: ParsedFile,
  input: FileInput,
  environment: string,
  prune: boolean,
): Promise<{ desired: EnvironmentSpec; changes: Change[]; warnings: ErrorDetail[] }> {
  const pruned = new Set<Kind>(prune ? kinds.filter((kind) => input[sectionOf[kind]] !== undefined) : []);
  const named = (input.keys ?? []).map((key) => key.id);
  const current: EnvironmentSpec = {
    version: 1,
    environment,
    ...(await internalTokenOf(reader)),
    apis: await reader.all("api"),
    tiers: await reader.all("tier"),
    consumers: await reader.all("consumer"),
    keys: pruned.has("key") ? await reader.all("key") : (await reader.keysNamed(named)).map(({ record }) => record),
  };
  const desired = fillEnvironment(input, environment, current);
  const staying = <K extends "api" | "tier" | "consumer">(kind: K): readonly { id: string }[] => {
    if (pruned.has(kind)) return [];
    const here = new Set(desired[sectionOf[kind]].map(({ id }) => id));
    return current[sectionOf[kind]].filter(({ id }) => !here.has(id));
  };
  const ids: KnownIds = {
    apis: idSet(staying("api")),
    tiers: idSet(staying("tier")),
    consumers: idSet(staying("consumer")),
  };
  const around = {
    ids,
    apis: staying("api") as readonly Api[],
    consumers: staying("consumer") as readonly Consumer[],
    keys: new Map(current.keys.map((key) => [key.id, key])),
  };
  const problems = checkEnvironment(desired, around);
  if (!problems.some(isError)) {
    const changes = diff(current, desired, pruned);
    problems.push(...(await digestProblems(reader, desired, changes)));
    if (!problems.some(isError)) {
      await checkDeletions(reader, desired, changes);
      return { desired, changes, warnings: file.locate(problems).map(detailOf) };
    }
  }
  throw invalidFile(file.locate(problems.filter(isError)));
}

/** Throws record_referenced when a record outside the file refers to one that goes. Those in the file were checked with it. */
async function checkDeletions(
  reader: RecordReader,
  desired: EnvironmentSpec,
  changes: readonly Change[],
): Promise<void> {
  const deletions = changes.filter(isDeletion);
  const named = kinds.flatMap((kind) => desired[sectionOf[kind]].map(({ id }) => `${kind} ${id}`));
  const settled = new Set([...named, ...deletions.map(({ kind, id }) => `${kind} ${id}`)]);
  for (const { kind, id } of deletions) {
    const references = await reader.references(kind, id, settled.size + referencesShown);
    refuseReferenced(
      kind,
      id,
      references.filter((reference) => !settled.has(`${reference.kind} ${reference.id}`)).slice(0, referencesShown),
    );
  }
}

function isDeletion(change: Change): change is Change & { action: "delete"; kind: Kind } {
  return change.action === "delete" && change.kind !== "internal-token";
}

/** Digests that belong to keys which the file neither names nor deletes. */
async function digestProblems(
  reader: RecordReader,
  desired: EnvironmentSpec,
  changes: readonly Change[],
): Promise<Problem[]> {
  const problems: Problem[] = [];
  const leaving = new Set(
    changes.filter((change) => change.kind === "key" && change.action === "delete").map(({ id }) => id),
  );
  const index = new Map(desired.keys.map((key, position) => [key.id, position]));
  for (const change of changes) {
    if (
      change.kind !== "key" ||
      change.action === "delete" ||
      (change.action === "update" && !change.fields!.includes("sha256"))
    )
      continue;
    const position = index.get(change.id)!;
    const owner = await reader.keyIdByDigest(desired.keys[position]!.sha256);
    if (owner === undefined || owner === change.id || leaving.has(owner)) continue;
    const message = `The digest is that of the stored key \`${owner}\`.`;
    problems.push({
      severity: "error",
      path: ["keys", position, "sha256"],
      message,
      remedy: "Use that key's id, or delete it first.",
    });
  }
  return problems;
}

/** The 400 of a file with these errors. */
function invalidFile(problems: readonly LocatedProblem[]): ControlError {
  const errors = problems.map(detailOf);
  const [first] = errors;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : "";
  return new ControlError(
    "invalid_file",
    first === undefined ? undefined : `Line ${first.line}, column ${first.column}: ${first.message}${more}`,
    { errors },
  );
}

export function detailOf(problem: LocatedProblem): ErrorDetail {
  return {
    path: pathText(problem.path),
    message: problem.message,
    remedy: problem.remedy,
    line: problem.line,
    column: problem.column,
  };
}

function recordsById(spec: EnvironmentSpec): { [K in Kind]: Map<string, Records[K]> } {
  const byId = <T extends { id: string }>(records: readonly T[]) =>
    new Map(records.map((record) => [record.id, record]));
  return { api: byId(spec.apis), tier: byId(spec.tiers), consumer: byId(spec.consumers), key: byId(spec.keys) };
}

function idSet(records: readonly { id: string }[]): { has(id: string): boolean; ids(): Iterable<string> } {
  const set = new Set(records.map(({ id }) => id));
  return { has: (id) => set.has(id), ids: () => set };
}

function isError(problem: Problem): boolean {
  return problem.severity === "error";
}
