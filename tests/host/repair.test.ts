import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { assertSound, keyNamed, outcome, readyGateway, type Gateway } from "./support.ts";

afterEach(assertSound);

const ask = (gateway: Gateway) => outcome(gateway.get("/x", { "x-api-key": keyNamed("acme-1") }));

/** The name in shared data that ends so. */
function nameOf(gateway: Gateway, end: string): string {
  const name = gateway.envoy.sharedData.keys("").find((one) => one.endsWith(end));
  assert.notEqual(name, undefined, `no ${end}`);
  return name!;
}

function spoil(gateway: Gateway, end: string, change: (value: Buffer) => Buffer): void {
  const name = nameOf(gateway, end);
  gateway.envoy.sharedData.set("", name, change(Buffer.from(gateway.envoy.sharedData.get("", name)!.value)), 0);
}

describe("what others write into shared data", () => {
  test("a spoiled head is written again, and changes go on arriving", () => {
    const gateway = readyGateway();
    gateway.envoy.advance(100);
    spoil(gateway, "/head", (value) => ((value[0]! ^= 1), value));
    gateway.control.change((spec) => void spec.keys.splice(0));
    gateway.envoy.until(() => ask(gateway) === "unknown_key", 5_000);
  });

  test("a log that was cut off makes a new snapshot", () => {
    const gateway = readyGateway();
    gateway.control.change((spec) => void (spec.consumers[0]!.name = "renamed"));
    gateway.envoy.advance(500);
    spoil(gateway, "l1/0", () => Buffer.alloc(0));
    gateway.control.change((spec) => void spec.keys.splice(0));
    gateway.envoy.until(() => ask(gateway) === "unknown_key", 30_000);
  });
});
