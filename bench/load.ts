/**
 * Load on one Envoy: keep-alive connections, one request in flight on each. `wrk` where it is on the PATH, else a generator in
 * Node; every system of a run gets the same one. Neither counts: CPU is read from Envoy's own process.
 */
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface LoadRequest {
  port: number;
  path: string;
  headers: Record<string, string>;
  /** sent in turn as `x-api-key` */
  keys: readonly string[];
  /** index of the key that is sent first; default 0 */
  first?: number;
  connections: number;
  seconds: number;
}

export interface LoadResult {
  requests: number;
  /** answers with a status of 400 and more */
  refused: number;
  /** connections that failed, requests without an answer */
  broken: number;
  seconds: number;
  p50Ms: number;
  p99Ms: number;
}

export interface LoadGenerator {
  name: string;
  run(load: LoadRequest): Promise<LoadResult>;
}

export function findLoadGenerator(): LoadGenerator {
  const found = spawnSync("wrk", ["-v"]).error === undefined;
  return found ? { name: "wrk", run: runWrk } : { name: "node", run: runNode };
}

async function runWrk(load: LoadRequest): Promise<LoadResult> {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-load-"));
  try {
    const keysPath = join(folder, "keys");
    const headersPath = join(folder, "headers");
    writeFileSync(keysPath, load.keys.join("\n") + "\n");
    writeFileSync(
      headersPath,
      Object.entries(load.headers)
        .map(([name, value]) => `${name}: ${value}\n`)
        .join(""),
    );
    const script = new URL("wrkRequests.lua", import.meta.url).pathname;
    const { stdout } = await run("wrk", [
      "-t1",
      `-c${load.connections}`,
      `-d${load.seconds}s`,
      "-s",
      script,
      `http://127.0.0.1:${load.port}${load.path}`,
      keysPath,
      headersPath,
      String(load.first ?? 0),
    ]);
    return lastJsonLine(stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function runNode(load: LoadRequest): Promise<LoadResult> {
  return runWorker("loadWorker.ts", load);
}

/** A generator in a process of its own, so that its work does not delay this one's clock: takes JSON, gives one line of JSON. */
export async function runWorker<T>(file: string, load: unknown): Promise<T> {
  const child = run(process.execPath, ["--import", "tsx", new URL(file, import.meta.url).pathname]);
  child.child.stdin!.end(JSON.stringify(load));
  return lastJsonLine((await child).stdout);
}

function lastJsonLine<T>(output: string): T {
  const line = output.trimEnd().split("\n").at(-1) ?? "";
  if (!line.startsWith("{")) throw new Error(`the load generator gave no result: ${output.slice(-500)}`);
  return JSON.parse(line) as T;
}
