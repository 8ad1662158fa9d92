import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { pathTo, readCallGraph, type CallGraph } from "./callGraph.ts";
import { compileText } from "./compile.ts";
import type { HeaderInput } from "./host.ts";
import { limitedGateway, minute, send } from "./limitsSupport.ts";
import { assertSound, keyNamed, pluginConfiguration, readyGateway } from "./support.ts";

afterEach(assertSound);

/** What Envoy calls for every request. */
const requestPath = [
  "proxy_on_context_create",
  "proxy_on_request_headers",
  "proxy_on_request_trailers",
  "proxy_on_response_headers",
];

/** AssemblyScript's allocators and collectors, and what makes objects by them. */
const allocator =
  /^"?~lib\/rt\/(tlsf|itcms|tcms|stub)\/|(^|[/#])__(new|renew|alloc|realloc|newBuffer|newArray|collect)\b/;

function allocates(graph: CallGraph): (name: string) => boolean {
  return (name) => graph.growers.has(name) || allocator.test(name);
}

for (const [build, options] of Object.entries({
  "as written": ["--optimizeLevel", "0", "--shrinkLevel", "0"],
  "as released": [],
})) {
  describe(`the filter ${build}`, () => {
    for (const name of requestPath) {
      test(`${name} can't reach an allocator`, async () => {
        const graph = readCallGraph(await compileText("assembly/index.ts", ["--target", "release", ...options]));
        assert.ok(graph.exports.has(name), `there is no ${name}`);
        const path = pathTo(graph, name, allocates(graph));
        assert.equal(path, undefined, `a request can allocate:\n  ${path?.join("\n  -> ")}`);
      });
    }
  });
}

test("the check sees AssemblyScript's allocators where they are", async () => {
  const graph = readCallGraph(
    await compileText("tests/host/fixtures/probe.ts", [
      "--config",
      "none",
      "--runtime",
      "stub",
      "--use",
      "abort=tests/host/fixtures/probe/abort",
      "--optimizeLevel",
      "0",
    ]),
  );
  const path = pathTo(graph, "proxy_on_request_headers", allocates(graph));
  assert.match(path?.at(-1) ?? "", /~lib\/rt\//);
});

describe("memory", () => {
  const key = keyNamed("acme-1");
  const requests: [name: string, path: string, headers: HeaderInput][] = [
    ["admitted", "/x?api_key=none&a=1", { "x-api-key": key, cookie: "a=1; api_key=2" }],
    ["refused", "/x", { "x-api-key": keyNamed("nobody") }],
    ["keyless, with forged claims", "/public", { "x-tollgate-tier": "gold" }],
    ["of a bad path", "/a/../b", {}],
    [
      "with many and long headers",
      "/x",
      Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`x-header-${i}`, "v".repeat(1000)])),
    ],
  ];
  for (const [name, path, headers] of requests) {
    test(`is as it was after thousands of requests: ${name}`, () => {
      const gateway = readyGateway({
        configuration: pluginConfiguration({
          keySources: [{ header: "x-api-key" }, { query: "api_key" }, { cookie: "api_key" }],
        }),
      });
      gateway.envoy.recording = false;
      const { vm } = gateway.workers[0]!;
      const before = vm.memoryBytes;
      for (let i = 0; i < 3000; i++) vm.end(gateway.get(path, headers, { trailers: { a: "b" } }));
      assert.equal(vm.memoryBytes, before);
      assert.deepEqual(gateway.envoy.traps, []);
    });
  }

  for (const enforcement of ["global", "gateway"] as const) {
    for (const [what, limit] of [
      ["admitted", 1_000_000],
      ["refused", 10],
      ["paced", 1_000_001],
    ] as const) {
      test(`is as it was after thousands of requests that are limited: ${what} (${enforcement})`, () => {
        const smoothing = what === "paced" ? { smoothing: { perSecond: 1000, burst: 1000 } } : {};
        const limits = [
          minute(limit, { enforcement, ...smoothing }),
          minute(limit * 2, { name: "shadow", mode: "shadow" }),
        ];
        const gateway = limitedGateway(limits, { workers: 2, api: { legacyHeaders: "tyk" } });
        gateway.envoy.recording = false;
        const { vm } = gateway.workers[0]!;
        const round = (times: number): void => {
          for (let i = 0; i < times; i++) {
            const stream = send(gateway, { worker: i % 2 });
            if (i % 20 === 0 || stream.state === "held") gateway.envoy.advance(20);
            if (stream.state === "forwarded") gateway.workers[i % 2]!.vm.respond(stream);
            gateway.workers[i % 2]!.vm.end(stream);
          }
        };
        round(1000);
        const before = vm.memoryBytes;
        round(4000);
        assert.equal(vm.memoryBytes, before);
        assert.deepEqual(gateway.envoy.traps, []);
      });
    }
  }

  test("is asked of the guest's malloc once a request, for the header pairs, and once for trailers", () => {
    const gateway = readyGateway();
    const { vm } = gateway.workers[0]!;
    vm.mallocSizes.length = 0;
    const stream = gateway.get("/x", { "x-api-key": key }, { trailers: { a: "b" } });
    assert.equal(stream.mallocs, 2);
    assert.equal(vm.mallocSizes.length, 2);
  });
});
