/** The routes that are made lead every request to the API that the filter finds, whichever kind of routes it is. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import { pathWithin } from "../../control/domain/hostsAndPaths.ts";
import { ApiRouter } from "../../tools/matching.ts";
import type { Api } from "../../control/domain/model.ts";
import type { ApiInput, FileInput } from "../../control/domain/schema.ts";
import { checkEnvironment } from "../../control/domain/semantics.ts";
import type { TrafficVersion } from "../../control/domain/trafficSchema.ts";
import { ManifestError, type ManifestFile } from "../../tools/manifests/model.ts";
import { routingFiles } from "../../tools/manifests/routing/routes.ts";
import { manifestOptions } from "./support/options.ts";
import { type Asked, byHttpRoutes, byVirtualServices, type Outcome } from "./support/simulateRoutes.ts";

const hosts = ["*", "*.example.com", "*.shop.example.com", "shop.example.com", "a.shop.example.com", "other.org"];
const paths = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/b.c"];
const methods = ["GET", "POST", "DELETE", "OPTIONS"];

const version = fc.record({
  path: fc.option(fc.constantFrom(...paths), { nil: undefined, freq: 2 }),
  headers: fc.subarray(["x-version", "x-beta"]),
  share: fc.constantFrom(true, false, false),
});

/** An upstream for each API and version, so that it shows who got a request. */
const upstream = (api: number, name = "own"): { service: string; port: number } => ({
  service: `${name}.api-${api}.svc.cluster.local`,
  port: 80,
});

const apiInputs: fc.Arbitrary<ApiInput[]> = fc
  .array(
    fc.record({
      hosts: fc.subarray(hosts, { minLength: 1, maxLength: 3 }),
      paths: fc.subarray(paths, { minLength: 1, maxLength: 3 }),
      methods: fc.oneof(
        { weight: 2, arbitrary: fc.constant<string[]>([]) },
        { weight: 1, arbitrary: fc.subarray(methods, { minLength: 1 }) },
      ),
      cors: fc.boolean(),
      /** has the hosts and paths of the one before, which then has GET, this one POST and OPTIONS */
      twin: fc.boolean(),
      tls: fc.option(fc.record({ credentialName: fc.constantFrom("one", "two"), redirect: fc.boolean() }), {
        nil: undefined,
        freq: 2,
      }),
      rewrite: fc.option(fc.constantFrom("/", "/v2"), { nil: undefined }),
      versions: fc.array(version, { maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 5 },
  )
  .map((drafts) =>
    drafts.map(({ versions, cors, rewrite, tls, twin, ...own }, index): ApiInput => {
      const draft =
        twin && index > 0
          ? { ...drafts[index - 1]!, methods: ["POST", "OPTIONS"] }
          : drafts[index + 1]?.twin === true
            ? { ...own, methods: ["GET"] }
            : own;
      const shares = versions.filter(({ share }) => share).length;
      const made = versions.map(({ path, headers, share }, at) => ({
        name: `v${at}`,
        upstream: upstream(index, `v${at}`),
        ...(share
          ? { weight: Math.floor(100 / shares) + (versions.findIndex((one) => one.share) === at ? 100 % shares : 0) }
          : {}),
        ...(share
          ? {}
          : {
              match: {
                ...(path === undefined ? {} : { path }),
                ...(headers.length === 0 ? {} : { header: Object.fromEntries(headers.map((name) => [name, "1"])) }),
              },
            }),
      }));
      return {
        id: `api-${index}`,
        hosts: draft.hosts,
        paths: draft.paths,
        methods: draft.methods,
        upstream: upstream(index),
        ...(cors ? { cors: { allowOrigins: ["*"] } } : {}),
        traffic: {
          ...(made.length === 0 ? {} : { versions: made }),
          ...(rewrite === undefined ? {} : { rewrite: { prefix: rewrite } }),
          ...(tls === undefined ? {} : { tls }),
        },
      };
    }),
  );

/** APIs that pass their checks. Those that don't lose, one by one, what is at fault. */
function sound(inputs: readonly ApiInput[]): FileInput {
  const kept: ApiInput[] = [];
  for (const input of inputs) {
    const { tls: _tls, ...rest } = input.traffic!;
    for (const variant of [input, { ...input, traffic: rest }, { ...input, traffic: {} }]) {
      const file: FileInput = { version: 1, apis: [...kept, variant] };
      if (
        checkEnvironment(fillEnvironment(file, "default")).some(({ severity }) => severity === "error") ||
        made(file, "gateway-api") === undefined
      )
        continue;
      kept.push(variant);
      break;
    }
  }
  return { version: 1, apis: kept };
}

function made(file: FileInput, routing: "istio" | "gateway-api"): ManifestFile[] | undefined {
  try {
    return routingFiles(file, manifestOptions({ routing }));
  } catch (error) {
    if (error instanceof ManifestError) return undefined;
    throw error;
  }
}

const asked: fc.Arbitrary<Asked> = fc
  .record({
    host: fc.constantFrom(
      "shop.example.com",
      "a.shop.example.com",
      "b.a.shop.example.com",
      "example.com",
      "x.example.com",
      "other.org",
      "never.net",
    ),
    path: fc.constantFrom(
      "/",
      "/a",
      "/a/",
      "/a/b",
      "/a/bb",
      "/a/b/c",
      "/a/b/c/d",
      "/ab",
      "/ab/c",
      "/abc",
      "/b.c",
      "/bxc",
      "/z",
    ),
    method: fc.constantFrom("GET", "HEAD", "POST", "DELETE", "OPTIONS"),
    headers: fc.subarray(["x-version", "x-beta"]),
    preflight: fc.option(fc.constantFrom("GET", "POST", "DELETE"), { nil: undefined }),
    sni: fc.option(
      fc.constantFrom(
        "shop.example.com",
        "a.shop.example.com",
        "b.a.shop.example.com",
        "x.example.com",
        "other.org",
        "never.net",
      ),
      { nil: undefined },
    ),
  })
  .map(({ headers, preflight, method, sni, host, path }) => {
    const rest = { host, path, ...(sni === undefined ? {} : { sni }) };
    return preflight === undefined
      ? { ...rest, method, headers: Object.fromEntries(headers.map((name) => [name, "1"])) }
      : {
          ...rest,
          method: "OPTIONS",
          headers: { origin: "https://app.example.com", "access-control-request-method": preflight },
        };
  });

/** The API by the filter's rules, the version by the words of docs/guides/route-traffic.md. */
function expected(
  apis: readonly Api[],
  router: ApiRouter,
  { host, path, method, headers }: Asked,
): Outcome | undefined {
  const wanted = headers["access-control-request-method"];
  if (wanted !== undefined) {
    const place = router.match(host, path, wanted);
    if (typeof place !== "string" && place.api.cors !== undefined) return outcome(place.api, path, {});
  }
  const place = router.match(host, path, method);
  if (place === "unknown_api") return { status: 404 };
  if (place === "method_not_allowed") return { status: 405 };
  assert.ok(typeof place !== "string", String(place));
  assert.ok(apis.includes(place.api));
  return outcome(place.api, path, headers);
}

function outcome(api: Api, path: string, headers: Asked["headers"]): Outcome {
  const versions = api.traffic?.versions ?? [];
  const base = Math.max(...api.paths.filter((prefix) => pathWithin(path, prefix)).map((prefix) => prefix.length));
  const size = ({ match }: TrafficVersion): number => match?.path?.length ?? 0;
  const count = ({ match }: TrafficVersion): number => Object.keys(match?.header ?? {}).length;
  const [winner] = versions
    .filter(
      ({ match }) =>
        match !== undefined &&
        (match.path === undefined || pathWithin(path, match.path)) &&
        Object.entries(match.header ?? {}).every(([name, value]) => headers[name] === value),
    )
    .sort((a, b) => Math.max(size(b), base) - Math.max(size(a), base) || count(b) - count(a) || size(b) - size(a));
  const shares = versions.filter(({ match }) => match === undefined);
  if (winner !== undefined) return { upstreams: [winner.upstream!.service], weights: [100] };
  if (shares.length === 0) return { upstreams: [api.upstream.service], weights: [100] };
  return {
    upstreams: shares.map((share) => share.upstream!.service),
    weights: shares.map(({ weight }) => weight ?? 0),
  };
}

/** Whether a name is served by HTTPS: by a certificate of its host's, or of one that covers that. */
function tlsOf(apis: readonly Api[], name: string): "redirect" | "both" | undefined {
  const covering = apis
    .flatMap((api) =>
      api.hosts
        .filter((host) => host === "*" || host === name || (host.startsWith("*.") && name.endsWith(host.slice(1))))
        .map(() => api.traffic?.tls),
    )
    .filter((tls) => tls !== undefined);
  return covering.length === 0 ? undefined : covering.some(({ redirect }) => redirect !== false) ? "redirect" : "both";
}

function apisOf(outcome: Outcome): unknown {
  return "status" in outcome ? outcome : [...new Set(outcome.upstreams.map((host) => host.split(".")[1]))];
}

function property(
  routing: "istio" | "gateway-api",
  simulate: (files: readonly ManifestFile[], request: Asked) => Outcome,
): void {
  let [routed, refused, elsewhere] = [0, 0, 0];
  fc.assert(
    fc.property(apiInputs, fc.array(asked, { minLength: 20, maxLength: 20 }), (inputs, requests) => {
      const file = sound(inputs);
      const files = made(file, routing)!;
      const { apis } = fillEnvironment(file, "default");
      const router = new ApiRouter(apis);
      for (const request of requests) {
        const wanted = expected(apis, router, request)!;
        // The filter answers these itself. An HTTPRoute can't; and OPTIONS may be for CORS, of which the filter knows more.
        if ("status" in wanted && wanted.status === 405 && (routing === "gateway-api" || request.method === "OPTIONS"))
          continue;
        const got = simulate(files, request);
        // Hosts without HTTPS, those that HTTP leads there, and requests on a connection for another host: answered by no upstream, or by the right one.
        const tls = tlsOf(apis, request.host);
        if (request.sni === undefined)
          assert.equal(
            "status" in got && got.status === 301,
            tls === "redirect",
            `redirected? ${JSON.stringify(request)}`,
          );
        else assert.ok(!("status" in got && got.status === 301), `a redirect on HTTPS: ${JSON.stringify(request)}`);
        if (
          request.sni === undefined
            ? tls === "redirect"
            : "status" in got && got.status === 404 && !(request.sni === request.host && tls !== undefined)
        ) {
          elsewhere++;
          continue;
        }
        // Envoy answers preflights by the API's CORS rules: no version gets them.
        if (request.headers["access-control-request-method"] === undefined)
          assert.deepEqual(got, wanted, JSON.stringify(request));
        else assert.deepEqual(apisOf(got), apisOf(wanted), JSON.stringify(request));
        if ("status" in wanted) refused++;
        else routed++;
      }
    }),
    { numRuns: 1000 },
  );
  assert.ok(
    routed > 1000 && refused > 200 && elsewhere > 200,
    `${routed} routed, ${refused} refused, ${elsewhere} elsewhere: too few to say anything`,
  );
}

for (const reverse of [false, true]) {
  test(`VirtualServices lead to the API that the filter finds, ${reverse ? "the last" : "the first"} first`, () =>
    property("istio", (files, request) => byVirtualServices(files, request, reverse)));
}
test("HTTPRoutes lead to the API that the filter finds", () => property("gateway-api", byHttpRoutes));
