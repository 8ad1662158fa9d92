import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { assertSound, keyNamed, outcome, pluginConfiguration, readyGateway } from "./support.ts";

afterEach(assertSound);

test("a manifest is no news: while its pages are spoiled the snapshot ages, and calls become rare", () => {
  const gateway = readyGateway({
    configuration: pluginConfiguration({
      maxSnapshotAgeSeconds: 60,
      control: { cluster: "control", authority: "c", waitMs: 5000 },
    }),
  });
  const { control, envoy } = gateway;
  const ask = () => outcome(gateway.get("/x", { "x-api-key": keyNamed("acme-1") }));
  control.tamper = (body, request) =>
    request.kind === "page" ? Buffer.concat([body.subarray(0, -1), Buffer.from([body.at(-1)! ^ 1])]) : body;
  control.alwaysSnapshot = true;
  control.change((spec) => void (spec.keys[0]!.state = "revoked"));
  envoy.advance(30_000);
  assert.equal(ask(), "admitted");
  const before = control.requests.length;
  envoy.advance(30_000);
  assert.ok(control.requests.length - before < 40, `${control.requests.length - before} calls in 30 s`);
  envoy.advance(10_000);
  assert.equal(ask(), "snapshot_stale");
  control.tamper = undefined;
  envoy.until(() => ask() === "key_revoked", 30_000);
});

test("more headers than the filter can see: refused, in observe mode too, and every place of a key is emptied", () => {
  for (const mode of ["enforce", "observe"]) {
    const keySources = [{ header: "x-api-key" }, { bearer: true }, { query: "api_key" }, { cookie: "api_key" }];
    const gateway = readyGateway({ configuration: pluginConfiguration({ keySources, mode }) });
    const key = keyNamed("acme-1");
    const stream = gateway.get(`/x?api_key=${key}`, {
      "x-api-key": key,
      authorization: `Bearer ${key}`,
      cookie: Array.from({ length: 1100 }, (_, i) => `c${i}=${key}`),
    });
    assert.equal(outcome(stream), "headers_unreadable");
    assert.equal(stream.response?.status, 400);
    assert.ok(!stream.headers.pairs.some(([name, value]) => `${name}${value}`.includes(key)));
  }
});
