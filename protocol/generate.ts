/**
 * Makes what both sides and the documentation have of the protocol's one description (`protocol/schema.ts`). `tsx protocol/generate.ts` writes
 * the files; with `--check` it only says whether they are up to date (exit code 1 when not).
 */
import { markdownTable, publish, readText, withPart } from "../scripts/generated.ts";
import { assemblyEnums, assemblyReasons } from "./generate/assemblyEnums.ts";
import { assemblyOpened, assemblyRecords, assemblyValidate } from "./generate/assemblyRecords.ts";
import { enumTables, recordTables } from "./generate/docs.ts";
import { typescriptRecords } from "./generate/typescript.ts";
import { reasons } from "./schema.ts";

/** Limits tell when they have room again; what fails by itself tells when to ask again. */
function retryText(status: number, seconds: number | undefined): string {
  return status === 429 ? "until there is room" : seconds === undefined ? "" : `${seconds} s`;
}

const reasonTable = markdownTable(
  ["reason", "status", "`retry-after`", "meaning", "what to do"],
  reasons.map(({ code, status, retryAfterSeconds, meaning, remedy }) => [
    `\`${code}\``,
    String(status),
    retryText(status, retryAfterSeconds),
    meaning,
    remedy,
  ]),
);

publish([
  ["assembly/wire/enums.ts", assemblyEnums()],
  ["assembly/wire/reasons.ts", assemblyReasons()],
  ["assembly/wire/records.ts", assemblyRecords()],
  ["assembly/wire/keyFields.ts", assemblyOpened()],
  ["assembly/wire/validate.ts", assemblyValidate()],
  ["control/sync/generated/records.ts", typescriptRecords()],
  [
    "docs/internals/protocol.md",
    withPart(withPart(readText("docs/internals/protocol.md"), "records", recordTables()), "enums", enumTables()),
  ],
  ["docs/operate/failure-modes.md", withPart(readText("docs/operate/failure-modes.md"), "reasons", reasonTable)],
]);
