import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { digestHex } from "../../control/domain/keys.ts";
import type { HeaderInput, Pair, Stream } from "./host.ts";
import {
  assertSound,
  basicSpec,
  keyNamed,
  keyRecord,
  outcome,
  pluginConfiguration,
  readyGateway,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

const key = keyNamed("acme-1");
const other = keyNamed("acme-2");

function gatewayWith(keySources: object[] | undefined, more: object = {}): Gateway {
  const spec = basicSpec();
  spec.keys = [
    ...spec.keys!,
    keyRecord("acme-2", "acme"),
    { id: "imported", consumer: "acme", sha256: digestHex("pa ss:wörd") },
    { id: "jwt-like", consumer: "acme", sha256: digestHex("abc.def.ghi") },
  ];
  return readyGateway({
    spec,
    configuration: pluginConfiguration({ ...(keySources === undefined ? {} : { keySources }), ...more }),
  });
}

/** Every byte that the upstream and the access log see of a request. */
function visible(stream: Stream): string {
  return stream.headers.pairs.map(([name, value]) => `${name}: ${value}`).join("\n");
}

function keyOf(stream: Stream): string | undefined {
  return stream.headers.first("x-tollgate-key-id");
}

describe("where a key may be", () => {
  const cases: [name: string, sources: object[] | undefined, path: string, headers: HeaderInput, expected: string][] = [
    ["x-api-key by default", undefined, "/x", { "x-api-key": key }, "admitted"],
    ["Bearer by default", undefined, "/x", { authorization: `Bearer ${key}` }, "admitted"],
    ["Bearer in any case, with more blanks", undefined, "/x", { authorization: `bEARER   ${key} ` }, "admitted"],
    ["another scheme", undefined, "/x", { authorization: `Basic ${key}` }, "key_missing"],
    ["Bearer without a token", undefined, "/x", { authorization: "Bearer" }, "key_missing"],
    ["no query by default", undefined, `/x?api_key=${key}`, {}, "key_missing"],
    ["no cookie by default", undefined, "/x", { cookie: `api_key=${key}` }, "key_missing"],
    ["a header of any name, in any case", [{ header: "X-Custom-Key" }], "/x", { "X-CUSTOM-KEY": key }, "admitted"],
    ["blanks around it", [{ header: "x-custom-key" }], "/x", { "x-custom-key": ` \t${key} ` }, "admitted"],
    ["raw Authorization", [{ header: "authorization" }], "/x", { authorization: key }, "admitted"],
    [
      "raw Authorization is not Bearer",
      [{ header: "authorization" }],
      "/x",
      { authorization: `Bearer ${key}` },
      "unknown_key",
    ],
    ["a query parameter", [{ query: "api_key" }], `/x?a=1&api_key=${key}&b=2`, {}, "admitted"],
    ["percent-decoded", [{ query: "api_key" }], `/x?api%5Fkey=${key.replaceAll("_", "%5f")}`, {}, "admitted"],
    ["an imported key of any bytes", [{ query: "k" }], "/x?k=pa+ss%3Aw%C3%B6rd", {}, "admitted"],
    ["a parameter whose name only ends so", [{ query: "api_key" }], `/x?my_api_key=${key}`, {}, "key_missing"],
    ["a parameter in the fragment's place", [{ query: "api_key" }], `/api_key=${key}`, {}, "key_missing"],
    ["a cookie", [{ cookie: "api_key" }], "/x", { cookie: `a=1; api_key=${key}; b=2` }, "admitted"],
    ["a cookie in quotes", [{ cookie: "api_key" }], "/x", { cookie: `api_key="${key}"` }, "admitted"],
    ["a cookie in the second header", [{ cookie: "api_key" }], "/x", { cookie: ["a=1", `api_key=${key}`] }, "admitted"],
    ["a cookie whose name only ends so", [{ cookie: "api_key" }], "/x", { cookie: `xapi_key=${key}` }, "key_missing"],
  ];
  for (const [name, sources, path, headers, expected] of cases) {
    test(`${name}: ${expected}`, () => {
      const stream = gatewayWith(sources).get(path, headers);
      assert.equal(outcome(stream), expected);
      if (expected === "admitted") assert.doesNotMatch(visible(stream), /tg_default|tg%5f|pa\+ss/i);
    });
  }
});

describe("several keys", () => {
  const all = [{ header: "x-api-key" }, { bearer: true }, { query: "api_key" }, { cookie: "api_key" }];

  test("in different sources: the first configured source that carries one counts", () => {
    const gateway = gatewayWith(all);
    assert.equal(keyOf(gateway.get(`/x?api_key=${other}`, { "x-api-key": key, cookie: `api_key=${other}` })), "acme-1");
    assert.equal(keyOf(gateway.get(`/x?api_key=${key}`, { authorization: `Bearer ${other}` })), "acme-2");
    assert.equal(keyOf(gatewayWith([...all].reverse()).get(`/x?api_key=${other}`, { "x-api-key": key })), "acme-2");
  });

  test("a bad key in the first is not helped by a good one in the next", () => {
    assert.equal(
      outcome(gatewayWith(all).get("/x", { "x-api-key": "nonsense", authorization: `Bearer ${key}` })),
      "unknown_key",
    );
  });

  test("an empty source is passed over", () => {
    assert.equal(keyOf(gatewayWith(all).get(`/x?api_key=${key}`, { "x-api-key": "", cookie: "api_key=" })), "acme-1");
  });

  test("different ones in one source are refused, equal ones are one", () => {
    const repeated: [string, HeaderInput][] = [
      ["/x", { "x-api-key": [key, other] }],
      ["/x", { "x-api-key": [other, key, key] }],
      [`/x?api_key=${key}&api_key=${other}`, {}],
      ["/x", { cookie: `api_key=${key}; api_key=${other}` }],
      ["/x", { cookie: [`api_key=${key}`, `api_key=${other}`] }],
      ["/x", { cookie: [`api_key=${other}`, `api_key=${key}`, `api_key=${key}`] }],
    ];
    for (const [path, headers] of repeated) {
      const stream = gatewayWith(all).get(path, headers);
      assert.equal(outcome(stream), "multiple_keys", JSON.stringify(headers) + path);
      assert.doesNotMatch(visible(stream), /tg_default/);
    }
    const equal: [string, HeaderInput][] = [
      ["/x", { "x-api-key": [key, key] }],
      [`/x?api_key=${key}&api_key=${key}`, {}],
      ["/x", { cookie: [`api_key=${key}`, `api_key=${key}`] }],
    ];
    for (const [path, headers] of equal) {
      const stream = gatewayWith(all).get(path, headers);
      assert.equal(outcome(stream), "admitted", JSON.stringify(headers) + path);
      assert.doesNotMatch(visible(stream), /tg_default/);
    }
  });

  test("of a repeated Authorization, which Envoy joins with a comma, none is admitted", () => {
    for (const second of [`Bearer ${other}`, `Bearer ${key}`, "Basic eA==", key]) {
      const stream = gatewayWith(all).get("/x", { authorization: [`Bearer ${key}`, second] });
      assert.equal(stream.state, "answered", second);
      assert.doesNotMatch(visible(stream), /tg_default/);
    }
  });

  test("too long in one source is refused", () => {
    const long = "k".repeat(300);
    for (const [path, headers] of [
      ["/x", { "x-api-key": long }],
      ["/x", { authorization: `Bearer ${long}` }],
      [`/x?api_key=${long}`, {}],
      ["/x", { cookie: `api_key=${long}` }],
    ] as [string, HeaderInput][]) {
      const stream = gatewayWith(all).get(path, headers);
      assert.equal(outcome(stream), "key_too_long");
      assert.doesNotMatch(visible(stream), /kkkk/);
    }
  });
});

describe("the key is taken out", () => {
  const all = [{ header: "x-api-key" }, { bearer: true }, { query: "api_key" }, { cookie: "api_key" }];

  test("of query and cookie, and nothing else is", () => {
    const stream = gatewayWith(all).get(`/x/y?b=%2F&api_key=${key}&c&=1#`, { cookie: `a="1"; api_key=${key};b=2` });
    assert.equal(stream.headers.first(":path"), "/x/y?b=%2F&c&=1#");
    assert.equal(stream.headers.first("cookie"), `a="1";b=2`);
  });

  test("with the `?` and the cookie header that it leaves empty", () => {
    const stream = gatewayWith(all).get(`/x?api_key=${key}`, { cookie: `api_key=${key}` });
    assert.equal(stream.headers.first(":path"), "/x");
    assert.equal(stream.headers.has("cookie"), false);
  });

  test("on refusals from every source, also those that were not asked", () => {
    const revoked = basicSpec();
    revoked.keys![0]!.state = "revoked";
    const gateway = readyGateway({ spec: revoked, configuration: pluginConfiguration({ keySources: all }) });
    const everywhere: [string, Pair[]] = [
      `/x?api_key=${other}&z=1`,
      [
        ["x-api-key", key],
        ["authorization", `Bearer ${other}`],
        ["cookie", `api_key=${other}; z=1`],
      ],
    ];
    for (const path of [everywhere[0], `/a/../b?api_key=${other}`, `/nowhere?api_key=${other}`]) {
      const stream = gateway.get(path, everywhere[1]);
      assert.equal(stream.state, "answered");
      assert.doesNotMatch(visible(stream), /tg_default/, path);
    }
  });

  test("on an admitted request from every source", () => {
    const stream = gatewayWith(all).get(`/x?api_key=${other}`, {
      "x-api-key": key,
      authorization: `Bearer ${other}`,
      cookie: `api_key=${other}`,
    });
    assert.equal(outcome(stream), "admitted");
    assert.doesNotMatch(visible(stream), /tg_default/);
  });

  test("on keyless, passed and preflight requests", () => {
    const stream = gatewayWith(all).get(`/public?api_key=${other}`, {
      "x-api-key": key,
      authorization: `Bearer ${other}`,
      cookie: `api_key=${other}`,
    });
    assert.equal(outcome(stream), "admitted");
    assert.doesNotMatch(visible(stream), /tg_default/);
  });

  test("but a token for the upstream stays where the caller's key came another way", () => {
    const gateway = gatewayWith(all);
    assert.equal(
      gateway.get("/x", { "x-api-key": key, authorization: "Bearer eyJhbGciOi.x.y" }).headers.first("authorization"),
      "Bearer eyJhbGciOi.x.y",
    );
    assert.equal(
      gateway.get("/public", { authorization: "Bearer eyJhbGciOi.x.y" }).headers.first("authorization"),
      "Bearer eyJhbGciOi.x.y",
    );
    assert.equal(gateway.get("/public", { authorization: "Bearer abc.def.ghi" }).headers.has("authorization"), false);
  });

  test("of trailers nothing is lost", () => {
    const stream = gatewayWith(all).get(
      "/x",
      { "x-api-key": key },
      { trailers: { checksum: "1", "x-tollgate-tier": "gold" } },
    );
    assert.deepEqual(stream.trailers?.toObject(), { checksum: "1" });
  });
});

test("a path that is too long to be read whole is refused, not passed", () => {
  const stream = gatewayWith([{ query: "api_key" }]).get(`/public?${"a=1&".repeat(50_000)}api_key=${key}`);
  assert.doesNotMatch(visible(stream), /tg_default/);
});
