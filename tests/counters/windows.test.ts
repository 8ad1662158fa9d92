import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { LimitShape } from "../../control/counters/model.ts";
import { spanOf, windowAfter, windowAt, windowFrom } from "../../control/counters/windows.ts";
import { firstUse, quota, rate } from "./support.ts";

const at = (text: string) => Date.parse(text);
const texts = ({ startMs, endMs }: { startMs: number; endMs: number }) =>
  [startMs, endMs].map((ms) => new Date(ms).toISOString().replace(/:00\.000Z$/, "Z"));

describe("windows", () => {
  it("of a rate begin at multiples of their length", () => {
    assert.deepEqual(texts(windowAt(rate(), at("2026-11-05T10:15:59.999Z"))), [
      "2026-11-05T10:15Z",
      "2026-11-05T10:16Z",
    ]);
    assert.deepEqual(texts(windowAt(rate(), at("2026-11-05T10:16:00.000Z"))), [
      "2026-11-05T10:16Z",
      "2026-11-05T10:17Z",
    ]);
    assert.deepEqual(windowAt(rate({ windowSeconds: 1 }), 1999), { startMs: 1000, endMs: 2000 });
    assert.deepEqual(windowAfter(rate({ windowSeconds: 1 }), 1999), { startMs: 2000, endMs: 3000 });
  });

  it("of days and months follow the calendar of UTC", () => {
    assert.deepEqual(texts(windowAt(quota("day"), at("2026-12-31T23:59:59Z"))), [
      "2026-12-31T00:00Z",
      "2027-01-01T00:00Z",
    ]);
    assert.deepEqual(texts(windowAt(quota("month"), at("2028-02-29T12:00:00Z"))), [
      "2028-02-01T00:00Z",
      "2028-03-01T00:00Z",
    ]);
    assert.deepEqual(texts(windowAfter(quota("month"), at("2026-12-31T23:59:59Z"))), [
      "2027-01-01T00:00Z",
      "2027-02-01T00:00Z",
    ]);
  });

  it("of weeks begin on Monday", () => {
    for (const day of ["2026-11-02", "2026-11-05", "2026-11-08"]) {
      assert.deepEqual(
        texts(windowAt(quota("week"), at(`${day}T12:00:00Z`))),
        ["2026-11-02T00:00Z", "2026-11-09T00:00Z"],
        day,
      );
    }
    assert.deepEqual(texts(windowAt(quota("week"), at("1970-01-01T00:00:00Z"))), [
      "1969-12-29T00:00Z",
      "1970-01-05T00:00Z",
    ]);
  });

  it("that begin with first use begin when they're asked for", () => {
    const limit = firstUse({ windowSeconds: 3600 });
    assert.deepEqual(windowAt(limit, 12_345), { startMs: 12_345, endMs: 12_345 + 3_600_000 });
    assert.equal(spanOf(limit, windowAt(limit, 1)), spanOf(limit, windowAt(limit, 2)));
    assert.notEqual(spanOf(limit, windowAt(limit, 1)), spanOf(firstUse({ windowSeconds: 7200 }), windowAt(limit, 1)));
  });

  it("are found by their start alone", () => {
    assert.deepEqual(windowFrom(rate(), 60_000), { startMs: 60_000, endMs: 120_000 });
    for (const startMs of [60_001, -1, NaN, Number.MAX_SAFE_INTEGER])
      assert.equal(windowFrom(rate(), startMs), undefined, String(startMs));
    assert.equal(windowFrom(quota("month"), Number.MAX_SAFE_INTEGER), undefined);
  });

  it("lie end to end, without a gap, whatever the limit", () => {
    const limits = fc.oneof(
      fc.integer({ min: 1, max: 366 * 86_400 }).map((windowSeconds): LimitShape => rate({ windowSeconds })),
      fc.constantFrom("day" as const, "week" as const, "month" as const).map((period) => quota(period)),
    );
    fc.assert(
      fc.property(limits, fc.integer({ min: 0, max: Date.UTC(2200, 0) }), (limit, timeMs) => {
        const window = windowAt(limit, timeMs);
        assert.ok(window.startMs <= timeMs && timeMs < window.endMs);
        assert.deepEqual(windowAt(limit, window.startMs), window);
        assert.deepEqual(windowAt(limit, window.endMs - 1), window);
        assert.equal(windowAfter(limit, timeMs).startMs, window.endMs);
        assert.deepEqual(windowFrom(limit, window.startMs), window);
      }),
      { numRuns: 500 },
    );
  });
});
