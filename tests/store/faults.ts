/** Brings a database file into trouble: a lock that another process holds, a disk without room. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

type Cleanup = { after(fn: () => void | Promise<void>): void };

const program = fileURLToPath(new URL("./otherWriter.ts", import.meta.url));

/** Another process takes the write lock; resolves once it has it. `release` ends the process. */
export async function lockFile(t: Cleanup, file: string): Promise<{ release(): Promise<void> }> {
  const child = spawn(process.execPath, ["--import", "tsx", program, file], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "close");
  const release = async () => {
    child.stdin.end();
    await ended;
  };
  t.after(release);
  await Promise.race([
    once(child.stdout, "data"),
    ended.then(() => Promise.reject(new Error("The other writer ended without the lock."))),
  ]);
  return { release };
}

/** Why a small file system can't be had here, or `undefined`. */
export function noSmallDisk(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0)
    return "SKIPPED: a small file system (tmpfs) takes root on Linux";
  const probe = mkdtempSync(join(tmpdir(), "tollgate-disk-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", probe], { stdio: "ignore" });
    execFileSync("umount", [probe]);
    return undefined;
  } catch {
    return "SKIPPED: this system doesn't let root mount a small file system (tmpfs)";
  } finally {
    rmdirSync(probe);
  }
}

export interface SmallDisk {
  folder: string;
  /** takes all room that is left */
  fill(): void;
  free(): void;
  readOnly(): void;
}

/** Mounts a file system of so many KiB; unmounted after the test. */
export function smallDisk(t: Cleanup, kibibytes: number): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-disk-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${kibibytes}k`, "tmpfs", folder]);
  t.after(() => {
    // Lazily: the store may be closed after this.
    execFileSync("umount", ["-l", folder]);
    rmdirSync(folder);
  });
  const filler = join(folder, "filler");
  return {
    folder,
    fill() {
      writeFileSync(filler, "");
      const page = Buffer.alloc(4096);
      try {
        for (;;) appendFileSync(filler, page);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      }
    },
    free: () => rmSync(filler),
    readOnly: () => void execFileSync("mount", ["-o", "remount,ro", folder]),
  };
}
