/**
 * The lease tree as a whole, control → worker → request: the real module in several workers of several Envoys, control's own decisions, and
 * whatever can happen to them. No window admits more than its limit, by control's numbering of windows; where nobody dies, none admits less
 * while somebody asks.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { afterEach, test } from "node:test";
import type { Stream } from "./host.ts";
import { keySubject, limitedSpec, replaceWorker, send } from "./limitsSupport.ts";
import type { Fault, SyncRequest } from "./simulatedControl.ts";
import {
  assertSound,
  endGateway,
  keyRecord,
  outcome,
  pluginConfiguration,
  readyGateway,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

/** For a longer search than the suite's. */
const TIMES = Number(process.env["TOLLGATE_PROPERTY_TIMES"] ?? 1);
const GATEWAYS = 2;
const WORKERS = 2;
const KEYS = 2;
const HOLD_MS = 1000;
/** Times are up at ticks, which come every 10 ms while anybody waits. */
const TICK_MS = 11;

interface Plan {
  limit: number;
  windowSeconds: number;
  /** another limit of the same requests, over all keys of the consumer */
  second: number | undefined;
  cost: number;
  clockOffsetMs: number;
  leaseMs: number;
}

/** What a run has seen so far. */
class Run {
  readonly gateways: Gateway[] = [];
  readonly streams: { stream: Stream; key: string }[] = [];
  /** by key and window: how much more than the limit a reset or a grant allows */
  readonly extra = new Map<string, number>();
  readonly plan: Plan;
  /** something died, and what it held or had counted with it */
  lossy = false;
  /** who asks in the end */
  askers: [gateway: number, worker: number][] = [];
  #faults: Fault[] = [];

  constructor(plan: Plan, seed: number) {
    this.plan = plan;
    const { limit, windowSeconds, second, cost, clockOffsetMs, leaseMs } = plan;
    const spec = limitedSpec(
      [
        { name: "each", kind: "rate", limit, windowSeconds },
        ...(second === undefined
          ? []
          : [{ name: "all", kind: "rate" as const, limit: second, windowSeconds, subject: "consumer" as const }]),
      ],
      { routes: [{ path: "/x", cost }] },
    );
    spec.keys = Array.from({ length: KEYS }, (_, i) => keyRecord(`key-${i}`, "acme"));
    const configuration = pluginConfiguration({ limitWaitTimeoutMs: HOLD_MS });
    const first = readyGateway({
      spec,
      configuration,
      workers: WORKERS,
      control: { clockOffsetMs, leaseMs },
      envoy: { seed },
    });
    this.gateways.push(first);
    while (this.gateways.length < GATEWAYS)
      this.gateways.push(
        readyGateway({ configuration, workers: WORKERS, beside: first, envoy: { seed: seed + this.gateways.length } }),
      );
    this.control.fault = (request) => this.#faultOf(request);
    for (const { envoy } of this.gateways) envoy.recording = false;
  }

  get control() {
    return this.gateways[0]!.control;
  }

  get envoy() {
    return this.gateways[0]!.envoy;
  }

  ask(gateway: number, worker: number, key: number): Stream {
    const name = `key-${key}`;
    const stream = send(this.gateways[gateway]!, { worker, key: name });
    this.streams.push({ stream, key: name });
    return stream;
  }

  /** The next calls of lanes are lost like this. */
  lose(faults: Fault[]): void {
    this.#faults = faults;
  }

  #faultOf({ kind }: SyncRequest): Fault | undefined {
    return kind === "leases" || kind === "usage" ? this.#faults.shift() : undefined;
  }

  /** The number of the window that control's clock is in at a moment of the simulation. */
  windowAt(atMs: number): number {
    return Math.floor(
      (this.control.nowMs - Math.floor(this.envoy.nowMs) + Math.floor(atMs)) / (this.plan.windowSeconds * 1000),
    );
  }

  allow(subject: string, amount: number): void {
    const name = `${subject} ${this.windowAt(this.envoy.nowMs)}`;
    this.extra.set(name, (this.extra.get(name) ?? 0) + amount);
  }

  /** What was admitted, by subject and window. */
  admitted(subjectOf: (key: string) => string): Map<string, number> {
    const sums = new Map<string, number>();
    for (const { stream, key } of this.streams) {
      if (outcome(stream) !== "admitted") continue;
      const name = `${subjectOf(key)} ${this.windowAt(stream.decidedAtMs!)}`;
      sums.set(name, (sums.get(name) ?? 0) + this.plan.cost);
    }
    return sums;
  }

  check(): void {
    for (const [name, sum] of this.admitted((key) => key)) {
      const allowed = this.plan.limit + (this.extra.get(name) ?? 0);
      assert.ok(sum <= allowed, `${sum} admitted of ${allowed}: ${name}`);
    }
    if (this.plan.second !== undefined) {
      for (const [name, sum] of this.admitted(() => "all")) {
        const allowed = this.plan.second + (this.extra.get(name) ?? 0);
        assert.ok(sum <= allowed, `${sum} admitted of ${allowed} over all keys: ${name}`);
      }
    }
    for (const { stream } of this.streams) {
      const heldMs = (stream.decidedAtMs ?? this.envoy.nowMs) - stream.cameAtMs;
      assert.ok(stream.root.destroyed || !this.alive(stream) || heldMs <= HOLD_MS + TICK_MS, `held for ${heldMs} ms`);
      assert.ok(
        ["admitted", "rate_limited", "limit_unavailable", "held", "not_ready"].includes(outcome(stream)),
        outcome(stream),
      );
    }
  }

  alive(stream: Stream): boolean {
    return this.gateways.some(({ workers }) => workers.some(({ root }) => root === stream.root));
  }

  /** Everything is well again, and what was under way is over. */
  calm(): void {
    this.#faults = [];
    Object.assign(this.control, { failure: undefined, delayMs: 0, requestDelayMs: 0, losesRecalls: false });
    this.envoy.advance(8000);
    for (const { stream } of this.streams) if (this.alive(stream)) assert.notEqual(stream.state, "held");
  }

  end(): void {
    for (const gateway of [...this.gateways].reverse()) endGateway(gateway);
  }
}

type Happening = [name: string, happen: (run: Run) => void | Promise<void>];

const gateway = fc.nat(GATEWAYS - 1);
const worker = fc.nat(WORKERS - 1);
const key = fc.nat(KEYS - 1);
const fault: fc.Arbitrary<Fault> = fc.record({
  at: fc.constantFrom("request" as const, "answer" as const),
  how: fc.constantFrom("reset" as const, "silent" as const, 503, 504),
});

const requests: fc.Arbitrary<Happening> = fc
  .tuple(gateway, worker, key, fc.integer({ min: 1, max: 12 }))
  .map(([g, w, k, times]) => [
    `${times} requests of key ${k} at ${g}/${w}`,
    (run) => {
      for (let i = 0; i < times; i++) run.ask(g, w, k);
    },
  ]);
const everybody: fc.Arbitrary<Happening> = fc.tuple(key, fc.integer({ min: 1, max: 6 })).map(([k, times]) => [
  `${times} requests of key ${k} at every worker`,
  (run) => {
    for (let i = 0; i < times; i++)
      for (let g = 0; g < GATEWAYS; g++) for (let w = 0; w < WORKERS; w++) run.ask(g, w, k);
  },
]);
const time: fc.Arbitrary<Happening> = fc
  .constantFrom(0, 1, 3, 10, 40, 150, 400, 1000, 2500)
  .map((ms) => [`${ms} ms pass`, (run) => run.envoy.advance(ms)]);
const border: fc.Arbitrary<Happening> = fc.integer({ min: -3, max: 3 }).map((ms) => [
  `it's ${ms} ms after a border`,
  (run) => {
    const length = run.plan.windowSeconds * 1000;
    const next = (Math.floor(run.control.nowMs / length) + 1) * length + ms;
    run.envoy.advance(Math.max(0, next - run.control.nowMs));
  },
]);
const calm: fc.Arbitrary<Happening>[] = [requests, requests, everybody, everybody, time, time, border];
const faulty: fc.Arbitrary<Happening>[] = [
  fc
    .array(fault, { minLength: 1, maxLength: 4 })
    .map(
      (faults): Happening => [
        `lost: ${faults.map(({ at, how }) => `${at} ${how}`).join(", ")}`,
        (run) => run.lose([...faults]),
      ],
    ),
  fc
    .tuple(fc.constantFrom(0, 2, 30, 250, 900), fc.constantFrom(0, 2, 30, 250, 900))
    .map(
      ([out, back]): Happening => [
        `calls take ${out} + ${back} ms`,
        ({ control }) => void Object.assign(control, { requestDelayMs: out, delayMs: back }),
      ],
    ),
  fc
    .constantFrom("reset" as const, "silent" as const, "unavailable" as const, 503, undefined)
    .map((failure): Happening => [`control: ${failure ?? "well"}`, ({ control }) => void (control.failure = failure)]),
  fc.constant<Happening>(["control restarts", ({ control }) => control.restart()]),
  fc
    .boolean()
    .map(
      (loses): Happening => [
        `recalls ${loses ? "are lost" : "arrive"}`,
        ({ control }) => void (control.losesRecalls = loses),
      ],
    ),
];
const adjusting: fc.Arbitrary<Happening>[] = [
  key.map(
    (k): Happening => [
      `key ${k}'s counter is reset`,
      async (run) => {
        run.allow(`key-${k}`, run.plan.limit);
        await run.control.resetCounter(run.control.limitId("tier bronze", "each"), keySubject(`key-${k}`));
      },
    ],
  ),
  fc.tuple(key, fc.integer({ min: 1, max: 5 })).map(
    ([k, amount]): Happening => [
      `key ${k} is granted ${amount}`,
      async (run) => {
        run.allow(`key-${k}`, amount);
        await run.control.grantExtra(run.control.limitId("tier bronze", "each"), keySubject(`key-${k}`), amount);
      },
    ],
  ),
];
const deadly: fc.Arbitrary<Happening>[] = [
  fc.tuple(gateway, worker).map(
    ([g, w]): Happening => [
      `worker ${g}/${w} dies`,
      (run) => {
        run.lossy = true;
        replaceWorker(run.gateways[g]!, w);
      },
    ],
  ),
];

const plan: fc.Arbitrary<Plan> = fc.record({
  limit: fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 1, max: 12 }) }, fc.integer({ min: 13, max: 60 })),
  windowSeconds: fc.constantFrom(2, 2, 3, 5),
  second: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
  cost: fc.constantFrom(1, 1, 1, 2, 3),
  clockOffsetMs: fc.constantFrom(0, -5000, 5000, 137),
  leaseMs: fc.constantFrom(900_000, 700),
});

async function play(plan: Plan, happenings: Happening[], seed: number): Promise<Run> {
  const run = new Run(plan, seed);
  for (const [, happen] of happenings) {
    await happen(run);
    run.check();
  }
  run.calm();
  run.check();
  return run;
}

/** Asks at some workers in turn until all of these refuse, and gives what was admitted. */
function exhaust(run: Run): number {
  let admitted = 0;
  let refusals = 0;
  const askers = run.askers;
  for (let turn = 0; refusals < 3 * askers.length; turn++) {
    const [gateway, worker] = askers[turn % askers.length]!;
    const stream = run.ask(gateway, worker, 0);
    run.envoy.until(() => stream.state !== "held", HOLD_MS + TICK_MS, 1);
    const result = outcome(stream);
    assert.ok(result === "admitted" || result === "rate_limited", result);
    if (result === "admitted") {
      admitted++;
      refusals = 0;
    } else refusals++;
  }
  return admitted;
}

/** In a window that begins now, what is asked for is admitted up to the limit and no further. */
function checkWhole(run: Run): void {
  const { limit, second, cost, windowSeconds } = run.plan;
  const length = windowSeconds * 1000;
  run.envoy.advance(length - (run.control.nowMs % length) + 20);
  const window = run.windowAt(run.envoy.nowMs);
  const admitted = exhaust(run);
  assert.equal(run.windowAt(run.envoy.nowMs), window, "it took longer than a window");
  assert.equal(admitted, Math.floor(Math.min(limit, second ?? limit) / cost));
  run.check();
}

/** Everything that was admitted was counted once, and nothing else. */
function checkUsage(run: Run): void {
  const { counters } = run.control;
  run.envoy.advance(10_000);
  assert.deepEqual(counters.changedBatches, []);
  const admitted = run.streams.filter(({ stream }) => outcome(stream) === "admitted").length;
  const counted = counters.totals()[0] ?? 0;
  if (run.lossy) assert.ok(counted <= admitted, `${counted} counted, ${admitted} admitted`);
  else assert.equal(counted, admitted);
}

const sequence = (kinds: fc.Arbitrary<Happening>[]): fc.Arbitrary<Happening[]> =>
  fc.array(fc.oneof(...kinds), { minLength: 3, maxLength: 40 });
const show = (happenings: Happening[]): string => happenings.map(([name]) => name).join("\n");

function property(
  kinds: fc.Arbitrary<Happening>[],
  after: (run: Run) => void,
): fc.IAsyncProperty<[Plan, Happening[], [number, number][], number]> {
  const askers = fc.uniqueArray(fc.tuple(gateway, worker), { minLength: 1, selector: String });
  return fc.asyncProperty(
    plan,
    sequence(kinds),
    askers,
    fc.integer({ min: 1, max: 1e9 }),
    async (plan, happenings, askers, seed) => {
      try {
        const run = await play(plan, happenings, seed);
        run.askers = askers;
        after(run);
        run.end();
      } catch (error) {
        if (error instanceof Error)
          error.message += `\n${JSON.stringify(plan)} asked in the end: ${askers.join(" ")}\n${show(happenings)}\n`;
        throw error;
      }
    },
  );
}

test("nobody dies and all arrives: every window admits its limit, and no more", async () => {
  await fc.assert(
    property(calm, (run) => (checkWhole(run), checkUsage(run))),
    { numRuns: 60 * TIMES },
  );
});

test("calls are lost, late, refused, resent: never more than the limit, nothing is lost for good, all is counted once", async () => {
  await fc.assert(
    property([...calm, ...faulty], (run) => (checkWhole(run), checkUsage(run))),
    { numRuns: 100 * TIMES },
  );
});

test("counters are reset and granted extra in the middle of it: never more than that allows", async () => {
  await fc.assert(property([...calm, ...faulty, ...adjusting], checkUsage), { numRuns: 60 * TIMES });
});

test("workers die as well: never more than the limit", async () => {
  await fc.assert(property([...calm, ...faulty, ...deadly], checkUsage), { numRuns: 100 * TIMES });
});
