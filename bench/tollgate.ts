/** Tollgate under measurement: a real control with so many keys, and an Envoy that follows it. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../control/envoy/paths.ts";
import { ControlProcess } from "../tests/envoy/support/control.ts";
import { bootstrap, cluster, wasmFilter } from "./envoyConfig.ts";
import { EnvoyProcess } from "./envoyProcess.ts";
import { benchKey, sha256Hex } from "./keys.ts";
import type { RunningSystem, SystemContext } from "./systems.ts";
import { compileTollgate } from "./wasm.ts";
import { apiSegments, consumerOf, environment, headers, host, path } from "./workload.ts";

const linesPerChunk = 20_000;
/** Raised when what `fill` writes changes, so that older folders are not used again. */
const fillVersion = 1;

export interface FilledControl {
  control: ControlProcess;
  gatewayToken: string;
}

/**
 * Starts a control whose environment has `keyCount` keys, ten of each consumer. Filling takes a while for a million: the
 * database is kept under `build/bench/` and used again.
 */
export async function startFilledControl(keyCount: number): Promise<FilledControl> {
  const folder = join(projectRoot(), "build", "bench", `control-${fillVersion}-${keyCount}`);
  const tokenPath = join(folder, "gateway-token");
  if (!existsSync(tokenPath)) await fill(keyCount, folder, tokenPath);
  return { control: await ControlProcess.start({ dataDir: folder }), gatewayToken: readFileSync(tokenPath, "utf8") };
}

/** Starts control and an Envoy with the filter, and waits until the last key is admitted. */
export async function startTollgate({ envoyPath, upstreamPort }: SystemContext, { keyCount }: { keyCount: number }): Promise<RunningSystem> {
  const { control, gatewayToken } = await startFilledControl(keyCount);
  try {
    const envoy = await EnvoyProcess.start(envoyPath, tollgateBootstrap({ control, gatewayToken, upstreamPort }));
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
    return { envoy, stop };
  } catch (error) {
    await control.remove();
    throw error;
  }
}

export interface TollgateBootstrap extends FilledControl {
  upstreamPort: number;
}

/** Envoy with the filter as a user would configure it: nothing but where control is. */
export function tollgateBootstrap({ control, gatewayToken, upstreamPort }: TollgateBootstrap): unknown {
  const configuration = { environment, control: { cluster: "control", authority: "control.bench" } };
  return bootstrap({
    filters: [wasmFilter("tollgate", compiled(), JSON.stringify(configuration), { TOLLGATE_GATEWAY_TOKEN: gatewayToken })],
    upstreamPort,
    clusters: [cluster("control", control.syncPort)],
  });
}

let modulePath: string | undefined;
function compiled(): string {
  return (modulePath ??= compileTollgate());
}

async function fill(keyCount: number, folder: string, tokenPath: string): Promise<void> {
  console.error(`making a database with ${keyCount} keys`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const control = await ControlProcess.start({ dataDir: folder });
  try {
    const gatewayToken = await control.createEnvironment(environment, records(keyCount));
    for (let first = 0; first < keyCount; first += linesPerChunk) {
      const lines = Array.from({ length: Math.min(linesPerChunk, keyCount - first) }, (_, offset) => keyLine(first + offset)).join("\n");
      const { failed, errors } = await control.call<{ failed: number; errors: unknown[] }>("POST", `/v1/keys/import?environment=${environment}`, lines, "application/x-ndjson");
      if (failed > 0) throw new Error(`${failed} keys could not be imported: ${JSON.stringify(errors.slice(0, 3))}`);
    }
    await control.stop();
    // Written last and at once: a folder with this file is whole.
    writeFileSync(`${tokenPath}.new`, gatewayToken);
    renameSync(`${tokenPath}.new`, tokenPath);
  } finally {
    await control.remove();
  }
}

function records(keyCount: number): unknown {
  return {
    version: 1,
    environment,
    apis: apiSegments.map((segment) => ({ id: segment, hosts: [host], paths: [`/${segment}`], upstream: { service: `${segment}.example.svc`, port: 80 } })),
    tiers: [{ id: "gold", scopes: ["read", "write"] }],
    consumers: Array.from({ length: Math.ceil(keyCount / 10) }, (_, index) => ({ id: consumerOf(index * 10), tier: "gold" })),
  };
}

function keyLine(index: number): string {
  return JSON.stringify({ id: `k${index}`, consumer: consumerOf(index), sha256: sha256Hex(benchKey(environment, index)) });
}
