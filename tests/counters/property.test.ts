import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MemoryCounterStore } from "../../control/counters/memory.ts";
import type { LimitShape } from "../../control/counters/model.ts";
import { SqlCounterStore } from "../../control/counters/sql.ts";
import { openStore } from "../../control/store/open.ts";
import { Clock, firstUse, quota, rate, startMs } from "./support.ts";
import { type Event, World } from "./world.ts";

const lanesMax = 6;
const lane = fc.nat(lanesMax - 1);
const replica = fc.nat(1);
const part = fc.constantFrom(0, 0.3, 0.5, 1);

const call = (options: { close: boolean; local: boolean }): fc.Arbitrary<Event> =>
  fc.record({
    kind: fc.constant("call" as const),
    lanes: fc.uniqueArray(lane, { minLength: 1, maxLength: 3 }),
    replica,
    fate: fc.constantFrom("answered" as const, "answered" as const, "reply lost" as const, "request lost" as const),
    ask: fc.boolean(),
    next: fc.constantFrom(false, false, true),
    local: fc.constant(options.local),
    close: options.close ? fc.constantFrom(false, false, false, true) : fc.constant(false),
    need: fc.integer({ min: 1, max: 12 }),
    want: fc.integer({ min: 1, max: 60 }),
    returnPart: part,
  });
const again: fc.Arbitrary<Event> = fc.record({ kind: fc.constant("again" as const), lane, back: fc.nat(4), replica });
const spend: fc.Arbitrary<Event> = fc.record({ kind: fc.constant("spend" as const), lane, part });
const spendShare: fc.Arbitrary<Event> = fc.record({ kind: fc.constant("spendShare" as const), lane, amount: fc.integer({ min: 1, max: 30 }) });
const pass = (maxMs: number): fc.Arbitrary<Event> => fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: maxMs }) });
const die: fc.Arbitrary<Event> = fc.record({ kind: fc.constant("die" as const), lane });
const grant: fc.Arbitrary<Event> = fc.record({ kind: fc.constant("grant" as const), amount: fc.integer({ min: 1, max: 20 }) });
const reset: fc.Arbitrary<Event> = fc.record({ kind: fc.constant("reset" as const) });
const prune: fc.Arbitrary<Event> = fc.record({ kind: fc.constant("prune" as const) });

const events = (...choices: { arbitrary: fc.Arbitrary<Event>; weight: number }[]) => fc.array(fc.oneof(...choices), { minLength: 1, maxLength: 60, size: "max" });
const limit = fc.oneof(fc.nat(8), fc.nat(120));

/** A limit whose windows roll about as often as time passes. */
const rolling: fc.Arbitrary<LimitShape> = fc.oneof(
  limit.map((amount) => rate({ limit: amount, windowSeconds: 10 })),
  limit.map((amount) => firstUse({ limit: amount, windowSeconds: 10 })),
);

async function play(world: World, all: readonly Event[]): Promise<void> {
  for (const event of all) await world.run(event);
}

describe("leases, whatever happens to them", () => {
  const hostile = events(
    { arbitrary: call({ close: true, local: false }), weight: 12 },
    { arbitrary: again, weight: 3 },
    { arbitrary: spend, weight: 6 },
    { arbitrary: pass(6000), weight: 3 },
    { arbitrary: die, weight: 1 },
    { arbitrary: grant, weight: 1 },
    { arbitrary: reset, weight: 1 },
    { arbitrary: prune, weight: 1 },
  );

  it("never grant more than a window's limit, as windows roll", async () => {
    await fc.assert(
      fc.asyncProperty(rolling, hostile, async (shape, all) => {
        const clock = new Clock();
        const store = new MemoryCounterStore({ nowMs: clock.read });
        await play(new World(clock, [store], shape, lanesMax), all);
      }),
      { numRuns: 1500 },
    );
  });

  it("grant all of it where nobody dies", async () => {
    const peaceful = events(
      { arbitrary: call({ close: false, local: false }), weight: 12 },
      { arbitrary: again, weight: 3 },
      { arbitrary: spend, weight: 6 },
      { arbitrary: pass(6000), weight: 2 },
      { arbitrary: grant, weight: 1 },
      { arbitrary: prune, weight: 1 },
    );
    const shapes = fc.oneof(limit.map((amount) => quota("day", { limit: amount })), limit.map((amount) => firstUse({ limit: amount })));
    await fc.assert(
      fc.asyncProperty(shapes, peaceful, async (shape, all) => {
        const clock = new Clock();
        const store = new MemoryCounterStore({ nowMs: clock.read });
        const world = new World(clock, [store], shape, lanesMax);
        await play(world, all);
        const admitted = await world.drain();
        const extra = all.reduce((sum, event) => (event.kind === "grant" ? sum + event.amount : sum), 0);
        assert.equal(admitted, shape.limit + extra);
      }),
      { numRuns: 1000 },
    );
  });

  it("lose at most what the dead held", async () => {
    const deadly = events(
      { arbitrary: call({ close: false, local: false }), weight: 12 },
      { arbitrary: again, weight: 3 },
      { arbitrary: spend, weight: 6 },
      { arbitrary: die, weight: 2 },
    );
    await fc.assert(
      fc.asyncProperty(limit.map((amount) => quota("day", { limit: amount })), deadly, async (shape, all) => {
        const clock = new Clock();
        const store = new MemoryCounterStore({ nowMs: clock.read });
        const world = new World(clock, [store], shape, lanesMax);
        await play(world, all);
        if (world.lanes.every(({ dead }) => dead)) return;
        const dead = new Set(world.lanes.filter((one) => one.dead).map(({ id }) => id.toString(16).padStart(16, "0")));
        const admitted = await world.drain();
        const [state] = await store.inspect("default", [{ limit: shape, subject: "00112233445566778899aabbccddeeff" }]);
        const lost = state!.windows[0]!.holdings.reduce((sum, { lane: holder, held }) => (dead.has(holder) ? sum + held : sum), 0);
        assert.ok(admitted <= shape.limit);
        assert.ok(admitted >= shape.limit - lost, `${admitted} admitted, ${lost} lost of ${shape.limit}`);
      }),
      { numRuns: 500 },
    );
  });

  it("keep shares for the time that control is away within the limit", async () => {
    const local = events(
      { arbitrary: call({ close: true, local: true }), weight: 12 },
      { arbitrary: again, weight: 2 },
      { arbitrary: spend, weight: 5 },
      { arbitrary: spendShare, weight: 8 },
      { arbitrary: pass(90_000), weight: 4 },
      { arbitrary: pass(5_400_000), weight: 1 },
      { arbitrary: die, weight: 1 },
      { arbitrary: prune, weight: 1 },
    );
    await fc.assert(
      fc.asyncProperty(limit.map((amount) => rate({ limit: amount })), local, async (shape, all) => {
        const clock = new Clock();
        const store = new MemoryCounterStore({ nowMs: clock.read });
        await play(new World(clock, [store], shape, lanesMax), all);
      }),
      { numRuns: 1500 },
    );
  });

  it("do so over SQLite as well, through two replicas' stores", async () => {
    const root = mkdtempSync(join(tmpdir(), "tollgate-property-"));
    let files = 0;
    try {
      await fc.assert(
        fc.asyncProperty(rolling, hostile, async (shape, all) => {
          const database = await openStore(`file:${join(root, `${++files}.db`)}`, (error) => assert.fail(error));
          try {
            const clock = new Clock(startMs);
            const stores = [0, 1].map(() => new SqlCounterStore(database.dialect, { nowMs: clock.read }));
            await play(new World(clock, stores, shape, lanesMax), all);
          } finally {
            await database.close();
          }
        }),
        { numRuns: 25 },
      );
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});
