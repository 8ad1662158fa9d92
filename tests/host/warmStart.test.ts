import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { FileInput } from "../../control/domain/schema.ts";
import {
  addRoot,
  assertSound,
  basicSpec,
  keyNamed,
  keyRecord,
  outcome,
  pluginConfiguration,
  readyGateway,
  startWorker,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

const key = keyNamed("acme-1");
const ask = (gateway: Gateway, worker = 0): string => outcome(gateway.get("/x", { "x-api-key": key }, { worker }));

/** Replaces the configuration in every VM, as Envoy does: the new one is configured, then the old one is dropped. */
function reload(gateway: Gateway, configuration: Record<string, unknown>): void {
  assert.equal(gateway.envoy.accepts(configuration, { pluginName: "tollgate", rootId: "tollgate" }), true);
  for (const worker of [gateway.main, ...gateway.workers]) {
    const old = worker.root;
    worker.root = addRoot(worker.vm, configuration);
    worker.vm.closeRoot(old);
  }
  gateway.configuration = configuration;
}

describe("a reload of the configuration", () => {
  test("with the same control starts warm: the next request is decided at once, nothing is fetched", () => {
    const gateway = readyGateway({ workers: 2 });
    gateway.envoy.advance(1000);
    const pages = gateway.control.of("page").length;
    reload(gateway, pluginConfiguration({ claims: { prefix: "x-caller-" } }));
    for (const worker of [0, 1]) {
      const stream = gateway.get("/x", { "x-api-key": key }, { worker });
      assert.equal(outcome(stream), "admitted");
      assert.equal(stream.headers.first("x-caller-consumer"), "acme");
    }
    gateway.envoy.advance(60_000);
    assert.equal(gateway.control.of("page").length, pages);
    assert.equal(gateway.control.waiting.length, 1);
  });

  test("goes on hearing of changes", () => {
    const gateway = readyGateway({ workers: 2 });
    gateway.envoy.advance(1000);
    reload(gateway, pluginConfiguration({ unknownApi: "allow" }));
    gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
    gateway.envoy.until(() => ask(gateway, 0) === "key_revoked" && ask(gateway, 1) === "key_revoked", 5000);
    gateway.envoy.advance(30_000);
    gateway.control.change((spec) => void (spec.keys[0]!.state = "active"));
    gateway.envoy.until(() => ask(gateway) === "admitted", 1000);
  });

  test("in new VMs (new code) is warm from shared data, without control", () => {
    const gateway = readyGateway({ workers: 2 });
    gateway.envoy.advance(1000);
    gateway.control.failure = "unavailable";
    gateway.control.dropWaiting();
    const old = [gateway.main, ...gateway.workers];
    gateway.main = startWorker(gateway.envoy, gateway.configuration);
    gateway.workers = [
      startWorker(gateway.envoy, gateway.configuration),
      startWorker(gateway.envoy, gateway.configuration),
    ];
    for (const { vm } of old) vm.kill();
    const stream = gateway.get("/x", { "x-api-key": key });
    gateway.envoy.until(() => stream.state !== "held", 2000);
    assert.equal(outcome(stream), "admitted");
  });

  test("of a refused configuration changes nothing", () => {
    const gateway = readyGateway();
    assert.equal(gateway.envoy.accepts({ environment: "default" }), false);
    assert.match(gateway.envoy.logTail(), /configuration refused/);
    gateway.envoy.advance(1000);
    assert.equal(ask(gateway), "admitted");
  });

  test("hundreds of times leaves memory and shared data as they are", () => {
    const gateway = readyGateway({ workers: 1 });
    gateway.envoy.recording = false;
    const reloads = (times: number): void => {
      for (let i = 0; i < times; i++) {
        reload(gateway, pluginConfiguration({ snapshotWaitTimeoutMs: 1000 + (i % 50) }));
        gateway.envoy.advance(2000);
      }
    };
    reloads(60);
    const memory = gateway.workers[0]!.vm.memoryBytes;
    const names = gateway.envoy.sharedData.keys("").length;
    reloads(200);
    assert.equal(gateway.workers[0]!.vm.memoryBytes, memory);
    assert.ok(
      gateway.envoy.sharedData.keys("").length <= names + 2,
      `${names} names became ${gateway.envoy.sharedData.keys("").length}`,
    );
    assert.equal(ask(gateway), "admitted");
    assert.equal(gateway.control.waiting.length, 1);
  });

  test("to another environment forgets the old one's keys", () => {
    const gateway = readyGateway({ workers: 1 });
    gateway.envoy.advance(1000);
    reload(gateway, pluginConfiguration({ environment: "staging", snapshotWaitTimeoutMs: 500 }));
    const stream = gateway.get("/x", { "x-api-key": key });
    gateway.envoy.advance(1000);
    assert.equal(outcome(stream), "not_ready");
  });
});

describe("what lies in shared data", () => {
  function warm(): Gateway {
    const spec: FileInput = {
      ...basicSpec(),
      keys: Array.from({ length: 60 }, (_, i) => keyRecord(i === 0 ? "acme-1" : `key-${i}`, "acme")),
    };
    const gateway = readyGateway({ spec, control: { recordsPerPage: 20 } });
    gateway.control.change((now) => void now.keys.pop());
    gateway.envoy.advance(1000);
    return gateway;
  }

  /** Starts new VMs over the shared data of a gateway whose control is away; the outcome of a good and of an unknown key. */
  function restart(gateway: Gateway): { good: string; bad: string } {
    gateway.control.failure = "reset";
    gateway.control.dropWaiting();
    for (const { vm } of [gateway.main, ...gateway.workers]) vm.kill();
    gateway.main = startWorker(gateway.envoy, gateway.configuration);
    gateway.workers = [startWorker(gateway.envoy, gateway.configuration)];
    const good = gateway.get("/x", { "x-api-key": key });
    const bad = gateway.get("/x", { "x-api-key": keyNamed("nobody") });
    gateway.envoy.advance(5000);
    return { good: outcome(good), bad: outcome(bad) };
  }

  test("whole is believed", () => {
    assert.deepEqual(restart(warm()), { good: "admitted", bad: "unknown_key" });
  });

  test("and changed in any name's first, middle or last byte is not, or makes no difference", () => {
    const names = warm().envoy.sharedData.keys("");
    for (const name of names) {
      for (const where of [0, 0.5, 1]) {
        const gateway = warm();
        const value = Buffer.from(gateway.envoy.sharedData.get("", name)!.value);
        if (value.length === 0) continue;
        value[Math.min(value.length - 1, Math.floor(where * value.length))]! ^= 0x40;
        gateway.envoy.sharedData.set("", name, value, 0);
        const { good, bad } = restart(gateway);
        assert.match(good, /^(admitted|not_ready)$/, `${name} at ${where}`);
        assert.match(bad, /^(unknown_key|not_ready)$/, `${name} at ${where}`);
      }
    }
  });

  test("cut short or emptied is not believed", () => {
    const names = warm().envoy.sharedData.keys("");
    for (const name of names) {
      for (const length of [0, 1, 7]) {
        const gateway = warm();
        const { value } = gateway.envoy.sharedData.get("", name)!;
        gateway.envoy.sharedData.set("", name, value.subarray(0, Math.min(length, value.length)), 0);
        const { good, bad } = restart(gateway);
        assert.match(good, /^(admitted|not_ready)$/, `${name} cut to ${length}`);
        assert.match(bad, /^(unknown_key|not_ready)$/, `${name} cut to ${length}`);
      }
    }
  });
});
