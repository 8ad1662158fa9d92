import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { digestHex } from "../../control/domain/keys.ts";
import { addressSubject, addressWithin, bareAddress, forwardedAddress } from "../../tools/simulate/addresses.ts";
import { parseCidr } from "../../control/domain/cidr.ts";
import type { Report } from "../../tools/simulate/report.ts";
import { environment, lines, replay, startMs, upstream } from "./support.ts";

const limit = { name: "minute", kind: "rate" as const, limit: 1, windowSeconds: 60 };
const secret = "imported-key-of-another-gateway";

const spec = environment({
  apis: [
    {
      id: "echo",
      hosts: ["api.example.com"],
      paths: ["/"],
      upstream,
      routes: [{ path: "/search", methods: ["POST"], scopes: ["search"] }],
      cors: { allowOrigins: ["https://*.example.com"], allowMethods: ["GET"] },
    },
    { id: "admin", hosts: ["api.example.com"], paths: ["/admin"], methods: ["GET"], upstream, scopes: ["admin"] },
    { id: "jwt", hosts: ["api.example.com"], paths: ["/jwt"], upstream, auth: { mode: "jwt" } },
    {
      id: "tokens",
      hosts: ["api.example.com"],
      paths: ["/tokens"],
      upstream,
      auth: {
        mode: "jwt",
        jwt: { issuers: [{ issuer: "https://login.example.com", jwksUri: "https://login.example.com/keys" }] },
      },
    },
    { id: "mesh", hosts: ["api.example.com"], paths: ["/mesh"], upstream, auth: { mode: "mtls" } },
    { id: "public", hosts: ["api.example.com"], paths: ["/public"], upstream, auth: { mode: "none" } },
  ],
  tiers: [
    { id: "bronze", scopes: ["read"], apis: ["echo", "tokens", "public"], limits: [limit] },
    { id: "gold", scopes: ["*"], limits: [{ ...limit, limit: 2 }] },
  ],
  consumers: [
    { id: "acme", tier: "bronze" },
    { id: "rich", tier: "gold" },
    { id: "nobody" },
    { id: "asleep", tier: "gold", suspended: true },
  ],
  keys: [
    { id: "k-acme", consumer: "acme", sha256: digestHex(secret) },
    { id: "k-gold", consumer: "acme", tier: "gold", sha256: "1".repeat(64), apis: ["echo"], scopes: ["read"] },
    {
      id: "k-old",
      consumer: "rich",
      sha256: "2".repeat(64),
      expiresAt: "2026-11-02T00:00:10Z",
      notBefore: "2026-11-02T00:00:05Z",
    },
    { id: "k-gone", consumer: "rich", sha256: "3".repeat(64), state: "revoked" },
    { id: "k-off", consumer: "rich", sha256: "4".repeat(64), state: "suspended" },
    { id: "k-asleep", consumer: "asleep", sha256: "5".repeat(64) },
    { id: "k-near", consumer: "rich", sha256: "6".repeat(64), allowedCidrs: ["10.0.0.0/8", "2001:db8::/32"] },
  ],
});

const refused = async (call: object) => {
  const { requests } = await replay(spec, [{ ms: 0, ...call }]);
  assert.equal(requests.decided + Object.values(requests.refused).reduce((a, b) => a + b, 0), 1);
  return Object.keys(requests.refused)[0] ?? "decided";
};

describe("what the file refuses before limits are asked", () => {
  const cases: [call: object, reason: string][] = [
    [{ key: "k-acme" }, "decided"],
    [{ key: "k-acme", path: "/a/../b" }, "path_invalid"],
    [{ key: "k-acme", path: "/%70ublic" }, "path_ambiguous"],
    [{ key: "k-acme", host: "other.com" }, "unknown_api"],
    [{ key: "k-acme", path: "/admin", method: "POST" }, "method_not_allowed"],
    [{ key: "k-acme", path: "/jwt" }, "auth_mode_unsupported"],
    [{ consumer: "rich", path: "/tokens" }, "decided"],
    [{ consumer: "rich", key: "k-gone", path: "/tokens" }, "decided"],
    [{ consumer: "asleep", path: "/tokens" }, "consumer_suspended"],
    [{ consumer: "acme", path: "/mesh" }, "api_not_allowed"],
    [{ consumer: "rich", path: "/mesh" }, "decided"],
    [{ key: "k-gone" }, "key_revoked"],
    [{ key: "k-off" }, "key_suspended"],
    [{ key: "k-old", ms: 0 }, "key_not_yet_valid"],
    [{ key: "k-old", ms: 5000 }, "decided"],
    [{ key: "k-old", ms: 10_000 }, "key_expired"],
    [{ key: "k-asleep" }, "consumer_suspended"],
    [{ consumer: "asleep" }, "consumer_suspended"],
    [{ consumer: "nobody" }, "tier_missing"],
    [{ key: "k-acme", path: "/admin" }, "api_not_allowed"],
    [{ key: "k-gold", path: "/admin" }, "api_not_allowed"],
    [{ consumer: "rich", path: "/admin" }, "decided"],
    [{ key: "k-acme", path: "/search", method: "POST" }, "scope_missing"],
    [{ key: "k-gold", path: "/search", method: "POST" }, "scope_missing"],
    [{ consumer: "rich", path: "/search", method: "POST" }, "decided"],
    [{ key: "k-near", address: "10.1.2.3:44" }, "decided"],
    [{ key: "k-near", address: "[2001:db8:1::1]:44" }, "decided"],
    [{ key: "k-near", address: "11.1.2.3" }, "ip_not_allowed"],
    [{ key: "k-near", address: "" }, "ip_not_allowed"],
    [{ key: "unheard-of", consumer: "unheard-of", path: "/admin" }, "decided"],
    [{ path: "/public/x" }, "decided"],
  ];
  for (const [call, reason] of cases)
    test(`${JSON.stringify(call)}: ${reason}`, async () => assert.equal(await refused(call), reason));
});

describe("whom a line names", () => {
  const two = (call: object) => [
    { ms: 0, ...call },
    { ms: 1, ...call },
  ];
  const first = (report: Report) => report.limitedCallers[0];

  test("by key: the file's key tells consumer and tier", async () => {
    const report = await replay(spec, two({ key: "k-acme", consumer: "ignored", tier: "gold" }));
    const { caller, key, consumer, tier } = first(report)!;
    assert.deepEqual(
      { caller, key, consumer, tier },
      { caller: "k-acme (acme)", key: "k-acme", consumer: "acme", tier: "bronze" },
    );
    assert.equal((await replay(spec, two({ key: "k-gold" }))).requests.limited, 0);
  });

  test("by a key itself: found by its digest, and never shown", async () => {
    const logged = lines(two({ "x-api-key": secret }));
    assert.equal(first(await replay(spec, logged))!.caller, "k-acme (acme)");
    const unknown = await replay(spec, lines(two({ "x-api-key": "a-secret-that-nobody-knows" })), { tier: "bronze" });
    assert.match(first(unknown)!.caller, /^sha256:[0-9a-f]{12}…$/);
    assert.doesNotMatch(JSON.stringify(unknown), /a-secret-that-nobody-knows/);
    const digest = await replay(spec, lines(two({ "x-api-key": digestHex(secret) })));
    assert.equal(first(digest)!.caller, "k-acme (acme)");
  });

  test("by consumer alone: its calls are one key's", async () => {
    const { caller, consumer, key } = first(await replay(spec, two({ consumer: "acme" })))!;
    assert.deepEqual({ caller, consumer, key }, { caller: "acme", consumer: "acme", key: undefined });
  });

  test("by fields that the user names; a tier field wins over the file", async () => {
    assert.equal(first(await replay(spec, two({ app: secret }), { fields: { key: "app" } }))!.caller, "k-acme (acme)");
    assert.equal(first(await replay(spec, two({ who: "acme" }), { fields: { consumer: "who" } }))!.caller, "acme");
    assert.equal(
      (await replay(spec, two({ consumer: "acme", plan: "gold" }), { fields: { tier: "plan" } })).requests.limited,
      0,
    );
  });

  test("not at all: told apart by address, of the standard tier or of none, or left out", async () => {
    const nobody = await replay(spec, two({}));
    assert.equal(nobody.requests.limited, 0);
    assert.equal(
      nobody.warnings.filter((text) => /name neither key nor consumer|whose tier neither/.test(text)).length,
      2,
    );
    assert.equal(first(await replay(spec, two({}), { tier: "bronze" }))!.caller, "address 192.0.2.1");
    assert.deepEqual((await replay(spec, two({}), { withoutKey: "refuse" })).requests.refused, { key_missing: 2 });
  });

  test("unknown to the file: the log's tier, then the standard one", async () => {
    assert.equal((await replay(spec, two({ key: "new", tier: "gold" }), { tier: "bronze" })).requests.limited, 0);
    assert.equal((await replay(spec, two({ key: "new" }), { tier: "bronze" })).requests.limited, 1);
    assert.equal((await replay(spec, two({ key: "new", tier: "platinum" }), { tier: "bronze" })).requests.limited, 1);
  });
});

describe("what the log says was refused", () => {
  test("isn't replayed, but for limits", async () => {
    const { requests, warnings } = await replay(spec, [
      { ms: 0, details: "tollgate_unknown_key" },
      { ms: 1, details: "tollgate_unknown_key" },
      { ms: 2, details: "tollgate_rate_limited" },
      { ms: 3, details: "tollgate_quota_exceeded", key: "k-acme" },
      { ms: 4, details: "tollgate_other", key: "k-acme" },
    ]);
    assert.deepEqual(requests.refusedThen, { unknown_key: 2 });
    assert.equal(requests.limitedThen, 1);
    assert.equal(requests.decided, 2);
    assert.equal(warnings.filter((text) => /refused by limits at the time/.test(text)).length, 1);
  });
});

describe("preflights", () => {
  const preflights = async (call: object) =>
    (await replay(spec, [{ ms: 0, method: "OPTIONS", ...call }])).requests.preflights;
  test("pass without a limit: told by their headers, or else by having no caller", async () => {
    assert.equal(await preflights({}), 1);
    assert.equal(await preflights({ key: "k-acme" }), 0);
    assert.equal(await preflights({ path: "/public" }), 0);
    assert.equal(await preflights({ origin: "https://app.example.com", "access-control-request-method": "GET" }), 1);
    assert.equal(await preflights({ origin: "https://app.example.com", "access-control-request-method": "HEAD" }), 1);
    assert.equal(await preflights({ origin: "https://app.example.com", "access-control-request-method": "PUT" }), 0);
    assert.equal(await preflights({ origin: "https://example.org", "access-control-request-method": "GET" }), 0);
    assert.equal(await preflights({ origin: "https://a/.example.com", "access-control-request-method": "GET" }), 0);
  });
});

describe("what a request is", () => {
  const time = new Date(startMs).toISOString();
  const read = async (line: object, more = {}) =>
    (await replay(spec, `${JSON.stringify({ time, consumer: "acme", ...line })}\n`, more)).requests;
  test("a request line, a whole URL, an original path", async () => {
    assert.equal(
      (await read({ request: "POST /search HTTP/1.1", host: "api.example.com" })).refused["scope_missing"],
      1,
    );
    assert.equal((await read({ method: "POST", url: "https://api.example.com/search?q" })).refused["scope_missing"], 1);
    assert.equal((await read({ url: "https://api.example.com" })).decided, 1);
    assert.equal(
      (await read({ method: "GET", path: "/x", "x-envoy-original-path": "/admin", host: "api.example.com" })).refused[
        "api_not_allowed"
      ],
      1,
    );
  });

  test("nothing but a broken connection isn't one", async () => {
    const report = await replay(spec, `${JSON.stringify({ time, method: null, path: null })}\n`);
    assert.equal(report.logs[0]!.noRequest, 1);
    assert.equal(report.logs[0]!.badLines, 0);
  });

  test("of a host that is given for lines without one", async () => {
    const unknown = await replay(spec, `${JSON.stringify({ time, path: "/", consumer: "acme" })}\n`);
    assert.deepEqual(unknown.requests.refused, { unknown_api: 1 });
    assert.match(unknown.warnings.join(), /no host in the log.*--host/);
    assert.equal((await read({ path: "/" }, { host: "api.example.com" })).decided, 1);
  });

  test("of a CSV with times and keys alone", async () => {
    const report = await replay(spec, `time,consumer\n${time},rich\n${time},rich\n${time},rich\n`, {
      host: "api.example.com",
    });
    assert.equal(report.requests.limited, 1);
    assert.match(report.warnings.join(), /no method in the log/);
  });
});

test("addresses in every form", () => {
  const forms: [text: string, bare: string, subject: string | undefined][] = [
    ["192.0.2.1", "192.0.2.1", "192.0.2.1"],
    ["192.0.2.1:1234", "192.0.2.1", "192.0.2.1"],
    ["[2001:db8:0:1:2::1]:80", "2001:db8:0:1:2::1", "2001:db8:0:1::/64"],
    ["2001:DB8::1", "2001:DB8::1", "2001:db8::/64"],
    ["fe80::1%eth0", "fe80::1", "fe80::/64"],
    ["::ffff:192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"],
    ["@pipe", "@pipe", undefined],
    ["[", "[", undefined],
  ];
  for (const [text, bare, subject] of forms) {
    assert.equal(bareAddress(text), bare, text);
    assert.equal(addressSubject(bare), subject, text);
  }
  assert.equal(forwardedAddress("1.1.1.1, 2.2.2.2, 3.3.3.3", 0), "3.3.3.3");
  assert.equal(forwardedAddress("1.1.1.1, 2.2.2.2, 3.3.3.3", 1), "2.2.2.2");
  assert.equal(forwardedAddress("1.1.1.1, 2.2.2.2", 9), "1.1.1.1");
  assert.equal(forwardedAddress("", 0), undefined);
  assert.equal(addressWithin("10.128.0.1", [parseCidr("10.128.0.0/9")!]), true);
  assert.equal(addressWithin("10.127.0.1", [parseCidr("10.128.0.0/9")!]), false);
  assert.equal(addressWithin("::1", [parseCidr("0.0.0.0/0")!]), false);
  assert.equal(addressWithin("::1", [parseCidr("::/0")!]), true);
});
