/** A system that is one Envoy with some filters and nothing beside it. */
import { bootstrap, type Filter } from "./envoyConfig.ts";
import { EnvoyProcess } from "./envoyProcess.ts";
import type { RunningSystem, SystemContext } from "./systems.ts";

export async function plain(
  { envoyPath, upstreamPort }: SystemContext,
  filters: Filter[],
  workers = 1,
): Promise<RunningSystem> {
  const envoy = await EnvoyProcess.start(envoyPath, bootstrap({ filters, upstreamPort }), { concurrency: workers });
  return { envoy, stop: () => envoy.stop() };
}
