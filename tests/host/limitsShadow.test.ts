/** Limits that only watch: `mode: shadow`, and all of them in observe mode. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { LimitInput } from "../../control/domain/schema.ts";
import { ask, askMany, keySubject, limitedGateway, minute, send } from "./limitsSupport.ts";
import { assertSound, counters, outcome, pluginConfiguration, type Gateway } from "./support.ts";

afterEach(assertSound);

const shadow = (limit: number, more: Partial<LimitInput> = {}): LimitInput =>
  minute(limit, { mode: "shadow", ...more });
/** Requests with some time between, so that each finds what is known by then. */
function spread(gateway: Gateway, times: number, workers = 1): void {
  for (let i = 0; i < times; i++) {
    assert.equal(ask(gateway, { worker: i % workers }), "admitted");
    gateway.envoy.advance(25);
  }
}

const observed = (gateway: Gateway, reason = "rate_limited"): number => counters(gateway)[`observed.${reason}`] ?? 0;

/** What usage says that shadows would have refused. */
function shadowed(gateway: Gateway): number {
  gateway.envoy.advance(5000);
  return gateway.control.counters.totals()[3] ?? 0;
}

for (const enforcement of ["global", "gateway"] as const) {
  describe(`a limit in shadow mode (${enforcement})`, () => {
    test("admits all, and counts what it would have refused", () => {
      const gateway = limitedGateway([shadow(10, { enforcement })], { workers: 2 });
      spread(gateway, 25, 2);
      assert.equal(observed(gateway), 15);
      assert.equal(shadowed(gateway), 15);
    });

    test("counts requests, whatever they cost", () => {
      const gateway = limitedGateway([shadow(9, { enforcement })], { api: { routes: [{ path: "/x", cost: 3 }] } });
      assert.deepEqual(askMany(gateway, 8), { admitted: 8 });
      assert.equal(observed(gateway), 5);
    });

    test("begins anew with the next window", () => {
      const gateway = limitedGateway([shadow(4, { windowSeconds: 10, enforcement })]);
      gateway.envoy.advance(10_000 - (gateway.control.nowMs % 10_000));
      askMany(gateway, 6);
      gateway.envoy.advance(10_000 - (gateway.control.nowMs % 10_000) + 10);
      askMany(gateway, 7);
      assert.equal(observed(gateway), 2 + 3);
    });

    test("beside one that refuses sees only what that one admits", () => {
      const gateway = limitedGateway([shadow(3, { enforcement }), minute(5, { name: "hard" })]);
      assert.deepEqual(askMany(gateway, 9), { admitted: 5, rate_limited: 4 });
      assert.equal(observed(gateway), 2);
    });

    test("of a quota says so", () => {
      const gateway = limitedGateway([
        { name: "q", kind: "quota", limit: 2, period: "day", mode: "shadow", enforcement },
      ]);
      askMany(gateway, 5);
      assert.equal(observed(gateway, "quota_exceeded"), 3);
      assert.equal(observed(gateway), 0);
    });
  });
}

describe("a limit in shadow mode", () => {
  test("holds nobody, however slow control is, and knows afterwards what it would have refused", () => {
    const gateway = limitedGateway([shadow(10)]);
    gateway.control.delayMs = 300;
    for (let i = 0; i < 20; i++) assert.equal(outcome(send(gateway)), "admitted");
    gateway.envoy.advance(3000);
    gateway.control.delayMs = 0;
    spread(gateway, 10);
    assert.equal(observed(gateway), 20);
  });

  test("refuses nobody when control is away, or when it's paced", () => {
    const gateway = limitedGateway([shadow(10)]);
    gateway.control.failure = "reset";
    gateway.envoy.advance(3000);
    assert.deepEqual(askMany(gateway, 20), { admitted: 20 });
    const paced = limitedGateway([shadow(100, { smoothing: { perSecond: 1, burst: 2 } })]);
    paced.envoy.advance(1000);
    assert.deepEqual(askMany(paced, 10), { admitted: 10 });
    assert.equal(observed(paced), 8);
  });

  test("spends from the same counter that enforcing it would", async () => {
    const gateway = limitedGateway([shadow(10)]);
    askMany(gateway, 6);
    gateway.control.change((spec) => void (spec.tiers[0]!.limits[0]!.mode = "enforce"));
    gateway.envoy.pump();
    assert.deepEqual(askMany(gateway, 6), { admitted: 4, rate_limited: 2 });
    const { windows } = await gateway.control.counters.inspect(
      gateway.control.limitId("tier bronze", "minute"),
      keySubject(),
    );
    assert.equal(windows[0]!.used, 10);
  });
});

describe("in observe mode", () => {
  const observing = (limits: LimitInput[]): Gateway =>
    limitedGateway(limits, { configuration: pluginConfiguration({ mode: "observe" }), workers: 2 });

  test("every limit only watches: nothing is held, refused or delayed, and all is counted", () => {
    const gateway = observing([minute(10), minute(4, { name: "g", enforcement: "gateway" })]);
    const streams = Array.from({ length: 30 }, (_, i) => send(gateway, { worker: i % 2 }));
    assert.deepEqual(new Set(streams.map(outcome)), new Set(["admitted"]));
    for (const stream of streams) assert.equal(stream.headers.first("x-tollgate-consumer"), "acme");
    gateway.envoy.advance(100);
    askMany(gateway, 4, (i) => ({ worker: i % 2 }));
    const seen = observed(gateway);
    assert.ok(seen >= 30 && seen <= 34, `${seen}`);
  });

  test("with control away, with no room and without allowance, requests pass unmarked", () => {
    const gateway = observing([minute(10)]);
    gateway.control.failure = "reset";
    gateway.envoy.advance(3000);
    const stream = send(gateway);
    assert.equal(outcome(stream), "admitted");
    assert.equal(stream.headers.has("x-tollgate-unchecked"), false);
    assert.equal(counters(gateway)["overshoot"], undefined);
  });
});
