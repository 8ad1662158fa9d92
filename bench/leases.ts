/**
 * `npm run bench:leases`: what a lease costs control, on SQLite, PostgreSQL and Redis as durable as the guarantee needs them. Simulated
 * gateways call through the queue and the store, each with one call in flight, as lanes do; HTTP and the wire are left out.
 *
 * A load is offered at a fixed rate, and an answer's time counts from when its call was due, so that a store which falls behind can't hide
 * it. Then the same gateways call as fast as they're answered: the most that one replica can do.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { openCounters } from "../control/counters/open.ts";
import { type LaneCall, leaseAction, type LimitShape, verdict } from "../control/counters/model.ts";
import { LeaseQueue } from "../control/counters/queue.ts";
import type { CounterStore } from "../control/counters/store.ts";
import { openStore } from "../control/store/open.ts";
import { startRedis } from "../tests/kit/redis.ts";
import { startPostgres } from "../tests/kit/postgres.ts";
import { type Figure, figureTable, writeFigures } from "./report.ts";
import { percentile } from "./statistics.ts";

const systems = ["SQLite", "PostgreSQL", "Redis"] as const;
type System = (typeof systems)[number];

/** What one replica must do, in leases a second. */
const aims: Record<System, number | undefined> = { SQLite: 5000, PostgreSQL: undefined, Redis: 20_000 };
const offeredWithoutAim = 5000;
const p99AimMs = 50;
const opsPerCall = 10;

interface Load {
  gateways: number;
  keys: number;
}

const loads: Load[] = [
  { gateways: 1000, keys: 10_000 },
  { gateways: 100, keys: 10_000 },
  { gateways: 4000, keys: 10_000 },
  { gateways: 1000, keys: 1000 },
  { gateways: 1000, keys: 100_000 },
];

/** Two limits a key, a minute's and a day's, that never run out. */
const limits: LimitShape[] = [
  { wireId: 1, kind: "rate", limit: 1e12, windowSeconds: 60, period: "none", firstUse: false },
  { wireId: 2, kind: "quota", limit: 1e12, windowSeconds: 0, period: "day", firstUse: false },
];

interface Opened {
  counters: CounterStore;
  /** of the database's own processes, where it has any */
  serverCpuMs(): number;
  close(): Promise<void>;
}

async function measure(system: System, load: Load): Promise<Figure[]> {
  const { counters, serverCpuMs, close } = await open(system);
  try {
    const name = `${system}, ${load.gateways} gateways, ${load.keys} keys`;
    console.error(name);
    const fleet = new Fleet(counters, load);
    await fleet.asFastAsAnswered(Math.min(2, seconds));
    const aim = aims[system];
    const isAim = aim !== undefined && load === loads[0];
    const offered = await fleet.offered(aim ?? offeredWithoutAim, seconds);
    const [cpu, serverCpu, started] = [process.cpuUsage(), serverCpuMs(), performance.now()];
    const leases = await fleet.asFastAsAnswered(seconds);
    const { user, system: kernel } = process.cpuUsage(cpu);
    const perSecond = leases / ((performance.now() - started) / 1000);
    return [
      {
        name: `${name}: answer at ${aim ?? offeredWithoutAim} leases/s, median`,
        value: percentile(offered, 50),
        unit: "ms",
      },
      {
        name: `${name}: answer at ${aim ?? offeredWithoutAim} leases/s, p99`,
        value: percentile(offered, 99),
        unit: "ms",
        ...(isAim ? { target: p99AimMs } : {}),
      },
      { name: `${name}: at most`, value: perSecond, unit: "leases/s", ...(isAim ? { atLeast: aim } : {}) },
      { name: `${name}: CPU of control`, value: (user + kernel) / leases, unit: "us/lease" },
      ...(system === "SQLite"
        ? []
        : [
            {
              name: `${name}: CPU of ${system}`,
              value: ((serverCpuMs() - serverCpu) * 1000) / leases,
              unit: "us/lease",
            },
          ]),
    ];
  } finally {
    await close();
  }
}

/** Gateways with one lane each, which ask for random keys' counters. */
class Fleet {
  private readonly queue: LeaseQueue;
  private readonly load: Load;
  private readonly lanes: { id: bigint; seq: bigint }[];

  constructor(counters: CounterStore, load: Load) {
    this.queue = new LeaseQueue(
      counters,
      (_environment, wireId) => limits[wireId - 1],
      () => undefined,
    );
    this.load = load;
    this.lanes = Array.from({ length: load.gateways }, (_, index) => ({
      id: (BigInt(Date.now()) << 16n) + BigInt(index),
      seq: 0n,
    }));
  }

  /** Calls are due at even distances. Gives the milliseconds from when each was due to its answer. */
  async offered(leasesPerSecond: number, forSeconds: number): Promise<number[]> {
    const everyMs = (1000 * opsPerCall) / leasesPerSecond;
    const total = Math.floor((forSeconds * 1000) / everyMs);
    const free = this.lanes.map((_, index) => index);
    const due: number[] = [];
    const answered: Promise<unknown>[] = [];
    const times: number[] = [];
    const started = performance.now();
    const start = () => {
      while (due.length > 0 && free.length > 0) {
        const [lane, dueMs] = [free.shift()!, due.shift()!];
        answered.push(
          this.call(lane).then(() => {
            times.push(performance.now() - dueMs);
            free.push(lane);
            start();
          }),
        );
      }
    };
    for (let made = 0; made < total; ) {
      while (made < total && started + made * everyMs <= performance.now()) due.push(started + made++ * everyMs);
      start();
      await sleep(1);
    }
    while (due.length > 0) await sleep(1);
    await Promise.all(answered);
    return times;
  }

  /** Gives the number of leases. */
  async asFastAsAnswered(forSeconds: number): Promise<number> {
    const end = performance.now() + forSeconds * 1000;
    let leases = 0;
    await Promise.all(
      this.lanes.map(async (_, lane) => {
        while (performance.now() < end) {
          const granted = await this.call(lane);
          leases += granted;
        }
      }),
    );
    return leases;
  }

  private async call(index: number): Promise<number> {
    const lane = this.lanes[index]!;
    const answer = await this.queue.submit(this.newCall(lane, index));
    if (answer.kind !== "answered" || answer.answers.some((one) => one.verdict !== verdict.granted))
      throw new Error("A lease wasn't granted.");
    return answer.answers.length;
  }

  /** Both limits of each key, as a request needs them. */
  private newCall(lane: { id: bigint; seq: bigint }, index: number): LaneCall {
    const ops = Array.from({ length: opsPerCall / limits.length }, () => {
      const subject = Math.floor(Math.random() * this.load.keys)
        .toString(16)
        .padStart(32, "0");
      return limits.map(({ wireId }) => ({
        wireId,
        actions: leaseAction.ask,
        subject,
        windowStartMs: 0,
        held: 0,
        returned: 0,
        need: 1,
        want: 20,
      }));
    });
    return {
      environment: "default",
      gateway: `router~10.0.${index >> 8}.${index & 255}~gateway.istio-system~cluster.local~boot`,
      lane: lane.id,
      seq: ++lane.seq,
      ops: ops.flat(),
    };
  }
}

async function open(system: System): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-leases-"));
  const lost = (error: Error) => console.error(error.message);
  const postgres = system === "PostgreSQL" ? await startPostgres({ durable: true }) : undefined;
  const redis = system === "Redis" ? await startRedis() : undefined;
  const database = await openStore(
    postgres === undefined ? `file:${join(folder, "tollgate.db")}` : await postgres.createDatabase(),
    lost,
  );
  const counters = await openCounters(database, {
    onLost: lost,
    ...(redis === undefined ? {} : { redisUrl: redis.url }),
  });
  return {
    counters,
    serverCpuMs: () => ((postgres ?? redis) === undefined ? 0 : descendantsCpuMs()),
    async close() {
      await counters.close();
      await database.close();
      await Promise.all([postgres?.stop(), redis?.stop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** User and system time of all processes that descend from this one. */
function descendantsCpuMs(): number {
  const tickMs = 10;
  const childrenOf = (pid: string): string[] =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .split(" ")
      .filter((text) => text !== "");
  const sum = (pid: string): number => {
    // After the command's name, which may hold anything but ends with the last parenthesis.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\)/s, "").trim().split(" ");
    return (
      (Number(fields[11]) + Number(fields[12])) * tickMs +
      childrenOf(pid).reduce((total, child) => total + sum(child), 0)
    );
  };
  return childrenOf(String(process.pid)).reduce((total, child) => total + sum(child), 0);
}

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "10" },
    only: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
  },
});
const seconds = options.quick ? 2 : Number(options.seconds);
const figures: Figure[] = [];
for (const system of systems) {
  if (options.only !== undefined && !options.only.some((name) => system.toLowerCase().includes(name.toLowerCase())))
    continue;
  for (const load of options.quick ? loads.slice(0, 1) : loads) figures.push(...(await measure(system, load)));
}
console.log(figureTable(figures));
// A part of it is a trial, not a result.
if (options.only === undefined && !options.quick) writeFigures("leases.json", figures);
