/** What an owner changes acts on live counters at once. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { Limit } from "../../control/domain/model.ts";
import { ask, askMany, keySubject, limitedGateway, limitedSpec, minute, send, settle } from "./limitsSupport.ts";
import { assertSound, keyRecord, outcome, readyGateway, type Gateway } from "./support.ts";

afterEach(assertSound);

const WORKERS = 2;
const alternating = (i: number) => ({ worker: i % WORKERS });
const admitted = (gateway: Gateway, times: number): number => askMany(gateway, times, alternating)["admitted"] ?? 0;

/** Changes the tier's first limit; the workers have it afterwards. */
function change(gateway: Gateway, edit: (limit: Limit) => unknown): void {
  gateway.control.change((spec) => void edit(spec.tiers[0]!.limits[0]!));
  gateway.envoy.pump();
}

const counterId = (gateway: Gateway): number => gateway.control.limitId("tier bronze", "minute");

describe("a limit", () => {
  test("that is raised lets more through in the same window", () => {
    const gateway = limitedGateway([minute(10)], { workers: WORKERS });
    assert.equal(admitted(gateway, 15), 10);
    change(gateway, (limit) => (limit.limit = 25));
    assert.equal(admitted(gateway, 40), 15);
  });

  test("that is lowered counts what was admitted before, and takes back what is parked", () => {
    const gateway = limitedGateway([minute(30)], { workers: WORKERS });
    assert.equal(admitted(gateway, 4), 4);
    change(gateway, (limit) => (limit.limit = 7));
    assert.equal(admitted(gateway, 20), 3);
    change(gateway, (limit) => (limit.limit = 5));
    assert.equal(admitted(gateway, 5), 0);
  });

  for (const [from, to] of [
    [2, 60],
    [60, 2],
    [7, 5],
    [10, 3600],
  ] as const) {
    test(`whose window of ${from} s becomes one of ${to} s goes by the new one at once`, () => {
      const gateway = limitedGateway([minute(10, { windowSeconds: from })], { workers: WORKERS });
      gateway.envoy.advance(60_000 - (gateway.control.nowMs % 60_000) + 59_000);
      assert.equal(admitted(gateway, 15), 10);
      change(gateway, (limit) => (limit.windowSeconds = to));
      const fromMs = gateway.envoy.nowMs;
      assert.equal(admitted(gateway, 15), 10);
      assert.ok(gateway.envoy.nowMs - fromMs < 100, `it took ${gateway.envoy.nowMs - fromMs} ms`);
    });
  }

  test("whose window changed while much of the old one is held, and asked for, isn't confused", () => {
    const gateway = limitedGateway([minute(1000, { windowSeconds: 2 })], { workers: WORKERS });
    gateway.envoy.advance(2000 - (gateway.control.nowMs % 2000) + 100);
    assert.equal(admitted(gateway, 20), 20);
    gateway.control.delayMs = 100;
    for (let i = 0; i < 40; i++) send(gateway, alternating(i));
    change(gateway, (limit) => Object.assign(limit, { windowSeconds: 3600, limit: 12 }));
    gateway.control.delayMs = 0;
    gateway.envoy.advance(1000);
    const later = admitted(gateway, 30);
    assert.ok(later <= 12, `${later} of 12`);
    assert.equal(admitted(gateway, 10), 0);
  });

  test("that becomes a quota of a day is one", () => {
    const gateway = limitedGateway([minute(10)], { workers: WORKERS });
    assert.equal(admitted(gateway, 12), 10);
    change(gateway, (limit) => {
      delete limit.windowSeconds;
      Object.assign(limit, { kind: "quota", period: "day", limit: 4 });
    });
    assert.deepEqual(askMany(gateway, 8, alternating), { admitted: 4, quota_exceeded: 4 });
  });

  test("that is taken away lets all through; put back, it counts on", () => {
    const gateway = limitedGateway([minute(10)], { workers: WORKERS });
    assert.equal(admitted(gateway, 12), 10);
    let taken: Limit[] = [];
    gateway.control.change((spec) => void (taken = spec.tiers[0]!.limits.splice(0)));
    gateway.envoy.pump();
    assert.equal(admitted(gateway, 50), 50);
    gateway.control.change((spec) => void (spec.tiers[0]!.limits = taken));
    gateway.envoy.pump();
    assert.equal(admitted(gateway, 12), 0);
  });

  test("whose subject changes counts the other one from then on", () => {
    const gateway = limitedGateway([minute(10)], { workers: WORKERS });
    assert.equal(admitted(gateway, 12), 10);
    change(gateway, (limit) => (limit.subject = "consumer"));
    assert.equal(admitted(gateway, 12), 10);
  });

  test("that only watched refuses as soon as it's to be enforced, and the other way round", () => {
    const gateway = limitedGateway([minute(5, { mode: "shadow" })], { workers: WORKERS });
    assert.equal(admitted(gateway, 12), 12);
    change(gateway, (limit) => (limit.mode = "enforce"));
    assert.equal(admitted(gateway, 5), 0);
    change(gateway, (limit) => (limit.mode = "shadow"));
    assert.equal(admitted(gateway, 5), 5);
  });
});

describe("a key", () => {
  test("moved to another tier has that one's limits at once", () => {
    const spec = limitedSpec([minute(5)]);
    spec.tiers!.push({ id: "platinum", scopes: ["read"], limits: [minute(50)] }, { id: "admin", scopes: ["*"] });
    const gateway = readyGateway({ spec, workers: WORKERS });
    assert.equal(admitted(gateway, 10), 5);
    gateway.control.change((file) => void (file.keys[0]!.tier = "platinum"));
    gateway.envoy.pump();
    assert.equal(admitted(gateway, 60), 50);
    gateway.control.change((file) => void (file.keys[0]!.tier = "admin"));
    gateway.envoy.pump();
    assert.equal(admitted(gateway, 200), 200);
    gateway.control.change((file) => void delete file.keys[0]!.tier);
    gateway.envoy.pump();
    assert.equal(admitted(gateway, 10), 0);
  });

  test("whose consumer's tier changes, too", () => {
    const spec = limitedSpec([minute(5)]);
    spec.tiers!.push({ id: "platinum", scopes: ["read"], limits: [minute(50)] });
    const gateway = readyGateway({ spec, workers: WORKERS });
    assert.equal(admitted(gateway, 10), 5);
    gateway.control.change((file) => void (file.consumers[0]!.tier = "platinum"));
    gateway.envoy.pump();
    assert.equal(admitted(gateway, 60), 50);
  });

  test("that gets a limit of its own has it at once", () => {
    const gateway = limitedGateway([minute(5)], { workers: WORKERS });
    assert.equal(admitted(gateway, 10), 5);
    gateway.control.change((file) => void (file.keys[0]!.limits = [{ ...file.tiers[0]!.limits[0]!, limit: 8 }]));
    gateway.envoy.pump();
    assert.equal(admitted(gateway, 10), 8);
  });

  test("deleted and made again under the same digest finds its counter as it was", () => {
    const gateway = limitedGateway([minute(5)], { workers: WORKERS });
    assert.equal(admitted(gateway, 10), 5);
    const [key] = gateway.control.spec.keys;
    gateway.control.change((file) => void (file.keys = []));
    gateway.envoy.pump();
    assert.equal(ask(gateway), "unknown_key");
    gateway.control.change((file) => void (file.keys = [key!]));
    gateway.envoy.pump();
    assert.equal(admitted(gateway, 5), 0);
  });
});

describe("a counter that is reset", () => {
  test("admits its limit again, at every worker of every Envoy, at once", async () => {
    const first = limitedGateway([minute(10)], { workers: WORKERS });
    const second = readyGateway({ beside: first, workers: WORKERS });
    assert.equal(admitted(first, 15), 10);
    assert.equal(admitted(second, 4), 0);
    await first.control.resetCounter(counterId(first), keySubject());
    first.envoy.pump();
    const fromMs = first.envoy.nowMs;
    assert.equal(admitted(second, 6), 6);
    assert.equal(admitted(first, 15), 4);
    assert.ok(first.envoy.nowMs - fromMs < 100);
  });

  test("again and again admits no more than its limit each time", async () => {
    const gateway = limitedGateway([minute(7)], { workers: WORKERS });
    for (let round = 0; round < 5; round++) {
      assert.equal(admitted(gateway, 10), 7, `round ${round}`);
      await gateway.control.resetCounter(counterId(gateway), keySubject());
      gateway.envoy.pump();
    }
  });

  test("keeps what workers hold, which comes back for others", async () => {
    const gateway = limitedGateway([minute(20)], { workers: WORKERS });
    assert.equal(ask(gateway, { worker: 0 }), "admitted");
    await gateway.control.resetCounter(counterId(gateway), keySubject());
    gateway.envoy.pump();
    // the one that was spent of a chunk is told from what was held only by what comes back
    const { windows } = await gateway.control.counters.inspect(counterId(gateway), keySubject());
    assert.equal(windows[0]!.used, 1);
    assert.equal(askMany(gateway, 30, { worker: 1 })["admitted"], 19);
  });

  test("leaves other keys' counters alone", async () => {
    const spec = limitedSpec([minute(3)]);
    spec.keys!.push(keyRecord("acme-2", "acme"));
    const gateway = readyGateway({ spec });
    for (const key of ["acme-1", "acme-2"]) assert.equal(askMany(gateway, 5, { key })["admitted"], 3);
    await gateway.control.resetCounter(counterId(gateway), keySubject("acme-2"));
    gateway.envoy.pump();
    assert.equal(ask(gateway), "rate_limited");
    assert.equal(askMany(gateway, 5, { key: "acme-2" })["admitted"], 3);
  });

  test("isn't undone by an answer that was decided before: no worker goes on refusing", async () => {
    const gateway = limitedGateway([minute(5)], { workers: WORKERS });
    assert.equal(askMany(gateway, 6, { worker: 0 })["admitted"], 5);
    // the other worker's ask is decided "spent" and under way when the reset arrives
    gateway.control.delayMs = 300;
    const stream = send(gateway, { worker: 1 });
    gateway.envoy.advance(100);
    gateway.control.delayMs = 0;
    await gateway.control.resetCounter(counterId(gateway), keySubject());
    gateway.envoy.pump();
    assert.equal(settle(gateway, stream), "admitted");
    assert.equal(askMany(gateway, 8, { worker: 1 })["admitted"], 4);
  });

  test("is known to a worker that loads a whole snapshot instead of the change", async () => {
    const gateway = limitedGateway([minute(5)], { workers: WORKERS });
    assert.equal(admitted(gateway, 8), 5);
    gateway.control.alwaysSnapshot = true;
    await gateway.control.resetCounter(counterId(gateway), keySubject());
    gateway.envoy.advance(50);
    assert.equal(admitted(gateway, 8), 5);
  });

  test("in a window from first use starts that one over, and not its time", async () => {
    const gateway = limitedGateway([{ name: "minute", kind: "quota", limit: 5, period: "1h" }], { workers: WORKERS });
    assert.equal(admitted(gateway, 8), 5);
    gateway.envoy.advance(3_000_000);
    await gateway.control.resetCounter(counterId(gateway), keySubject());
    gateway.envoy.pump();
    assert.equal(admitted(gateway, 8), 5);
    gateway.envoy.advance(601_000);
    assert.equal(admitted(gateway, 8), 5);
  });
});

describe("a counter that is granted extra", () => {
  test("admits so much more in this window, and its limit in the next", async () => {
    const gateway = limitedGateway([minute(10)], { workers: WORKERS });
    assert.equal(admitted(gateway, 15), 10);
    await gateway.control.grantExtra(counterId(gateway), keySubject(), 7);
    gateway.envoy.pump();
    assert.equal(admitted(gateway, 20), 7);
    gateway.envoy.advance(60_000);
    assert.equal(admitted(gateway, 15), 10);
  });

  test("before anything was asked of it has it from the start", async () => {
    const gateway = limitedGateway([minute(10)], { workers: WORKERS });
    await gateway.control.grantExtra(counterId(gateway), keySubject(), 5);
    gateway.envoy.pump();
    assert.equal(admitted(gateway, 20), 15);
  });

  test("lets a request through that costs more than the limit alone", async () => {
    const gateway = limitedGateway([minute(4)], { workers: WORKERS, api: { routes: [{ path: "/x", cost: 6 }] } });
    assert.equal(ask(gateway), "rate_limited");
    await gateway.control.grantExtra(counterId(gateway), keySubject(), 3);
    gateway.envoy.pump();
    assert.equal(ask(gateway), "admitted");
    assert.equal(ask(gateway), "rate_limited");
  });

  test("shows what is left of it in RateLimit", async () => {
    const gateway = limitedGateway([minute(3)]);
    assert.equal(askMany(gateway, 4)["admitted"], 3);
    await gateway.control.grantExtra(counterId(gateway), keySubject(), 2);
    gateway.envoy.pump();
    const stream = send(gateway);
    assert.equal(settle(gateway, stream), "admitted");
    gateway.workers[0]!.vm.respond(stream);
    assert.match(stream.response!.headers.first("ratelimit")!, /^"minute";r=1;/);
    assert.equal(outcome(stream), "admitted");
  });
});
