import { randomUUID } from "node:crypto";
import { link, readFile, rm, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Runs `work` while this process alone holds the lock file `path`, whose folder must exist. A lock whose process is gone is
 * taken over. Two that take over at the same moment may both run: `work` must stay correct then, and only lose time.
 */
export async function withLock<T>(path: string, timeoutMs: number, work: () => Promise<T>): Promise<T> {
  const mine = `${path}.${randomUUID()}`;
  await writeFile(mine, String(process.pid));
  try {
    const deadline = performance.now() + timeoutMs;
    // link() puts the whole content there at once or fails: nobody reads a lock without its process id.
    while (!(await tryLink(mine, path))) {
      if (!(await holderLives(path))) {
        await rm(path, { force: true });
        continue;
      }
      if (performance.now() > deadline)
        throw new Error(`another process has held ${path} for ${timeoutMs / 1000} s; delete it if none is at work`);
      await sleep(200);
    }
    try {
      return await work();
    } finally {
      await rm(path, { force: true });
    }
  } finally {
    await rm(mine, { force: true });
  }
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function holderLives(path: string): Promise<boolean> {
  let pid: number;
  try {
    pid = Number(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return true; // just released: try again
    throw error;
  }
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
