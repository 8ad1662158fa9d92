/** What `tollgate import openapi` makes of each document in this folder: `<name>.out.yaml`, and what it says of it, `<name>.notes.txt`. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { problemLine } from "../../../control/domain/problem.ts";
import { importOpenApi } from "../../../tools/openapi/importOpenApi.ts";

const folder = import.meta.dirname;

export interface Golden {
  input: string;
  outputs: { path: string; text: string }[];
}

export function goldens(): Golden[] {
  const inputs = readdirSync(folder).filter((name) => /^[^.]+\.(yaml|json)$/.test(name));
  return inputs.sort().map((name) => {
    const { yaml, notes } = importOpenApi(readFileSync(join(folder, name), "utf8"));
    const stem = join(folder, name.replace(/\.\w+$/, ""));
    return {
      input: join(folder, name),
      outputs: [
        { path: `${stem}.out.yaml`, text: yaml },
        { path: `${stem}.notes.txt`, text: notes.map((note) => `${problemLine(name, note)}\n`).join("") },
      ],
    };
  });
}

if (process.argv.includes("--write"))
  for (const { path, text } of goldens().flatMap(({ outputs }) => outputs)) writeFileSync(path, text);
