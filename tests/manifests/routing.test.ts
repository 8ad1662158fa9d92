/** The routing part of `tollgate manifests`: what it makes of each fixture, and what it refuses. */
import assert from "node:assert/strict";
import test from "node:test";
import { parseAllDocuments } from "yaml";
import type { ApiInput } from "../../control/domain/schema.ts";
import { ManifestError, type ManifestOptions } from "../../tools/manifests/model.ts";
import { routingFiles } from "../../tools/manifests/routing/routes.ts";
import { filesBelow, routingGoldens } from "./routingGoldens.ts";
import { manifestOptions } from "./support/options.ts";

for (const { name, output, files } of routingGoldens()) {
  test(`routes of fixtures/${name}`, () => {
    assert.deepEqual(
      Object.fromEntries(filesBelow(output)),
      Object.fromEntries(files),
      "run `npm run generate` and look at the difference",
    );
    for (const [path, text] of files)
      if (path.endsWith(".yaml"))
        for (const document of parseAllDocuments(text)) assert.deepEqual(document.errors, [], path);
  });
}

const plain: ApiInput = {
  id: "a",
  hosts: ["a.example.com"],
  paths: ["/a"],
  upstream: { service: "a.shop.svc.cluster.local", port: 80 },
};

function made(apis: readonly ApiInput[], options: Partial<ManifestOptions> = {}): Record<string, any>[] {
  return routingFiles({ version: 1, apis: [...apis] }, manifestOptions(options)).flatMap(({ documents }) =>
    documents.map(({ object }) => object),
  );
}

function refused(apis: readonly ApiInput[], words: RegExp, options: Partial<ManifestOptions> = {}): void {
  assert.throws(
    () => made(apis, options),
    (error) => error instanceof ManifestError && words.test(error.message),
    `refused with ${words}`,
  );
}

test("nothing is made of no APIs", () => {
  for (const routing of ["istio", "gateway-api"] as const) assert.deepEqual(made([], { routing }), []);
});

test("the order of the definitions doesn't show", () => {
  const apis = ["c", "a", "b"].map((id): ApiInput => ({ ...plain, id, paths: [`/${id}`] }));
  for (const routing of ["istio", "gateway-api"] as const)
    assert.deepEqual(made(apis, { routing }), made([...apis].reverse(), { routing }));
});

test("objects of a kind have names of their own, whatever the ids", () => {
  const ids = ["a", "a.b", "a_b", "a-b", "a--b", "a-b-", "x".repeat(63), `${"x".repeat(62)}y`];
  const traffic = {
    loadBalancing: "random" as const,
    versions: [{ name: "b", labels: { version: "b" }, match: { header: { v: "b" } } }],
  };
  const apis = ids.map((id, index): ApiInput => ({ ...plain, id, paths: [`/${index}`], traffic }));
  const objects = made(apis);
  const names = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  assert.equal(new Set(names).size, names.length, names.join());
  for (const { metadata } of objects) assert.match(metadata.name, /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/);
  const subsets = objects
    .filter(({ kind }) => kind === "DestinationRule")
    .flatMap(({ spec }) => spec.subsets.map(({ name }: { name: string }) => name));
  assert.equal(new Set(subsets).size, 2 * ids.length, subsets.join());
  for (const name of subsets) assert.match(name, /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
});

test("an HTTPRoute stays within its bounds", () => {
  const hosts = Array.from({ length: 40 }, (_, index) => `h${index}.example.com`);
  const paths = Array.from({ length: 150 }, (_, index) => `/p${index}`);
  for (const traffic of [{}, { rewrite: { prefix: "/" } }]) {
    const routes = made([{ ...plain, hosts, paths, traffic }], { routing: "gateway-api" }).filter(
      ({ kind }) => kind === "HTTPRoute",
    );
    const seen = new Set<string>();
    for (const { spec } of routes) {
      assert.ok(spec.hostnames.length <= 16 && spec.rules.length <= 16);
      const counts = spec.rules.map(({ matches }: { matches: unknown[] }) => matches.length);
      assert.ok(
        Math.max(...counts) <= ("rewrite" in traffic ? 1 : 64) &&
          counts.reduce((sum: number, count: number) => sum + count, 0) <= 128,
      );
      for (const host of spec.hostnames)
        for (const { matches } of spec.rules) for (const { path } of matches) seen.add(`${host}${path.value}`);
    }
    assert.equal(seen.size, hosts.length * paths.length);
  }
});

test("refuses what leads nowhere", () => {
  refused(
    [{ ...plain, upstream: { service: "orders", port: 80 } }],
    /API `a`: upstream\.service `orders` is not a service of the cluster/,
  );
  refused([{ ...plain, upstream: { service: "api.example.net", port: 80 } }], /traffic\.external/);
  refused([{ ...plain, traffic: { external: {} } }], /is a service of the cluster: remove traffic\.external/);
  refused(
    [
      {
        ...plain,
        traffic: { versions: [{ name: "b", upstream: { service: "b", port: 80 }, match: { header: { v: "b" } } }] },
      },
    ],
    /version `b`/,
  );
  refused([{ ...plain, hosts: ["localhost"] }], /host `localhost`/);
  refused([{ ...plain, hosts: ["[::1]"] }], /host `\[::1\]`/);
});

test("refuses a version's path that is another API's", () => {
  const versioned: ApiInput = {
    ...plain,
    traffic: { versions: [{ name: "b", labels: { v: "b" }, match: { path: "/a/b/c" } }] },
  };
  refused(
    [versioned, { ...plain, id: "b", paths: ["/a/b"] }],
    /API `a`: traffic\.versions\[0\]\.match\.path `\/a\/b\/c` belongs to another API/,
  );
  assert.ok(made([versioned, { ...plain, id: "b", paths: ["/a/b/c/d"] }]).length > 0);
});

test("refuses certificates that contradict each other", () => {
  const tls = (credentialName: string, redirect = true): NonNullable<ApiInput["traffic"]> => ({
    tls: { credentialName, redirect },
  });
  refused(
    [
      { ...plain, traffic: tls("x") },
      { ...plain, id: "b", paths: ["/b"], traffic: tls("y") },
    ],
    /API `b`: traffic\.tls differs from that of API `a`.*`a\.example\.com`/,
  );
  refused(
    [
      { ...plain, traffic: tls("x") },
      { ...plain, id: "b", hosts: ["*.example.com"], traffic: tls("x", false) },
    ],
    /redirect of hosts `a\.example\.com` and `\*\.example\.com`/,
  );
});

test("refuses to forge claims by the names that the plugin gives them", () => {
  const api: ApiInput = { ...plain, traffic: { headers: { request: { set: { "X-Caller": "me" } } } } };
  refused([api], /`x-caller`, which is a claim/, { plugin: { claims: { names: { consumer: "X-Caller" } } } });
  refused([api], /`x-caller`, which is a claim/, { plugin: { claims: { prefix: "x-call" } } });
  assert.ok(made([api]).length > 0);
});

test("refuses what an HTTPRoute can't say, naming field and API", () => {
  const refusals: [ApiInput, RegExp][] = [
    [{ ...plain, traffic: { retries: { attempts: 1 } } }, /^API `a`: traffic\.retries: .* use --routing istio\.$/],
    [
      { ...plain, traffic: { versions: [{ name: "b", labels: { v: "b" }, weight: 100 }] } },
      /^API `a`: traffic\.versions\[0\]\.labels: /,
    ],
    [{ ...plain, cors: { allowOrigins: ["app://phone"] } }, /^API `a`: cors\.allowOrigins: .*`app:\/\/phone`/],
    [{ ...plain, cors: { allowOrigins: ["*"], allowMethods: ["PURGE"] } }, /^API `a`: cors\.allowMethods: .*PURGE/],
    [{ ...plain, hosts: ["10.0.0.1"] }, /^API `a`: hosts: .*10\.0\.0\.1/],
    [{ ...plain, paths: ["/a[b"] }, /^API `a`: paths: .*`\/a\[b`/],
  ];
  for (const [api, words] of refusals) {
    refused([api], words, { routing: "gateway-api" });
    assert.ok(made([api]).length > 0, "with --routing istio it works");
  }
  const shared: ApiInput[] = [
    { ...plain, methods: ["PURGE"] },
    { ...plain, id: "b", methods: ["GET"] },
  ];
  refused(shared, /^API `a`: methods: .*PURGE/, { routing: "gateway-api" });
  const policies: ApiInput[] = [
    { ...plain, traffic: { loadBalancing: "random" } },
    { ...plain, id: "b", paths: ["/b"] },
  ];
  refused(policies, /^API `b`: traffic\.loadBalancing.* differ from those of API `a`/, { routing: "gateway-api" });
  assert.ok(made(policies).length > 0);
});

test("refuses more certificates than a Gateway has listeners", () => {
  const apis = Array.from(
    { length: 64 },
    (_, index): ApiInput => ({
      ...plain,
      id: `a${index}`,
      hosts: [`a${index}.example.com`],
      traffic: { tls: { credentialName: "x" } },
    }),
  );
  refused(apis, /64 hosts have certificates/, { routing: "gateway-api" });
  assert.ok(made(apis.slice(1), { routing: "gateway-api" }).length > 0);
});

test("durations are whole seconds and milliseconds", () => {
  const timeout = (timeoutSeconds: number): string =>
    made([{ ...plain, traffic: { timeoutSeconds } }]).find(({ spec }) => spec.http?.[0].timeout !== undefined)!["spec"]
      .http[0].timeout;
  assert.deepEqual([0.001, 0.25, 1, 1.5, 86_400].map(timeout), ["1ms", "250ms", "1s", "1s500ms", "86400s"]);
});
