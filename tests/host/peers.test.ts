import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { compileSnapshot } from "../../control/sync/compile.ts";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { Properties, Stream } from "./host.ts";
import { minute } from "./limitsSupport.ts";
import { assertSound, keyNamed, outcome, pluginConfiguration, readyGateway, type Gateway } from "./support.ts";
import { applySpec, subjectOf, tokenOf, tokenSpec } from "./tokenSupport.ts";

afterEach(assertSound);

const identity = (name: string) => `spiffe://cluster.local/ns/shop/sa/${name}`;
const connection = (name: string): Properties => ({ "connection.uri_san_peer_certificate": identity(name) });
const waypoint = (name: string): Properties => ({ "filter_state.io.istio.peer_principal": identity(name) });
const call = (gateway: Gateway, properties: Properties = {}, headers: Record<string, string> = {}): Stream =>
  gateway.get("/mtls/x", headers, { properties });
const claimsOf = (stream: Stream) =>
  Object.fromEntries(stream.headers.pairs.filter(([name]) => name.startsWith("x-tollgate")));

describe("auth.mode mtls", () => {
  test("the certificate's SPIFFE id names the consumer", () => {
    const stream = call(readyGateway({ spec: tokenSpec() }), connection("beta"));
    assert.deepEqual(claimsOf(stream), {
      "x-tollgate-consumer": "beta",
      "x-tollgate-tier": "gold",
      "x-tollgate-scopes": "read write",
      "x-tollgate-claim-org": "beta-inc",
    });
  });

  test("nothing else does: no header, no key, no token", () => {
    const gateway = readyGateway({ spec: tokenSpec() });
    const forged = {
      "x-forwarded-client-cert": `URI=${identity("beta")}`,
      "x-api-key": keyNamed("beta-1"),
      "x-tollgate-consumer": "beta",
    };
    const stream = call(gateway, { ...tokenOf("beta"), ...waypoint("beta") }, forged);
    assert.equal(outcome(stream), "peer_missing");
    assert.equal(stream.localResponse!.status, 401);
    assert.deepEqual(
      stream.localResponse!.headers.filter(([name]) => name === "www-authenticate"),
      [["www-authenticate", 'Transport mode="tls-client-certificate"']],
    );
  });

  test("an identity is exact", () => {
    const gateway = readyGateway({ spec: tokenSpec() });
    for (const name of ["bet", "beta2", "BETA", "beta/", "other"])
      assert.equal(outcome(call(gateway, connection(name))), "unknown_peer", name);
    assert.equal(outcome(call(gateway, { "connection.uri_san_peer_certificate": "" })), "peer_missing");
    assert.equal(outcome(call(gateway, connection("halted"))), "consumer_suspended");
  });

  test("at a waypoint the identity is what the mesh passed on, not the connection's", () => {
    const gateway = readyGateway({
      spec: tokenSpec(),
      configuration: pluginConfiguration({ peer: { source: "waypoint" } }),
    });
    assert.equal(claimsOf(call(gateway, waypoint("beta")))["x-tollgate-consumer"], "beta");
    assert.equal(outcome(call(gateway, connection("beta"))), "peer_missing");
  });

  test("keys are taken out of the request all the same", () => {
    const stream = call(readyGateway({ spec: tokenSpec() }), connection("beta"), { "x-api-key": keyNamed("acme-1") });
    assert.equal(outcome(stream), "admitted");
    assert.equal(stream.headers.first("x-api-key"), undefined);
  });

  test("limits and usage count the identity's digest", () => {
    const spec = tokenSpec();
    spec.tiers!.find(({ id }) => id === "gold")!.limits = [minute(2)];
    spec.consumers!.find(({ id }) => id === "beta")!.identities!.push(identity("beta-jobs"));
    const gateway = readyGateway({ spec });
    const ask = (name: string): string => {
      const stream = call(gateway, connection(name));
      gateway.envoy.until(() => stream.state !== "held", 5000, 1);
      return outcome(stream);
    };
    assert.deepEqual([ask("beta"), ask("beta"), ask("beta")], ["admitted", "admitted", "rate_limited"]);
    assert.equal(ask("beta-jobs"), "admitted");
    gateway.envoy.advance(3000);
    const digests = new Set(gateway.control.counters.usage.map(({ digest }) => digest));
    for (const name of ["beta", "beta-jobs"]) assert.ok(digests.has(subjectOf("peer", identity(name))), name);
  });

  test("an identity that moves to another consumer, or goes, does so at once", () => {
    const spec = tokenSpec();
    const gateway = readyGateway({ spec });
    const owner = (): string =>
      claimsOf(call(gateway, connection("beta")))["x-tollgate-consumer"] ?? outcome(call(gateway, connection("beta")));
    assert.equal(owner(), "beta");
    const moved = tokenSpec();
    delete moved.consumers!.find(({ id }) => id === "beta")!.identities;
    moved.consumers!.find(({ id }) => id === "acme")!.identities = [identity("beta")];
    applySpec(gateway, moved);
    assert.equal(owner(), "acme");
    applySpec(gateway, spec);
    assert.equal(owner(), "beta");
    spec.consumers = spec.consumers!.filter(({ id }) => id !== "beta");
    spec.keys = spec.keys!.filter(({ consumer }) => consumer !== "beta");
    applySpec(gateway, spec);
    assert.equal(owner(), "unknown_peer");
  });

  test("more identities than a table has room for: it's built anew with more", () => {
    const spec = tokenSpec();
    const gateway = readyGateway({ spec });
    for (let i = 0; i < 1600; i++)
      spec.consumers!.push({
        id: `many-${i}`,
        tier: "gold",
        identities: Array.from({ length: 16 }, (_, n) => identity(`many-${i}-${n}`)),
      });
    applySpec(gateway, spec);
    gateway.envoy.until(() => outcome(call(gateway, connection("many-1599-15"))) === "admitted", 20_000, 20);
    for (const name of ["many-0-0", "many-799-7", "beta"])
      assert.equal(outcome(call(gateway, connection(name))), "admitted", name);
    assert.equal(outcome(call(gateway, connection("many-1600-0"))), "unknown_peer");
  });

  test("without control too", () => {
    const spec = fillEnvironment(tokenSpec(), "default");
    const gateway = readyGateway({
      configuration: { environment: "default", snapshot: compileSnapshot(spec).toString("base64") },
    });
    assert.equal(claimsOf(call(gateway, connection("beta")))["x-tollgate-consumer"], "beta");
    assert.equal(outcome(gateway.get("/jwt", {}, { properties: tokenOf("beta") })), "admitted");
  });
});
