/** Finds a Redis or Valkey server: on the PATH, in `.tollgate/redis`, or from Debian's packages, unpacked there or installed. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const installTimeoutMs = 300_000;
const unpacked = new URL("../../.tollgate/redis", import.meta.url).pathname;
const names = ["valkey-server", "redis-server"];
/** redis-server and what it needs that isn't on every Debian */
const debianPackages = ["redis-server", "redis-tools", "libatomic1", "libjemalloc2", "liblzf1"];

export interface RedisProgram {
  path: string;
  env: NodeJS.ProcessEnv;
}

let program: Promise<RedisProgram> | undefined;

/** A server program, found or installed once. Throws, saying what was tried. */
export async function findRedis(): Promise<RedisProgram> {
  return (program ??= findOrInstall());
}

async function findOrInstall(): Promise<RedisProgram> {
  const found = (await onPath()) ?? (await inFolder(unpacked));
  if (found !== undefined) return found;
  const tried: string[] = [];
  const attempt = async (name: string, args: string[], cwd: string) => {
    await run(name, args, {
      cwd,
      timeout: installTimeoutMs,
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
    }).catch((error: Error) => tried.push(error.message.trim()));
  };
  const root = userInfo().uid === 0;
  if (root) await attempt("apt-get", ["update", "-qq"], tmpdir());
  mkdirSync(join(unpacked, ".."), { recursive: true });
  const folder = mkdtempSync(join(unpacked, "..", "redis-"));
  for (const name of debianPackages) await attempt("apt-get", ["download", "-qq", name], folder);
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".deb")))
    await attempt("dpkg", ["-x", name, "."], folder);
  if ((await inFolder(folder)) !== undefined) {
    try {
      renameSync(folder, unpacked);
    } catch {
      rmSync(folder, { recursive: true, force: true }); // another process was faster
    }
    return (await inFolder(unpacked))!;
  }
  rmSync(folder, { recursive: true, force: true });
  if (root) await attempt("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "redis-server"], tmpdir());
  const installed = await onPath();
  if (installed !== undefined) return installed;
  throw new Error(
    `There is no valkey-server or redis-server on the PATH, and none could be installed: ${tried.join("; ")}`,
  );
}

async function onPath(): Promise<RedisProgram | undefined> {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return firstThatRuns(
    folders.flatMap((folder) => names.map((name) => join(folder, name))),
    process.env,
  );
}

async function inFolder(folder: string): Promise<RedisProgram | undefined> {
  const libraries = join(folder, "usr/lib");
  if (!existsSync(libraries)) return undefined;
  const paths = readdirSync(libraries).map((name) => join(libraries, name));
  return firstThatRuns(
    names.map((name) => join(folder, "usr/bin", name)),
    { ...process.env, LD_LIBRARY_PATH: paths.join(":") },
  );
}

async function firstThatRuns(paths: readonly string[], env: NodeJS.ProcessEnv): Promise<RedisProgram | undefined> {
  for (const path of paths.filter((one) => existsSync(one))) {
    const { stdout } = await run(path, ["--version"], { env }).catch(() => ({ stdout: "" }));
    if (/v=\d/.test(stdout)) return { path, env };
  }
  return undefined;
}
