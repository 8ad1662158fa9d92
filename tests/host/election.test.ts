import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { FileInput } from "../../control/domain/schema.ts";
import {
  assertSound,
  basicSpec,
  keyNamed,
  keyRecord,
  outcome,
  readyGateway,
  startGateway,
  startWorker,
  type Gateway,
  type Worker,
} from "./support.ts";

afterEach(assertSound);

const ask = (gateway: Gateway, worker = 0, id = "acme-1"): string =>
  outcome(gateway.get("/x", { "x-api-key": keyNamed(id) }, { worker }));

function manyKeys(count: number): FileInput {
  return { ...basicSpec(), keys: Array.from({ length: count }, (_, i) => keyRecord(`key-${i}`, "acme")) };
}

/** Every VM that followed control since a moment, by its http calls. Leases and usage are each worker's own. */
function callers(gateway: Gateway): Worker[] {
  return [gateway.main, ...gateway.workers].filter(({ root }) =>
    root.calls.some((call) => /^http_call control GET \/sync\/v1\/(watch|pages|report)/.test(call)),
  );
}

function forget(gateway: Gateway): void {
  for (const { root } of [gateway.main, ...gateway.workers]) root.trace.length = 0;
}

function leader(gateway: Gateway): Worker {
  forget(gateway);
  gateway.envoy.until(() => callers(gateway).length > 0, 40_000, 100);
  return callers(gateway)[0]!;
}

describe("one VM of an Envoy", () => {
  test("watches, whichever it is; the others don't call", () => {
    const gateway = readyGateway({ workers: 4 });
    gateway.envoy.advance(120_000);
    assert.equal(callers(gateway).length, 1);
    assert.equal(gateway.control.waiting.length, 1);
  });

  test("is followed by another when it dies, and no change is lost", () => {
    const gateway = readyGateway({ workers: 3 });
    for (let round = 0; round < 3; round++) {
      const dying = leader(gateway);
      dying.vm.kill();
      const at = gateway.workers.indexOf(dying);
      // the worker's thread starts another VM in its place
      if (at >= 0) gateway.workers[at] = startWorker(gateway.envoy, gateway.configuration, { thread: dying.vm.thread });
      gateway.control.change((spec) => void (spec.keys[0]!.state = round % 2 === 0 ? "revoked" : "active"));
      const expected = round % 2 === 0 ? "key_revoked" : "admitted";
      const started = gateway.envoy.nowMs;
      gateway.envoy.until(() => gateway.workers.every((_, worker) => ask(gateway, worker) === expected), 10_000);
      assert.ok(gateway.envoy.nowMs - started <= 5000, `it took ${gateway.envoy.nowMs - started} ms`);
    }
  });

  test("that dies with its last call under way doesn't let an old answer in", () => {
    const gateway = readyGateway({ workers: 2 });
    gateway.envoy.advance(1000);
    const dying = leader(gateway);
    gateway.control.delayMs = 500;
    gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
    gateway.envoy.advance(100);
    dying.vm.kill();
    gateway.control.delayMs = 0;
    const living = gateway.workers.findIndex(({ vm }) => vm.alive);
    gateway.envoy.until(() => ask(gateway, living) === "key_revoked", 10_000);
  });

  test("that dies in the middle of a snapshot: its successor goes on or begins anew, and it's whole", () => {
    const gateway = startGateway({ spec: manyKeys(400), control: { recordsPerPage: 20 }, workers: 2 });
    gateway.control.delayMs = 20;
    gateway.envoy.until(() => gateway.control.of("page").length >= 5);
    const dying = callers(gateway)[0]!;
    dying.vm.kill();
    const living = gateway.workers.findIndex(({ vm }) => vm.alive);
    const stream = gateway.get("/x", { "x-api-key": keyNamed("key-399") }, { worker: living });
    gateway.envoy.until(() => ask(gateway, living, "key-399") === "admitted", 10_000);
    assert.notEqual(stream.state, "held");
    for (let i = 0; i < 400; i += 37) assert.equal(ask(gateway, living, `key-${i}`), "admitted");
    assert.equal(ask(gateway, living, "key-400"), "unknown_key");
  });

  test("is found when every VM starts at once and the first is gone at once", () => {
    const gateway = startGateway({ workers: 4 });
    gateway.main.vm.kill();
    gateway.workers[0]!.vm.kill();
    gateway.envoy.until(() => ask(gateway, 1) === "admitted", 10_000);
    gateway.envoy.advance(60_000);
    assert.equal(gateway.control.waiting.length, 1);
  });

  test("that the host let sleep past its lease gives way to its successor", () => {
    const gateway = readyGateway({ workers: 2 });
    gateway.envoy.advance(1000);
    const first = leader(gateway);
    // its thread is stuck: no ticks, no answers
    first.vm.setTickPeriod(first.root, 0);
    gateway.envoy.advance(10_000);
    forget(gateway);
    first.vm.setTickPeriod(first.root, 200);
    gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
    gateway.envoy.advance(40_000);
    assert.equal(gateway.control.waiting.length, 1);
    for (const worker of [0, 1]) assert.equal(ask(gateway, worker), "key_revoked");
  });
});

test("the template VM, which never ticks, holds nothing up", () => {
  const gateway = startGateway();
  startWorker(gateway.envoy, gateway.configuration, { dispatches: false });
  gateway.envoy.until(() => ask(gateway) === "admitted", 2000);
});

test("VMs of other plugins under the same vm_id don't disturb, whatever they write", () => {
  const gateway = readyGateway();
  for (const name of gateway.envoy.sharedData.keys(""))
    gateway.envoy.sharedData.set("", name, Buffer.from("garbage of another plugin"), 0);
  gateway.envoy.advance(10_000);
  assert.equal(ask(gateway), "admitted");
  gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
  gateway.envoy.until(() => ask(gateway) === "key_revoked", 60_000);
});
