import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { CorsInput, FileInput } from "../../control/domain/schema.ts";
import { assertSound, basicSpec, counters, keyNamed, outcome, readyGateway, type Gateway } from "./support.ts";

afterEach(assertSound);

const upstream = { service: "echo", port: 8080 };
const cors: CorsInput = {
  allowOrigins: ["https://shop.example.com", "https://*.example.org"],
  allowMethods: ["GET", "POST"],
  allowHeaders: ["x-api-key"],
  exposeHeaders: ["x-request-id", "etag"],
  allowCredentials: true,
};

function gateway(): Gateway {
  const spec: FileInput = {
    ...basicSpec(),
    apis: [
      { id: "echo", hosts: ["*"], paths: ["/"], upstream },
      { id: "shop", hosts: ["*"], paths: ["/shop"], methods: ["GET", "POST"], upstream, cors },
      { id: "any", hosts: ["*"], paths: ["/any"], upstream, cors: { allowOrigins: ["*"] } },
    ],
  };
  return readyGateway({ spec });
}

test("a preflight is refused where its path is ambiguous for the method that it asks for, though another API takes OPTIONS", () => {
  const spec: FileInput = {
    ...basicSpec(),
    apis: [
      { id: "items", hosts: ["*"], paths: ["/items"], methods: ["GET"], upstream, cors },
      { id: "options", hosts: ["*"], paths: ["/items"], methods: ["OPTIONS"], upstream, auth: { mode: "none" } },
      { id: "upper", hosts: ["*"], paths: ["/ITEMS"], methods: ["GET"], upstream },
    ],
  };
  assert.equal(
    outcome(readyGateway({ spec }).get("/items", preflight("https://shop.example.com"), { method: "OPTIONS" })),
    "path_ambiguous",
  );
});

test("a preflight of another origin is refused where another API takes OPTIONS", () => {
  const spec: FileInput = {
    ...basicSpec(),
    apis: [
      { id: "items", hosts: ["*"], paths: ["/items"], methods: ["GET"], upstream, cors },
      { id: "options", hosts: ["*"], paths: ["/items"], methods: ["OPTIONS"], upstream, auth: { mode: "none" } },
    ],
  };
  const asked = (origin: string, method: string): string =>
    outcome(readyGateway({ spec }).get("/items", preflight(origin, method), { method: "OPTIONS" }));
  assert.equal(asked("https://evil.example.com", "GET"), "path_ambiguous");
  assert.equal(asked("https://shop.example.com", "GET"), "admitted");
  assert.equal(asked("https://evil.example.com", "DELETE"), "admitted", "no API takes DELETE: it's no preflight");
});

const preflight = (origin: string, method = "GET"): Record<string, string> => ({
  origin,
  "access-control-request-method": method,
});

describe("a preflight", () => {
  const cases: [name: string, path: string, headers: Record<string, string>, expected: string][] = [
    ["of an allowed origin", "/shop/1", preflight("https://shop.example.com"), "admitted"],
    ["of a subdomain", "/shop", preflight("https://a.b.example.org", "POST"), "admitted"],
    ["of any origin", "/any", preflight("null", "DELETE"), "admitted"],
    ["of another origin", "/shop", preflight("https://evil.example.com"), "method_not_allowed"],
    ["of an origin that only ends so", "/shop", preflight("https://evilexample.org"), "method_not_allowed"],
    [
      "of an origin with a port behind a suffix",
      "/shop",
      preflight("https://evil.com:1.example.org"),
      "method_not_allowed",
    ],
    ["of another scheme", "/shop", preflight("http://shop.example.com"), "method_not_allowed"],
    [
      "for a method that is not allowed",
      "/shop",
      preflight("https://shop.example.com", "DELETE"),
      "method_not_allowed",
    ],
    ["to an API without CORS", "/x", preflight("https://shop.example.com"), "key_missing"],
    ["without an origin", "/any", { "access-control-request-method": "GET" }, "key_missing"],
    ["without a method", "/any", { origin: "https://shop.example.com" }, "key_missing"],
    ["on a path trick", "/any/../x", preflight("null"), "path_invalid"],
  ];
  for (const [name, path, headers, expected] of cases) {
    test(`${name}: ${expected}`, () =>
      assert.equal(outcome(gateway().get(path, headers, { method: "OPTIONS" })), expected));
  }

  test("is counted, carries no claims and no key", () => {
    const it = gateway();
    const stream = it.get(
      "/shop",
      { ...preflight("https://shop.example.com"), "x-api-key": keyNamed("acme-1"), "x-tollgate-tier": "gold" },
      { method: "OPTIONS" },
    );
    assert.equal(outcome(stream), "admitted");
    assert.deepEqual(
      Object.keys(stream.headers.toObject()).filter((name) => name.startsWith("x-")),
      [],
    );
    assert.equal(counters(it)["preflight"], 1);
  });

  test("in form only, by another method than OPTIONS, needs a key", () => {
    assert.equal(outcome(gateway().get("/any", preflight("null"))), "key_missing");
  });
});

describe("a refusal", () => {
  test("lets an allowed origin's page see it", () => {
    const response = gateway().get("/shop", { origin: "https://shop.example.com" }).response!;
    assert.equal(response.status, 401);
    assert.equal(response.headers.first("access-control-allow-origin"), "https://shop.example.com");
    assert.equal(response.headers.first("access-control-allow-credentials"), "true");
    assert.equal(response.headers.first("access-control-expose-headers"), "x-request-id,etag");
    assert.equal(response.headers.first("vary"), "origin");
  });

  test("tells another origin nothing", () => {
    for (const [path, origin] of [
      ["/shop", "https://evil.example.com"],
      ["/x", "https://shop.example.com"],
    ] as const) {
      const { headers } = gateway().get(path, { origin }).response!;
      assert.equal(headers.has("access-control-allow-origin"), false);
    }
  });

  test("without credentials says nothing of them", () => {
    const { headers } = gateway().get("/any", { origin: "https://x.example" }).response!;
    assert.equal(headers.has("access-control-allow-credentials"), false);
    assert.equal(headers.has("access-control-allow-origin"), true);
  });
});
