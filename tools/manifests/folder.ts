/** A folder of manifests on disk: written anew as a whole, or only compared. Files in it that were made otherwise are nobody's business here. */
import { mkdir, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { ManifestError, type ManifestFile } from "./model.ts";
import { heading, manifestText } from "./write.ts";

export interface FolderChange {
  kind: "missing" | "different" | "stale";
  /** relative, with `/` */
  path: string;
}

/**
 * What writing would change: files to be made, to be changed, and those made before that are no longer wanted. In order of their paths.
 * Throws a ManifestError when a file of another's making is in the way.
 */
export async function compareFolder(folder: string, files: readonly ManifestFile[]): Promise<FolderChange[]> {
  const changes: FolderChange[] = [];
  for (const file of files) {
    const found = await readFile(join(folder, file.path), "utf8").catch(absent);
    if (found === manifestText(file)) continue;
    if (found !== undefined && !found.startsWith(heading)) {
      throw new ManifestError(
        `${join(folder, file.path)} is there already, and this command hasn't made it: its first line isn't the one that says so. Move it away, or name another folder.`,
      );
    }
    changes.push({ kind: found === undefined ? "missing" : "different", path: file.path });
  }
  const wanted = new Set(files.map(({ path }) => path));
  for (const path of await yamlFiles(folder, tops(files))) {
    if (!wanted.has(path) && (await readFile(join(folder, path), "utf8")).startsWith(heading))
      changes.push({ kind: "stale", path });
  }
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Makes the folder as the files say, and tells what that changed. What `compareFolder` refuses is refused before anything is changed. */
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

/** The first folder of each path. Nothing is looked for beside them: what else is in the user's folder may be manifests of another file. */
function tops(files: readonly ManifestFile[]): ReadonlySet<string> {
  return new Set(files.map(({ path }) => path.split("/")[0]!));
}

async function yamlFiles(folder: string, within: ReadonlySet<string>): Promise<string[]> {
  const paths: string[] = [];
  for (const top of within) {
    const entries = await readdir(join(folder, top), { recursive: true }).catch(absent);
    paths.push(
      ...(entries ?? []).filter((path) => path.endsWith(".yaml")).map((path) => [top, ...path.split(sep)].join("/")),
    );
  }
  return paths;
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
