/** What `tollgate manifests` writes of one file, in both routing flavours: istiod takes it, and the gateway does what the file says. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { digestHex, issueKey } from "../../control/domain/keys.ts";
import type { ApiInput, FileInput } from "../../control/domain/schema.ts";
import { reasonOf } from "../kit/gateway.ts";
import type { Pair, Response } from "../kit/http1.ts";
import { eventually } from "../kit/eventually.ts";
import { manifestsOf, type Routing } from "./support/manifests.ts";
import { Mesh } from "./support/mesh.ts";
import { Issuer } from "./support/tokens.ts";
import type { Echo } from "./support/upstream.ts";
import { skipReason } from "./tools.ts";

const host = "shop.example.com";
/** Requests whose split is counted: a tenth is 60, give or take 7.3, and five times that is allowed. */
const splitRequests = 600;
const splitBounds = [24, 96] as const;

for (const routing of ["istio", "gateway-api"] as const) {
  describe(`tollgate manifests --routing ${routing}`, { skip: await skipReason() }, () => {
    const keys = { bronze: issueKey("default", randomInt).key, platinum: issueKey("default", randomInt).key };
    let issuer: Issuer;
    let mesh: Mesh;
    before(async () => {
      issuer = await Issuer.make("https://issuer.test/");
      const { objects, meshConfig } = await manifestsOf(file(routing, issuer, keys), routing);
      mesh = await Mesh.start({
        file: file(routing, issuer, keys),
        services: [...ordersServices(routing), { name: "accounts", namespace: "shop" }],
        gatewayApi: routing === "gateway-api",
        manifests: true,
        meshConfig,
        objects: { tollgate: objects },
      });
    });
    after(() => mesh?.stop());

    it("gets from nothing to the first 401 and the first 200", async () => {
      const refused = await eventually("the gateway's answer", async () => call("/orders"));
      assert.deepEqual([refused.status, reasonOf(refused)], [401, "key_missing"]);
      assert.equal((await call("/orders", { key: keys.platinum })).status, 200);
    });

    it("rewrites the path, sets and removes headers, and sends the caller's claims", async () => {
      const { path, headers } = await admitted("/orders/7?page=2", {
        key: keys.platinum,
        more: [
          ["x-internal", "1"],
          ["x-tollgate-tier", "admin"],
        ],
      });
      assert.equal(path, "/7?page=2");
      assert.equal(headers["x-shop"], "corner");
      assert.equal(headers["x-internal"], undefined);
      assert.equal(headers["x-tollgate-tier"], "platinum");
      assert.equal(headers["x-api-key"], undefined);
    });

    it("splits two versions 90 to 10", async () => {
      const counts: Record<string, number> = {};
      for (let i = 0; i < splitRequests; i++) {
        const { upstream } = await admitted("/orders", { key: keys.platinum });
        counts[upstream] = (counts[upstream] ?? 0) + 1;
      }
      const { "orders-v1": first = 0, "orders-v2": second = 0 } = counts;
      assert.equal(first + second, splitRequests, JSON.stringify(counts));
      assert.ok(second >= splitBounds[0] && second <= splitBounds[1], JSON.stringify(counts));
    });

    it("sends who asks for a version there", async () => {
      assert.equal(
        (await admitted("/orders", { key: keys.platinum, more: [["x-version", "beta"]] })).upstream,
        "orders-v3",
      );
    });

    it("refuses a tier that doesn't have the API, and forged claims change nothing", async () => {
      const response = await call("/accounts", { key: keys.bronze, more: [["x-tollgate-tier", "platinum"]] });
      assert.deepEqual([response.status, reasonOf(response)], [403, "api_not_allowed"]);
      assert.equal((await admitted("/accounts", { key: keys.platinum })).upstream, "accounts");
    });

    it("takes tokens of the API's issuer", async () => {
      assert.equal(
        (await admitted("/accounts", { token: await issuer.sign({ aud: "api://accounts", client_id: "acme" }) }))
          .headers["x-tollgate-consumer"],
        "acme",
      );
      const forged = await call("/accounts", {
        token: await (await Issuer.make(issuer.url)).sign({ aud: "api://accounts", client_id: "acme" }),
      });
      assert.deepEqual([forged.status, reasonOf(forged)], [401, undefined]);
    });

    it("serves nobody on other hosts and paths", async () => {
      assert.equal((await call("/nowhere", { key: keys.platinum })).status, 404);
      assert.equal((await call("/orders", { key: keys.platinum, more: [["host", "other.example.com"]] })).status, 404);
    });

    it("tells in the access log who called, by which key, and why one was refused", async () => {
      await call("/orders/passed?secret=1", { key: keys.platinum });
      await call("/orders/refused?secret=1");
      const line = (marked: string) =>
        eventually(`the access log's line of ${marked}`, () =>
          mesh.gateway
            .log()
            .split("\n")
            .find((one) => one.startsWith("{") && one.includes(`"/orders/${marked}"`)),
        );
      const passed = await line("passed");
      for (const part of ["acme", "platinum", "acme-1"]) assert.ok(passed.includes(`"${part}"`), passed);
      assert.ok(!mesh.gateway.log().includes("secret=1"), "queries may have keys in them");
      assert.ok((await line("refused")).includes('"tollgate_key_missing"'), "the reason");
    });

    it("follows a change of the file: all to the second version", async () => {
      const changed = file(routing, issuer, keys);
      changed.apis!.find(({ id }) => id === "orders")!.traffic!.versions = versions(routing, 0, 100);
      const { objects } = await manifestsOf(changed, routing);
      mesh.put("tollgate", objects);
      await eventually("the second version alone", async () => {
        for (let i = 0; i < 20; i++)
          if ((await admitted("/orders", { key: keys.platinum })).upstream !== "orders-v2") return false;
        return true;
      });
    });

    it("works as TrafficExtension in the WasmPlugin's place", async () => {
      const { objects } = await manifestsOf(file(routing, issuer, keys), routing, ["traffic-extension"]);
      assert.deepEqual(
        (objects as { kind: string }[])
          .map(({ kind }) => kind)
          .filter((kind) => /WasmPlugin|TrafficExtension/.test(kind)),
        ["TrafficExtension"],
      );
      mesh.put("tollgate", objects);
      await eventually("the plugin by its other object", async () =>
        (await mesh.gateway.filters()).some((name) => /trafficextension/.test(name) && !/translated/.test(name)),
      );
      await eventually("refusals by it", async () => reasonOf(await call("/orders")) === "key_missing");
      assert.equal((await call("/orders", { key: keys.platinum })).status, 200);
    });

    interface Caller {
      key?: string;
      token?: string;
      more?: Pair[];
    }

    function call(path: string, { key, token, more = [] }: Caller = {}): Promise<Response> {
      const headers: Pair[] = more.some(([name]) => name === "host") ? [...more] : [["host", host], ...more];
      if (key !== undefined) headers.push(["x-api-key", key]);
      if (token !== undefined) headers.push(["authorization", `Bearer ${token}`]);
      return mesh.gateway.send({ path, headers });
    }

    async function admitted(path: string, caller: Caller): Promise<Echo> {
      const response = await call(path, caller);
      assert.equal(response.status, 200, response.body);
      return JSON.parse(response.body) as Echo;
    }
  });
}

function file(routing: Routing, issuer: Issuer, keys: { bronze: string; platinum: string }): FileInput {
  return {
    version: 1,
    apis: [
      {
        id: "orders",
        hosts: [host],
        paths: ["/orders"],
        upstream: { service: "orders.shop.svc.cluster.local", port: 8080 },
        traffic: {
          rewrite: { prefix: "/" },
          timeoutSeconds: 15,
          headers: { request: { set: { "x-shop": "corner" }, remove: ["x-internal"] } },
          versions: versions(routing, 90, 10),
        },
      },
      {
        id: "accounts",
        hosts: [host],
        paths: ["/accounts"],
        upstream: { service: "accounts.shop.svc.cluster.local", port: 8080 },
        auth: {
          mode: "key-or-jwt",
          jwt: { issuers: [{ issuer: issuer.url, jwks: issuer.jwks, audiences: ["api://accounts"] }] },
        },
      },
    ],
    tiers: [
      { id: "bronze", limits: [], apis: ["orders"] },
      { id: "platinum", limits: [] },
    ],
    consumers: [
      { id: "acme", tier: "platinum" },
      { id: "corner", tier: "bronze" },
    ],
    keys: [
      { id: "acme-1", consumer: "acme", sha256: digestHex(keys.platinum) },
      { id: "corner-1", consumer: "corner", sha256: digestHex(keys.bronze) },
    ],
  };
}

/** In Istio's own routing a version is some of a Service's pods; in the Gateway API a Service of its own. */
function versions(
  routing: Routing,
  first: number,
  second: number,
): NonNullable<NonNullable<ApiInput["traffic"]>["versions"]> {
  const target = (version: string) =>
    routing === "istio"
      ? { labels: { version } }
      : { upstream: { service: `orders-${version}.shop.svc.cluster.local`, port: 8080 } };
  return [
    { name: "v1", ...target("v1"), weight: first },
    { name: "v2", ...target("v2"), weight: second },
    { name: "beta", ...target("v3"), match: { header: { "x-version": "beta" } } },
  ];
}

function ordersServices(routing: Routing): { name: string; namespace: string; versions?: string[] }[] {
  const versions = ["v1", "v2", "v3"];
  return routing === "istio"
    ? [{ name: "orders", namespace: "shop", versions }]
    : ["orders", ...versions.map((version) => `orders-${version}`)].map((name) => ({ name, namespace: "shop" }));
}
