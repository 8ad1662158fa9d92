/** Requests that find nothing in their worker: held for the call under way, for a bounded time, in a bounded number. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { ApiInput } from "../../control/domain/schema.ts";
import type { Stream } from "./host.ts";
import { ask, askMany, calls, limitedGateway, limitedSpec, minute, send, settle, tally } from "./limitsSupport.ts";
import {
  addRoot,
  assertSound,
  counters,
  keyNamed,
  keyRecord,
  outcome,
  pluginConfiguration,
  readyGateway,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

function slow(
  delayMs: number,
  options: { limit?: number; configuration?: object; api?: Partial<ApiInput>; workers?: number } = {},
): Gateway {
  const gateway = limitedGateway([minute(options.limit ?? 100)], {
    configuration: pluginConfiguration(options.configuration ?? {}),
    ...(options.api === undefined ? {} : { api: options.api }),
    ...(options.workers === undefined ? {} : { workers: options.workers }),
  });
  gateway.control.delayMs = delayMs;
  // the first load held the first request
  gateway.envoy.advance(500);
  gateway.envoy.stats.counters.set("tollgate.default.held", 0n);
  return gateway;
}

const many = (gateway: Gateway, count: number, worker = 0): Stream[] =>
  Array.from({ length: count }, () => send(gateway, { worker }));

describe("a request that finds its worker dry", () => {
  test("waits for the call under way and goes on with its answer", () => {
    const gateway = slow(300);
    const stream = send(gateway);
    gateway.envoy.advance(299);
    assert.equal(outcome(stream), "held");
    gateway.envoy.advance(1);
    assert.equal(outcome(stream), "admitted");
    assert.equal(stream.resumed, true);
    assert.equal(stream.headers.first("x-tollgate-consumer"), "acme");
    assert.equal(stream.headers.has("x-api-key"), false);
    assert.equal(counters(gateway)["held"], 1);
  });

  test("shares the call with all that wait for the same counter", () => {
    const gateway = slow(300);
    const fromMs = gateway.envoy.nowMs;
    const first = many(gateway, 1);
    gateway.envoy.advance(10);
    const others = many(gateway, 40);
    gateway.envoy.advance(290);
    assert.equal(outcome(first[0]!), "admitted");
    // what came after the call is asked for in one more
    gateway.envoy.advance(300);
    assert.deepEqual(tally(others.map(outcome)), { admitted: 40 });
    assert.equal(gateway.control.of("leases").filter(({ atMs }) => atMs < fromMs + 600).length, 2);
  });

  test("shares it with those of other counters too", () => {
    const spec = limitedSpec([minute(100)]);
    spec.keys = Array.from({ length: 50 }, (_, i) => keyRecord(`key-${i}`, "acme"));
    const gateway = readyGateway({ spec });
    gateway.control.delayMs = 100;
    const streams = spec.keys.map(({ id }) => send(gateway, { key: id }));
    gateway.envoy.advance(250);
    assert.deepEqual(tally(streams.map(outcome)), { admitted: 50 });
    assert.ok(calls(gateway, "leases") <= 2, `${calls(gateway, "leases")} calls`);
  });

  test("is refused with 429 when the answer is that nothing is left", () => {
    const gateway = slow(300, { limit: 2 });
    const streams = many(gateway, 5);
    gateway.envoy.advance(900);
    assert.deepEqual(tally(streams.map(outcome)), { admitted: 2, rate_limited: 3 });
    for (const { response } of streams.filter((stream) => outcome(stream) === "rate_limited"))
      assert.equal(response!.status, 429);
  });

  test("is refused at once, with no call, while its counter is known to be spent", () => {
    const gateway = slow(50, { limit: 2 });
    assert.deepEqual(askMany(gateway, 3), { admitted: 2, rate_limited: 1 });
    const before = calls(gateway, "leases");
    for (let i = 0; i < 500; i++) {
      assert.equal(outcome(send(gateway)), "rate_limited");
      gateway.envoy.advance(100);
    }
    assert.equal(calls(gateway, "leases"), before);
  });

  test("makes its host calls in its own name, in order", () => {
    const gateway = slow(300);
    const stream = send(gateway);
    settle(gateway, stream);
    const resumed = stream.calls.slice(stream.calls.lastIndexOf("get_header_map_pairs"));
    assert.deepEqual(resumed, [
      "get_header_map_pairs",
      "remove_header x-api-key",
      "add_header x-tollgate-consumer: acme",
      "add_header x-tollgate-tier: bronze",
      "add_header x-tollgate-key-id: acme-1",
      "add_header x-tollgate-scopes: read",
      "add_header x-tollgate-claim-org: acme-corp",
      "continue_stream",
    ]);
  });

  test("makes no host call but those of an admission when allowance is there", () => {
    const gateway = slow(0);
    settle(gateway, send(gateway));
    const stream = send(gateway);
    assert.equal(outcome(stream), "admitted");
    assert.deepEqual(stream.calls, [
      "get_header_map_pairs",
      "remove_header x-api-key",
      "add_header x-tollgate-consumer: acme",
      "add_header x-tollgate-tier: bronze",
      "add_header x-tollgate-key-id: acme-1",
      "add_header x-tollgate-scopes: read",
      "add_header x-tollgate-claim-org: acme-corp",
    ]);
  });

  test("that goes away while it waits is forgotten, takes nothing and disturbs nobody", () => {
    const gateway = slow(300, { limit: 3 });
    const [first, gone, last] = many(gateway, 3);
    gateway.workers[0]!.vm.end(gone!);
    const made = gone!.calls.length;
    gateway.envoy.advance(1000);
    assert.equal(outcome(first!), "admitted");
    assert.equal(outcome(last!), "admitted");
    assert.equal(gone!.calls.length, made);
    gateway.control.delayMs = 0;
    assert.deepEqual(askMany(gateway, 3), { admitted: 1, rate_limited: 2 });
  });

  test("with trailers sees them cleaned after it went on", () => {
    const gateway = slow(300);
    const stream = send(gateway, { request: { trailers: { "x-tollgate-tier": "forged", fine: "1" } } });
    settle(gateway, stream);
    assert.deepEqual(stream.trailers?.toObject(), { fine: "1" });
  });

  test("is decided by its own configuration, though that was replaced meanwhile", () => {
    const gateway = slow(600);
    const { vm, root } = gateway.workers[0]!;
    const stream = send(gateway);
    gateway.envoy.advance(100);
    const successor = addRoot(vm, pluginConfiguration({ claims: { prefix: "x-new-" } }));
    vm.closeRoot(root);
    gateway.workers[0]!.root = successor;
    const later = send(gateway);
    gateway.envoy.advance(1900);
    assert.equal(outcome(stream), "admitted");
    assert.equal(stream.headers.first("x-tollgate-consumer"), "acme");
    assert.equal(later.headers.first("x-new-consumer"), "acme");
    vm.end(stream);
    gateway.envoy.advance(3000);
    assert.equal(root.destroyed, true);
    assert.equal(ask(gateway), "admitted");
  });

  test("loses its key while it waits: it's refused for that", () => {
    const gateway = slow(0);
    gateway.control.fault = ({ kind }) => (kind === "leases" ? { at: "answer", how: "silent" } : undefined);
    const stream = send(gateway);
    gateway.envoy.advance(100);
    gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
    gateway.control.fault = undefined;
    assert.equal(settle(gateway, stream), "key_revoked");
  });

  test("loses its limits while it waits: it goes on", () => {
    const gateway = slow(0);
    gateway.control.fault = ({ kind }) => (kind === "leases" ? { at: "answer", how: "silent" } : undefined);
    const stream = send(gateway);
    gateway.envoy.advance(100);
    gateway.control.change((spec) => void (spec.tiers[0]!.limits = []));
    gateway.control.fault = undefined;
    assert.equal(settle(gateway, stream), "admitted");
  });
});

describe("whoever waited too long", () => {
  const silent = (gateway: Gateway): void =>
    void (gateway.control.fault = ({ kind }) => (kind === "leases" ? { at: "request", how: "silent" } : undefined));

  test("gets 503 with Retry-After and the reason, never a 429, when the API is closed", () => {
    const gateway = slow(0);
    silent(gateway);
    const stream = send(gateway);
    gateway.envoy.advance(900);
    assert.equal(outcome(stream), "held");
    gateway.envoy.advance(200);
    assert.equal(outcome(stream), "limit_unavailable");
    assert.equal(stream.response!.status, 503);
    assert.equal(stream.response!.headers.first("retry-after"), "1");
    assert.equal(stream.localResponse!.details, "tollgate_limit_unavailable");
    assert.deepEqual(JSON.parse(stream.response!.body), {
      type: "https://tollgate.dev/reasons/limit_unavailable",
      title: "Rate limit service unavailable",
      status: 503,
      reason: "limit_unavailable",
    });
    assert.equal(stream.headers.has("x-api-key"), false);
  });

  test("is admitted, counted and marked when it's open", () => {
    const gateway = slow(0, { api: { failureMode: "open" } });
    silent(gateway);
    const stream = send(gateway);
    assert.equal(settle(gateway, stream), "admitted");
    assert.ok(stream.decidedAtMs! - stream.cameAtMs >= 900);
    assert.equal(stream.headers.first("x-tollgate-unchecked"), "limit_unavailable");
    assert.equal(stream.headers.first("x-tollgate-consumer"), "acme");
    gateway.control.fault = undefined;
    gateway.envoy.advance(5000);
    assert.equal(counters(gateway)["overshoot"], 1);
    const totals = gateway.control.counters.totals();
    assert.deepEqual([totals[0], totals[2]], [1, 1]);
  });

  test("waits as long as limitWaitTimeoutMs says", () => {
    for (const limitWaitTimeoutMs of [50, 2500]) {
      const gateway = slow(0, { configuration: { limitWaitTimeoutMs } });
      silent(gateway);
      const stream = send(gateway);
      settle(gateway, stream);
      const heldMs = stream.decidedAtMs! - stream.cameAtMs;
      assert.ok(heldMs >= limitWaitTimeoutMs && heldMs <= limitWaitTimeoutMs + 11, `${heldMs} ms`);
      assert.equal(outcome(stream), "limit_unavailable");
    }
  });

  test("doesn't wait at all with limitWaitTimeoutMs 0, and what was asked for serves the next", () => {
    const gateway = slow(0, { configuration: { limitWaitTimeoutMs: 0 } });
    assert.equal(outcome(send(gateway)), "limit_unavailable");
    gateway.envoy.pump();
    assert.equal(outcome(send(gateway)), "admitted");
  });

  test("is followed by others that don't wait any more, until control is back", () => {
    const gateway = slow(0);
    silent(gateway);
    settle(gateway, send(gateway));
    gateway.envoy.advance(1500);
    const streams = many(gateway, 20);
    assert.deepEqual(tally(streams.map(outcome)), { limit_unavailable: 20 });
    gateway.control.fault = undefined;
    gateway.envoy.until(() => ask(gateway) === "admitted", 5000);
  });

  test("didn't spend what came later: the allowance is there for the next", () => {
    const gateway = slow(1500, { limit: 3 });
    gateway.envoy.advance(300);
    const streams = many(gateway, 3);
    gateway.envoy.advance(1300);
    assert.deepEqual(tally(streams.map(outcome)), { limit_unavailable: 3 });
    gateway.control.delayMs = 0;
    gateway.envoy.advance(5000);
    assert.deepEqual(askMany(gateway, 5), { admitted: 3, rate_limited: 2 });
  });
});

describe("of very many at once", () => {
  test("so many wait as the configuration allows, and the others get the failure rule at once", () => {
    const gateway = slow(300, { configuration: { maxLimitWaiters: 10 } });
    const streams = many(gateway, 25);
    assert.deepEqual(tally(streams.map(outcome)), { held: 10, limit_unavailable: 15 });
    gateway.envoy.advance(900);
    assert.deepEqual(tally(streams.map(outcome)), { admitted: 10, limit_unavailable: 15 });
    const counted = counters(gateway);
    assert.equal(counted["held"], 10);
    assert.equal(counted["refused.limit_unavailable"], 15);
    // their places are free again
    gateway.control.delayMs = 0;
    assert.equal(ask(gateway), "admitted");
  });

  test("thousands that wait are all decided, in the order in which they came", () => {
    const gateway = slow(20, { limit: 3000, configuration: { maxLimitWaiters: 8192 } });
    gateway.envoy.recording = false;
    const streams = many(gateway, 5000);
    gateway.envoy.until(() => streams.every(({ state }) => state !== "held"), 1200);
    const outcomes = streams.map(outcome);
    assert.deepEqual(tally(outcomes), { admitted: 3000, rate_limited: 2000 });
    assert.equal(outcomes.lastIndexOf("admitted"), 2999);
  });

  test("those of one worker wait without the others", () => {
    const gateway = slow(300, { workers: 2, configuration: { maxLimitWaiters: 5 } });
    assert.deepEqual(tally(many(gateway, 8, 0).map(outcome)), { held: 5, limit_unavailable: 3 });
    assert.deepEqual(tally(many(gateway, 8, 1).map(outcome)), { held: 5, limit_unavailable: 3 });
  });

  test("tens of thousands of streams later a held one's slot confuses nobody", () => {
    const gateway = slow(900);
    gateway.envoy.recording = false;
    const { vm } = gateway.workers[0]!;
    const held = many(gateway, 20);
    for (let i = 0; i < 20_000; i++) vm.end(gateway.get("/x", { "x-api-key": keyNamed("nobody") }));
    gateway.envoy.advance(2000);
    assert.deepEqual(tally(held.map(outcome)), { admitted: 20 });
  });
});
