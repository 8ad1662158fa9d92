/** Routes that `tollgate manifests` makes, in a real Envoy programmed by a real istiod: each request gets to the API that the filter's rules name. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import { ApiRouter } from "../../tools/matching.ts";
import type { ApiInput, FileInput } from "../../control/domain/schema.ts";
import type { Pair, Response } from "../kit/http1.ts";
import { eventually } from "../kit/eventually.ts";
import { type HttpServer } from "../kit/http.ts";
import { manifestsOf } from "./support/manifests.ts";
import { Mesh } from "./support/mesh.ts";
import { type Echo, startUpstream } from "./support/upstream.ts";
import { skipReason } from "./tools.ts";

const service = (name: string) => ({ service: `${name}.shop.svc.cluster.local`, port: 8080 });
const cors = { allowOrigins: ["https://app.example.com"] };

/** Hosts that cover each other, paths within others' paths, a path that two APIs share by their methods. Each API's Service has its name. */
const apis: ApiInput[] = [
  { id: "web", hosts: ["*"], paths: ["/", "/status", "/items/all"] },
  { id: "items", hosts: ["shop.example.com", "*.example.com"], paths: ["/items"], methods: ["GET"], cors },
  {
    id: "items-write",
    hosts: ["shop.example.com", "*.example.com"],
    paths: ["/items"],
    methods: ["POST", "DELETE"],
    cors,
  },
  { id: "admin", hosts: ["admin.example.com"], paths: ["/", "/items/all"], methods: ["POST"] },
  { id: "labs", hosts: ["*.labs.example.com"], paths: ["/status", "/new.items"] },
].map((api): ApiInput => ({ ...api, upstream: service(api.id), auth: { mode: "none" } }));

const orders: ApiInput = {
  id: "orders",
  hosts: ["shop.example.com"],
  paths: ["/v1/orders"],
  upstream: service("orders"),
  auth: { mode: "none" },
  cors: { allowOrigins: ["https://*.example.com"], allowMethods: ["GET", "PUT"], maxAgeSeconds: 60 },
  traffic: {
    rewrite: { prefix: "/api" },
    headers: { response: { set: { "x-served-by": "shop" } } },
    versions: [
      { name: "beta", upstream: service("orders-beta"), match: { header: { "x-version": "beta" } } },
      { name: "next", upstream: service("orders-next"), match: { path: "/v1/orders/v2" } },
      { name: "old", upstream: service("orders-old"), match: { path: "/v1/orders/old" }, rewrite: { prefix: "/" } },
    ],
  },
};

/** Its certificate isn't there; the redirect of plain HTTP needs none. */
const secure: ApiInput = {
  id: "secure",
  hosts: ["secure.example.com"],
  paths: ["/"],
  upstream: service("web"),
  auth: { mode: "none" },
  traffic: { tls: { credentialName: "secure-example-com" } },
};

/** Envoy resolves what ends with `.localhost` by itself (RFC 6761). TLS to the outside needs Istio's agent, for the system's authorities. */
const outsideHost = "partner.localhost";

function definitions(outsidePort: number): FileInput {
  const outside: ApiInput = {
    id: "outside",
    hosts: ["shop.example.com"],
    paths: ["/partner"],
    upstream: { service: outsideHost, port: outsidePort },
    auth: { mode: "none" },
    traffic: {
      external: { tls: false },
      rewrite: { prefix: "/" },
      headers: { request: { remove: ["x-internal"] } },
      circuitBreaking: { maxConnections: 10 },
    },
  };
  return { version: 1, apis: [...apis, orders, outside] };
}

const serviceNames = [...apis.map(({ id }) => id), "orders", "orders-beta", "orders-next", "orders-old"];

const hosts = [
  "shop.example.com",
  "SHOP.example.com:8080",
  "x.example.com",
  "admin.example.com",
  "a.labs.example.com",
  "labs.example.com",
  "example.com",
  "elsewhere.org",
];
const paths = [
  "/",
  "/status",
  "/statuses",
  "/items",
  "/items/7?q=1",
  "/items/all",
  "/items/all/x",
  "/itemsx",
  "/new.items",
  "/newxitems",
  "/other",
];
const methods = ["GET", "POST", "DELETE", "PUT"];

for (const routing of ["istio", "gateway-api"] as const) {
  describe(`routes of ${routing}`, { skip: await skipReason() }, () => {
    let mesh: Mesh;
    let outside: HttpServer;
    let file: FileInput;
    before(async () => {
      outside = await startUpstream("outside", "127.0.0.1");
      file = definitions(outside.port);
      const { objects, meshConfig } = await manifestsOf(file, routing);
      mesh = await Mesh.start({
        file,
        services: serviceNames.map((name) => ({ name, namespace: "shop" })),
        gatewayApi: routing === "gateway-api",
        manifests: true,
        meshConfig,
        objects: { tollgate: objects },
      });
      await eventually(
        "all hosts' routes",
        async () => {
          for (const [host, path] of [
            ["elsewhere.org", "/"],
            ["shop.example.com", "/v1/orders"],
            ["a.labs.example.com", "/status"],
          ] as const)
            if ((await call(host, path)).status !== 200) return false;
          return true;
        },
        60_000,
      );
    });
    after(async () => {
      await mesh?.stop();
      await outside?.close();
    });

    it("leads each request to the API that the filter decides for", async () => {
      const router = new ApiRouter(fillEnvironment(file, "default").apis);
      const counts = new Map<string, number>();
      for (const host of hosts) {
        for (const path of paths) {
          for (const method of methods) {
            const place = router.match(host, path, method);
            const response = await call(host, path, method);
            const what = `${method} ${host}${path}`;
            if (typeof place === "string")
              assert.equal(response.status, { unknown_api: 404, method_not_allowed: 405 }[place as string], what);
            else assert.equal(echo(response, what).upstream, place.api.id, what);
            const name = typeof place === "string" ? place : place.api.id;
            counts.set(name, (counts.get(name) ?? 0) + 1);
          }
        }
      }
      assert.deepEqual(
        [...counts.keys()].sort(),
        ["admin", "items", "items-write", "labs", "method_not_allowed", "web"],
        "each API had its requests",
      );
    });

    it("has Envoy answer preflights by the rules of the API whose method they ask for", async () => {
      for (const [method, status] of [
        ["GET", 200],
        ["DELETE", 200],
        ["PUT", 405],
      ] as const) {
        const response = await preflight("shop.example.com", "/items", method, "https://app.example.com");
        assert.equal(response.status, status, method);
        assert.equal(
          header(response, "access-control-allow-origin"),
          status === 200 ? "https://app.example.com" : undefined,
          method,
        );
        if (status === 200)
          assert.equal(header(response, "access-control-allow-methods"), method === "GET" ? "GET,HEAD" : "POST,DELETE");
      }
      const allowed = await preflight("shop.example.com", "/v1/orders/7", "PUT", "https://app.example.com");
      assert.deepEqual(
        [allowed.status, header(allowed, "access-control-allow-methods"), header(allowed, "access-control-max-age")],
        [200, "GET,PUT", "60"],
      );
      const foreign = await preflight("shop.example.com", "/v1/orders/7", "PUT", "https://app.example.com.evil.org");
      assert.equal(header(foreign, "access-control-allow-origin"), undefined);
    });

    it("chooses versions by header and path, and rewrites", async () => {
      const seen = async (path: string, more: Pair[] = []) => {
        const response = await call("shop.example.com", path, "GET", more);
        assert.equal(header(response, "x-served-by"), "shop");
        const { upstream, path: rewritten } = echo(response, path);
        return [upstream, rewritten];
      };
      assert.deepEqual(await seen("/v1/orders"), ["orders", "/api"]);
      assert.deepEqual(await seen("/v1/orders/7?a=/v1/orders"), ["orders", "/api/7?a=/v1/orders"]);
      assert.deepEqual(await seen("/v1/orders/7", [["x-version", "beta"]]), ["orders-beta", "/api/7"]);
      assert.deepEqual(await seen("/v1/orders/7", [["x-version", "gamma"]]), ["orders", "/api/7"]);
      assert.deepEqual(await seen("/v1/orders/v2/7"), ["orders-next", "/api/v2/7"]);
      assert.deepEqual(await seen("/v1/orders/v2", [["x-version", "beta"]]), ["orders-next", "/api/v2"]);
      assert.deepEqual(await seen("/v1/orders/v21"), ["orders", "/api/v21"]);
      assert.deepEqual(await seen("/v1/orders/old"), ["orders-old", "/"]);
      assert.deepEqual(await seen("/v1/orders/old/7"), ["orders-old", "/7"]);
    });

    it("sends to an upstream outside the mesh, by its own name", async () => {
      const { upstream, path, headers } = echo(
        await call("shop.example.com", "/partner/7?a=b", "GET", [["x-internal", "1"]]),
        "partner",
      );
      assert.deepEqual(
        [upstream, path, headers["host"], headers["x-internal"]],
        ["outside", "/7?a=b", outsideHost, undefined],
      );
    });

    it("leads plain HTTP to HTTPS where a host has a certificate, and nowhere else", async () => {
      const { objects } = await manifestsOf({ ...file, apis: [...file.apis!, secure] }, routing);
      mesh.put("tollgate", objects);
      const response = await eventually(
        "the redirect",
        async () => {
          const response = await call("secure.example.com", "/status?a=b");
          return response.status === 301 && response;
        },
        60_000,
      );
      assert.equal(header(response, "location"), "https://secure.example.com/status?a=b");
      assert.equal((await call("secure2.example.com", "/status")).status, 200);
    });

    function call(host: string, path: string, method = "GET", more: Pair[] = []): Promise<Response> {
      return mesh.gateway.send({ method, path, headers: [["host", host], ...more] });
    }

    function preflight(host: string, path: string, method: string, origin: string): Promise<Response> {
      return call(host, path, "OPTIONS", [
        ["origin", origin],
        ["access-control-request-method", method],
      ]);
    }
  });
}

function echo(response: Response, what: string): Echo {
  assert.equal(response.status, 200, `${what}: ${response.body}`);
  return JSON.parse(response.body) as Echo;
}

function header(response: Response, name: string): string | undefined {
  return response.headers.find(([one]) => one.toLowerCase() === name)?.[1];
}
