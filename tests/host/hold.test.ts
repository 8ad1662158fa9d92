import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { Stream } from "./host.ts";
import {
  addRoot,
  assertSound,
  counters,
  keyNamed,
  outcome,
  pluginConfiguration,
  startGateway,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

const key = keyNamed("acme-1");
const send = (gateway: Gateway, apiKey = key): Stream => gateway.get("/x", { "x-api-key": apiKey });

/** A gateway whose control answers after `delayMs`. */
function slow(delayMs: number, more: object = {}): Gateway {
  const gateway = startGateway({ configuration: pluginConfiguration(more) });
  gateway.control.delayMs = delayMs;
  return gateway;
}

describe("a request during the first load", () => {
  test("waits, and is decided as soon as the snapshot is there", () => {
    const gateway = slow(300);
    const good = send(gateway);
    const bad = send(gateway, keyNamed("nobody"));
    const keyless = gateway.get("/public");
    gateway.envoy.advance(500);
    for (const stream of [good, bad, keyless]) assert.equal(outcome(stream), "held");
    gateway.envoy.advance(500);
    assert.equal(outcome(good), "admitted");
    assert.equal(good.resumed, true);
    assert.equal(good.headers.first("x-tollgate-consumer"), "acme");
    assert.equal(good.headers.has("x-api-key"), false);
    assert.equal(outcome(bad), "unknown_key");
    assert.equal(outcome(keyless), "admitted");
  });

  test("makes its host calls in its own name, in order, whoever is called back", () => {
    const gateway = slow(300);
    const stream = send(gateway);
    gateway.envoy.until(() => stream.state !== "held");
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

  test("waits at most snapshotWaitTimeoutMs, then is refused", () => {
    const gateway = slow(60_000, { snapshotWaitTimeoutMs: 700 });
    const stream = send(gateway);
    gateway.envoy.advance(690);
    assert.equal(outcome(stream), "held");
    gateway.envoy.advance(110);
    assert.equal(outcome(stream), "not_ready");
    assert.equal(stream.response?.status, 503);
    assert.equal(stream.response.headers.first("retry-after"), "1");
    assert.equal(stream.headers.has("x-api-key"), false);
  });

  test("or is let through, marked, where the plugin fails open", () => {
    const gateway = slow(60_000, { snapshotWaitTimeoutMs: 700, failureMode: "open" });
    const stream = gateway.get("/x", { "x-api-key": key, "x-tollgate-tier": "forged" });
    gateway.envoy.advance(800);
    assert.equal(outcome(stream), "admitted");
    assert.deepEqual(
      stream.headers.pairs.filter(([name]) => name.startsWith("x-")),
      [["x-tollgate-unchecked", "not_ready"]],
    );
    assert.equal(counters(gateway)["unchecked"], 1);
  });

  test("doesn't wait once the time for the first load is over", () => {
    const gateway = slow(60_000, { snapshotWaitTimeoutMs: 700 });
    send(gateway);
    gateway.envoy.advance(1500);
    assert.equal(outcome(send(gateway)), "not_ready");
  });

  test("doesn't wait with snapshotWaitTimeoutMs 0", () => {
    assert.equal(outcome(send(slow(100, { snapshotWaitTimeoutMs: 0 }))), "not_ready");
  });

  test("waits in bounded company", () => {
    const gateway = slow(300, { maxSnapshotWaiters: 10 });
    const streams = Array.from({ length: 15 }, () => send(gateway));
    assert.deepEqual(streams.map(outcome), [...Array<string>(10).fill("held"), ...Array<string>(5).fill("not_ready")]);
    gateway.envoy.advance(1000);
    assert.deepEqual(streams.slice(0, 10).map(outcome), Array<string>(10).fill("admitted"));
    const counted = counters(gateway);
    assert.equal(counted["held"], 10);
    assert.equal(counted["refused.not_ready"], 5);
  });

  test("and thousands of others are all decided", () => {
    const gateway = slow(300, { maxSnapshotWaiters: 5000 });
    gateway.envoy.recording = false;
    const streams = Array.from({ length: 5000 }, (_, i) => send(gateway, i % 2 === 0 ? key : "nonsense"));
    gateway.envoy.advance(2000);
    assert.deepEqual(new Set(streams.filter((_, i) => i % 2 === 0).map(outcome)), new Set(["admitted"]));
    assert.deepEqual(new Set(streams.filter((_, i) => i % 2 === 1).map(outcome)), new Set(["unknown_key"]));
  });

  test("that goes away while it waits is forgotten, and the others aren't disturbed", () => {
    const gateway = slow(300, { maxSnapshotWaiters: 3 });
    const { vm } = gateway.workers[0]!;
    const [first, gone, last] = [send(gateway), send(gateway), send(gateway)];
    vm.end(gone!);
    const calls = gone!.calls.length;
    gateway.envoy.advance(1000);
    assert.equal(outcome(first!), "admitted");
    assert.equal(outcome(last!), "admitted");
    assert.equal(gone!.calls.length, calls);
    assert.equal(gone!.state, "held");
    // its place is free again
    assert.equal(outcome(send(gateway)), "admitted");
  });

  test("with trailers sees them cleaned after it went on", () => {
    const gateway = slow(300);
    const stream = gateway.get("/x", { "x-api-key": key }, { trailers: { "x-tollgate-tier": "forged", fine: "1" } });
    gateway.envoy.advance(1000);
    assert.equal(outcome(stream), "admitted");
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
    assert.equal(root.destroyed, true);
    gateway.envoy.advance(1000);
    assert.equal(outcome(send(gateway)), "admitted");
  });

  test("whose VM is killed stays with Envoy, and the successor serves", () => {
    const gateway = slow(300);
    send(gateway);
    gateway.workers[0]!.vm.kill();
    gateway.envoy.advance(1000);
    assert.equal(gateway.envoy.traps.length, 0);
  });
});

describe("after the hold", () => {
  test("tens of thousands of streams later a held one's slot confuses nobody", () => {
    const gateway = slow(1500, { snapshotWaitTimeoutMs: 5000, maxSnapshotWaiters: 100 });
    gateway.envoy.recording = false;
    const { vm } = gateway.workers[0]!;
    const held = Array.from({ length: 100 }, () => send(gateway));
    for (let i = 0; i < 20_000; i++) vm.end(send(gateway));
    gateway.envoy.advance(4000);
    assert.deepEqual(new Set(held.map(outcome)), new Set(["admitted"]));
  });
});
