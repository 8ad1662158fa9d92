/** Tollgate under measurement: a real control with so many keys, and an Envoy that follows it. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LimitInput } from "../control/domain/schema.ts";
import { projectRoot } from "../control/projectPaths.ts";
import type { ControlProcess } from "../tests/kit/control.ts";
import { startDeployedControl } from "./deployedControl.ts";
import { bootstrap, cluster, wasmFilter } from "./envoyConfig.ts";
import { EnvoyProcess } from "./envoyProcess.ts";
import { benchKey, sha256Hex } from "./keys.ts";
import type { RunningSystem, SystemContext } from "./systems.ts";
import { compileTollgate } from "./wasm.ts";
import { apiSegments, consumerOf, dayLimit, environment, headers, host, minuteLimit, path } from "./workload.ts";

const linesPerChunk = 20_000;
/** Raised when what `makeDatabase` writes changes, so that older folders are not used again. */
const fillVersion = 1;

export interface FilledControl {
  control: ControlProcess;
  gatewayToken: string;
}

/** Who counts the minute and the day limit of each key. */
export type Enforcement = "global" | "gateway";

interface FillOptions {
  /** absent: there are no limits */
  enforcement?: Enforcement;
  /** names a database of its own, where one with the same keys is in use at the same time */
  apart?: string;
}

/**
 * Starts a control whose environment has `keyCount` keys, ten of each consumer. Filling takes a while for a million: the
 * database is kept under `build/bench/` and used again.
 */
export async function startFilledControl(
  keyCount: number,
  { enforcement, apart }: FillOptions = {},
): Promise<FilledControl> {
  const name = ["control", fillVersion, keyCount, enforcement, apart].filter((part) => part !== undefined).join("-");
  const folder = join(projectRoot(), "build", "bench", name);
  const tokenPath = join(folder, "gateway-token");
  if (!existsSync(tokenPath)) await makeDatabase(keyCount, enforcement, folder, tokenPath);
  return { control: await startDeployedControl({ dataDir: folder }), gatewayToken: readFileSync(tokenPath, "utf8") };
}

export interface TollgateOptions extends FillOptions {
  keyCount: number;
  workers?: number;
}

/** Starts control and an Envoy with the filter, and waits until the last key is admitted. */
export async function startTollgate(
  { envoyPath, upstreamPort }: SystemContext,
  { keyCount, workers = 1, ...fill }: TollgateOptions,
): Promise<RunningSystem> {
  const { control, gatewayToken } = await startFilledControl(keyCount, fill);
  try {
    const envoy = await EnvoyProcess.start(envoyPath, tollgateBootstrap({ control, gatewayToken, upstreamPort }), {
      concurrency: workers,
    });
    const stop = async (): Promise<void> => {
      await envoy.stop();
      await control.remove();
    };
    try {
      await envoy.until(200, path, { ...headers, "x-api-key": benchKey(environment, keyCount - 1) });
    } catch (error) {
      await stop();
      throw error;
    }
    return {
      envoy,
      ...(fill.enforcement === "global" ? { helpers: { name: "control", pids: [control.pid] } } : {}),
      stop,
    };
  } catch (error) {
    await control.remove();
    throw error;
  }
}

export interface TollgateBootstrap extends FilledControl {
  upstreamPort: number;
  accessLog?: { path: string; format: string };
}

/** Envoy with the filter as a user would configure it: nothing but where control is. */
export function tollgateBootstrap({ control, gatewayToken, upstreamPort, accessLog }: TollgateBootstrap): unknown {
  const configuration = { environment, control: { cluster: "control", authority: "control.bench" } };
  return bootstrap({
    filters: [
      wasmFilter("tollgate", compiled(), JSON.stringify(configuration), { TOLLGATE_GATEWAY_TOKEN: gatewayToken }),
    ],
    upstreamPort,
    clusters: [cluster("control", control.syncPort)],
    ...(accessLog ? { accessLog } : {}),
  });
}

let modulePath: string | undefined;
function compiled(): string {
  return (modulePath ??= compileTollgate());
}

async function makeDatabase(
  keyCount: number,
  enforcement: Enforcement | undefined,
  folder: string,
  tokenPath: string,
): Promise<void> {
  console.error(`making a database with ${keyCount} keys`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const control = await startDeployedControl({ dataDir: folder });
  try {
    const limits = enforcement === undefined ? [] : minuteAndDay(minuteLimit, dayLimit, enforcement);
    const gatewayToken = await fillEnvironment(control, keyCount, limits);
    await control.stop();
    // Written last and at once: a folder with this file is whole.
    writeFileSync(`${tokenPath}.new`, gatewayToken);
    renameSync(`${tokenPath}.new`, tokenPath);
  } finally {
    await control.remove();
  }
}

/** Gives a control that is up the benchmarks' environment, and a gateway token for it. */
export async function fillEnvironment(
  control: ControlProcess,
  keyCount: number,
  limits: readonly LimitInput[],
): Promise<string> {
  const gatewayToken = await control.createEnvironment(environment, records(keyCount, limits));
  for (let first = 0; first < keyCount; first += linesPerChunk) {
    const lines = Array.from({ length: Math.min(linesPerChunk, keyCount - first) }, (_, offset) =>
      keyLine(first + offset),
    ).join("\n");
    const { failed, errors } = await control.call<{ failed: number; errors: unknown[] }>(
      "POST",
      `/v1/keys/import?environment=${environment}`,
      lines,
      "application/x-ndjson",
    );
    if (failed > 0) throw new Error(`${failed} keys could not be imported: ${JSON.stringify(errors.slice(0, 3))}`);
  }
  return gatewayToken;
}

/** Both count each key by itself. */
export function minuteAndDay(minute: number, day: number, enforcement: Enforcement): LimitInput[] {
  return [
    { name: "minute", kind: "rate", limit: minute, windowSeconds: 60, subject: "key", enforcement },
    { name: "day", kind: "quota", limit: day, period: "day", subject: "key", enforcement },
  ];
}

function records(keyCount: number, limits: readonly LimitInput[]): unknown {
  return {
    version: 1,
    environment,
    apis: apiSegments.map((segment) => ({
      id: segment,
      hosts: [host],
      paths: [`/${segment}`],
      upstream: { service: `${segment}.example.svc`, port: 80 },
    })),
    tiers: [{ id: "gold", scopes: ["read", "write"], limits }],
    consumers: Array.from({ length: Math.ceil(keyCount / 10) }, (_, index) => ({
      id: consumerOf(index * 10),
      tier: "gold",
    })),
  };
}

function keyLine(index: number): string {
  return JSON.stringify({
    id: `k${index}`,
    consumer: consumerOf(index),
    sha256: sha256Hex(benchKey(environment, index)),
  });
}
