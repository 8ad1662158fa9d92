/** Each auth mode at an ingress gateway: RequestAuthentication verifies tokens, the plugin in AUTHZ makes consumers of them. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { digestHex, issueKey } from "../../control/domain/keys.ts";
import type { ApiInput, FileInput } from "../../control/domain/schema.ts";
import { reasonOf } from "../kit/gateway.ts";
import type { Pair, Response } from "../kit/http1.ts";
import { eventually } from "../kit/eventually.ts";
import { paidPolicy, shopRoute, shopServices, wasmPlugin } from "./support/definitions.ts";
import { Mesh } from "./support/mesh.ts";
import { Issuer, requestAuthentication } from "./support/tokens.ts";
import type { Echo } from "./support/upstream.ts";
import { skipReason } from "./tools.ts";

const audience = "api://orders";
/** What a bronze consumer may send in thirty days of its own: no border of a period falls into the test. */
const quota = 5;

describe("auth modes in a mesh", { skip: await skipReason() }, () => {
  const keys = { acme: issueKey("default", randomInt).key, corner: issueKey("default", randomInt).key };
  let mesh: Mesh;
  let issuer: Issuer;
  /** its tokens are verified by Envoy, and taken by no API but one */
  let partner: Issuer;
  /** known to nobody */
  let stranger: Issuer;
  before(async () => {
    issuer = await Issuer.make("https://issuer.test/");
    partner = await Issuer.make("https://partner.test/");
    stranger = await Issuer.make("https://stranger.test/");
    mesh = await Mesh.start({
      file: file(issuer, partner, keys),
      services: shopServices,
      objects: {
        route: shopRoute(),
        tokens: [requestAuthentication(issuer, partner)],
        policy: [paidPolicy("platinum")],
      },
    });
    mesh.put("plugin", [wasmPlugin({ modulePath: mesh.modulePath, phase: "AUTHZ" })]);
    await eventually("the plugin", async () => reasonOf(await call("/jwt")) === "token_missing");
  });
  after(() => mesh?.stop());

  it("verifies tokens before the plugin: jwt_authn, plugin, rbac", async () => {
    const order = (await mesh.gateway.filters()).filter((name) => /jwt_authn|trafficextension|rbac/.test(name));
    assert.deepEqual(
      order.map((name) => name.replace(/^.*(jwt_authn|trafficextension|rbac).*$/, "$1")),
      ["jwt_authn", "trafficextension", "rbac"],
    );
  });

  describe("jwt", () => {
    it("takes the consumer that the token names, with its tier and claims", async () => {
      const { headers } = await admitted("/jwt", { token: await issuer.sign({ aud: audience, client_id: "acme" }) });
      assert.deepEqual(claimsOf(headers), {
        "x-tollgate-consumer": "acme",
        "x-tollgate-tier": "platinum",
        "x-tollgate-claim-org": "acme-corp",
      });
      assert.match(headers["authorization"] ?? "", /^Bearer /, "the token goes on");
    });

    it("removes forged claims beside a good token", async () => {
      const token = await issuer.sign({ aud: audience, client_id: "corner" });
      const { headers } = await admitted("/jwt", {
        token,
        more: [
          ["x-tollgate-consumer", "acme"],
          ["X-Tollgate-Key-Id", "acme-1"],
          ["x-tollgate-tier", "platinum"],
        ],
      });
      assert.deepEqual(claimsOf(headers), { "x-tollgate-consumer": "corner", "x-tollgate-tier": "bronze" });
    });

    it("lets an AuthorizationPolicy decide on the tier of who came with a token", async () => {
      assert.equal(
        (await call("/paid", { token: await issuer.sign({ aud: audience, client_id: "acme" }) })).status,
        200,
      );
      const bronze = await issuer.sign({ aud: audience, client_id: "corner" });
      assert.equal((await call("/paid", { token: bronze })).status, 403);
      assert.equal((await call("/paid", { token: bronze, more: [["x-tollgate-tier", "platinum"]] })).status, 403);
    });

    it("refuses no token, and a key in its place", async () => {
      assert.equal(reasonOf(await call("/jwt")), "token_missing");
      assert.equal(reasonOf(await call("/jwt", { key: keys.acme })), "token_missing");
    });

    it("leaves it to Envoy to refuse tokens that nobody signed for it", async () => {
      const good = await issuer.sign({ aud: audience, client_id: "acme" });
      for (const token of [
        `${good.slice(0, -4)}AAAA`,
        await stranger.sign({ iss: issuer.url, aud: audience, client_id: "acme" }),
        await issuer.sign({ aud: audience, client_id: "acme", exp: 1000 }),
        "not.a.token",
      ]) {
        const response = await call("/jwt", { token });
        assert.deepEqual([response.status, reasonOf(response)], [401, undefined], response.body);
      }
    });

    it("refuses a verified token of another issuer, for another audience, of nobody", async () => {
      assert.equal(
        reasonOf(await call("/jwt", { token: await partner.sign({ aud: audience, client_id: "acme" }) })),
        "token_issuer",
      );
      assert.equal(
        reasonOf(await call("/jwt", { token: await issuer.sign({ aud: "api://billing", client_id: "acme" }) })),
        "token_audience",
      );
      assert.equal(
        reasonOf(await call("/jwt", { token: await issuer.sign({ aud: audience, client_id: "nobody" }) })),
        "unknown_consumer",
      );
    });
  });

  describe("tiers of tokens", () => {
    it("takes the tier that a claim names, for callers without a record too", async () => {
      const { headers } = await admitted("/tiers", { token: await partner.sign({ sub: "walk-in", plan: "platinum" }) });
      assert.equal(headers["x-tollgate-tier"], "platinum");
      assert.equal(
        reasonOf(await call("/tiers", { token: await partner.sign({ sub: "walk-in", plan: "gold" }) })),
        "tier_missing",
      );
    });

    it("limits a token's caller as its tier says, and each caller apart", async () => {
      const [first, second] = await Promise.all(
        ["first", "second"].map((sub) => partner.sign({ sub, plan: "bronze" })),
      );
      const statuses: number[] = [];
      for (let i = 0; i < quota + 2; i++) statuses.push((await call("/tiers", { token: first! })).status);
      assert.deepEqual(statuses, [...Array<number>(quota).fill(200), 429, 429]);
      assert.equal((await call("/tiers", { token: second! })).status, 200);
    });
  });

  describe("key-or-jwt", () => {
    it("takes either, and the key where both are", async () => {
      const token = await issuer.sign({ aud: audience, client_id: "acme" });
      assert.equal((await admitted("/either", { token })).headers["x-tollgate-consumer"], "acme");
      assert.equal((await admitted("/either", { key: keys.corner })).headers["x-tollgate-consumer"], "corner");
      assert.equal((await admitted("/either", { key: keys.corner, token })).headers["x-tollgate-consumer"], "corner");
      assert.equal((await call("/either")).status, 401);
    });
  });

  describe("both", () => {
    it("wants a key and a token of one consumer", async () => {
      const token = await issuer.sign({ aud: audience, client_id: "acme" });
      assert.equal((await admitted("/both", { key: keys.acme, token })).headers["x-tollgate-key-id"], "acme-1");
      assert.equal(reasonOf(await call("/both", { key: keys.corner, token })), "token_consumer_mismatch");
      assert.equal(reasonOf(await call("/both", { key: keys.acme })), "token_missing");
      assert.equal(reasonOf(await call("/both", { token })), "key_missing");
    });
  });

  describe("key, keyless and peer beside them", () => {
    it("takes keys from a header, and no key that comes as Bearer: Envoy takes that for a token", async () => {
      assert.equal((await admitted("/key", { key: keys.acme })).headers["x-tollgate-consumer"], "acme");
      const asBearer = await call("/key", { token: keys.acme });
      assert.deepEqual([asBearer.status, reasonOf(asBearer)], [401, undefined]);
    });

    it("lets anybody in without a key where none is asked, without the claims that they forge", async () => {
      assert.deepEqual(claimsOf((await admitted("/open", { more: [["x-tollgate-consumer", "acme"]] })).headers), {});
    });

    it("refuses who should come with a certificate and has none", async () => {
      assert.equal(reasonOf(await call("/peer", { key: keys.acme })), "peer_missing");
    });
  });

  interface Caller {
    key?: string;
    token?: string;
    more?: Pair[];
  }

  function call(path: string, { key, token, more = [] }: Caller = {}): Promise<Response> {
    const headers: Pair[] = [...more];
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

function claimsOf(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("x-tollgate-")));
}

function file(issuer: Issuer, partner: Issuer, keys: { acme: string; corner: string }): FileInput {
  const ofIssuer = { issuers: [{ issuer: issuer.url, jwks: issuer.jwks, audiences: [audience] }] };
  const ofPartner = {
    issuers: [{ issuer: partner.url, jwks: partner.jwks }],
    tierClaim: "plan",
    unknownConsumers: "allow" as const,
  };
  const api = (id: string, auth: ApiInput["auth"], path = `/${id}`): ApiInput => ({
    id,
    hosts: ["*"],
    paths: [path],
    upstream: { service: "orders.shop.svc.cluster.local", port: 8080 },
    ...(auth === undefined ? {} : { auth }),
  });
  return {
    version: 1,
    apis: [
      api("key", { mode: "key" }),
      api("open", { mode: "none" }),
      api("peer", { mode: "mtls" }),
      api("jwt", { mode: "jwt", jwt: ofIssuer }),
      api("paid", { mode: "jwt", jwt: ofIssuer }),
      api("tiers", { mode: "jwt", jwt: ofPartner }),
      api("either", { mode: "key-or-jwt", jwt: ofIssuer }),
      api("both", { mode: "key-and-jwt", jwt: ofIssuer }),
    ],
    tiers: [
      { id: "bronze", limits: [{ name: "month", kind: "quota", limit: quota, period: "30d", anchor: "firstUse" }] },
      { id: "platinum", limits: [] },
    ],
    consumers: [
      { id: "acme", tier: "platinum", claims: { org: "acme-corp" } },
      { id: "corner", tier: "bronze" },
    ],
    keys: (["acme", "corner"] as const).map((consumer) => ({
      id: `${consumer}-1`,
      consumer,
      sha256: digestHex(keys[consumer]),
    })),
  };
}
