/** What may happen to leases, for fast-check; and the property that every store must have. */
import fc from "fast-check";
import type { LimitShape } from "../../control/counters/model.ts";
import type { CounterStore } from "../../control/counters/store.ts";
import { Clock, firstUse, rate } from "./support.ts";
import { type Event, World } from "./world.ts";

export const lanesMax = 6;
const lane = fc.nat(lanesMax - 1);
const replica = fc.nat(1);
const part = fc.constantFrom(0, 0.3, 0.5, 1);

export const call = (options: { close: boolean; local: boolean }): fc.Arbitrary<Event> =>
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
export const again: fc.Arbitrary<Event> = fc.record({
  kind: fc.constant("again" as const),
  lane,
  back: fc.nat(4),
  replica,
});
export const spend: fc.Arbitrary<Event> = fc.record({ kind: fc.constant("spend" as const), lane, part });
export const spendShare: fc.Arbitrary<Event> = fc.record({
  kind: fc.constant("spendShare" as const),
  lane,
  amount: fc.integer({ min: 1, max: 30 }),
});
export const pass = (maxMs: number): fc.Arbitrary<Event> =>
  fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: maxMs }) });
export const die: fc.Arbitrary<Event> = fc.record({ kind: fc.constant("die" as const), lane });
export const grant: fc.Arbitrary<Event> = fc.record({
  kind: fc.constant("grant" as const),
  amount: fc.integer({ min: 1, max: 20 }),
});
const reset: fc.Arbitrary<Event> = fc.record({ kind: fc.constant("reset" as const) });
export const prune: fc.Arbitrary<Event> = fc.record({ kind: fc.constant("prune" as const) });

export const events = (...choices: { arbitrary: fc.Arbitrary<Event>; weight: number }[]) =>
  fc.array(fc.oneof(...choices), { minLength: 1, maxLength: 60, size: "max" });
export const limit = fc.oneof(fc.nat(8), fc.nat(120));

/** A limit whose windows roll about as often as time passes. */
const rolling: fc.Arbitrary<LimitShape> = fc.oneof(
  limit.map((amount) => rate({ limit: amount, windowSeconds: 10 })),
  limit.map((amount) => firstUse({ limit: amount, windowSeconds: 10 })),
);

export async function play(world: World, all: readonly Event[]): Promise<void> {
  for (const event of all) await world.run(event);
}

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

/** Whatever happens, no window grants more than its limit. `open` gives empty stores, replicas of each other. */
export async function neverMore(
  open: (nowMs: () => number) => Promise<CounterStore[]>,
  numRuns: number,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(rolling, hostile, async (shape, all) => {
      const clock = new Clock();
      await play(new World(clock, await open(clock.read), shape, lanesMax), all);
    }),
    { numRuns },
  );
}
