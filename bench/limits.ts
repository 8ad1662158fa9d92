/**
 * Limits that are enforced exactly, under an everyday load: how often a request has to wait for allowance, and for how long. One Envoy with
 * two workers and a real control; each key has had its first minute before anything counts, and what counts lasts longer than a window.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ControlProcess } from "../tests/kit/control.ts";
import { startDeployedControl } from "./deployedControl.ts";
import { EnvoyProcess } from "./envoyProcess.ts";
import { allKeys } from "./keys.ts";
import type { BenchOptions } from "./options.ts";
import { runPaced, type PacedResult } from "./pacedLoad.ts";
import { cpuMicrosOf } from "./processFigures.ts";
import type { Figure } from "./report.ts";
import { connections, untilServing } from "./serving.ts";
import { percentile } from "./statistics.ts";
import type { SystemContext } from "./systems.ts";
import { fillEnvironment, minuteAndDay, tollgateBootstrap } from "./tollgate.ts";
import { environment, headers, path } from "./workload.ts";

const workers = 2;
const keyCount = 1000;
const perMinute = 1000;
const perDay = 100_000;
const requestsPerSecond = 5000;
const connectionCount = 64;
/** Longer than it takes until all counts and log lines of a run are out. */
const settleMs = 1500;
const flushEveryMs = 200;

/** Of a request, in the access log: when it began (Unix ms), and how long until it was sent on, and until it was answered (microseconds). */
const logFormat =
  "%START_TIME(%s%3f)% %COMMON_DURATION(DS_RX_BEG:US_TX_BEG:us)% %COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%\n";

interface Counts {
  held: number;
  leaseCalls: number;
  controlMicros: number;
}

export async function measureLimits(
  { envoyPath, upstreamPort }: SystemContext,
  { quick }: Pick<BenchOptions, "quick">,
  tell: (line: string) => void,
): Promise<Figure[]> {
  const [warmSeconds, seconds] = quick ? [5, 10] : [70, 90];
  const folder = mkdtempSync(join(tmpdir(), "tollgate-limits-"));
  const logPath = join(folder, "access.log");
  const control = await startDeployedControl();
  let envoy: EnvoyProcess | undefined;
  try {
    const gatewayToken = await fillEnvironment(control, keyCount, minuteAndDay(perMinute, perDay, "global"));
    const configuration = tollgateBootstrap({
      control,
      gatewayToken,
      upstreamPort,
      accessLog: { path: logPath, format: logFormat },
    });
    envoy = await EnvoyProcess.start(envoyPath, configuration, {
      concurrency: workers,
      args: ["--file-flush-interval-msec", String(flushEveryMs)],
    });
    await serveOnAllWorkers(envoy, control);
    const run = (forSeconds: number, seed: number): Promise<PacedResult> =>
      runPaced({
        port: envoy!.port,
        path,
        headers,
        keys: allKeys(keyCount),
        requestsPerSecond,
        seconds: forSeconds,
        connections: connectionCount,
        seed,
      });
    tell(`limits: ${warmSeconds} s to warm up, ${seconds} s that count`);
    const cold = await counts(envoy, control);
    const warming = await run(warmSeconds, 1);
    await sleep(settleMs);
    const before = await counts(envoy, control);
    const startedMs = Date.now();
    const result = await run(seconds, 2);
    await sleep(settleMs);
    const after = await counts(envoy, control);
    const held = heldRequests(readFileSync(logPath, "utf8"), startedMs, after.held - before.held);
    return figures({ warming, result, cold, before, after, held });
  } finally {
    await envoy?.stop();
    await control.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function serveOnAllWorkers(envoy: EnvoyProcess, control: ControlProcess): Promise<void> {
  const open = await connections(envoy.port, connectionCount);
  try {
    await untilServing(control, open, workers);
  } finally {
    for (const connection of open) connection.close();
  }
}

async function counts(envoy: EnvoyProcess, control: ControlProcess): Promise<Counts> {
  const { body } = await envoy.admin(`/stats?filter=tollgate\\.${environment}\\.`);
  const read = (name: string): number =>
    Number(new RegExp(`tollgate\\.${environment}\\.${name}: (\\d+)`).exec(body)?.[1] ?? 0);
  return { held: read("held"), leaseCalls: read("leases_ok"), controlMicros: cpuMicrosOf(control.pid) };
}

/**
 * The time until they were answered, in ms, of the `count` requests that were longest on their way through the filters. A held one waits for
 * a call to control, which takes longer than everything else there.
 */
export function heldRequests(log: string, sinceMs: number, count: number): number[] {
  const lines = log
    .split("\n")
    .map((line) => line.split(" ").map(Number))
    .filter(([startMs = 0]) => startMs >= sinceMs);
  const byFilterTime = lines.sort(([, one = 0], [, other = 0]) => other - one);
  return byFilterTime.slice(0, count).map(([, , answeredMicros = 0]) => answeredMicros / 1000);
}

interface Measured {
  warming: PacedResult;
  result: PacedResult;
  cold: Counts;
  before: Counts;
  after: Counts;
  held: readonly number[];
}

function figures({ warming, result, cold, before, after, held }: Measured): Figure[] {
  const rate = `${requestsPerSecond} requests/s over ${keyCount} keys of ${perMinute}/min and ${perDay}/day`;
  const notAdmitted = ({ requests, statuses, broken }: PacedResult): number => requests - (statuses[200] ?? 0) + broken;
  const heldPerThousand = (count: number, { requests }: PacedResult): number => (count / requests) * 1000;
  return [
    // The generator has to keep up, or it isn't the load that the name says.
    {
      name: `${rate}: requests/s answered`,
      value: result.requests / result.seconds,
      unit: "",
      atLeast: 0.99 * requestsPerSecond,
    },
    { name: "refused or broken", value: notAdmitted(result), unit: "", target: 0 },
    { name: "held, of 1,000 requests", value: heldPerThousand(after.held - before.held, result), unit: "", target: 1 },
    { name: "a request, median", value: result.p50Ms, unit: "ms" },
    { name: "a request, p99", value: result.p99Ms, unit: "ms" },
    { name: "a request, longest", value: result.longestMs, unit: "ms" },
    ...(held.length === 0
      ? []
      : [
          { name: "a held request, median", value: percentile(held, 50), unit: "ms" },
          { name: "a held request, p99", value: percentile(held, 99), unit: "ms", target: 20 },
          { name: "a held request, longest", value: percentile(held, 100), unit: "ms" },
        ]),
    {
      name: "calls to control for leases, of 1,000 requests",
      value: heldPerThousand(after.leaseCalls - before.leaseCalls, result),
      unit: "",
    },
    {
      name: "CPU of control, of a request",
      value: (after.controlMicros - before.controlMicros) / result.requests,
      unit: "us",
    },
    {
      name: "while it warmed up: held, of 1,000 requests",
      value: heldPerThousand(before.held - cold.held, warming),
      unit: "",
    },
    { name: "while it warmed up: refused or broken", value: notAdmitted(warming), unit: "" },
  ];
}
