import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MemoryCounterStore } from "../../control/counters/memory.ts";
import {
  again,
  call,
  die,
  events,
  grant,
  lanesMax,
  limit,
  neverMore,
  pass,
  play,
  prune,
  spend,
  spendShare,
} from "./events.ts";
import { Clock, firstUse, quota, rate } from "./support.ts";
import { World } from "./world.ts";
import { runs } from "../kit/long.ts";

describe("leases, whatever happens to them", () => {
  it("never grant more than a window's limit, as windows roll", async () => {
    await neverMore(async (nowMs) => [new MemoryCounterStore({ nowMs })], 1500);
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
    const shapes = fc.oneof(
      limit.map((amount) => quota("day", { limit: amount })),
      limit.map((amount) => firstUse({ limit: amount })),
    );
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
      { numRuns: runs(300, 10_000) },
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
      fc.asyncProperty(
        limit.map((amount) => quota("day", { limit: amount })),
        deadly,
        async (shape, all) => {
          const clock = new Clock();
          const store = new MemoryCounterStore({ nowMs: clock.read });
          const world = new World(clock, [store], shape, lanesMax);
          await play(world, all);
          if (world.lanes.every(({ dead }) => dead)) return;
          const dead = new Set(
            world.lanes.filter((one) => one.dead).map(({ id }) => id.toString(16).padStart(16, "0")),
          );
          const admitted = await world.drain();
          const [state] = await store.inspect("default", [
            { limit: shape, subject: "00112233445566778899aabbccddeeff" },
          ]);
          const lost = state!.windows[0]!.holdings.reduce(
            (sum, { lane: holder, held }) => (dead.has(holder) ? sum + held : sum),
            0,
          );
          assert.ok(admitted <= shape.limit);
          assert.ok(admitted >= shape.limit - lost, `${admitted} admitted, ${lost} lost of ${shape.limit}`);
        },
      ),
      { numRuns: runs(150, 5000) },
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
      fc.asyncProperty(
        limit.map((amount) => rate({ limit: amount })),
        local,
        async (shape, all) => {
          const clock = new Clock();
          const store = new MemoryCounterStore({ nowMs: clock.read });
          await play(new World(clock, [store], shape, lanesMax), all);
        },
      ),
      { numRuns: runs(500, 15_000) },
    );
  });
});
