import { chmodSync, existsSync, lstatSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Makes a folder and its parents, readable by this user alone. Not mkdir's `recursive`: on file systems that deny the making without
 * denying access, such as /proc, Node 20 tries for ever.
 */
export function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  const parent = dirname(folder);
  if (parent !== folder) makeFolder(parent);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/**
 * Takes the rights of group and others from a file or folder of this user. What belongs to another user stays as it is, such as the
 * mount point of a volume; a link and what isn't there, too.
 */
export function keepPrivate(path: string): void {
  const entry = lstatSync(path, { throwIfNoEntry: false });
  if (entry === undefined || entry.isSymbolicLink() || (entry.mode & 0o077) === 0 || entry.uid !== process.getuid?.())
    return;
  chmodSync(path, entry.mode & 0o700);
}
