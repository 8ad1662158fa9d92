import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import { compileSnapshot } from "../../control/sync/compile.ts";
import {
  assertSound,
  basicSpec,
  counters,
  keyNamed,
  keyRecord,
  outcome,
  startGateway,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

const key = keyNamed("acme-1");
/** between two reloads of a configuration */
const PAUSE_MS = 500_000;

function compiled(spec: FileInput = basicSpec()): Buffer {
  return compileSnapshot(fillEnvironment(spec, "default"));
}

function standalone(snapshot: Buffer, more: object = {}): Record<string, unknown> {
  return { environment: "default", snapshot: snapshot.toString("base64"), ...more };
}

function gatewayOf(configuration: Record<string, unknown>): Gateway {
  return startGateway({ configuration });
}

describe("a snapshot in the configuration", () => {
  test("serves from the first request on, without a call and without a hold", () => {
    const gateway = gatewayOf(standalone(compiled()));
    assert.equal(outcome(gateway.get("/x", { "x-api-key": key })), "admitted");
    assert.equal(outcome(gateway.get("/x", { "x-api-key": keyNamed("nobody") })), "unknown_key");
    assert.equal(outcome(gateway.get("/public")), "admitted");
    gateway.envoy.advance(100_000);
    assert.equal(gateway.control.requests.length, 0);
    assert.equal(counters(gateway)["admitted"], 1);
  });

  test("never becomes too old", () => {
    const gateway = gatewayOf(standalone(compiled(), { maxSnapshotAgeSeconds: 1 }));
    gateway.envoy.advance(10_000);
    assert.equal(outcome(gateway.get("/x", { "x-api-key": key })), "admitted");
  });

  test("needs no token", () => {
    const gateway = startGateway({ configuration: standalone(compiled()), envoy: { vm: { environment: {} } } });
    assert.equal(outcome(gateway.get("/x", { "x-api-key": key })), "admitted");
  });

  test("of the greatest size works", () => {
    const spec = { ...basicSpec(), keys: Array.from({ length: 3000 }, (_, i) => keyRecord(`key-${i}`, "acme")) };
    const snapshot = compiled(spec);
    assert.ok(snapshot.length > 90 * 1024, `only ${snapshot.length} bytes`);
    const gateway = gatewayOf(standalone(snapshot));
    for (const i of [0, 1500, 2999])
      assert.equal(outcome(gateway.get("/x", { "x-api-key": keyNamed(`key-${i}`) })), "admitted");
  });

  test("replaced many times leaves memory as it is", () => {
    const gateway = gatewayOf(standalone(compiled()));
    gateway.envoy.recording = false;
    const { vm } = gateway.workers[0]!;
    const replace = (times: number): void => {
      for (let i = 0; i < times; i++) {
        const worker = gateway.workers[0]!;
        const old = worker.root;
        worker.root = vm.newRoot(standalone(compiled(), { snapshotWaitTimeoutMs: i }), {
          pluginName: "tollgate",
          rootId: "tollgate",
        });
        vm.closeRoot(old);
        gateway.envoy.advance(PAUSE_MS);
      }
    };
    replace(20);
    const memory = vm.memoryBytes;
    replace(60);
    assert.equal(vm.memoryBytes, memory);
    assert.equal(outcome(gateway.get("/x", { "x-api-key": key })), "admitted");
  });
});

describe("a configuration is refused", () => {
  const whole = compiled();
  const cases: [name: string, configuration: Record<string, unknown>, says: RegExp][] = [
    ["with a snapshot that is no base64", { environment: "default", snapshot: "%%%" }, /snapshot: not base64/],
    ["with an empty snapshot", standalone(Buffer.alloc(0)), /snapshot/],
    ["with a snapshot that is cut", standalone(whole.subarray(0, whole.length - 1)), /snapshot/],
    ["with a snapshot without its pages", standalone(whole.subarray(0, 88)), /snapshot/],
    [
      "with a newer snapshot",
      standalone(
        (() => {
          const newer = Buffer.from(whole);
          newer[4] = 9;
          return newer;
        })(),
      ),
      /snapshot/,
    ],
    [
      "with snapshot and control",
      { ...standalone(whole), control: { cluster: "c", authority: "a" } },
      /snapshot: not together/,
    ],
    ["without an environment", { snapshot: whole.toString("base64") }, /environment/],
    ["with a field that is misspelt", standalone(whole, { keySource: [] }), /keySource/],
    ["with a wrong type", standalone(whole, { snapshotWaitTimeoutMs: "2000" }), /snapshotWaitTimeoutMs/],
    ["with a value out of range", standalone(whole, { snapshotWaitTimeoutMs: 60_001 }), /snapshotWaitTimeoutMs/],
    ["with an unknown choice", standalone(whole, { mode: "dry-run" }), /mode/],
    ["with no key source", standalone(whole, { keySources: [] }), /keySources/],
  ];
  for (const [name, configuration, says] of cases) {
    test(name, () => {
      const gateway = gatewayOf(standalone(whole));
      assert.equal(gateway.envoy.accepts(configuration), false);
      assert.match(gateway.envoy.logTail(), says);
    });
  }

  test("when it is no JSON, with the place", () => {
    const gateway = gatewayOf(standalone(whole));
    assert.equal(gateway.envoy.accepts('{"environment": "default",\n  "mode": }'), false);
    assert.match(gateway.envoy.logTail(), /line 2/);
  });
});
