/** One run of one system: load for some seconds, and what Envoy's process spent meanwhile. */
import type { EnvoyProcess } from "./envoyProcess.ts";
import type { LoadGenerator } from "./load.ts";
import { headers, path } from "./workload.ts";

export interface Sample {
  cpuMicrosPerRequest: number;
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
}

export interface Measurement {
  envoy: EnvoyProcess;
  keys: readonly string[];
  /** 200 for all, or a refusal for all: anything between means that the system does not do its job */
  expect: "admitted" | "refused";
  seconds: number;
  connections: number;
}

/** Throws when an answer was missing or of the wrong kind: such a run would be a figure of something else. */
export async function measure(generator: LoadGenerator, { envoy, keys, expect, seconds, connections }: Measurement): Promise<Sample> {
  const before = envoy.cpuMicros();
  const result = await generator.run({ port: envoy.port, path, headers, keys, connections, seconds });
  const spentMicros = envoy.cpuMicros() - before;
  const wanted = expect === "admitted" ? 0 : result.requests;
  if (result.broken > 0 || Math.abs(result.refused - wanted) > 0) {
    throw new Error(`of ${result.requests} requests ${result.refused} were refused and ${result.broken} broke; expected: all ${expect}`);
  }
  return {
    cpuMicrosPerRequest: spentMicros / result.requests,
    requestsPerSecond: result.requests / result.seconds,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
  };
}
