import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { RootContext, Stream } from "./host.ts";
import { SimulatedControl } from "./simulatedControl.ts";
import {
  addRoot,
  assertSound,
  basicSpec,
  counters,
  keyNamed,
  keyRecord,
  outcome,
  pluginConfiguration,
  readyGateway,
  requestHeaders,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

const key = keyNamed("acme-1");

function get(gateway: Gateway, root: RootContext, apiKey: string, worker = 0): Stream {
  return gateway.workers[worker]!.vm.request(root, { headers: requestHeaders("/x", { "x-api-key": apiKey }) });
}

/** A second control, of another environment, in the cluster `other`. */
function otherControl(gateway: Gateway): SimulatedControl {
  const control = new SimulatedControl(
    { ...basicSpec(), environment: "staging", keys: [{ ...keyRecord("acme-1", "acme"), id: "other-1" }] },
    { token: "tgg_simulated" },
  );
  control.serve(gateway.envoy, "other");
  return control;
}

const other = pluginConfiguration({
  environment: "staging",
  control: { cluster: "other", authority: "o" },
  claims: { prefix: "x-staging-" },
  failureMode: "open",
  keySources: [{ header: "x-api-key" }],
});

describe("two plugins in one VM", () => {
  test("with different environments decide each by its own", () => {
    const gateway = readyGateway();
    otherControl(gateway);
    const { vm, root } = gateway.workers[0]!;
    const second = addRoot(vm, other, "second");
    const stagingKey = keyNamed("acme-1");
    const waiting = get(gateway, second, stagingKey);
    gateway.envoy.until(() => waiting.state !== "held");
    // a key of "default" in the environment "staging"
    assert.equal(outcome(waiting), "key_wrong_environment");
    const good = get(gateway, root, key);
    assert.equal(good.headers.first("x-tollgate-consumer"), "acme");
    assert.equal(good.headers.has("x-staging-consumer"), false);
    gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
    gateway.envoy.pump();
    assert.equal(outcome(get(gateway, root, key)), "key_revoked");
    assert.equal(counters(gateway, "staging")["refused.key_wrong_environment"], 1);
  });

  test("of one environment share one table and one watch", () => {
    const gateway = readyGateway();
    gateway.envoy.advance(1000);
    const { vm, root } = gateway.workers[0]!;
    const pages = gateway.control.of("page").length;
    const second = addRoot(vm, pluginConfiguration({ claims: { prefix: "x-second-" } }), "second");
    assert.equal(get(gateway, second, key).headers.first("x-second-consumer"), "acme");
    assert.equal(get(gateway, root, key).headers.first("x-tollgate-consumer"), "acme");
    gateway.envoy.advance(60_000);
    assert.equal(gateway.control.of("page").length, pages);
    assert.equal(gateway.control.waiting.length, 1);
    gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
    gateway.envoy.pump();
    for (const one of [root, second]) assert.equal(outcome(get(gateway, one, key)), "key_revoked");
  });

  test("when one is removed the other goes on, changes and all", () => {
    for (const removed of [0, 1]) {
      const gateway = readyGateway();
      const { vm, root } = gateway.workers[0]!;
      const second = addRoot(vm, pluginConfiguration({ claims: { prefix: "x-second-" } }), "second");
      gateway.envoy.advance(1000);
      const [gone, stays] = removed === 0 ? [root, second] : [second, root];
      vm.closeRoot(gone);
      gateway.main.vm.kill();
      gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
      gateway.envoy.until(() => outcome(get(gateway, stays, key)) === "key_revoked", 10_000);
      gateway.envoy.advance(70_000);
      gateway.control.change((spec) => void (spec.keys[0]!.state = "active"));
      gateway.envoy.until(() => outcome(get(gateway, stays, key)) === "admitted", 10_000);
    }
  });

  test("an empty one beside a full one", () => {
    const gateway = readyGateway();
    const { vm, root } = gateway.workers[0]!;
    const empty = addRoot(vm, {}, "empty");
    assert.equal(outcome(get(gateway, empty, key)), "not_configured");
    assert.equal(outcome(get(gateway, root, key)), "admitted");
  });
});

describe("an old configuration that a WebSocket keeps alive", () => {
  test("watches no more, doesn't disturb the new one, and its trailers are still cleaned", () => {
    const gateway = readyGateway();
    gateway.envoy.advance(1000);
    const staging = otherControl(gateway);
    const worker = gateway.workers[0]!;
    const socket = gateway.get(
      "/x",
      { "x-api-key": key, connection: "upgrade", upgrade: "websocket" },
      { endOfStream: false },
    );
    assert.equal(outcome(socket), "admitted");
    const old = worker.root;
    worker.root = addRoot(worker.vm, other);
    worker.vm.closeRoot(old);
    const oldMain = gateway.main.root;
    gateway.main.root = addRoot(gateway.main.vm, other);
    gateway.main.vm.closeRoot(oldMain);
    assert.equal(old.destroyed, false);
    gateway.envoy.advance(40_000);
    const asked = gateway.control.requests.length;
    gateway.envoy.advance(120_000);
    assert.equal(gateway.control.requests.length, asked, "the old configuration still calls its control");
    assert.equal(staging.waiting.length, 1);
    gateway.envoy.until(() => outcome(get(gateway, worker.root, key)) === "key_wrong_environment", 1000);
    worker.vm.trailers(socket, { "x-tollgate-tier": "forged", fine: "1" });
    assert.deepEqual(socket.trailers?.toObject(), { fine: "1" });
    worker.vm.end(socket);
    assert.equal(old.destroyed, true);
    gateway.envoy.advance(120_000);
    assert.equal(staging.waiting.length, 1);
  });

  test("and the same control serves both from one table; when the old goes nothing is lost", () => {
    const gateway = readyGateway();
    const worker = gateway.workers[0]!;
    const socket = gateway.get("/x", { "x-api-key": key });
    const old = worker.root;
    worker.root = addRoot(worker.vm, pluginConfiguration({ claims: { prefix: "x-new-" } }));
    worker.vm.closeRoot(old);
    gateway.envoy.advance(5000);
    assert.equal(get(gateway, worker.root, key).headers.first("x-new-consumer"), "acme");
    worker.vm.end(socket);
    gateway.envoy.advance(100_000);
    gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
    gateway.envoy.until(() => outcome(get(gateway, worker.root, key)) === "key_revoked", 5000);
  });
});
