import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import { ApiRouter, type Place } from "../../tools/matching.ts";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import { checkEnvironment } from "../../control/domain/semantics.ts";
import {
  assertSound,
  basicSpec,
  endGateway,
  keyNamed,
  keyRecord,
  outcome,
  readyGateway,
  type Gateway,
} from "../host/support.ts";
import { utf8 } from "../host/host.ts";

const upstream = { service: "echo", port: 8080 };
const route = (path: string, methods: string[], index: number) => ({ path, methods, scopes: [`r${index}`] });

/** APIs that overlap in hosts, paths and methods, with a scope for every route. */
function apis(): NonNullable<FileInput["apis"]> {
  return [
    {
      id: "root",
      hosts: ["*"],
      paths: ["/"],
      upstream,
      routes: [route("/x", [], 0), route("/x/y", ["POST"], 1), route("/", ["DELETE"], 2)],
    },
    { id: "a", hosts: ["*"], paths: ["/a", "/x/a"], methods: ["GET"], upstream },
    {
      id: "a-post",
      hosts: ["*"],
      paths: ["/a"],
      methods: ["POST", "PURGE"],
      upstream,
      routes: [route("/a/b", ["POST"], 3), route("/a", ["PURGE"], 4)],
    },
    { id: "ab", hosts: ["*"], paths: ["/a/b/c"], methods: ["HEAD"], upstream },
    {
      id: "suffix",
      hosts: ["*.example.org"],
      paths: ["/a", "/x"],
      upstream,
      routes: [route("/x/a", ["GET"], 5), route("/x/a/b", ["HEAD", "POST"], 6)],
    },
    {
      id: "deeper",
      hosts: ["*.b.example.org", "exact.example.org"],
      paths: ["/a/b"],
      methods: ["GET", "OPTIONS"],
      upstream,
    },
    {
      id: "exact",
      hosts: ["a.b.example.org", "[2001:db8::1]"],
      paths: ["/"],
      upstream,
      routes: [route("/a", ["GET"], 7)],
    },
  ];
}

const routeScopes = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"];

/**
 * What the filter found shows in whom it lets in: a key for each API alone, and one that lacks each route's scope.
 */
function spec(): FileInput {
  const all = apis();
  return {
    ...basicSpec(),
    apis: all,
    tiers: [{ id: "bronze", scopes: ["*"] }],
    keys: [
      ...all.map(({ id }) => keyRecord(`api-${id}`, "acme", { apis: [id] })),
      ...routeScopes.map((scope) =>
        keyRecord(`without-${scope}`, "acme", { scopes: routeScopes.filter((other) => other !== scope) }),
      ),
    ],
  };
}

const filled: EnvironmentSpec = fillEnvironment(spec(), "default");
const router = new ApiRouter(filled.apis);
const probes = filled.keys.map((key) => ({ key, sent: keyNamed(key.id) }));

/** What the filter must answer to a key, if the request belongs there. */
function expected(found: Place | string, key: (typeof filled.keys)[number]): string {
  if (typeof found === "string") return found;
  if (key.apis !== undefined && !key.apis.includes(found.api.id)) return "api_not_allowed";
  const scopes = found.route?.scopes ?? [];
  return key.scopes !== undefined && scopes.some((scope) => !key.scopes!.includes(scope))
    ? "scope_missing"
    : "admitted";
}

let gateway: Gateway;
before(() => {
  assert.deepEqual(
    checkEnvironment(filled).filter(({ severity }) => severity === "error"),
    [],
  );
  gateway = readyGateway({ spec: spec() });
  gateway.envoy.recording = false;
});
after(() => {
  assertSound();
  endGateway(gateway);
});

function agrees(host: string, target: string, method: string): void {
  const found = router.match(host, target, method);
  for (const { key, sent } of probes) {
    const stream = gateway.get(target, { "x-api-key": sent }, { host, method });
    const answer = outcome(stream);
    gateway.workers[0]!.vm.end(stream);
    assert.equal(
      answer,
      expected(found, key),
      `${method} ${JSON.stringify(host)} ${JSON.stringify(target)} with ${key.id}`,
    );
  }
}

const segments = fc.constantFrom(
  "a",
  "b",
  "c",
  "x",
  "y",
  "%61",
  "%62",
  "x;p",
  "b;",
  "..",
  ".",
  "",
  "%2e",
  "%2f",
  "%3b",
  "%25",
  "%2561",
  "%zz",
  "\\",
  "#",
  "?",
  "a?x/y",
  utf8("ü"),
  "\xc0\xae",
  "%c3%bc",
  " ",
);
const usual = fc.constantFrom("a", "b", "c", "x", "y");
const path = (segment: fc.Arbitrary<string>) =>
  fc
    .tuple(fc.array(segment, { maxLength: 5 }), fc.constantFrom("", "/", "?q=/a"))
    .map(([parts, end]) => `/${parts.join("/")}${end}`);
const targets = fc.oneof(
  { weight: 4, arbitrary: path(usual) },
  { weight: 3, arbitrary: path(fc.oneof(usual, segments)) },
  { weight: 1, arbitrary: fc.constantFrom("", "*", "a", "x", "http://a/a") },
);
const labels = fc
  .array(fc.constantFrom("a", "b", "exact", "example", "org", "B", "EXAMPLE", ""), { minLength: 1, maxLength: 5 })
  .map((parts) => parts.join("."));
const hosts = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      "a.b.example.org",
      "c.b.example.org",
      "exact.example.org",
      "x.example.org",
      "other.com",
      "example.org",
      "[2001:db8::1]",
      "*",
      "",
    ),
  },
  { weight: 2, arbitrary: labels },
);
const ports = fc.constantFrom("", "", ":80", ":", ".", ".:8443", ":x");
const methods = fc.constantFrom("GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS", "PURGE", "get", "X");

describe("the simulation's router and the filter", () => {
  test("agree on the API and the route of any request", () => {
    fc.assert(
      fc.property(hosts, ports, targets, methods, (host, port, target, method) => agrees(host + port, target, method)),
      { numRuns: 1500 },
    );
  });

  test("agree where segments are too many, names too long", () => {
    for (const target of ["/a".repeat(300), `/${"a".repeat(5000)}`, "/x/a/b/c/d/e", "//a", "/a//b", "/a/"]) {
      for (const host of ["x.example.org", `${"a".repeat(240)}.example.org`, `${"a.".repeat(127)}org`])
        agrees(host, target, "GET");
    }
  });
});

test("a path that isn't ASCII is compared as its bytes", () => {
  const place = router.match("other.com", utf8("/x/ü"), "GET") as Place;
  assert.equal(place.api.id, "root");
  assert.equal(place.routeIndex, 0);
});
