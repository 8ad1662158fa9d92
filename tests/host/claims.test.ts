import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { utf8, type Pair, type Stream } from "./host.ts";
import {
  assertSound,
  basicSpec,
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

/** Ways to write a claim's header that one backend or another takes for it. */
const spellings: Pair[] = [
  ["x-tollgate-consumer", "forged"],
  ["X-Tollgate-Consumer", "forged"],
  ["x_tollgate_consumer", "forged"],
  ["X_TOLLGATE-consumer", "forged"],
  ["x-tollgate_tier", "forged"],
  ["x-tollgate-tier", "forged"],
  ["x-tollgate-tier", "forged again"],
  ["x-tollgate-key-id", "forged"],
  ["x-tollgate-scopes", "forged"],
  ["x-tollgate-claim-org", "forged"],
  ["x-tollgate-claim-anything", "forged"],
  ["x-tollgate-unchecked", "forged"],
  ["x-tollgate-", "forged"],
];

function forgedLeft(stream: Stream): Pair[] {
  return stream.headers.pairs.filter(([, value]) => value.includes("forged"));
}

describe("claims of an admitted caller", () => {
  test("are what the table says", () => {
    const stream = readyGateway().get("/x", { "x-api-key": key });
    assert.deepEqual(Object.fromEntries(stream.headers.pairs.filter(([name]) => name.startsWith("x-tollgate"))), {
      "x-tollgate-consumer": "acme",
      "x-tollgate-tier": "bronze",
      "x-tollgate-key-id": "acme-1",
      "x-tollgate-scopes": "read",
      "x-tollgate-claim-org": "acme-corp",
    });
  });

  test("scopes are the tier's, narrowed by the key's", () => {
    const spec = basicSpec();
    spec.tiers = [{ id: "bronze", scopes: ["read", "write", "search"] }, { id: "all", scopes: ["*"] }, { id: "none" }];
    spec.keys = [
      keyRecord("acme-1", "acme"),
      keyRecord("few", "acme", { scopes: ["search", "other"] }),
      keyRecord("star", "acme", { tier: "all" }),
      keyRecord("star-few", "acme", { tier: "all", scopes: ["x", "y"] }),
      keyRecord("no", "acme", { tier: "none" }),
    ];
    const gateway = readyGateway({ spec });
    const scopes = (id: string): string | undefined =>
      gateway.get("/x", { "x-api-key": keyNamed(id) }).headers.first("x-tollgate-scopes");
    assert.equal(scopes("acme-1"), "read write search");
    assert.equal(scopes("few"), "search");
    assert.equal(scopes("star"), "*");
    assert.equal(scopes("star-few"), "x y");
    assert.equal(scopes("no"), undefined);
  });

  test("go where the configuration says", () => {
    const configuration = pluginConfiguration({
      claims: { prefix: "x-caller-", names: { consumer: "X-User", "claim-org": "x-org", scopes: "x-caller-may" } },
    });
    const gateway = readyGateway({ configuration });
    const stream = gateway.get("/x", {
      "x-api-key": key,
      "x-user": "forged",
      X_ORG: "forged",
      "x-caller-key-id": "forged",
      "x-tollgate-tier": "kept",
    });
    assert.deepEqual(forgedLeft(stream), []);
    assert.equal(stream.headers.first("x-user"), "acme");
    assert.equal(stream.headers.first("x-org"), "acme-corp");
    assert.equal(stream.headers.first("x-caller-may"), "read");
    assert.equal(stream.headers.first("x-caller-tier"), "bronze");
    assert.equal(stream.headers.first("x-tollgate-tier"), "kept");
  });

  test("with many or long values are all there", () => {
    const spec = basicSpec();
    const claims = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`c${i}`, `${i}`.repeat(100)]));
    spec.consumers = [{ id: "acme", tier: "bronze", claims }];
    const stream = readyGateway({ spec }).get("/x", { "x-api-key": key });
    for (const [name, value] of Object.entries(claims))
      assert.equal(stream.headers.first(`x-tollgate-claim-${name}`), value);
  });
});

describe("forged claims never pass", () => {
  const paths: [name: string, get: () => Stream][] = [
    ["admitted", () => readyGateway().get("/x", [["x-api-key", key], ...spellings])],
    ["keyless", () => readyGateway().get("/public", spellings)],
    ["passed", () => passing().get("/x", spellings)],
    ["refused", () => readyGateway().get("/x", spellings)],
    ["observed", () => readyGateway({ configuration: pluginConfiguration({ mode: "observe" }) }).get("/x", spellings)],
    ["held and then admitted", () => heldThen(startGateway(), [["x-api-key", key], ...spellings])],
    ["failing open", () => heldThen(failing("open"), [["x-api-key", key], ...spellings])],
    ["failing closed", () => heldThen(failing("closed"), [["x-api-key", key], ...spellings])],
    ["not configured", () => startGateway({ configuration: {} }).get("/x", spellings)],
  ];
  for (const [name, get] of paths) {
    test(name, () => {
      const stream = get();
      assert.notEqual(stream.state, "held");
      assert.deepEqual(forgedLeft(stream), []);
    });
  }

  test("other headers stay, in order", () => {
    const sent: Pair[] = [
      ["accept", "*/*"],
      ["x-tollgatee", "1"],
      ["xtollgate-tier", "2"],
      ["x-toll-gate-tier", "3"],
      ["x-request-id", "4"],
      ["traceparent", "5"],
      ["x-a", utf8("ü")],
      ["x-a", "7"],
    ];
    const stream = readyGateway().get("/public", sent);
    assert.deepEqual(
      stream.headers.pairs.filter(([name]) => !name.startsWith(":")),
      sent,
    );
  });

  test("in trailers, right away or late, after thousands of other streams", () => {
    const gateway = readyGateway();
    const { vm } = gateway.workers[0]!;
    const forged = { "x-tollgate-tier": "forged", X_Tollgate_Consumer: "forged", fine: "1" };
    assert.deepEqual(gateway.get("/public", [], { trailers: forged }).trailers?.toObject(), { fine: "1" });
    const late = gateway.get("/public", [], { endOfStream: false });
    for (let i = 0; i < 9000; i++) vm.end(gateway.get("/public"));
    vm.trailers(late, forged);
    assert.deepEqual(late.trailers?.toObject(), { fine: "1" });
    assert.equal(late.state, "forwarded");
  });

  test("however many there are", () => {
    const many: Pair[] = Array.from({ length: 900 }, (_, i) => [`x-tollgate-n${i}`, "forged"]);
    const stream = readyGateway().get("/public", many);
    assert.deepEqual(forgedLeft(stream), []);
    const tooMany: Pair[] = Array.from({ length: 1100 }, (_, i) => [`x-tollgate-n${i}`, "forged"]);
    assert.equal(readyGateway().get("/public", tooMany).state, "answered");
  });
});

function passing(): Gateway {
  const spec = basicSpec();
  spec.apis = spec.apis!.map((api) => ({ ...api, hosts: ["elsewhere.example.com"] }));
  return readyGateway({ spec, configuration: pluginConfiguration({ unknownApi: "allow" }) });
}

function failing(failureMode: string): Gateway {
  const gateway = startGateway({ configuration: pluginConfiguration({ failureMode, snapshotWaitTimeoutMs: 100 }) });
  gateway.control.failure = "reset";
  return gateway;
}

function heldThen(gateway: Gateway, headers: Pair[]): Stream {
  const stream = gateway.get("/x", headers);
  assert.equal(outcome(stream), "held");
  gateway.envoy.advance(1000);
  return stream;
}
