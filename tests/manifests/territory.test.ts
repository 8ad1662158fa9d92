/** A policy of one API must not reach a request that the filter gives to another: compared with the router that decides as the filter does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fillApi } from "../../control/domain/defaults.ts";
import { ApiRouter } from "../../tools/matching.ts";
import type { Api } from "../../control/domain/model.ts";
import type { ApiInput } from "../../control/domain/schema.ts";
import { type Operation, territory } from "../../tools/manifests/platform/territory.ts";

const hosts = ["*", "*.example.com", "*.b.example.com", "a.example.com", "a.b.example.com", "other.org"];
const paths = ["/", "/v1", "/v1/orders", "/v1/orders/x", "/v2"];
const methods = ["GET", "POST", "OPTIONS"];
const asked = {
  hosts: ["a.example.com", "a.b.example.com", "c.b.example.com", "c.example.com", "other.org", "else.net"],
  paths: ["/", "/v1", "/v1x", "/v1/orders", "/v1/orders/x/y", "/v2/z"],
  methods: ["GET", "HEAD", "POST", "PUT", "OPTIONS"],
};

const apiInput = fc.record({
  hosts: fc.uniqueArray(fc.constantFrom(...hosts), { minLength: 1, maxLength: 2 }),
  paths: fc.uniqueArray(fc.constantFrom(...paths), { minLength: 1, maxLength: 2 }),
  methods: fc.oneof(
    fc.constant<string[]>([]),
    fc.uniqueArray(fc.constantFrom(...methods), { minLength: 1, maxLength: 2 }),
  ),
  cors: fc.boolean(),
});

/** Definitions as they can be stored: no two with the same host, path and a common method. */
function storable(inputs: readonly { hosts: string[]; paths: string[]; methods: string[]; cors: boolean }[]): Api[] {
  const kept: Api[] = [];
  inputs.forEach(({ cors, ...rest }, index) => {
    const input: ApiInput = {
      id: `api-${index}`,
      ...rest,
      upstream: { service: "a.b.svc.cluster.local", port: 80 },
      ...(cors ? { cors: { allowOrigins: ["*"] } } : {}),
    };
    const api = fillApi(input);
    const clashes = kept.some(
      (other) =>
        other.hosts.some((host) => api.hosts.includes(host)) &&
        other.paths.some((path) => api.paths.includes(path)) &&
        (api.methods.length === 0 ||
          other.methods.length === 0 ||
          other.methods.some(
            (method) => api.methods.includes(method) || (method === "GET" && api.methods.includes("HEAD")),
          )),
    );
    if (!clashes) kept.push(api);
  });
  return kept;
}

/** As Envoy's RBAC filter compares: `*` at an end is any text. */
const like = (pattern: string, text: string) =>
  pattern.endsWith("*")
    ? text.startsWith(pattern.slice(0, -1))
    : pattern.startsWith("*")
      ? text.endsWith(pattern.slice(1))
      : text === pattern;
const among = (patterns: readonly string[] | undefined, text: string, absent: boolean) =>
  patterns === undefined ? absent : patterns.some((pattern) => like(pattern, text));

function reaches(operation: Operation, host: string, path: string, method: string): boolean {
  return (
    among(operation.hosts, host, true) &&
    !among(operation.notHosts, host, false) &&
    among(operation.paths, path, true) &&
    !among(operation.notPaths, path, false) &&
    among(operation.methods, method, true) &&
    !among(operation.notMethods, method, false)
  );
}

test("a policy reaches all of its API's requests but OPTIONS, and no other API's, whatever the hosts, paths and methods", () => {
  let reached = 0;
  fc.assert(
    fc.property(fc.array(apiInput, { minLength: 1, maxLength: 5 }), (inputs) => {
      const apis = storable(inputs);
      const router = new ApiRouter(apis);
      for (const api of apis) {
        const operations = territory(api, apis);
        for (const host of asked.hosts)
          for (const path of asked.paths)
            for (const method of asked.methods) {
              const place = router.match(host, path, method);
              const own = typeof place !== "string" && place.api === api;
              const what = `${method} ${host}${path} by the policy of ${api.id}: ${JSON.stringify(operations)}`;
              if (operations.some((operation) => reaches(operation, host, path, method))) {
                if (typeof place === "string") continue;
                reached++;
                assert.ok(own, what);
              } else if (own && method !== "OPTIONS") assert.fail(`not reached: ${what}`);
            }
      }
    }),
    { numRuns: 400, seed: 5 },
  );
  assert.ok(reached > 5000, `it was tried on ${reached} requests`);
});

test("a lone API is reached as a whole, but for preflights where it has CORS", () => {
  const [plain, cors] = [false, true].map(
    (own) =>
      storable([{ hosts: ["a.example.com", "*.b.example.com"], paths: ["/v1"], methods: ["GET"], cors: own }])[0]!,
  );
  assert.deepEqual(territory(plain!, [plain!]), [
    { hosts: ["*.b.example.com", "a.example.com", "a.example.com:*"], paths: ["/v1", "/v1/*"] },
  ]);
  assert.deepEqual(territory(cors!, [cors!])[0]?.notMethods, ["OPTIONS"]);
});

test("hosts that have all paths of their own are left out, and there is still a policy", () => {
  const [all, below, exact] = storable([
    { hosts: ["*"], paths: ["/"], methods: [], cors: false },
    { hosts: ["*.example.com"], paths: ["/"], methods: [], cors: false },
    { hosts: ["a.example.com"], paths: ["/v1"], methods: [], cors: false },
  ]);
  assert.deepEqual(territory(all!, [all!, below!]), [{ notHosts: ["*.example.com"] }]);
  assert.deepEqual(territory(below!, [all!, below!]), [{ hosts: ["*.example.com"] }]);
  // What a more exact host has no path for is the less exact one's.
  assert.deepEqual(territory(all!, [all!, exact!]), [
    { hosts: ["a.example.com", "a.example.com:*"], notPaths: ["/v1", "/v1/*"] },
    { notHosts: ["a.example.com", "a.example.com:*"] },
  ]);
});

test("a method in another case is reached where APIs differ by method", () => {
  const [read, write] = storable([
    { hosts: ["*"], paths: ["/v1", "/v2"], methods: ["GET"], cors: false },
    { hosts: ["*"], paths: ["/v1"], methods: ["POST"], cors: false },
  ]);
  const [operation] = territory(write!, [read!, write!]);
  assert.deepEqual(operation, { paths: ["/v1", "/v1/*"], notMethods: ["GET", "HEAD"] });
  for (const method of ["POST", "post", "Post"]) assert.ok(reaches(operation!, "x.test", "/v1", method), method);
  assert.deepEqual(territory(read!, [read!, write!]), [
    { paths: ["/v1", "/v1/*"], notMethods: ["POST"] },
    { paths: ["/v2", "/v2/*"] },
  ]);
});
