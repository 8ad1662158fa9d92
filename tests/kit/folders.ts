/** Temporary folders of tests. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

/** A new, empty folder `tollgate-<name>-…`; whoever makes it removes it, by `removeFolder`. */
export function makeFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `tollgate-${name}-`));
}

/** Removes a folder and what is in it, also while a process that ends still writes there. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** A new folder that is removed after the test that runs, or after the file's tests when none does. */
export function temporaryFolder(name = "test"): string {
  const folder = makeFolder(name);
  after(() => removeFolder(folder));
  return folder;
}
