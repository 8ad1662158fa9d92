import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import {
  assertSound,
  basicSpec,
  counters,
  keyNamed,
  keyRecord,
  outcome,
  pluginConfiguration,
  readyGateway,
  startGateway,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

const key = keyNamed("acme-1");

function observing(more: object = {}): Gateway {
  const spec = basicSpec();
  spec.keys = [...spec.keys!, keyRecord("revoked", "acme", { state: "revoked" })];
  return readyGateway({ spec, configuration: pluginConfiguration({ mode: "observe", ...more }) });
}

describe("observe mode", () => {
  test("refuses nothing and counts what it would have refused", () => {
    const gateway = observing();
    const before = counters(gateway);
    for (const [path, headers] of [
      ["/x", {}],
      ["/x", { "x-api-key": keyNamed("revoked") }],
      ["/a/../b", {}],
      ["/x", { "x-api-key": "nonsense" }],
    ] as [string, Record<string, string>][]) {
      assert.equal(outcome(gateway.get(path, headers)), "admitted");
    }
    const after = counters(gateway);
    const grown = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0);
    assert.deepEqual(
      ["key_missing", "key_revoked", "path_invalid", "unknown_key"].map((code) => grown(`observed.${code}`)),
      [1, 1, 1, 1],
    );
    assert.deepEqual(
      Object.keys(after).filter((name) => name.startsWith("refused.")),
      [],
    );
  });

  test("sets the claims of a caller that it would admit, none of one that it wouldn't", () => {
    const gateway = observing();
    assert.equal(gateway.get("/x", { "x-api-key": key }).headers.first("x-tollgate-consumer"), "acme");
    const refused = gateway.get("/x", { "x-api-key": keyNamed("revoked"), "x-tollgate-consumer": "forged" });
    assert.deepEqual(
      refused.headers.pairs.filter(([name]) => name.startsWith("x-tollgate")),
      [],
    );
  });

  test("takes the key out unless told to forward it", () => {
    assert.equal(observing().get("/x", { "x-api-key": key }).headers.has("x-api-key"), false);
    assert.equal(
      observing()
        .get("/x", { "x-api-key": keyNamed("revoked") })
        .headers.has("x-api-key"),
      false,
    );
    const forwarding = observing({ observe: { key: "keep" } });
    assert.equal(forwarding.get("/x", { "x-api-key": key }).headers.first("x-api-key"), key);
    assert.equal(
      forwarding.get("/x", { "x-api-key": keyNamed("revoked") }).headers.first("x-api-key"),
      keyNamed("revoked"),
    );
    assert.equal(
      forwarding.get("/x", { "x-api-key": key, "x-tollgate-tier": "forged" }).headers.first("x-tollgate-tier"),
      "bronze",
    );
  });

  test("lets requests through when control isn't there, after the hold", () => {
    const gateway = startGateway({
      configuration: pluginConfiguration({ mode: "observe", snapshotWaitTimeoutMs: 300 }),
    });
    gateway.control.failure = "reset";
    const stream = gateway.get("/x", { "x-api-key": key });
    gateway.envoy.advance(1000);
    assert.equal(outcome(stream), "admitted");
    assert.equal(outcome(gateway.get("/x")), "admitted");
    assert.equal(counters(gateway)["observed.not_ready"], 2);
  });

  test("says nothing of a key in enforce mode's observe.key", () => {
    const gateway = readyGateway({ configuration: pluginConfiguration({ observe: { key: "keep" } }) });
    assert.equal(gateway.get("/x", { "x-api-key": key }).headers.has("x-api-key"), false);
  });
});
