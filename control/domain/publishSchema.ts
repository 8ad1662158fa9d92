/** Writes the JSON Schema of `tollgate.yaml` to schema/tollgate.schema.json (`--check`: only compares). */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { FileSchema } from "./schema.ts";

/** The published text of the schema. */
export function publishedSchema(): string {
  return `${JSON.stringify({ $schema: "http://json-schema.org/draft-07/schema#", ...FileSchema }, null, 2)}\n`;
}

export const schemaFile = resolve(import.meta.dirname, "../../schema/tollgate.schema.json");

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes("--check")) {
    if (readFileSync(schemaFile, "utf8") !== publishedSchema()) {
      console.error("schema/tollgate.schema.json is out of date: run `npx tsx control/domain/publishSchema.ts`.");
      process.exitCode = 1;
    }
  } else {
    mkdirSync(dirname(schemaFile), { recursive: true });
    writeFileSync(schemaFile, publishedSchema());
  }
}
