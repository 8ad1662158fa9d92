/** The parts of reading that need no database. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Cells, UsageTooLarge } from "../../control/usage/cells.ts";
import { type CountColumn, countColumns, latencyBoundsMs, metricOf, responsesOf } from "../../control/usage/columns.ts";
import { percentileMs } from "../../control/usage/histogram.ts";
import { packEntries, unpackEntries } from "../../control/usage/inboxText.ts";
import { intervals, slicesOf, widened } from "../../control/usage/slices.ts";

const day = 1440;

describe("slices of time", () => {
  const rolledUp = { 1: { at: 100 * day, series: 0 }, 60: { at: 99 * day, series: 0 } };

  it("takes the longest spans that are complete, and shorter ones at the ends", () => {
    assert.deepEqual(slicesOf({ from: 96 * day - 90, to: 100 * day + 30 }, "total", rolledUp), [
      { span: 1, from: 96 * day - 90, to: 96 * day - 60 },
      { span: 60, from: 96 * day - 60, to: 96 * day },
      { span: 1440, from: 96 * day, to: 99 * day },
      { span: 60, from: 99 * day, to: 100 * day },
      { span: 1, from: 100 * day, to: 100 * day + 30 },
    ]);
  });

  it("takes none that is longer than the interval", () => {
    assert.deepEqual(slicesOf({ from: 96 * day, to: 97 * day }, "hour", rolledUp), [
      { span: 60, from: 96 * day, to: 97 * day },
    ]);
    assert.deepEqual(slicesOf({ from: 96 * day, to: 97 * day }, "minute", rolledUp), [
      { span: 1, from: 96 * day, to: 97 * day },
    ]);
  });

  it("covers every minute once, and never reads a span that may lack something", () => {
    const time = fc.nat(8 * day);
    fc.assert(
      fc.property(time, time, time, time, fc.constantFrom(...intervals), (a, b, minutesDone, hoursDone, interval) => {
        const stretch = { from: Math.min(a, b), to: Math.max(a, b) };
        const done = {
          1: { at: minutesDone, series: 5 },
          60: { at: Math.min(hoursDone, minutesDone - (minutesDone % 60)), series: 5 },
        };
        let at = stretch.from;
        for (const { span, from, to } of slicesOf(stretch, interval, done)) {
          assert.equal(from, at);
          assert.ok(to > from && from % span === 0 && to % span === 0);
          if (span > 1) assert.ok(to <= done[span === 60 ? 1 : 60].at);
          at = to;
        }
        assert.equal(at, stretch.to);
      }),
    );
  });

  it("widens to whole hours where minutes are gone", () => {
    assert.deepEqual(widened({ from: 90, to: 150 }, "total", 1000), { from: 60, to: 180 });
    assert.deepEqual(widened({ from: 90, to: 1150 }, "total", 1000), { from: 60, to: 1150 });
    assert.deepEqual(widened({ from: 1090, to: 1150 }, "total", 1000), { from: 1090, to: 1150 });
    assert.deepEqual(widened({ from: 1090, to: 1150 }, "day", 1000), { from: 0, to: 1440 });
  });
});

describe("percentiles", () => {
  const buckets = (counts: Record<number, number>) => Array.from({ length: 14 }, (_, index) => counts[index] ?? 0);

  it("are estimated within their bucket", () => {
    assert.equal(percentileMs(buckets({}), 0.5), undefined);
    assert.equal(percentileMs(buckets({ 3: 100 }), 0.5), 7.5);
    assert.equal(percentileMs(buckets({ 0: 50, 5: 50 }), 0.5), 1);
    assert.equal(percentileMs(buckets({ 0: 90, 8: 10 }), 0.99), 475);
    assert.equal(percentileMs(buckets({ 0: 1, 13: 1 }), 0.9), 10_000);
  });

  it("lie between the bounds of the bucket in which the true one is", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9999 }), { minLength: 1, maxLength: 300 }),
        fc.constantFrom(0.5, 0.9, 0.99),
        (latencies, share) => {
          const counts = Array.from({ length: 14 }, () => 0);
          for (const ms of latencies) counts[latencyBoundsMs.findIndex((bound) => ms <= bound)]!++;
          const truth = [...latencies].sort((a, b) => a - b)[Math.max(0, Math.ceil(share * latencies.length) - 1)]!;
          const bucket = latencyBoundsMs.findIndex((bound) => truth <= bound);
          const estimate = percentileMs(counts, share)!;
          assert.ok(
            estimate >= (latencyBoundsMs[bucket - 1] ?? 0) && estimate <= latencyBoundsMs[bucket]!,
            `${estimate} for ${truth}`,
          );
        },
      ),
    );
  });
});

describe("usage's parts", () => {
  it("knows the wire's metrics", () => {
    const name = (code: number) => {
      const metric = metricOf(code);
      return metric === undefined ? undefined : "place" in metric ? countColumns[metric.place] : metric;
    };
    assert.deepEqual([0, 1, 2, 3, 4, 5].map(name), ["admitted", "cost", "overshoot", "shadowed", "local", "unsampled"]);
    assert.deepEqual([8, 12, 16, 29].map(name), ["status_1", "status_5", "latency_0", "latency_13"]);
    assert.deepEqual([64, 127, 128, 255].map(name), [
      { reason: 0, observed: false },
      { reason: 63, observed: false },
      { reason: 0, observed: true },
      { reason: 127, observed: true },
    ]);
    assert.deepEqual(
      [6, 7, 13, 15, 30, 63, 256].map(name),
      Array.from({ length: 7 }, () => undefined),
    );
  });

  it("takes responses that weren't looked at to have gone as the others", () => {
    const responses = (counts: Partial<Record<CountColumn, number>>) =>
      responsesOf(countColumns.map((name) => counts[name] ?? 0));
    assert.deepEqual(responses({ admitted: 9, status_2: 5, status_5: 4 }), [0, 5, 0, 0, 4]);
    assert.deepEqual(responses({ status_2: 3, status_5: 1, unsampled: 8 }), [0, 9, 0, 0, 3]);
    assert.deepEqual(responses({ status_2: 2, status_4: 1, unsampled: 2 }), [0, 4, 0, 1, 0]);
    assert.deepEqual(responses({ unsampled: 8 }), [0, 0, 0, 0, 0]);
    const count = fc.integer({ min: 0, max: 1_000_000_000 });
    fc.assert(
      fc.property(count, count, count, (ok, failed, unsampled) => {
        const got = responses({ status_2: ok, status_5: failed, unsampled });
        assert.equal(
          got.reduce((sum, one) => sum + one),
          ok + failed === 0 ? 0 : ok + failed + unsampled,
        );
        assert.ok(got[1]! >= ok && got[4]! >= failed);
      }),
    );
  });

  it("keeps entries in the inbox as they came", () => {
    const count = fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 1, max: 4_294_967_295 }));
    const u32 = fc.integer({ min: 0, max: 4_294_967_295 });
    const hex = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString("hex"));
    const entry = fc.record(
      {
        minute: u32,
        api: u32,
        route: fc.option(fc.nat(500), { nil: undefined }),
        consumer: u32,
        digest: hex,
        counts: fc.array(count, { maxLength: 20 }),
      },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(fc.array(entry), (entries) => assert.deepEqual(unpackEntries(packEntries(entries)), entries)),
    );
  });

  it("bounds an answer, and gives the busiest groups", () => {
    const filled = (top: number | undefined, rowsMax: number) => {
      const cells = new Cells(top, rowsMax);
      for (let group = 0; group < 10; group++)
        for (let at = 0; at < 3; at++) cells.cell(at, [`g${group}`]).counts[0]! += group === 4 ? 100 : group;
      return cells;
    };
    assert.throws(() => filled(undefined, 29), UsageTooLarge);
    assert.equal(filled(undefined, 30).rows().length, 30);
    assert.deepEqual(
      filled(2, 6)
        .rows()
        .map(({ at, names }) => `${at} ${names[0]}`),
      ["0 g4", "0 g9", "1 g4", "1 g9", "2 g4", "2 g9"],
    );
    assert.equal(filled(2, 6).totals.counts[0], 3 * (45 - 4 + 100));
    assert.throws(() => filled(3, 6).rows(), UsageTooLarge);
  });
});
