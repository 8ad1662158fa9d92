/** A folder of manifests on disk: written anew as a whole, or only compared. Files in it that were made otherwise are nobody's business here. */
import { mkdir, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import type { ManifestFile } from "./model.ts";
import { heading, manifestText } from "./write.ts";

export interface FolderChange {
  kind: "missing" | "different" | "stale";
  /** relative, with `/` */
  path: string;
}

/** What writing would change: files to be made, to be changed, and those made before that are no longer wanted. In order of their paths. */
export async function compareFolder(folder: string, files: readonly ManifestFile[]): Promise<FolderChange[]> {
  const changes: FolderChange[] = [];
  for (const file of files) {
    const found = await readFile(join(folder, file.path), "utf8").catch(absent);
    if (found !== manifestText(file)) changes.push({ kind: found === undefined ? "missing" : "different", path: file.path });
  }
  const wanted = new Set(files.map(({ path }) => path));
  for (const path of await yamlFiles(folder)) {
    if (!wanted.has(path) && (await readFile(join(folder, path), "utf8")).startsWith(heading)) changes.push({ kind: "stale", path });
  }
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Makes the folder as the files say, and tells what that changed. */
export async function writeFolder(folder: string, files: readonly ManifestFile[]): Promise<FolderChange[]> {
  const changes = await compareFolder(folder, files);
  const texts = new Map(files.map((file) => [file.path, manifestText(file)]));
  for (const { kind, path } of changes) {
    const target = join(folder, path);
    if (kind === "stale") {
      await rm(target);
      // An API that is gone leaves no empty folder; one that isn't empty stays.
      await rmdir(dirname(target)).catch(() => undefined);
      continue;
    }
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, texts.get(path)!);
  }
  return changes;
}

async function yamlFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true }).catch(absent);
  return (entries ?? []).filter((path) => path.endsWith(".yaml")).map((path) => path.split(sep).join("/"));
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
