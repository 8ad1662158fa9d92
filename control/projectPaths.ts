import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of package.json, from the sources as well as from `dist/`. */
export function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "asconfig.json")) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

/** The built filter. */
export function wasmPath(): string {
  return join(projectRoot(), "build", "tollgate.wasm");
}

/** The filter's matching by itself, for Node. */
export function matchingWasmPath(): string {
  return join(projectRoot(), "build", "matching.wasm");
}

/** The candidates for an executable called `name` in a `PATH`, in its order. */
export function pathCandidates(name: string, path: string): string[] {
  return path
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name));
}
