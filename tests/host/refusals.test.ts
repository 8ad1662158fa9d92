import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { FileInput, KeyInput } from "../../control/domain/schema.ts";
import { reasons } from "../../protocol/reasons.ts";
import type { HeaderInput } from "./host.ts";
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

const upstream = { service: "echo", port: 8080 };
const hour = 3_600_000;
const start = Date.UTC(2026, 10, 1);
const time = (ms: number): string => new Date(start + ms).toISOString();

function spec(): FileInput {
  const base = basicSpec();
  const key = (id: string, more: Partial<KeyInput> = {}, consumer = "acme"): KeyInput => keyRecord(id, consumer, more);
  return {
    ...base,
    apis: [
      ...base.apis!,
      {
        id: "orders",
        hosts: ["*"],
        paths: ["/orders"],
        methods: ["GET", "POST"],
        upstream,
        scopes: ["orders"],
        routes: [{ path: "/orders/export", scopes: ["export"] }],
      },
      { id: "tokens", hosts: ["*"], paths: ["/tokens"], upstream, auth: { mode: "jwt" } },
      { id: "either", hosts: ["*"], paths: ["/either"], upstream, auth: { mode: "key-or-jwt" } },
      { id: "intern", hosts: ["*"], paths: ["/intern"], upstream },
      { id: "shop", hosts: ["shop.example.com"], paths: ["/"], upstream },
    ],
    tiers: [
      { id: "bronze", scopes: ["read"], apis: ["echo", "orders", "either"] },
      { id: "gold", scopes: ["*"] },
      { id: "seller", scopes: ["orders", "export"] },
    ],
    consumers: [
      ...base.consumers!,
      { id: "lazy", tier: "bronze", suspended: true },
      { id: "untiered" },
      { id: "rich", tier: "gold" },
      { id: "seller", tier: "seller" },
    ],
    keys: [
      key("acme-1"),
      key("revoked", { state: "revoked" }),
      key("suspended", { state: "suspended" }),
      key("future", { notBefore: time(hour) }),
      key("expiring", { expiresAt: time(hour) }),
      key("lazy-1", {}, "lazy"),
      key("untiered-1", {}, "untiered"),
      key("rich-1", {}, "rich"),
      key("office", { allowedCidrs: ["10.0.0.0/8", "2001:db8::/32"] }, "rich"),
      key("narrow-api", { apis: ["orders"] }, "rich"),
      key("narrow-scope", { scopes: ["orders"] }, "rich"),
      key("promoted", { tier: "gold" }),
      key("seller-1", {}, "seller"),
    ],
  };
}

/** What the client sees when it sends a key in x-api-key. */
function ask(
  gateway: Gateway,
  path: string,
  key?: string,
  more: Record<string, string> = {},
  options: Parameters<Gateway["get"]>[2] = {},
): string {
  const headers: HeaderInput = { ...(key === undefined ? {} : { "x-api-key": key }), ...more };
  return outcome(gateway.get(path, headers, options));
}

describe("the ladder", () => {
  const cases: [
    name: string,
    expected: string,
    path: string,
    key: string | undefined,
    options?: { method?: string; host?: string; address?: string; afterMs?: number },
  ][] = [
    ["a good key", "admitted", "/x", keyNamed("acme-1")],
    ["no key", "key_missing", "/x", undefined],
    ["an empty key", "key_missing", "/x", " "],
    ["a key that is too long", "key_too_long", "/x", "k".repeat(257)],
    ["a foreign key that isn't there", "unknown_key", "/x", "k".repeat(256)],
    ["a well-formed key that isn't there", "unknown_key", "/x", keyNamed("nobody")],
    ["a mistyped key", "key_malformed", "/x", keyNamed("acme-1").replace(/.$/, (c) => (c === "0" ? "1" : "0"))],
    ["a cut key", "key_malformed", "/x", keyNamed("acme-1").slice(0, -1)],
    ["a key of another environment", "key_wrong_environment", "/x", keyNamed("acme-1", "staging")],
    ["a revoked key", "key_revoked", "/x", keyNamed("revoked")],
    ["a suspended key", "key_suspended", "/x", keyNamed("suspended")],
    ["a key before its time", "key_not_yet_valid", "/x", keyNamed("future")],
    ["a key at its time", "admitted", "/x", keyNamed("future"), { afterMs: hour }],
    ["a key before it expires", "admitted", "/x", keyNamed("expiring"), { afterMs: hour - 1 }],
    ["a key when it expires", "key_expired", "/x", keyNamed("expiring"), { afterMs: hour }],
    ["a key of a suspended consumer", "consumer_suspended", "/x", keyNamed("lazy-1")],
    ["a key without a tier", "tier_missing", "/x", keyNamed("untiered-1")],
    ["an API that the tier leaves out", "api_not_allowed", "/intern", keyNamed("acme-1")],
    ["an API that the tier includes", "admitted", "/either", keyNamed("acme-1")],
    ["an API that the key leaves out", "api_not_allowed", "/x", keyNamed("narrow-api")],
    ["an API that the key includes", "admitted", "/orders", keyNamed("narrow-api")],
    ["a key's own tier", "admitted", "/intern", keyNamed("promoted")],
    ["a scope that the tier lacks", "scope_missing", "/orders", keyNamed("acme-1")],
    ["a scope that the tier has", "admitted", "/orders/export", keyNamed("seller-1")],
    ["a route's scope that the key leaves out", "scope_missing", "/orders/export/1", keyNamed("narrow-scope")],
    ["an API's scope that the key includes", "admitted", "/orders/exports", keyNamed("narrow-scope")],
    ["every scope", "admitted", "/orders/export", keyNamed("rich-1")],
    ["an address inside", "admitted", "/x", keyNamed("office"), { address: "10.1.2.3:4567" }],
    ["an IPv6 address inside", "admitted", "/x", keyNamed("office"), { address: "[2001:db8::7]:1" }],
    ["an address outside", "ip_not_allowed", "/x", keyNamed("office"), { address: "11.1.2.3:4567" }],
    ["an IPv6 address outside", "ip_not_allowed", "/x", keyNamed("office"), { address: "[2001:db9::7]:1" }],
    ["an address that can't be read", "ip_not_allowed", "/x", keyNamed("office"), { address: "pipe" }],
    ["a method that the API lacks", "method_not_allowed", "/orders", keyNamed("rich-1"), { method: "DELETE" }],
    ["HEAD where GET is allowed", "admitted", "/orders", keyNamed("rich-1"), { method: "HEAD" }],
    ["an API for tokens", "auth_mode_unsupported", "/tokens", keyNamed("rich-1")],
    ["a keyless API", "admitted", "/public/x", undefined],
    ["a keyless API with a bad key", "admitted", "/public", "nonsense"],
    ["a host of its own", "api_not_allowed", "/x", keyNamed("acme-1"), { host: "SHOP.example.com:8443" }],
    ["a bad path", "path_invalid", "/a/../b", keyNamed("acme-1")],
  ];
  for (const [name, expected, path, key, options = {}] of cases) {
    test(`${name}: ${expected}`, () => {
      const gateway = readyGateway({ spec: spec(), configuration: pluginConfiguration({ maxSnapshotAgeSeconds: 0 }) });
      const { address, afterMs, ...request } = options;
      if (afterMs !== undefined) gateway.envoy.wallMs = start + afterMs;
      const properties = address === undefined ? {} : { properties: { "source.address": address } };
      assert.equal(ask(gateway, path, key, {}, { ...request, ...properties }), expected);
    });
  }

  test("an unknown API: unknown_api, or passed", () => {
    const only = {
      ...spec(),
      apis: spec()
        .apis!.filter(({ id }) => id === "orders" || id === "either" || id === "echo")
        .map((api) => ({ ...api, hosts: ["api.example.com"] })),
    };
    assert.equal(ask(readyGateway({ spec: only }), "/x", undefined, {}, { host: "other.example.com" }), "unknown_api");
    const passing = readyGateway({ spec: only, configuration: pluginConfiguration({ unknownApi: "allow" }) });
    assert.equal(ask(passing, "/x", undefined, {}, { host: "other.example.com" }), "admitted");
    assert.equal(counters(passing)["passed"], 1);
  });

  test("the clock of the key's times is the wall clock, not the time since the start", () => {
    const gateway = readyGateway({ spec: spec(), configuration: pluginConfiguration({ maxSnapshotAgeSeconds: 0 }) });
    gateway.envoy.wallMs = start + 2 * hour;
    assert.equal(ask(gateway, "/x", keyNamed("expiring")), "key_expired");
    gateway.envoy.wallMs = start;
    assert.equal(ask(gateway, "/x", keyNamed("expiring")), "admitted");
  });
});

describe("an answer", () => {
  test("is a problem with the reason's status, title and code", () => {
    const gateway = readyGateway({ spec: spec() });
    const { response, localResponse } = gateway.get("/x", { "x-api-key": keyNamed("revoked") });
    const reason = reasons.find(({ code }) => code === "key_revoked")!;
    assert.equal(response?.status, 401);
    assert.deepEqual(JSON.parse(response.body), {
      type: "https://tollgate.dev/reasons/key_revoked",
      title: reason.title,
      status: 401,
      reason: "key_revoked",
    });
    assert.equal(localResponse?.details, "tollgate_key_revoked");
    assert.deepEqual(response.headers.toObject(), {
      ":status": "401",
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      "www-authenticate": ['ApiKey realm="tollgate"', 'Bearer realm="tollgate", error="invalid_token"'],
      "content-length": String(response.body.length),
    });
  });

  test("names no error when there was no key, and no Bearer when keys aren't taken so", () => {
    const withBearer = readyGateway({ spec: spec() }).get("/x").response!;
    assert.deepEqual(withBearer.headers.all("www-authenticate"), [
      'ApiKey realm="tollgate"',
      'Bearer realm="tollgate"',
    ]);
    const without = readyGateway({
      spec: spec(),
      configuration: pluginConfiguration({ keySources: [{ header: "x-api-key" }] }),
    }).get("/x").response!;
    assert.deepEqual(without.headers.all("www-authenticate"), ['ApiKey realm="tollgate"']);
  });

  test("to a refused method names the allowed ones", () => {
    const response = readyGateway({ spec: spec() }).get(
      "/orders",
      { "x-api-key": keyNamed("rich-1") },
      { method: "DELETE" },
    ).response!;
    assert.equal(response.status, 405);
    assert.deepEqual(response.headers.first("allow")!.split(/, ?/).sort(), ["GET", "HEAD", "POST"]);
  });

  test("of 503 says when to come back", () => {
    const response = readyGateway({ spec: spec() }).get("/tokens").response!;
    assert.equal(response.status, 503);
    assert.match(response.headers.first("retry-after")!, /^\d+$/);
  });

  test("to HEAD has no body", () => {
    const response = readyGateway().get("/x", [], { method: "HEAD" }).response!;
    assert.equal(response.status, 401);
    assert.equal(response.body, "");
  });

  test("to gRPC is a status of gRPC", () => {
    const gateway = readyGateway({ spec: spec() });
    const status = (path: string, key?: string) => {
      const headers: Record<string, string> = {
        "content-type": "application/grpc+proto",
        ...(key === undefined ? {} : { "x-api-key": key }),
      };
      return gateway.get(path, headers, { method: "POST" }).response!.headers;
    };
    const unauthenticated = status("/x");
    assert.equal(unauthenticated.first(":status"), "200");
    assert.equal(unauthenticated.first("content-type"), "application/grpc");
    assert.equal(unauthenticated.first("grpc-status"), "16");
    assert.match(unauthenticated.first("grpc-message")!, /^key_missing: /);
    assert.equal(status("/orders", keyNamed("acme-1")).first("grpc-status"), "7");
    assert.equal(status("/tokens").first("grpc-status"), "14");
  });
});

describe("host calls, in order", () => {
  const key = keyNamed("acme-1");

  test("of an admitted request", () => {
    const stream = readyGateway().get("/x", { "x-api-key": key, accept: "*/*" });
    assert.deepEqual(stream.calls, [
      "get_header_map_pairs",
      "remove_header x-api-key",
      "add_header x-tollgate-consumer: acme",
      "add_header x-tollgate-tier: bronze",
      "add_header x-tollgate-key-id: acme-1",
      "add_header x-tollgate-scopes: read",
      "add_header x-tollgate-claim-org: acme-corp",
    ]);
    assert.equal(stream.mallocs, 1);
  });

  test("of an admitted request whose key has times and addresses", () => {
    const gateway = readyGateway({
      spec: {
        ...basicSpec(),
        keys: [keyRecord("timed", "acme", { expiresAt: time(hour), allowedCidrs: ["192.0.2.0/24"] })],
      },
    });
    assert.deepEqual(gateway.get("/x", { "x-api-key": keyNamed("timed") }).calls.slice(0, 4), [
      "get_header_map_pairs",
      "get_current_time",
      "get_property source.address",
      "remove_header x-api-key",
    ]);
  });

  test("of a keyless request", () => {
    assert.deepEqual(readyGateway().get("/public").calls, ["get_header_map_pairs"]);
  });

  test("of a refusal", () => {
    const gateway = readyGateway();
    assert.deepEqual(gateway.get("/x").calls, ["get_header_map_pairs", "send_local_response 401 tollgate_key_missing"]);
    assert.deepEqual(gateway.get("/x", { "x-api-key": keyNamed("nobody") }).calls, [
      "get_header_map_pairs",
      "remove_header x-api-key",
      "send_local_response 401 tollgate_unknown_key",
    ]);
  });

  test("of a forged claim", () => {
    assert.deepEqual(readyGateway().get("/public", { "x-tollgate-tier": "gold" }).calls, [
      "get_header_map_pairs",
      "remove_header x-tollgate-tier",
    ]);
  });
});

describe("metrics", () => {
  test("count each reason and each admission, by the tick", () => {
    const gateway = readyGateway({ spec: spec() });
    const before = counters(gateway);
    ask(gateway, "/x", keyNamed("acme-1"));
    ask(gateway, "/x", keyNamed("acme-1"));
    ask(gateway, "/public");
    ask(gateway, "/x", keyNamed("revoked"));
    ask(gateway, "/x");
    const after = counters(gateway);
    const grown = Object.fromEntries(
      Object.entries(after)
        .filter(([name, value]) => value !== (before[name] ?? 0))
        .map(([name, value]) => [name, value - (before[name] ?? 0)]),
    );
    delete grown["sync_ok"];
    assert.deepEqual(grown, { admitted: 2, keyless: 1, "refused.key_revoked": 1, "refused.key_missing": 1 });
  });

  test("show the snapshot's version, age and size", () => {
    const gateway = readyGateway({
      spec: spec(),
      configuration: pluginConfiguration({ control: { cluster: "control", authority: "c", waitMs: 5000 } }),
    });
    gateway.control.change((now) => void now.keys.pop());
    gateway.envoy.advance(4000);
    assert.equal(gateway.envoy.stats.value("tollgate.default.snapshot_version"), 2);
    assert.equal(gateway.envoy.stats.value("tollgate.default.keys"), spec().keys!.length - 1);
    assert.equal(gateway.envoy.stats.value("tollgate.default.snapshot_age_seconds") <= 5, true);
  });
});

test("an empty configuration loads and answers that it is empty", () => {
  for (const configuration of ["{}", "", "  "]) {
    const gateway = startGateway({ configuration: configuration as never });
    assert.equal(gateway.workers[0]!.root.accepted, true);
    const stream = gateway.get("/x", { "x-api-key": keyNamed("acme-1") });
    assert.equal(outcome(stream), "not_configured");
    assert.equal(stream.response?.status, 503);
    gateway.envoy.advance(1000);
  }
});
