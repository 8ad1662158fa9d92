import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { LimitInput } from "../../control/domain/schema.ts";
import {
  ask,
  askMany,
  calls,
  keySubject,
  limitedGateway,
  limitedSpec,
  minute,
  send,
  settle,
  tally,
} from "./limitsSupport.ts";
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

/** Moves on to so long after the next border of control's windows of a length. */
function toBorder(gateway: Gateway, lengthMs: number, afterMs = 0): void {
  const { nowMs } = gateway.control;
  gateway.envoy.advance(lengthMs - (nowMs % lengthMs) + afterMs);
}

describe("a limit of N admits N", () => {
  for (const limit of [1, 2, 10, 137, 1000]) {
    test(`${limit}: at one worker, at several, over several Envoys`, () => {
      const one = limitedGateway([minute(limit)]);
      assert.deepEqual(askMany(one, limit + 5), { admitted: limit, rate_limited: 5 });
      endGateway(one);
      const several = limitedGateway([minute(limit)], { workers: 3 });
      assert.equal(askMany(several, limit + 15, (i) => ({ worker: i % 3 }))["admitted"], limit);
      endGateway(several);
      const first = limitedGateway([minute(limit)], { workers: 2 });
      const gateways = [
        first,
        readyGateway({ workers: 2, beside: first }),
        readyGateway({ workers: 2, beside: first }),
      ];
      const outcomes = Array.from({ length: limit + 20 }, (_, i) => ask(gateways[i % 3]!, { worker: (i >> 2) % 2 }));
      assert.equal(tally(outcomes)["admitted"], limit);
    });
  }

  test("when all come at once", () => {
    const gateway = limitedGateway([minute(100)], { workers: 4 });
    gateway.envoy.recording = false;
    const streams = Array.from({ length: 600 }, (_, i) => send(gateway, { worker: i % 4 }));
    gateway.envoy.until(() => streams.every(({ state }) => state !== "held"), 2000, 1);
    assert.deepEqual(tally(streams.map(outcome)), { admitted: 100, rate_limited: 500 });
  });

  test("each key for itself", () => {
    const spec = limitedSpec([minute(3)]);
    spec.keys!.push(keyRecord("acme-2", "acme"));
    const gateway = readyGateway({ spec });
    assert.deepEqual(askMany(gateway, 5), { admitted: 3, rate_limited: 2 });
    assert.deepEqual(askMany(gateway, 5, { key: "acme-2" }), { admitted: 3, rate_limited: 2 });
  });
});

describe("a window", () => {
  test("ends to the millisecond by control's clock, whatever the gateway's shows", () => {
    for (const clockOffsetMs of [0, 5000, -5000, 1234, -777]) {
      const gateway = limitedGateway([minute(5, { windowSeconds: 2 })], { control: { clockOffsetMs } });
      for (let window = 0; window < 5; window++) {
        toBorder(gateway, 2000, 1);
        assert.deepEqual(askMany(gateway, 8), { admitted: 5, rate_limited: 3 });
        gateway.envoy.advance(1990 - (gateway.control.nowMs % 2000));
        assert.equal(ask(gateway), "rate_limited");
      }
      endGateway(gateway);
    }
  });

  test("never lends to the next over a link that is slow, in whichever direction", () => {
    for (const [requestDelayMs, delayMs] of [
      [200, 0],
      [0, 200],
      [100, 100],
      [3, 450],
    ] as const) {
      const gateway = limitedGateway([minute(6, { windowSeconds: 2 })], { workers: 2 });
      Object.assign(gateway.control, { requestDelayMs, delayMs });
      const streams = [];
      for (let i = 0; i < 2000; i++) {
        streams.push(send(gateway, { worker: i % 2 }));
        gateway.envoy.advance(10);
      }
      gateway.envoy.advance(2000);
      const admitted: Record<number, number> = {};
      for (const stream of streams) {
        if (outcome(stream) !== "admitted") continue;
        const window = Math.floor((gateway.envoy.wallMs - gateway.envoy.nowMs + stream.decidedAtMs!) / 2000);
        admitted[window] = (admitted[window] ?? 0) + 1;
      }
      const counts = Object.values(admitted);
      assert.ok(
        counts.length >= 9 && counts.every((count) => count <= 6),
        `${requestDelayMs} + ${delayMs} ms: ${counts.join(" ")}`,
      );
      // all but the first and the last, which were not asked for from border to border
      assert.deepEqual(new Set(counts.slice(1, -1)), new Set([6]));
      endGateway(gateway);
    }
  });

  test("that begins finds active counters supplied: nobody waits at the border", () => {
    const gateway = limitedGateway([minute(1000, { windowSeconds: 2 })], { workers: 2 });
    toBorder(gateway, 2000);
    const held: number[] = [];
    for (let i = 0; i < 1600; i++) {
      const stream = send(gateway, { worker: i % 2 });
      if (stream.state === "held") held.push(gateway.control.nowMs % 2000);
      gateway.envoy.advance(5);
      assert.equal(outcome(stream), "admitted");
    }
    // the first of each worker
    assert.equal(held.length, 2, `held ${held.join(" ")} ms after a border`);
  });

  test("of a counter that isn't used any more isn't fetched ahead", () => {
    const gateway = limitedGateway([minute(10, { windowSeconds: 10 })]);
    ask(gateway);
    gateway.envoy.advance(30_000);
    const nexts = gateway.control.counters.calls
      .flatMap(({ call }) => call.ops)
      .filter(({ actions }) => (actions & 2) !== 0);
    assert.deepEqual(nexts, []);
  });

  const periods: [limit: LimitInput, from: string, to: string, next: string][] = [
    [
      { name: "q", kind: "quota", limit: 3, period: "day" },
      "2026-11-30T00:00:00Z",
      "2026-11-30T23:59:59.990Z",
      "2026-12-01T00:00:00.010Z",
    ],
    [
      { name: "q", kind: "quota", limit: 3, period: "week" },
      "2026-11-02T00:00:00Z",
      "2026-11-08T23:59:59.990Z",
      "2026-11-09T00:00:00.010Z",
    ],
    [
      { name: "q", kind: "quota", limit: 3, period: "month" },
      "2028-02-01T00:00:00Z",
      "2028-02-29T23:59:59.990Z",
      "2028-03-01T00:00:00.010Z",
    ],
    [
      { name: "q", kind: "quota", limit: 3, period: "month" },
      "2026-12-01T00:00:00Z",
      "2026-12-31T23:59:59.990Z",
      "2027-01-01T00:00:00.010Z",
    ],
  ];
  for (const enforcement of ["global", "gateway"] as const) {
    for (const [limit, from, to, next] of periods) {
      test(`of a ${limit.period} lasts from ${from} until ${next.slice(0, 10)} (${enforcement})`, () => {
        const wallMs = Date.parse(from);
        const gateway = limitedGateway([{ ...limit, enforcement }], {
          workers: 2,
          envoy: { wallMs },
          configuration: pluginConfiguration({ maxSnapshotAgeSeconds: 0 }),
        });
        assert.deepEqual(
          askMany(gateway, 5, (i) => ({ worker: i % 2 })),
          { admitted: 3, quota_exceeded: 2 },
        );
        gateway.envoy.sleep(Date.parse(to) - gateway.envoy.wallMs - 1000);
        gateway.envoy.advance(1000);
        assert.deepEqual(
          askMany(gateway, 2, (i) => ({ worker: i % 2 })),
          { quota_exceeded: 2 },
        );
        gateway.envoy.advance(Date.parse(next) - gateway.envoy.wallMs);
        assert.deepEqual(
          askMany(gateway, 5, (i) => ({ worker: i % 2 })),
          { admitted: 3, quota_exceeded: 2 },
        );
      });
    }

    test(`from first use begins with the first request and ends its length later (${enforcement})`, () => {
      const gateway = limitedGateway([{ name: "q", kind: "quota", limit: 3, period: "1h", enforcement }], {
        workers: 2,
      });
      gateway.envoy.advance(1_234_567);
      const from = gateway.envoy.nowMs;
      assert.equal(ask(gateway), "admitted");
      gateway.envoy.advance(600_000);
      assert.deepEqual(
        askMany(gateway, 4, (i) => ({ worker: i % 2 })),
        { admitted: 2, quota_exceeded: 2 },
      );
      gateway.envoy.advance(from + 3_600_000 - 100 - gateway.envoy.nowMs);
      assert.equal(ask(gateway), "quota_exceeded");
      gateway.envoy.advance(200);
      assert.deepEqual(
        askMany(gateway, 4, (i) => ({ worker: i % 2 })),
        { admitted: 3, quota_exceeded: 1 },
      );
      // the second one begins with its own first use
      gateway.envoy.advance(3_500_000);
      assert.equal(ask(gateway), "quota_exceeded");
    });
  }
});

describe("a lease", () => {
  test("that is over isn't spent any more, and what is left of it goes back", async () => {
    const gateway = limitedGateway([minute(100, { windowSeconds: 3600 })], { control: { leaseMs: 2000 } });
    assert.equal(ask(gateway), "admitted");
    const held = gateway.control.counters.calls.at(-1)!.answers![0]!.granted;
    assert.ok(held > 2);
    gateway.envoy.advance(2500);
    const before = calls(gateway, "leases");
    assert.equal(settle(gateway, send(gateway)), "admitted");
    assert.equal(calls(gateway, "leases"), before + 1);
    const { ops } = gateway.control.counters.calls.at(-1)!.call;
    assert.equal(ops[0]!.held, 0);
    assert.equal(ops[0]!.returned, held - 1);
    const state = await gateway.control.counters.inspect(
      gateway.control.limitId("tier bronze", "minute"),
      keySubject(),
    );
    const granted = gateway.control.counters.calls.at(-1)!.answers![0]!.granted;
    assert.equal(state.windows[0]!.used, 1 + granted);
  });
});
