/**
 * A real Redis or Valkey for tests, in a temporary folder. It's taken from the PATH or from `.tollgate/redis`; where it's missing, Debian's
 * packages are unpacked there, or installed when nothing else works and this is root.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { connectRedis } from "../../control/counters/redisClient.ts";

const run = promisify(execFile);
const startTimeoutMs = 20_000;
const installTimeoutMs = 300_000;
const unpacked = new URL("../../.tollgate/redis", import.meta.url).pathname;
const names = ["valkey-server", "redis-server"];
/** redis-server and what it needs that isn't on every Debian */
const debianPackages = ["redis-server", "redis-tools", "libatomic1", "libjemalloc2", "liblzf1"];

export interface RedisServer {
  url: string;
  port: number;
  /** kills it as a crash would; what it had confirmed is on the disk */
  kill(): Promise<void>;
  /** connections stay, nothing is answered */
  freeze(): void;
  thaw(): void;
  /** starts it again over the same folder */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Durable as the guarantee needs it, unless arguments say otherwise. Throws, saying why, where there's no server. */
export async function startRedis(args: readonly string[] = []): Promise<RedisServer> {
  const { path, env } = await findRedis();
  const folder = mkdtempSync(join(tmpdir(), "tollgate-redis-"));
  const port = await freePort();
  const settings = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--appendonly", "yes", "--appendfsync", "always", "--save", "", ...args];
  let child: ChildProcess;
  const start = async () => {
    child = spawn(path, settings, { stdio: "ignore", env });
    await ready(`redis://127.0.0.1:${port}`, child);
  };
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  };
  const killed = () => void child.kill("SIGKILL");
  process.once("exit", killed);
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    kill: () => end("SIGKILL"),
    freeze: () => void child.kill("SIGSTOP"),
    thaw: () => void child.kill("SIGCONT"),
    restart: start,
    async stop() {
      process.off("exit", killed);
      await end("SIGKILL");
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A cluster of so many primaries. */
export async function startRedisCluster(primaries: number): Promise<{ url: string; stop(): Promise<void> }> {
  const servers = await Promise.all(Array.from({ length: primaries }, () => startRedis(["--cluster-enabled", "yes", "--cluster-node-timeout", "5000"])));
  const stop = async () => void (await Promise.all(servers.map((server) => server.stop())));
  try {
    const slots = 16_384;
    await Promise.all(servers.map(async (server, index) => {
      const [from, to] = [Math.floor((index * slots) / primaries), Math.floor(((index + 1) * slots) / primaries) - 1];
      await command(server.port, ["CLUSTER", "ADDSLOTSRANGE", String(from), String(to)]);
      await command(server.port, ["CLUSTER", "SET-CONFIG-EPOCH", String(index + 1)]);
    }));
    for (const server of servers.slice(1)) await command(servers[0]!.port, ["CLUSTER", "MEET", "127.0.0.1", String(server.port)]);
    const deadline = Date.now() + startTimeoutMs;
    for (const { port } of servers) {
      while (!/cluster_state:ok[\s\S]*cluster_slots_ok:16384[\s\S]*cluster_known_nodes:(\d+)/.test(await command(port, ["CLUSTER", "INFO"])) || (await command(port, ["CLUSTER", "NODES"])).includes("handshake")) {
        if (Date.now() > deadline) throw new Error("The Redis cluster didn't come together.");
        await sleep(50);
      }
    }
    return { url: servers[0]!.url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Program {
  path: string;
  env: NodeJS.ProcessEnv;
}

let program: Promise<Program> | undefined;

/** A server program, found or installed once. Throws, saying what was tried. */
async function findRedis(): Promise<Program> {
  return (program ??= findOrInstall());
}

async function findOrInstall(): Promise<Program> {
  const found = (await onPath()) ?? (await inFolder(unpacked));
  if (found !== undefined) return found;
  const tried: string[] = [];
  const attempt = async (name: string, args: string[], cwd: string) => {
    await run(name, args, { cwd, timeout: installTimeoutMs, env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" } }).catch((error: Error) => tried.push(error.message.trim()));
  };
  const root = userInfo().uid === 0;
  if (root) await attempt("apt-get", ["update", "-qq"], tmpdir());
  mkdirSync(join(unpacked, ".."), { recursive: true });
  const folder = mkdtempSync(join(unpacked, "..", "redis-"));
  for (const name of debianPackages) await attempt("apt-get", ["download", "-qq", name], folder);
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".deb"))) await attempt("dpkg", ["-x", name, "."], folder);
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
  throw new Error(`There is no valkey-server or redis-server on the PATH, and none could be installed: ${tried.join("; ")}`);
}

async function onPath(): Promise<Program | undefined> {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return firstThatRuns(folders.flatMap((folder) => names.map((name) => join(folder, name))), process.env);
}

async function inFolder(folder: string): Promise<Program | undefined> {
  const libraries = join(folder, "usr/lib");
  if (!existsSync(libraries)) return undefined;
  const paths = readdirSync(libraries).map((name) => join(libraries, name));
  return firstThatRuns(names.map((name) => join(folder, "usr/bin", name)), { ...process.env, LD_LIBRARY_PATH: paths.join(":") });
}

async function firstThatRuns(paths: readonly string[], env: NodeJS.ProcessEnv): Promise<Program | undefined> {
  for (const path of paths.filter((one) => existsSync(one))) {
    const { stdout } = await run(path, ["--version"], { env }).catch(() => ({ stdout: "" }));
    if (/v=\d/.test(stdout)) return { path, env };
  }
  return undefined;
}

async function command(port: number, args: string[]): Promise<string> {
  const { createClient } = await import("@redis/client");
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return String(await client.sendCommand(args));
  } finally {
    await client.close();
  }
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + startTimeoutMs;
  for (;;) {
    try {
      const connection = await connectRedis(url, () => undefined).catch((error: unknown) => {
        if (/CLUSTERDOWN|slots|RootNodes/i.test(String((error as Error).cause ?? error))) return undefined;
        throw error;
      });
      await connection?.close();
      return;
    } catch (error) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error("Redis didn't start.", { cause: error });
      await sleep(50);
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
