/** `traffic` in tollgate.yaml: what is refused and where, and that applying, comparing and exporting keep it. */
import assert from "node:assert/strict";
import test from "node:test";
import { parse, stringify } from "yaml";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import { diff } from "../../control/domain/diff.ts";
import { exportYaml } from "../../control/domain/exportYaml.ts";
import type { ApiInput } from "../../control/domain/schema.ts";
import { loadFile } from "../../control/domain/yamlFile.ts";
import { compileSnapshot } from "../../control/sync/compile.ts";

const api: ApiInput = {
  id: "a",
  hosts: ["a.example.com"],
  paths: ["/a"],
  upstream: { service: "a.shop.svc.cluster.local", port: 80 },
};

/** `path: message` of each problem. */
function problemsOf(traffic: unknown, rest: Partial<ApiInput> = {}): string[] {
  return loadFile(stringify({ version: 1, apis: [{ ...api, ...rest, traffic }] })).problems.map(
    ({ path, message }) => `${path.slice(3).join(".")}: ${message}`,
  );
}

const whole = {
  tls: { credentialName: "cert", redirect: false },
  rewrite: { prefix: "/" },
  timeoutSeconds: 1.5,
  retries: { attempts: 2, perTryTimeoutSeconds: 0.5, on: ["connect-failure"] },
  headers: {
    request: { set: { "x-a": "b" }, add: { "x-b": "c" }, remove: ["x-c"] },
    response: { set: { "x-d": "e" } },
  },
  versions: [
    { name: "v1", labels: { version: "v1" }, weight: 90 },
    { name: "v2", upstream: { service: "b.shop.svc", port: 81 }, weight: 10 },
    { name: "beta", labels: { version: "v3" }, match: { header: { "x-version": "beta" } } },
    { name: "old", labels: { version: "v0" }, match: { path: "/a/old" }, rewrite: { prefix: "/" } },
  ],
  loadBalancing: "random",
  circuitBreaking: {
    maxConnections: 1,
    maxPendingRequests: 1,
    maxRequests: 1,
    maxRequestsPerConnection: 0,
    consecutive5xxErrors: 0,
    intervalSeconds: 1,
    baseEjectionSeconds: 1,
    maxEjectionPercent: 0,
  },
};

test("takes all of it", () => {
  assert.deepEqual(problemsOf(whole), []);
  assert.deepEqual(problemsOf({}), []);
  assert.deepEqual(
    problemsOf({ external: { tls: false } }, { upstream: { service: "api.example.net", port: 80 } }),
    [],
  );
});

test("keeps it through export and a second file, in one spelling", () => {
  const input = {
    version: 1 as const,
    apis: [
      {
        ...api,
        traffic: {
          ...whole,
          headers: { request: { set: { "X-A": "b" } } },
          loadBalancing: undefined,
          consistentHash: { header: "X-User" },
        },
      },
    ],
  };
  const first = fillEnvironment(parse(stringify(input)), "default");
  assert.deepEqual(first.apis[0]!.traffic!.headers, { request: { set: { "x-a": "b" } } });
  assert.deepEqual(first.apis[0]!.traffic!.consistentHash, { header: "x-user" });
  const loaded = loadFile(exportYaml(first));
  assert.deepEqual(loaded.problems, []);
  assert.deepEqual(loaded.spec, first);
  assert.deepEqual(diff(first, loaded.spec!, new Set(["api"])), []);
});

test("a change of it is a change of the API", () => {
  const [before, after] = [{ timeoutSeconds: 1 }, { timeoutSeconds: 2 }].map((traffic) =>
    fillEnvironment({ version: 1, apis: [{ ...api, traffic }] }, "default"),
  );
  assert.deepEqual(diff(before!, after!, new Set()), [{ action: "update", kind: "api", id: "a", fields: ["traffic"] }]);
});

test("it's no part of the snapshot", () => {
  const compiled = [{}, { traffic: whole as ApiInput["traffic"] & object }].map((more) =>
    compileSnapshot(fillEnvironment({ version: 1, apis: [{ ...api, ...more }] }, "default")),
  );
  assert.deepEqual(compiled[0], compiled[1]);
});

const faults: [what: string, traffic: object, problem: RegExp, rest?: Partial<ApiInput>][] = [
  ["an unknown field", { timeout: 1 }, /^timeout: Unknown field `timeout`/],
  ["a timeout of nothing", { timeoutSeconds: 0 }, /^timeoutSeconds: 0 /],
  [
    "a try longer than the request",
    { timeoutSeconds: 1, retries: { attempts: 1, perTryTimeoutSeconds: 2 } },
    /^retries\.perTryTimeoutSeconds: One try/,
  ],
  [
    "an unknown reason for a retry",
    { retries: { attempts: 1, on: ["always"] } },
    /^retries\.on\.0: "always" is not allowed/,
  ],
  ["a rewrite to no path", { rewrite: { prefix: "v1" } }, /^rewrite\.prefix: Path `v1` doesn't begin/],
  ["a rewrite that Envoy would substitute", { rewrite: { prefix: "/a\\1" } }, /^rewrite\.prefix: Path/],
  [
    "a value with Envoy's substitution",
    { headers: { request: { set: { a: "%ENVIRONMENT(X)%" } } } },
    /^headers\.request\.set\.a: /,
  ],
  [
    "a header under two verbs",
    { headers: { request: { set: { a: "b" }, remove: ["A"] } } },
    /^headers\.request\.remove\.0: Header `a` is under `set` as well/,
  ],
  [
    "a header that frames the message",
    { headers: { response: { set: { "Content-Length": "1" } } } },
    /^headers\.response\.set\.content-length: /,
  ],
  [
    "a forged claim",
    { headers: { request: { add: { "X-Tollgate-Tier": "admin" } } } },
    /^headers\.request\.add\.x-tollgate-tier: .* is a claim/,
  ],
  [
    "weights that don't add up",
    {
      versions: [
        { name: "a", labels: { v: "a" }, weight: 90 },
        { name: "b", labels: { v: "b" } },
      ],
    },
    /^versions: The weights .* add up to 90/,
  ],
  ["a version of nothing", { versions: [{ name: "a", weight: 100 }] }, /^versions\.0: Nothing says where/],
  [
    "a version twice",
    { versions: ["x", "y"].map((value) => ({ name: "a", labels: { v: "a" }, match: { header: { v: value } } })) },
    /^versions\.1\.name: Version `a` is named twice/,
  ],
  [
    "two versions of one match",
    { versions: ["a", "b"].map((name) => ({ name, labels: { v: name }, match: { header: { v: "x" } } })) },
    /^versions\.1\.match: Version `a` matches the same/,
  ],
  [
    "a match and a weight",
    { versions: [{ name: "a", labels: { v: "a" }, weight: 1, match: { path: "/a" } }] },
    /^versions\.0\.weight: /,
  ],
  [
    "an empty match",
    { versions: [{ name: "a", labels: { v: "a" }, match: {} }] },
    /^versions\.0\.match: The match says nothing/,
  ],
  [
    "a version's path outside the API",
    { versions: [{ name: "a", labels: { v: "a" }, match: { path: "/b" } }] },
    /^versions\.0\.match\.path: Path `\/b` is outside/,
  ],
  [
    "a version's rewrite without a path",
    { versions: [{ name: "a", labels: { v: "a" }, weight: 100, rewrite: { prefix: "/" } }] },
    /^versions\.0\.rewrite: /,
  ],
  [
    "labels outside the mesh",
    { external: {}, versions: [{ name: "a", labels: { v: "a" }, weight: 100 }] },
    /^versions\.0\.labels: /,
    { upstream: { service: "api.example.net", port: 443 } },
  ],
  [
    "an address outside the mesh",
    { external: {} },
    /^external: `192\.0\.2\.1` is not a name/,
    { upstream: { service: "192.0.2.1", port: 443 } },
  ],
  ["two ways to balance", { loadBalancing: "random", consistentHash: { header: "a" } }, /^consistentHash: /],
];
for (const [what, traffic, problem, rest] of faults) {
  test(`refuses ${what}`, () => {
    const problems = problemsOf(traffic, rest);
    assert.equal(problems.length, 1, problems.join("\n"));
    assert.match(problems[0]!, problem);
  });
}
