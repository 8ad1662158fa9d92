/** From Envoy's start to the first request that it admits, with a million keys in a control that is up. */
import { EnvoyProcess } from "./envoyProcess.ts";
import { benchKey } from "./keys.ts";
import type { Figure } from "./report.ts";
import { median } from "./statistics.ts";
import type { SystemContext } from "./systems.ts";
import { startFilledControl, tollgateBootstrap } from "./tollgate.ts";
import { environment, headers, path } from "./workload.ts";

const keyCount = 1_000_000;

export async function measureColdStart({ envoyPath, upstreamPort }: SystemContext, starts: number): Promise<Figure[]> {
  const filled = await startFilledControl(keyCount);
  const seconds: number[] = [];
  try {
    for (let index = 0; index < starts; index++) {
      const envoy = await EnvoyProcess.start(envoyPath, tollgateBootstrap({ ...filled, upstreamPort }));
      try {
        seconds.push(
          (await envoy.until(200, path, { ...headers, "x-api-key": benchKey(environment, keyCount - 1) })) / 1000,
        );
      } finally {
        await envoy.stop();
      }
    }
  } finally {
    await filled.control.remove();
  }
  return [
    {
      name: "1M keys, Envoy's start to its first admitted request, median",
      value: median(seconds),
      unit: "s",
      target: 5,
    },
    {
      name: "1M keys, Envoy's start to its first admitted request, longest",
      value: Math.max(...seconds),
      unit: "s",
      target: 5,
    },
  ];
}
