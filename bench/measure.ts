/** One run of one system: load for some seconds, and what Envoy's process and its helpers spent meanwhile. */
import type { LoadGenerator } from "./load.ts";
import { cpuMicrosOf } from "./processFigures.ts";
import type { RunningSystem } from "./systems.ts";
import { headers, path } from "./workload.ts";

export interface Sample {
  /** of Envoy alone */
  cpuMicrosPerRequest: number;
  /** of the processes that it asks, together */
  helperMicrosPerRequest: number;
  requests: number;
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
}

export interface Measurement {
  system: RunningSystem;
  keys: readonly string[];
  /** index of the key that is sent first */
  first: number;
  /** 200 for all, or a refusal for all: anything between means that the system does not do its job */
  expect: "admitted" | "refused";
  seconds: number;
  connections: number;
}

/** Throws when an answer was missing or of the wrong kind: such a run would be a figure of something else. */
export async function measure(
  generator: LoadGenerator,
  { system, keys, first, expect, seconds, connections }: Measurement,
): Promise<Sample> {
  const { envoy, helpers } = system;
  const helperMicros = (): number => (helpers?.pids ?? []).reduce((sum, pid) => sum + cpuMicrosOf(pid), 0);
  const [before, helpersBefore] = [envoy.cpuMicros(), helperMicros()];
  const result = await generator.run({ port: envoy.port, path, headers, keys, first, connections, seconds });
  const [spentMicros, helpersSpentMicros] = [envoy.cpuMicros() - before, helperMicros() - helpersBefore];
  const wanted = expect === "admitted" ? 0 : result.requests;
  if (result.broken > 0 || result.refused !== wanted) {
    throw new Error(
      `of ${result.requests} requests ${result.refused} were refused and ${result.broken} broke; expected: all ${expect}`,
    );
  }
  return {
    cpuMicrosPerRequest: spentMicros / result.requests,
    helperMicrosPerRequest: helpersSpentMicros / result.requests,
    requests: result.requests,
    requestsPerSecond: result.requests / result.seconds,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
  };
}
