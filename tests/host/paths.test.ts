import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { FileInput } from "../../control/domain/schema.ts";
import { utf8 } from "./host.ts";
import {
  assertSound,
  basicSpec,
  keyNamed,
  outcome,
  pluginConfiguration,
  readyGateway,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

const upstream = { service: "echo", port: 8080 };

/** `/` and what is below takes keys, `/public` and `/a/public` need none, `/public/private` takes keys again. */
function spec(): FileInput {
  return {
    ...basicSpec(),
    apis: [
      { id: "echo", hosts: ["*"], paths: ["/"], upstream },
      { id: "public", hosts: ["*"], paths: ["/public", "/a/public"], upstream, auth: { mode: "none" } },
      { id: "private", hosts: ["*"], paths: ["/public/private"], upstream },
      { id: "example", hosts: ["*.example.org"], paths: ["/"], upstream, auth: { mode: "none" } },
      { id: "deep", hosts: ["a.b.example.org", "exact.example.org"], paths: ["/"], upstream },
    ],
  };
}

/** A keyless site with keyed parts behind one upstream, capitals in some of their paths, routes with a scope. */
function caseSpec(): FileInput {
  const keyless = { mode: "none" } as const;
  return {
    ...basicSpec(),
    apis: [
      { id: "site", hosts: ["*"], paths: ["/"], upstream, auth: keyless },
      { id: "admin", hosts: ["*"], paths: ["/admin", "/keys", "/office"], upstream },
      { id: "reports", hosts: ["*"], paths: ["/Reports"], upstream },
      { id: "twins-open", hosts: ["*"], paths: ["/twins"], upstream, auth: keyless },
      { id: "twins", hosts: ["*"], paths: ["/Twins"], upstream },
      {
        id: "routed",
        hosts: ["*"],
        paths: ["/routed"],
        upstream,
        routes: [{ path: "/routed/dear", scopes: ["none-has-it"] }, { path: "/routed/cheap" }],
      },
    ],
  };
}

function methodSpec(): FileInput {
  return {
    ...basicSpec(),
    apis: [
      {
        id: "orders",
        hosts: ["*"],
        paths: ["/orders"],
        upstream,
        cors: { allowOrigins: ["https://app.example.com"] },
        routes: [{ path: "/orders/admin", methods: ["POST", "DELETE", "PURGE"], scopes: ["none-has-it"] }],
      },
      { id: "open", hosts: ["*"], paths: ["/open"], upstream, auth: { mode: "none" } },
    ],
  };
}

const caseGateways: Record<string, Gateway> = {};
let methods: Gateway | undefined;
let passes: Gateway | undefined;
const passing = (): Gateway =>
  (passes ??= readyGateway({
    spec: { ...spec(), apis: spec().apis!.filter(({ id }) => id !== "echo") },
    configuration: pluginConfiguration({ unknownApi: "allow" }),
  }));
let shared: Gateway | undefined;
const gateway = (): Gateway => (shared ??= readyGateway({ spec: spec() }));
const without = (path: string, host?: string): string =>
  outcome(gateway().get(path, [], host === undefined ? {} : { host }));

describe("the API of a path", () => {
  const cases: [path: string, expected: string][] = [
    ["/", "key_missing"],
    ["/public", "admitted"],
    ["/public/", "admitted"],
    ["/public/x/y?z=/../a", "admitted"],
    ["/public?x", "admitted"],
    ["/publicx", "key_missing"],
    ["/public/private", "key_missing"],
    ["/public/private/x", "key_missing"],
    ["/public/privatex", "admitted"],
    ["/a/public/b", "admitted"],
    ["/a/b/public", "key_missing"],
    ["/public/sp%20ace", "admitted"],
    ["/public/..x", "admitted"],
    ["/public/.x", "admitted"],
    ["/public/x.", "admitted"],
    ["/public/...", "admitted"],
  ];
  for (const [path, expected] of cases) test(`${path}: ${expected}`, () => assert.equal(without(path), expected));
});

describe("a path that could be read as another one", () => {
  const tricks = [
    "/public/../a",
    "/public/./../a",
    "/public/..",
    "/public/.",
    "/public/%2e%2e/a",
    "/public/%2E./a",
    "/public/.%2e/a",
    "/public/..%2fa",
    "/public/%2fa",
    "/public%2f..%2fa",
    "/public/..%5ca",
    "/public\\..\\a",
    "/public/%5c",
    "/public//a",
    "//public",
    "/public/%252e%252e/a",
    "/public/%252fa",
    "/public/..;/a",
    "/public/..;x=1/a",
    "/public/%2e%2e;/a",
    "/public/%3b/../a",
    "/public/a%00",
    "/public/%",
    "/public/%zz",
    "/public/%1",
    "/public/a#b",
    "/public/\x01",
    "/public/\x7f",
    "/public/ x",
    "/public/%c0%ae%c0%ae/a",
    "/public/\xc0\xae\xc0\xae/a",
    "public",
    "http://api.example.com/public",
  ];
  for (const path of tricks) {
    test(`${JSON.stringify(path)} is refused, with and without a key`, () => {
      assert.match(without(path), /^path_(invalid|ambiguous)$/);
      assert.match(outcome(gateway().get(path, { "x-api-key": keyNamed("acme-1") })), /^path_(invalid|ambiguous)$/);
    });
  }

  const ambiguous = [
    "/%70ublic/x",
    "/public/%70rivate",
    "/public;x/private",
    "/public/private;x",
    "/public%3b/private",
    "/;x/public",
  ];
  for (const path of ambiguous) {
    test(`${path} needs no less than the stricter reading`, () => {
      assert.match(without(path), /^(path_ambiguous|path_invalid|key_missing)$/);
    });
  }

  test("with a query that looks like one is fine", () => {
    assert.equal(without("/public?next=/../a//b%2f;%00"), "admitted");
  });

  test("no path at all, as CONNECT may have, is the root", () => {
    assert.equal(without(""), "key_missing");
    assert.equal(outcome(gateway().get("", { "x-api-key": keyNamed("acme-1") })), "admitted");
  });

  test("OPTIONS * belongs to no API", () => {
    assert.notEqual(outcome(gateway().get("*", [], { method: "OPTIONS" })), "admitted");
  });
});

describe("hosts", () => {
  const cases: [host: string, expected: string][] = [
    ["x.example.org", "admitted"],
    ["X.Example.Org:8443", "admitted"],
    ["y.x.example.org", "admitted"],
    ["a.b.example.org", "key_missing"],
    ["exact.example.org", "key_missing"],
    ["exact.example.org:1", "key_missing"],
    ["EXACT.example.org", "key_missing"],
    ["example.org", "key_missing"],
    ["notexample.org", "key_missing"],
    ["x.example.org.evil.com", "key_missing"],
    ["[2001:db8::1]:80", "key_missing"],
    ["", "key_missing"],
  ];
  for (const [host, expected] of cases)
    test(`${host || "none"}: ${expected}`, () => assert.equal(without("/x", host), expected));

  // For Envoy `*` is at least one byte; what a backend makes of the others nobody knows.
  const odd = [
    ".example.org",
    ".example.org:80",
    "..example.org",
    "x..example.org",
    ".",
    "exact.example.org.",
    "exact.example.org.:80",
    "x@exact.example.org",
    "exact.example.org:80:80",
    "exact.example.org:x",
    "exact.example.org:80.example.org",
    "*.example.org",
    "exact.example.org,x.example.org",
    "exact%2eexample.org",
    utf8("exämple.org"),
    "2001:db8::1",
    "[2001:db8::1",
    `${"a".repeat(250)}.example.org`,
  ];
  for (const host of odd) {
    test(`${JSON.stringify(host)} is refused, with and without a key, and where unknown APIs pass`, () => {
      assert.equal(without("/x", host), "host_invalid");
      assert.equal(outcome(gateway().get("/x", { "x-api-key": keyNamed("acme-1") }, { host })), "host_invalid");
      assert.equal(outcome(passing().get("/nowhere", [], { host })), "host_invalid");
    });
  }
});

describe("a path that a backend without regard to case reads as another one", () => {
  const open = "admitted";
  const cases: [path: string, insensitive: string, sensitive: string][] = [
    ["/site", open, open],
    ["/Site/X", open, open],
    ["/admin/users", "key_missing", "key_missing"],
    ["/Admin/users", "path_ambiguous", open],
    ["/ADMIN", "path_ambiguous", open],
    ["/%41dmin/users", "path_ambiguous", open],
    ["/%61dmin/users", "path_ambiguous", "path_ambiguous"],
    ["/aDmin;x/users", "path_ambiguous", open],
    ["/A%64min", "path_ambiguous", open],
    [utf8("/adm\u0131n"), "path_ambiguous", open],
    [utf8("/ADM\u0130N/x"), "path_ambiguous", open],
    ["/adm%c4%b1n", "path_ambiguous", open],
    [utf8("/\u212aeys"), "path_ambiguous", open],
    [utf8("/key\u017f"), "path_ambiguous", open],
    [utf8("/o\ufb03ce"), "path_ambiguous", open],
    [utf8("/\u00fcber"), open, open],
    ["/Adminx", open, open],
    ["/admin/Users", "key_missing", "key_missing"],
    ["/Reports", "key_missing", "key_missing"],
    ["/reports/1", "path_ambiguous", open],
    ["/rePORTS", "path_ambiguous", open],
    ["/site?Admin", open, open],
    ["/site/search/fast", "admitted", "admitted"],
    ["/twins/a", "path_ambiguous", open],
    ["/Twins/a", "path_ambiguous", "key_missing"],
  ];
  const caseGateway = (pathCase?: string): Gateway =>
    (caseGateways[pathCase ?? ""] ??= readyGateway({
      spec: caseSpec(),
      ...(pathCase === undefined ? {} : { configuration: pluginConfiguration({ pathCase }) }),
    }));
  for (const [path, insensitive, sensitive] of cases) {
    test(`${path}: ${insensitive}; ${sensitive} with pathCase: sensitive`, () => {
      assert.equal(outcome(caseGateway().get(path)), insensitive);
      assert.equal(outcome(caseGateway("insensitive").get(path)), insensitive);
      assert.equal(outcome(caseGateway("sensitive").get(path)), sensitive);
    });
  }

  test("belongs to no other route either", () => {
    const key = { "x-api-key": keyNamed("acme-1") };
    assert.equal(outcome(caseGateway().get("/routed/dear", key)), "scope_missing");
    for (const path of ["/routed/Dear", "/routed/%44ear", "/routed/dear%3fx", "/routed/cheap%23"])
      assert.equal(outcome(caseGateway().get(path, key)), "path_ambiguous", path);
    assert.equal(outcome(caseGateway().get("/routed/Other", key)), "admitted");
    assert.equal(outcome(caseGateway("sensitive").get("/routed/Dear", key)), "admitted");
  });
});

describe("an encoded ? or #", () => {
  const cases: [path: string, expected: string][] = [
    ["/public/what%3f", "admitted"],
    ["/public/c%23", "admitted"],
    ["/public%3fx", "path_ambiguous"],
    ["/public%23", "path_ambiguous"],
    ["/public/private%3fx", "path_ambiguous"],
    ["/public/private%23/x", "path_ambiguous"],
    ["/public/pri%76ate%3F", "path_ambiguous"],
    ["/public/PRIVATE%3f", "path_ambiguous"],
    ["/public/private;p%3fx/y", "path_ambiguous"],
    ["/public/..%3fx", "path_invalid"],
    ["/public/%2e%2e%23x", "path_invalid"],
    ["/public/private%253fx", "path_invalid"],
    ["/public/x?%3f%23", "admitted"],
  ];
  for (const [path, expected] of cases) test(`${path}: ${expected}`, () => assert.equal(without(path), expected));
});

describe("a method in another case", () => {
  const methodGateway = (): Gateway => (methods ??= readyGateway({ spec: methodSpec() }));
  const key = { "x-api-key": keyNamed("acme-1") };
  for (const method of [
    "post",
    "Post",
    "pOST",
    "POSt",
    "delete",
    "get",
    "purge",
    "Purge",
    "unknown",
    utf8("PO\u017fT"),
    "PO\xc5",
  ]) {
    test(`${method} is refused, at the route, elsewhere and at keyless APIs`, () => {
      for (const path of ["/orders", "/orders/admin", "/open", "/nowhere"]) {
        assert.equal(outcome(methodGateway().get(path, [], { method })), "method_invalid", path);
        assert.equal(outcome(methodGateway().get(path, key, { method })), "method_invalid", path);
      }
    });
  }

  test("in upper case belongs where its rules are", () => {
    assert.equal(outcome(methodGateway().get("/orders/admin", key, { method: "POST" })), "scope_missing");
    assert.equal(outcome(methodGateway().get("/orders/admin", key, { method: "PURGE" })), "scope_missing");
    assert.equal(outcome(methodGateway().get("/orders/admin", key, { method: "GET" })), "admitted");
    assert.equal(outcome(methodGateway().get("/orders/admin", key, { method: "M-SEARCH" })), "admitted");
  });

  test("makes no preflight", () => {
    const preflight = (asked: string, method = "OPTIONS"): string =>
      outcome(
        methodGateway().get(
          "/orders",
          { origin: "https://app.example.com", "access-control-request-method": asked },
          { method },
        ),
      );
    assert.equal(preflight("POST"), "admitted");
    for (const asked of ["post", "Post", "patch"]) assert.equal(preflight(asked), "key_missing", asked);
    assert.equal(preflight("POST", "options"), "method_invalid");
  });
});

test("very long paths and hosts and many segments don't trap", () => {
  for (const path of [
    "/" + "a".repeat(60_000),
    "/a".repeat(20_000),
    "/public" + "/%61".repeat(10_000),
    "/public" + ";".repeat(30_000),
  ]) {
    assert.notEqual(outcome(gateway().get(path)), "trap");
    assert.notEqual(outcome(gateway().get(path, [], { host: "h".repeat(5000) })), "trap");
  }
});
