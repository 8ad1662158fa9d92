/**
 * What one replica of control can do for gateways: calls for leases over HTTP, as docs/internals/protocol.md has them, from simulated gateways with a
 * connection and a lane each. A load is offered at an even rate, and an answer's time counts from when its call was due, so that a control
 * which falls behind can't hide it. Then calls are made as fast as they are answered: the most that it can do.
 * `bench/leases.ts` measures the store below it alone.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ControlProcess } from "../tests/kit/control.ts";
import { startDeployedControl } from "./deployedControl.ts";
import { allKeys, sha256Hex } from "./keys.ts";
import type { BenchOptions } from "./options.ts";
import { cpuMicrosOf } from "./processFigures.ts";
import { startBenchRedis, type BenchRedis } from "./redis.ts";
import type { Figure } from "./report.ts";
import { readFeed, SimulatedGateway, type Feed } from "./simulatedGateway.ts";
import { percentile } from "./statistics.ts";
import { fillEnvironment, minuteAndDay } from "./tollgate.ts";
import { Unavailable } from "./unavailable.ts";

/** beyond the aim, so that what was granted isn't short of it by the last answers */
const offeredOfAim = 1.05;
const p99AimMs = 50;
/** of docs/operate/operations.md, beside durability */
const recommended = ["--auto-aof-rewrite-min-size", "512mb"];
/** as fast as they are answered, so many calls are under way at a time */
const underWayMost = 64;
/** Of each key and limit: never reached. */
const plenty = 1e12;

const stores = [
  { name: "SQLite", aim: 5000, redis: false },
  { name: "Redis", aim: 20_000, redis: true },
] as const;
type Store = (typeof stores)[number];

interface Fleet {
  gateways: number;
  activeKeys: number;
  /** leases asked for in one call */
  batch: number;
}

/** The first is the one with an aim: 20,000 leases/s are then one call a second of each gateway. The others differ from it in one thing. */
const fleets: Fleet[] = [
  { gateways: 1000, activeKeys: 10_000, batch: 20 },
  { gateways: 100, activeKeys: 10_000, batch: 20 },
  { gateways: 4000, activeKeys: 10_000, batch: 20 },
  { gateways: 1000, activeKeys: 1000, batch: 20 },
  { gateways: 1000, activeKeys: 100_000, batch: 20 },
  { gateways: 1000, activeKeys: 10_000, batch: 4 },
  { gateways: 1000, activeKeys: 10_000, batch: 100 },
];

/** A store that can't be had is left out, and said to be. */
export async function measureLeases(
  { quick }: Pick<BenchOptions, "quick">,
  tell: (line: string) => void,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const store of stores) {
    try {
      for (const fleet of quick ? fleets.slice(0, 1) : fleets) {
        tell(`leases: ${nameOf(store, fleet)}`);
        figures.push(...(await measureStore(store, fleet, quick ? 2 : 10)));
      }
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      tell(`SKIPPED: leases on ${store.name}: ${error.message}`);
    }
  }
  return figures;
}

async function measureStore(store: Store, fleet: Fleet, seconds: number): Promise<Figure[]> {
  const redis = store.redis ? await startBenchRedis(recommended) : undefined;
  let control: ControlProcess | undefined;
  let gateways: SimulatedGateway[] = [];
  try {
    control = await startDeployedControl({ env: { TOLLGATE_REDIS_URL: redis?.url ?? "" } });
    const token = await fillEnvironment(control, 1, minuteAndDay(plenty, plenty, "global"));
    gateways = makeGateways(await readFeed(control.syncPort, token), fleet);
    const load = new LeaseLoad(gateways, fleet.batch);
    await load.asFastAsAnswered(Math.max(1, seconds / 2));
    const offered = store.aim * offeredOfAim;
    const spent = cpuMeter(control, redis);
    const { times, elapsedMs } = await load.offered(offered, seconds);
    const leases = times.length * fleet.batch;
    const { controlMicros, redisMicros } = spent();
    const most = await load.asFastAsAnswered(seconds / 2);
    const isAim = fleet === fleets[0];
    const name = nameOf(store, fleet);
    return [
      {
        name: `${name}: granted, ${offered} offered`,
        value: (leases / elapsedMs) * 1000,
        unit: "leases/s",
        ...(isAim ? { atLeast: store.aim } : {}),
      },
      { name: `${name}: answer, median`, value: percentile(times, 50), unit: "ms" },
      {
        name: `${name}: answer, p99`,
        value: percentile(times, 99),
        unit: "ms",
        ...(isAim ? { target: p99AimMs } : {}),
      },
      { name: `${name}: CPU of control`, value: controlMicros / leases, unit: "us/lease" },
      ...(redis ? [{ name: `${name}: CPU of Redis`, value: redisMicros / leases, unit: "us/lease" }] : []),
      { name: `${name}: at most`, value: most, unit: "leases/s" },
    ];
  } finally {
    for (const gateway of gateways) gateway.close();
    await control?.remove();
    await redis?.stop();
  }
}

function nameOf({ name }: Store, { gateways, activeKeys, batch }: Fleet): string {
  return `${name}, ${gateways} gateways, ${activeKeys} keys, calls of ${batch}`;
}

/** Each key is in use at two gateways, or at more where there are many gateways for few keys. */
function makeGateways(feed: Feed, { gateways, activeKeys, batch }: Fleet): SimulatedGateway[] {
  const subjects = allKeys(activeKeys).map((key) => sha256Hex(key).slice(0, 32));
  const keysEach = Math.max(batch / feed.limits.length, Math.ceil((2 * activeKeys) / gateways));
  return Array.from({ length: gateways }, (_, index) => {
    const own = Array.from(
      { length: keysEach },
      (_unused, offset) => subjects[(index * keysEach + offset) % activeKeys]!,
    );
    return new SimulatedGateway(feed, index, own);
  });
}

/** Gives what was spent since. */
function cpuMeter(
  control: ControlProcess,
  redis: BenchRedis | undefined,
): () => { controlMicros: number; redisMicros: number } {
  const read = (): [number, number] => [cpuMicrosOf(control.pid), redis ? cpuMicrosOf(redis.pid) : 0];
  const [controlBefore, redisBefore] = read();
  return () => {
    const [controlNow, redisNow] = read();
    return { controlMicros: controlNow - controlBefore, redisMicros: redisNow - redisBefore };
  };
}

class LeaseLoad {
  /** a gateway's lane has one call in flight */
  private readonly idle: SimulatedGateway[];

  constructor(
    gateways: readonly SimulatedGateway[],
    private readonly batch: number,
  ) {
    this.idle = [...gateways];
  }

  /** Calls are due at even distances, by the gateway that was idle the longest. Gives the ms from when each was due to its answer. */
  async offered(leasesPerSecond: number, seconds: number): Promise<{ times: number[]; elapsedMs: number }> {
    const everyMs = (1000 * this.batch) / leasesPerSecond;
    const total = Math.floor((seconds * 1000) / everyMs);
    const times: number[] = [];
    const due: number[] = [];
    let failure: unknown;
    const startMs = performance.now();
    const start = (): void => {
      while (due.length > 0 && this.idle.length > 0) {
        const [gateway, dueMs] = [this.idle.shift()!, due.shift()!];
        const answered = (): void => {
          times.push(performance.now() - dueMs);
          this.idle.push(gateway);
          start();
        };
        gateway.call(this.batch).then(answered, (error: unknown) => (failure ??= error));
      }
    };
    for (let made = 0; made < total || times.length < total; ) {
      if (failure !== undefined) throw failure;
      for (; made < total && startMs + made * everyMs <= performance.now(); made++) due.push(startMs + made * everyMs);
      start();
      await sleep(1);
    }
    return { times, elapsedMs: performance.now() - startMs };
  }

  /** Gives leases a second. */
  async asFastAsAnswered(seconds: number): Promise<number> {
    const startMs = performance.now();
    let leases = 0;
    const caller = async (): Promise<void> => {
      while (performance.now() - startMs < seconds * 1000) {
        const gateway = this.idle.shift()!;
        await gateway.call(this.batch);
        this.idle.push(gateway);
        leases += this.batch;
      }
    };
    await Promise.all(Array.from({ length: Math.min(underWayMost, this.idle.length) }, caller));
    return (leases / (performance.now() - startMs)) * 1000;
  }
}
