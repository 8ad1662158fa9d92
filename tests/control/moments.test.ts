/** Lengths of time and moments in commands, queries and bodies. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  futureTime,
  lengthSeconds,
  MomentError,
  momentMs,
  timeOrDateMs,
  unitSeconds,
} from "../../control/domain/moments.ts";
import { latestMs, parseTime, timeText } from "../../control/domain/time.ts";
import { expect, seed, startApi } from "./support.ts";

const nowMs = Date.UTC(2026, 10, 30, 12);
const units = Object.keys(unitSeconds) as (keyof typeof unitSeconds)[];

describe("a length of time", () => {
  it("takes every unit", () => {
    assert.deepEqual(
      ["0", "45s", "30m", "12h", "90d", "2w", "1mo", "1y"].map(lengthSeconds),
      [0, 45, 1800, 43_200, 7_776_000, 1_209_600, 2_592_000, 31_536_000],
    );
  });

  it("is refused with all units named when it isn't one", () => {
    for (const text of ["", "5", "d", "-1d", "1.5h", "1 d", "1D", "1min", "1yr", "NaN", "１d"]) {
      assert.throws(
        () => lengthSeconds(text),
        (error: Error) =>
          error instanceof MomentError && units.every((unit) => new RegExp(`\\b${unit}\\b`).test(error.message)),
        text,
      );
    }
  });

  it("is a safe number or a MomentError, however large its number", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 400n }), fc.constantFrom(...units), (count, unit) => {
        try {
          const seconds = lengthSeconds(`${count}${unit}`);
          assert.ok(Number.isSafeInteger(seconds * 1000) && seconds <= 100 * unitSeconds.y);
        } catch (error) {
          assert.ok(error instanceof MomentError, String(error));
        }
      }),
    );
  });
});

describe("a moment", () => {
  it("is a time, a date in UTC, or a length from or before now", () => {
    assert.equal(momentMs("2027-01-01T01:00:00+01:00", "from", nowMs), Date.UTC(2027, 0, 1));
    assert.equal(momentMs("2027-01-01", "from", nowMs), Date.UTC(2027, 0, 1));
    assert.equal(momentMs("2w", "from", nowMs), nowMs + 14 * 86_400_000);
    assert.equal(momentMs("1mo", "before", nowMs), nowMs - 30 * 86_400_000);
    assert.equal(momentMs("100y", "before", nowMs), 0, "nothing is before 1970");
    assert.equal(timeOrDateMs("2028-02-29"), Date.UTC(2028, 1, 29));
    for (const text of ["2027-02-29", "2027-1-1", "2027-01-01T00:00:00", "tomorrow", "90d"])
      assert.throws(() => timeOrDateMs(text), MomentError, text);
  });

  it("that is read can be written as RFC 3339, and nothing else is thrown", () => {
    const number = fc.oneof(
      fc.bigInt({ min: 0n, max: 10n ** 30n }).map(String),
      fc.nat({ max: 9999 }).map((value) => String(value).padStart(4, "0")),
    );
    const text = fc.oneof(
      fc.string(),
      fc.tuple(number, fc.constantFrom(...units, "min", "")).map((parts) => parts.join("")),
      fc
        .tuple(number, fc.nat(13), fc.nat(32))
        .map(([year, month, day]) => `${year}-${String(month).padStart(2, "0")}-${String(day).padStart(2, "0")}`),
      fc
        .tuple(fc.constantFrom("1969-12-31", "1970-01-01", "9999-12-31"), fc.constantFrom("+", "-"), fc.nat(23))
        .map(([date, sign, hour]) => `${date}T23:59:59${sign}${String(hour).padStart(2, "0")}:00`),
    );
    fc.assert(
      fc.property(
        text,
        fc.constantFrom("from" as const, "before" as const),
        fc.integer({ min: 0, max: latestMs }),
        (one, direction, now) => {
          try {
            const ms = momentMs(one, direction, now);
            assert.equal(parseTime(timeText(ms)), ms);
          } catch (error) {
            assert.ok(error instanceof MomentError, String(error));
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("at which something expires is in the future", () => {
    assert.equal(futureTime("1d", nowMs), "2026-12-01T12:00:00Z");
    assert.equal(futureTime("2027-01-01T01:00:00+01:00", nowMs), "2027-01-01T01:00:00+01:00", "as it was written");
    for (const text of ["0", "0d", "0y", "2026-11-30", "2026-11-30T12:00:00Z", "1970-01-01"])
      assert.throws(() => futureTime(text, nowMs), /isn't in the future/, text);
  });
});

describe("an expiry over HTTP", () => {
  it("that has passed is refused for keys as for tokens", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const past = "2025-12-31T23:59:59Z";
    const bodies = {
      "/v1/keys": { consumer: "acme" },
      "/v1/admin-tokens": { name: "late" },
      "/v1/gateway-tokens": { group: "late" },
    };
    for (const [path, body] of Object.entries(bodies)) {
      for (const [expiresAt, message] of [
        [past, /has passed/],
        ["2026-01-01T00:00:00Z", /has passed/],
        ["9999-12-31T23:59:59-01:00", /is not a time/],
        ["2027-01-01", /is not a time/],
      ] as const) {
        const { errors } = expect<{ errors: { path: string; message: string }[] }>(
          await h.call("POST", path, { ...body, expiresAt }),
          400,
          "invalid_request",
        );
        assert.deepEqual(
          errors.map((error) => error.path),
          ["expiresAt"],
          path,
        );
        assert.match(errors[0]!.message, message);
      }
      expect(await h.call("POST", path, { ...body, expiresAt: "2026-01-01T00:00:01Z" }), 201);
    }
  });
});

describe("the range of GET /v1/usage", () => {
  it("takes the units of commands, and names them all in its refusal", async (t) => {
    const h = await startApi(t);
    for (const from of ["90s", "2w", "2025-12-31", "2025-12-31T00:00:00Z"])
      expect(await h.call("GET", `/v1/usage?from=${from}`), 200);
    for (const from of ["99999999y", "2025-13-01", "1q"]) {
      const { detail } = expect<{ detail: string }>(
        await h.call("GET", `/v1/usage?from=${from}`),
        400,
        "invalid_request",
      );
      assert.match(detail, /^`from` is /);
    }
  });
});
