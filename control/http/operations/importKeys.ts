/** Imports keys from a stream of JSON lines: digests, or keys of any form that are digested at once and never kept. */
import type { Readable } from "node:stream";
import { fillKey } from "../../domain/defaults.ts";
import { digestHex, visiblePrefix } from "../../domain/keys.ts";
import type { Key } from "../../domain/model.ts";
import { pathText, problemList } from "../../domain/problem.ts";
import { type ImportKeyInput, ImportKeySchema } from "../../domain/schema.ts";
import { checkKey, type KnownIds } from "../../domain/semantics.ts";
import { structureCheck } from "../../domain/structure.ts";
import { ControlError } from "../../errors.ts";
import type { ChangeContext, Store } from "../../store/store.ts";
import { changeIn } from "./environment.ts";
import { knownIds } from "./putRecord.ts";

export interface ImportResult {
  created: number;
  unchanged: number;
  failed: number;
  /** the first failures */
  errors: { line: number; path: string; message: string; remedy: string }[];
  version: number;
}

const rowsPerChange = 10_000;
const lineMaxBytes = 64 * 1024;
const errorsShown = 100;
/** the filter's bound, KEY_BYTES_MAX in assembly/http/headerScan.ts */
const keyMaxBytes = 256;

const checkRow = structureCheck(ImportKeySchema);

interface Row {
  line: number;
  key: Key;
}

/** Each 10,000 rows are one change. Rows with faults are left out and reported; the others are imported. Importing again changes nothing. */
export async function importKeys(
  store: Store,
  environment: string,
  body: Readable,
  context: ChangeContext,
): Promise<ImportResult> {
  const result: ImportResult = { created: 0, unchanged: 0, failed: 0, errors: [], version: 0 };
  const fail = (line: number, path: string, message: string, remedy: string) => {
    result.failed++;
    if (result.errors.length < errorsShown) result.errors.push({ line, path, message, remedy });
  };
  const flush = async (rows: Row[]) => {
    const done = await changeIn(store, environment, context, async (writer) => {
      const known = await knownIds(
        writer,
        rows.map(({ key }) => key.consumer),
      );
      const right = rows.filter(({ line, key }) =>
        meansSomething(key, known, (path, message, remedy) => fail(line, path, message, remedy)),
      );
      return { right, outcomes: await writer.insertKeys(right.map(({ key }) => key)) };
    });
    result.version = done.version;
    done.result.outcomes.forEach((outcome, index) => {
      const { line, key } = done.result.right[index]!;
      if (outcome === "id_in_use")
        fail(
          line,
          "id",
          `Key \`${key.id}\` exists with another digest.`,
          "Give it another id, or replace it with PUT.",
        );
      else if (outcome === "digest_in_use")
        fail(line, "sha256", "The key exists already under another id.", "Leave it out.");
      else result[outcome]++;
    });
  };

  let rows: Row[] = [];
  let line = 0;
  for await (const text of linesOf(body)) {
    line++;
    if (text.trim() === "") continue;
    const key = readRow(text, (path, message, remedy) => fail(line, path, message, remedy));
    if (key !== undefined) rows.push({ line, key });
    if (rows.length < rowsPerChange) continue;
    await flush(rows);
    rows = [];
  }
  await flush(rows);
  result.errors.sort((a, b) => a.line - b.line);
  return result;
}

type Fail = (path: string, message: string, remedy: string) => void;

function readRow(text: string, fail: Fail): Key | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    fail("", "The line is not JSON.", "Write one JSON object a line.");
    return undefined;
  }
  const [problem] = checkRow(value);
  if (problem !== undefined) {
    fail(pathText(problem.path), problem.message, problem.remedy);
    return undefined;
  }
  const { key: secret, sha256: given, ...rest } = value as ImportKeyInput;
  if ((secret === undefined) === (given === undefined)) {
    fail("", "A row has `sha256` or `key`, one of them.", "Give the digest where you can.");
    return undefined;
  }
  if (secret !== undefined && Buffer.byteLength(secret) > keyMaxBytes) {
    fail("key", `The key has more than ${keyMaxBytes} bytes, the most that a gateway takes.`, "Issue a shorter key.");
    return undefined;
  }
  const sha256 = (given ?? digestHex(secret!)).toLowerCase();
  const prefix = rest.prefix ?? (secret === undefined ? undefined : visiblePrefix(secret));
  // An id made of the digest is the same the next time, so that importing again changes nothing.
  return fillKey({
    ...rest,
    id: rest.id ?? `k_${sha256.slice(0, 20)}`,
    sha256,
    ...(prefix === undefined ? {} : { prefix }),
  });
}

function meansSomething(key: Key, known: KnownIds, fail: Fail): boolean {
  const { problems, report } = problemList();
  checkKey(key, known, report);
  const problem = problems.find(({ severity }) => severity === "error");
  if (problem !== undefined) fail(pathText(problem.path), problem.message, problem.remedy);
  return problem === undefined;
}

/** The stream's lines; at most 64 KiB each, so that a body without line ends can't fill the memory. */
async function* linesOf(body: Readable): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const part of body as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? part : Buffer.concat([rest, part]);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      yield bytes.toString("utf8", start, end);
      start = end + 1;
    }
    rest = bytes.subarray(start);
    if (rest.length > lineMaxBytes)
      throw new ControlError("body_too_large", `A line has more than ${lineMaxBytes} bytes.`);
  }
  if (rest.length > 0) yield rest.toString("utf8");
}
