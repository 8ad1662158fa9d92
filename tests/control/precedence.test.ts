/** The one order of hosts and paths, compared with the filter's own matching. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fillApi } from "../../control/domain/defaults.ts";
import { pathWithin } from "../../control/domain/hostsAndPaths.ts";
import { ApiRouter } from "../../tools/matching.ts";
import { compareHosts, comparePaths, hostCovers, hostsOf, placesAt } from "../../control/domain/precedence.ts";

const upstream = { service: "a.b.svc.cluster.local", port: 80 };

test("an exact host comes before every suffix, whatever their lengths, and a longer suffix before a shorter one", () => {
  const hosts = ["*", "*.example.com", "a.example.com", "*.a.example.com", "b", "*.much-longer.example.com", "[::1]"];
  assert.deepEqual([...hosts].sort(compareHosts), [
    "[::1]",
    "a.example.com",
    "b",
    "*.much-longer.example.com",
    "*.a.example.com",
    "*.example.com",
    "*",
  ]);
  assert.deepEqual(["/", "/b", "/a", "/a/b"].sort(comparePaths), ["/a/b", "/a", "/b", "/"]);
});

test("a suffix covers hosts with at least one more label", () => {
  for (const [pattern, host] of [
    ["*", "a"],
    ["*", "*"],
    ["*", "*.a.b"],
    ["*.a.b", "x.a.b"],
    ["*.a.b", "y.x.a.b"],
    ["*.a.b", "*.a.b"],
    ["*.b", "*.a.b"],
    ["a.b", "a.b"],
  ] as const)
    assert.ok(hostCovers(pattern, host), `${pattern} ${host}`);
  for (const [pattern, host] of [
    ["*.a.b", "a.b"],
    ["*.a.b", ".a.b"],
    ["*.a.b", "xa.b"],
    ["*.a.b", "*.b"],
    ["*.a.b", "*"],
    ["a.b", "*"],
    ["a.b", "x.a.b"],
    ["a.b", "*.b"],
  ] as const)
    assert.ok(!hostCovers(pattern, host), `${pattern} ${host}`);
});

test("the first place of a host that a path is in holds the API that the filter finds", () => {
  const api = fc.record({
    hosts: fc.uniqueArray(
      fc.constantFrom(
        "*",
        "*.com",
        "*.example.com",
        "*.b.example.com",
        "a.example.com",
        "b.example.com",
        "a.b.example.com",
        "c",
        "long-name.example.com",
      ),
      { minLength: 1, maxLength: 3 },
    ),
    paths: fc.uniqueArray(fc.constantFrom("/", "/a", "/a/b", "/a/b/c", "/ab", "/b"), { minLength: 1, maxLength: 3 }),
  });
  let compared = 0;
  fc.assert(
    fc.property(fc.array(api, { minLength: 1, maxLength: 6 }), (inputs) => {
      const apis = inputs
        .map((input, index) => fillApi({ id: `api-${index}`, upstream, ...input }))
        .filter(
          (one, index, all) =>
            !all
              .slice(0, index)
              .some(
                (other) =>
                  other.hosts.some((host) => one.hosts.includes(host)) &&
                  other.paths.some((path) => one.paths.includes(path)),
              ),
        );
      const router = new ApiRouter(apis);
      for (const host of [
        "a.example.com",
        "b.example.com",
        "x.example.com",
        "a.b.example.com",
        "x.a.b.example.com",
        "c",
        "d",
        "example.com",
        "long-name.example.com",
      ]) {
        // Envoy's choice: the first of its hosts, in this order, that covers the name.
        const own = hostsOf(apis).find((pattern) => hostCovers(pattern, host));
        for (const path of ["/", "/a", "/a/b", "/a/b/c/d", "/ab", "/abc", "/b/x"]) {
          const place = own === undefined ? undefined : placesAt(apis, own).find((one) => pathWithin(path, one.path));
          const found = router.match(host, path, "GET");
          assert.equal(place?.apis[0]?.id, typeof found === "string" ? undefined : found.api.id, `${host}${path}`);
          compared++;
        }
      }
    }),
    { numRuns: 300 },
  );
  assert.ok(compared > 10_000);
});
