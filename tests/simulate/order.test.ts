import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { merged, Sorter } from "../../tools/simulate/order.ts";

interface Item {
  timeMs: number;
  n: number;
}

/** Times that go up, each at most `lateMs` behind the highest before it. */
function jittered(lateMs: number): fc.Arbitrary<Item[]> {
  return fc
    .array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: lateMs })), { maxLength: 200 })
    .map((steps) => {
      let nowMs = 1000;
      return steps.map(([step, late], n) => ({ timeMs: (nowMs += step) - late, n }));
    });
}

function sort(items: readonly Item[], toleranceMs: number, every: number): { out: Item[]; late: number } {
  const sorter = new Sorter<Item>(toleranceMs);
  const out: Item[] = [];
  items.forEach((item, index) => {
    sorter.add({ ...item });
    if (index % every === 0) out.push(...sorter.take());
  });
  out.push(...sorter.end());
  return { out, late: sorter.late };
}

const byTime = (items: readonly Item[]) => [...items].sort((a, b) => a.timeMs - b.timeMs || a.n - b.n);

describe("the sorter", () => {
  test("puts in order what is late within the tolerance, equal times as they came", () => {
    fc.assert(
      fc.property(jittered(100), fc.integer({ min: 1, max: 50 }), (items, every) => {
        const { out, late } = sort(items, 100, every);
        assert.deepEqual(out, byTime(items));
        assert.equal(late, 0);
      }),
    );
  });

  test("loses nothing and never goes back, however late lines are; none is late that the tolerance allows", () => {
    fc.assert(
      fc.property(
        jittered(1000),
        fc.integer({ min: 0, max: 500 }),
        fc.integer({ min: 1, max: 50 }),
        (items, toleranceMs, every) => {
          const { out, late } = sort(items, toleranceMs, every);
          assert.deepEqual(
            out.map(({ n }) => n).sort((a, b) => a - b),
            items.map(({ n }) => n),
          );
          for (let index = 1; index < out.length; index++) assert.ok(out[index]!.timeMs >= out[index - 1]!.timeMs);
          const moved = out.filter(({ timeMs, n }) => items[n]!.timeMs !== timeMs);
          assert.ok(moved.length <= late);
          let newest = -Infinity;
          for (const { timeMs, n } of items) {
            if (timeMs >= newest - toleranceMs) assert.equal(out.find((item) => item.n === n)!.timeMs, timeMs);
            newest = Math.max(newest, timeMs);
          }
        },
      ),
    );
  });

  test("is not put off by one line from the future", () => {
    const items = [
      ...Array.from({ length: 50 }, (_, n) => ({ timeMs: n * 10, n })),
      { timeMs: 1e12, n: 50 },
      ...Array.from({ length: 50 }, (_, n) => ({ timeMs: 500 + n * 10, n: n + 51 })),
    ];
    const { out, late } = sort(items, 100, 1);
    assert.equal(late, 0);
    assert.equal(out.at(-1)!.n, 50);
  });
});

async function* stream(batches: readonly Item[][]): AsyncGenerator<readonly Item[]> {
  for (const batch of batches) yield batch;
}

describe("several logs", () => {
  test("are one in order of time, of equal times the first log's first", async () => {
    const sorted = fc
      .array(fc.integer({ min: 0, max: 50 }), { maxLength: 40 })
      .map((times) => times.sort((a, b) => a - b));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(sorted, fc.integer({ min: 1, max: 10 })), { maxLength: 5 }), async (logs) => {
        const items = logs.map(([times], log) => times.map((timeMs) => ({ timeMs, n: log })));
        const streams = items.map((all, log) =>
          stream(
            Array.from({ length: Math.ceil(all.length / logs[log]![1]) + 1 }, (_, index) =>
              all.slice(index * logs[log]![1], (index + 1) * logs[log]![1]),
            ),
          ),
        );
        const out: Item[] = [];
        for await (const batch of merged(streams)) out.push(...batch);
        assert.deepEqual(out, byTime(items.flat()));
      }),
    );
  });
});
