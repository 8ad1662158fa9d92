import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { FileInput } from "../../control/domain/schema.ts";
import { assertSound, basicSpec, keyNamed, outcome, readyGateway, type Gateway } from "./support.ts";

afterEach(assertSound);

const upstream = { service: "echo", port: 8080 };

/** `/` and what is below takes keys, `/public` and `/a/public` need none, `/public/private` takes keys again. */
function spec(): FileInput {
  return {
    ...basicSpec(),
    apis: [
      { id: "echo", hosts: ["*"], paths: ["/"], upstream },
      { id: "public", hosts: ["*"], paths: ["/public", "/a/public"], upstream, auth: { mode: "keyless" } },
      { id: "private", hosts: ["*"], paths: ["/public/private"], upstream },
      { id: "example", hosts: ["*.example.org"], paths: ["/"], upstream, auth: { mode: "keyless" } },
      { id: "deep", hosts: ["a.b.example.org", "exact.example.org"], paths: ["/"], upstream },
    ],
  };
}

let shared: Gateway | undefined;
const gateway = (): Gateway => (shared ??= readyGateway({ spec: spec() }));
const without = (path: string, host?: string): string => outcome(gateway().get(path, [], host === undefined ? {} : { host }));

describe("the API of a path", () => {
  const cases: [path: string, expected: string][] = [
    ["/", "key_missing"],
    ["/public", "admitted"],
    ["/public/", "admitted"],
    ["/public/x/y?z=/../a", "admitted"],
    ["/public?x", "admitted"],
    ["/publicx", "key_missing"],
    ["/Public", "key_missing"],
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

  const ambiguous = ["/%70ublic/x", "/public/%70rivate", "/public;x/private", "/public/private;x", "/public%3b/private", "/;x/public"];
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
    ["exact.example.org.", "key_missing"],
    ["example.org", "key_missing"],
    ["notexample.org", "key_missing"],
    ["x.example.org.evil.com", "key_missing"],
    ["[2001:db8::1]:80", "key_missing"],
    ["", "key_missing"],
  ];
  for (const [host, expected] of cases) test(`${host || "none"}: ${expected}`, () => assert.equal(without("/x", host), expected));
});

test("very long paths and hosts and many segments don't trap", () => {
  for (const path of ["/" + "a".repeat(60_000), "/a".repeat(20_000), "/public" + "/%61".repeat(10_000), "/public" + ";".repeat(30_000)]) {
    assert.notEqual(outcome(gateway().get(path)), "trap");
    assert.notEqual(outcome(gateway().get(path, [], { host: "h".repeat(5000) })), "trap");
  }
});
