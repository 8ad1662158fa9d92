/** What the routing part of `tollgate manifests` makes of each `fixtures/<case>/in.yaml`: `out/<kind of routes>/…`, or `out/<kind>.refused.txt`. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { problemLine } from "../../control/domain/problem.ts";
import { loadFile, parseFile } from "../../control/domain/yamlFile.ts";
import { ManifestError } from "../../tools/manifests/model.ts";
import { routingFiles } from "../../tools/manifests/routing/routes.ts";
import { manifestText } from "../../tools/manifests/write.ts";
import { manifestOptions } from "./support/options.ts";

const folder = join(import.meta.dirname, "fixtures");

export interface RoutingGolden {
  name: string;
  /** the folder of what is made of it */
  output: string;
  /** paths in that folder, with their text */
  files: ReadonlyMap<string, string>;
}

export function routingGoldens(): RoutingGolden[] {
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const input = readFileSync(join(folder, name, "in.yaml"), "utf8");
      const { spec, problems } = loadFile(input);
      if (spec === undefined) throw new Error(problems.map((problem) => problemLine(name, problem)).join("\n"));
      const files = new Map<string, string>();
      for (const routing of ["istio", "gateway-api"] as const) {
        try {
          for (const file of routingFiles(parseFile(input).input!, manifestOptions({ routing })))
            files.set(`${routing}/${file.path}`, manifestText(file));
        } catch (error) {
          if (!(error instanceof ManifestError)) throw error;
          files.set(`${routing}.refused.txt`, `${error.message}\n`);
        }
      }
      return { name, output: join(folder, name, "out"), files };
    });
}

/** All files below a folder, by their path in it. */
export function filesBelow(folder: string): Map<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    entries
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(folder.length + 1), readFileSync(path, "utf8")]),
  );
}

if (process.argv.includes("--write")) {
  for (const { output, files } of routingGoldens()) {
    rmSync(output, { recursive: true, force: true });
    for (const [path, text] of files) {
      mkdirSync(dirname(join(output, path)), { recursive: true });
      writeFileSync(join(output, path), text);
    }
  }
}
