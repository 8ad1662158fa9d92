/**
 * Memory with a million keys of 100,000 consumers. Envoy's resident memory, minus bare's with as many workers, is what the filter
 * takes in all; two workers minus one is what a serving worker takes; what a million keys take beyond that is in shared data.
 */
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { ControlProcess } from "../tests/kit/control.ts";
import type { Connection } from "../tests/kit/http1.ts";
import { eventually } from "../tests/kit/eventually.ts";
import { bootstrap } from "./envoyConfig.ts";
import { EnvoyProcess } from "./envoyProcess.ts";
import type { Figure } from "./report.ts";
import { connections, keyRequest, untilServing } from "./serving.ts";
import type { SystemContext } from "./systems.ts";
import { startFilledControl, tollgateBootstrap } from "./tollgate.ts";
import { environment } from "./workload.ts";

/** Long enough for freed memory to be given back and for a few ticks. */
const settleMs = 3000;
const connectionCount = 32;
const megabyte = 1e6;

interface Usage {
  steadyBytes: number;
  /** the most during a whole reload */
  reloadPeakBytes: number;
}

export async function measureMemory(context: SystemContext): Promise<Figure[]> {
  const bare1 = await bareBytes(context, 1);
  const bare2 = await bareBytes(context, 2);
  const small1 = await usage(context, 1000, 1);
  const small2 = await usage(context, 1000, 2);
  const large1 = await usage(context, 1_000_000, 1);
  const large2 = await usage(context, 1_000_000, 2);
  const all1 = (large1.steadyBytes - bare1) / megabyte;
  const all2 = (large2.steadyBytes - bare2) / megabyte;
  const perWorker = (large2.steadyBytes - small2.steadyBytes - (large1.steadyBytes - small1.steadyBytes)) / megabyte;
  const shared = (large1.steadyBytes - small1.steadyBytes) / megabyte - perWorker;
  const allowed1 = 64 + 48;
  const allowed2 = 2 * 64 + 48;
  return [
    {
      name: "the filter itself, with 1k keys, one worker, beyond bare",
      value: (small1.steadyBytes - bare1) / megabyte,
      unit: "MB",
    },
    { name: "1M keys, one worker, beyond bare", value: all1, unit: "MB" },
    { name: "1M keys, two workers, beyond bare", value: all2, unit: "MB" },
    { name: "1M keys, a serving worker", value: perWorker, unit: "MB", target: 64 },
    { name: "1M keys, shared data", value: shared, unit: "MB", target: 48 },
    {
      name: "1M keys, peak of a full reload, one worker, beyond 1k keys",
      value: (large1.reloadPeakBytes - small1.steadyBytes) / megabyte,
      unit: "MB",
      target: 2 * allowed1,
    },
    {
      name: "1M keys, peak of a full reload, two workers, beyond 1k keys",
      value: (large2.reloadPeakBytes - small2.steadyBytes) / megabyte,
      unit: "MB",
      target: 2 * allowed2,
    },
  ];
}

async function bareBytes({ envoyPath, upstreamPort }: SystemContext, workers: number): Promise<number> {
  const envoy = await EnvoyProcess.start(envoyPath, bootstrap({ filters: [], upstreamPort }), { concurrency: workers });
  try {
    const open = await connections(envoy.port, connectionCount);
    await Promise.all(open.map((connection) => connection.send({})));
    await sleep(settleMs);
    const bytes = envoy.residentBytes();
    for (const connection of open) connection.close();
    return bytes;
  } finally {
    await envoy.stop();
  }
}

async function usage({ envoyPath, upstreamPort }: SystemContext, keyCount: number, workers: number): Promise<Usage> {
  const filled = await startFilledControl(keyCount);
  const envoy = await EnvoyProcess.start(envoyPath, tollgateBootstrap({ ...filled, upstreamPort }), {
    concurrency: workers,
  });
  const open = await connections(envoy.port, connectionCount);
  try {
    await untilServing(filled.control, open, workers);
    await sleep(settleMs);
    const steadyBytes = envoy.residentBytes();
    return { steadyBytes, reloadPeakBytes: await reload(envoy, filled.control, open) };
  } finally {
    for (const connection of open) connection.close();
    await envoy.stop();
    await filled.control.remove();
  }
}

/** Makes the gateway load everything again, and gives the most that was resident meanwhile. */
async function reload(envoy: EnvoyProcess, control: ControlProcess, open: readonly Connection[]): Promise<number> {
  writeFileSync(`/proc/${envoy.pid}/clear_refs`, "5"); // proc(5): resets the peak
  await control.call("POST", `/v1/environments/${environment}/renew-epoch`);
  // No delta leads over to the new epoch: a worker that knows this key has loaded all of it.
  const { id, key } = await control.call<{ id: string; key: string }>("POST", `/v1/keys?environment=${environment}`, {
    consumer: "c0",
  });
  await eventually(
    "every worker to have loaded the new epoch",
    async () =>
      (await Promise.all(open.map((connection) => connection.send(keyRequest(key))))).every(
        ({ status }) => status === 200,
      ),
    120_000,
  );
  await sleep(settleMs);
  const peakBytes = envoy.peakResidentBytes();
  await control.call("DELETE", `/v1/keys/${id}?environment=${environment}`);
  return peakBytes;
}
