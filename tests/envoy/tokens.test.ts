/** Tokens that a real Envoy verifies, by the configuration that the local stack and `envoy-config` write. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { JWTPayload } from "jose";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { ApiInput, AuthJwtInput, FileInput } from "../../control/domain/schema.ts";
import { checkEnvironment } from "../../control/domain/semantics.ts";
import type { EnvoyObject } from "../../tools/envoy/bootstrap.ts";
import { jwtAuthn } from "../../tools/envoy/jwtAuthn.ts";
import { Gateway, reasonOf, standalone } from "../kit/gateway.ts";
import { environment, host, makeFixture } from "../kit/fixture.ts";
import type { Pair } from "../kit/http1.ts";
import { Issuer, publishKeys } from "./support/issuer.ts";
import { twoSetups } from "../kit/envoySetups.ts";

const { keys, file } = makeFixture();
const upstream = { service: "echo.demo.svc.cluster.local", port: 8080 };
const audience = "api://orders";
/** as long as no test lasts */
const windowSeconds = 86_400;

/** The same issuers, and one rule for every request. */
function forAllApis(filter: EnvoyObject): EnvoyObject {
  const config = filter["typed_config"] as EnvoyObject & { providers: object };
  const requirements = [
    ...Object.keys(config.providers).map((name) => ({ provider_name: name })),
    { allow_missing: {} },
  ];
  return {
    ...filter,
    typed_config: { ...config, rules: [{ match: { prefix: "/" }, requires: { requires_any: { requirements } } }] },
  };
}

for (const setup of twoSetups) {
  describe(setup.name, () => {
    let login: Issuer;
    let partner: Issuer;
    let stranger: Issuer;
    let published: Awaited<ReturnType<typeof publishKeys>>;
    let gateway: Gateway;

    before(async () => {
      [login, partner, stranger] = await Promise.all([
        Issuer.make("https://login.example.com/"),
        Issuer.make("https://partner.example.com"),
        Issuer.make("https://login.example.com/"),
      ]);
      published = await publishKeys(partner);
      const issuers: AuthJwtInput["issuers"] = [
        { issuer: login.issuer, jwks: login.jwks, audiences: [audience] },
        { issuer: partner.issuer, jwksUri: published.uri, audiences: ["https://api.example.com", audience] },
      ];
      const api = (
        id: string,
        mode: NonNullable<ApiInput["auth"]>["mode"],
        jwt: Partial<AuthJwtInput> = {},
      ): ApiInput => ({ id, hosts: [host], paths: [`/${id}`], upstream, auth: { mode, jwt: { issuers, ...jwt } } });
      const tokens: FileInput = {
        ...file,
        apis: [
          ...file.apis!.filter(({ id }) => id !== "jwt"),
          api("jwt", "jwt"),
          api("either", "key-or-jwt"),
          api("both", "key-and-jwt"),
          api("plans", "jwt", {
            consumerClaims: ["https://example.com/app", "client_id"],
            tierClaim: "https://example.com/plan",
            scopeClaim: "scope",
            unknownConsumers: "allow",
          }),
          api("nested", "jwt", { consumerClaims: ["app.client.id"] }),
          { ...api("partners", "jwt", { issuers: issuers.slice(1), forwardToken: false }), scopes: ["read"] },
          {
            ...api("limited", "key-or-jwt"),
            limits: [{ name: "three", kind: "rate", limit: 3, windowSeconds, subject: "consumer" }],
          },
        ],
      };
      const spec = fillEnvironment(tokens, environment);
      assert.deepEqual(
        checkEnvironment(spec).filter(({ severity }) => severity === "error"),
        [],
      );
      const { filter, clusters } = jwtAuthn(spec.apis)!;
      const listener = (filtersBefore: EnvoyObject[]) => ({
        configuration: standalone(spec),
        plugin: { hostEnvironment: [] },
        listener: { filtersBefore },
      });
      gateway = await Gateway.start({
        setup,
        clusters,
        listeners: [listener([filter]), listener([forAllApis(filter)])],
      });
    });
    after(async () => {
      await gateway?.stop();
      await published?.close();
    });

    const bearer = (token: string): Pair => ["Authorization", `Bearer ${token}`];
    const call = async (path: string, headers: Pair[], listener = 0) => {
      const { response, seen } = await gateway.exchange({ path, headers }, listener);
      return {
        response,
        outcome: seen === undefined ? (reasonOf(response) ?? `${response.status} ${response.body}`) : "admitted",
        headers: seen?.headers ?? {},
      };
    };
    const claimsOf = (headers: Record<string, unknown>) =>
      Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("x-tollgate")));
    const good: JWTPayload = { aud: audience, client_id: "acme" };

    it("jwt: a verified token's consumer, with its claims and without a key's id", async () => {
      const { outcome, headers } = await call("/jwt", [
        bearer(await login.sign(good)),
        ["x-tollgate-consumer", "forged"],
        ["x-tollgate-key-id", "forged"],
      ]);
      assert.equal(outcome, "admitted");
      assert.deepEqual(claimsOf(headers), {
        "x-tollgate-consumer": "acme",
        "x-tollgate-tier": "gold",
        "x-tollgate-scopes": "read search",
        "x-tollgate-claim-org": "acme",
        "x-tollgate-claim-plan": "pro plus",
      });
      assert.match(String(headers["authorization"]), /^Bearer ey/);
    });

    it("jwt: keys that the issuer publishes", async () => {
      const token = await partner.sign({ aud: ["else", "https://api.example.com"], azp: "acme" });
      assert.equal((await call("/jwt", [bearer(token)])).outcome, "admitted");
    });

    it("jwt: what isn't verified never passes", async () => {
      const none = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from(JSON.stringify({ iss: login.issuer, ...good })).toString("base64url")}.`;
      const signed = await login.sign(good);
      const [head, body, signature] = signed.split(".");
      const changed = `${head}.${Buffer.from(Buffer.from(body!, "base64url").toString().replace("acme", "solo")).toString("base64url")}.${signature}`;
      const expired = await login.sign({ ...good, exp: Math.floor(Date.now() / 1000) - 3600 });
      const early = await login.sign({ ...good, nbf: Math.floor(Date.now() / 1000) + 3600 });
      const cases = {
        unsigned: none,
        changed,
        expired,
        early,
        forged: await stranger.sign(good),
        "no token": "some.text",
        "of nobody known": await (await Issuer.make("https://evil.example.com")).sign(good),
      };
      for (const [what, token] of Object.entries(cases)) {
        for (const path of ["/jwt", "/either", "/plans"]) {
          const { response } = await call(path, [bearer(token)]);
          assert.equal(response.status, 401, `${what} at ${path}: ${response.body}`);
        }
        const { response } = await call("/both", [bearer(token), ["x-api-key", keys.gold]]);
        assert.equal(response.status, 401, `${what} at /both: ${response.body}`);
      }
      assert.equal((await call("/jwt", [])).outcome, "token_missing");
      assert.equal((await call("/jwt", [["x-api-key", keys.gold]])).outcome, "token_missing");
    });

    it("jwt: issuer and audience are the API's own, the consumer is a record's", async () => {
      const sign = (payload: JWTPayload) =>
        login.sign({ ...good, ...payload }).then((token) => call("/jwt", [bearer(token)]));
      assert.equal((await sign({ aud: "api://billing" })).outcome, "token_audience");
      assert.equal((await sign({ aud: ["api://billing", "x"] })).outcome, "token_audience");
      assert.equal((await sign({ aud: [audience, "x"] })).outcome, "admitted");
      assert.equal((await sign({ client_id: "nobody" })).outcome, "unknown_consumer");
      assert.equal((await sign({ client_id: 7 })).outcome, "unknown_consumer");
      assert.equal((await sign({ client_id: ["acme"] })).outcome, "unknown_consumer");
      assert.equal((await sign({ client_id: "halted" })).outcome, "consumer_suspended");
      assert.equal((await sign({ client_id: "lost" })).outcome, "tier_missing");
      assert.equal((await sign({ client_id: "solo" })).outcome, "api_not_allowed");
      // Envoy itself refuses a token of an issuer that the API doesn't name.
      assert.equal((await call("/partners", [bearer(await login.sign(good))])).response.status, 401);
    });

    it("jwt: where Envoy takes every issuer everywhere, as Istio's RequestAuthentication has it, the API's own still decide", async () => {
      const token = bearer(await login.sign(good));
      assert.equal((await call("/partners", [token], 1)).outcome, "token_issuer");
      assert.equal((await call("/jwt", [token], 1)).outcome, "admitted");
      assert.equal((await call("/jwt", [], 1)).outcome, "token_missing");
    });

    it("jwt: a token may stay at the gateway", async () => {
      const { outcome, headers } = await call("/partners", [bearer(await partner.sign(good))]);
      assert.equal(outcome, "admitted");
      assert.equal(headers["authorization"], undefined);
    });

    it("jwt: tier, scopes and callers without a record by claims", async () => {
      const sign = (payload: JWTPayload) =>
        login.sign({ aud: audience, ...payload }).then((token) => call("/plans", [bearer(token)]));
      const user = await sign({
        "https://example.com/app": "user-1",
        "https://example.com/plan": "gold",
        scope: "openid search",
      });
      assert.deepEqual(claimsOf(user.headers), {
        "x-tollgate-consumer": "user-1",
        "x-tollgate-tier": "gold",
        "x-tollgate-scopes": "search",
      });
      const known = await sign({ client_id: "solo", "https://example.com/plan": "gold", scope: ["read", "write"] });
      assert.deepEqual(claimsOf(known.headers), {
        "x-tollgate-consumer": "solo",
        "x-tollgate-tier": "gold",
        "x-tollgate-scopes": "read",
      });
      assert.equal((await sign({ client_id: "user-1", "https://example.com/plan": "iron" })).outcome, "tier_missing");
      assert.equal((await sign({ client_id: "user-1" })).outcome, "tier_missing");
    });

    it("jwt: a claim of another type is never read as the text that its bytes spell", async () => {
      // The eight bytes of a double, as Envoy hands out a number by its property path.
      const spelled = (text: string) => Buffer.from(text).readDoubleLE();
      const number = spelled("operator");
      const asNumber = async (claims: JWTPayload, path = "/plans") =>
        (await call(path, [bearer(await login.sign({ aud: audience, ...claims }))])).outcome;
      const named = { client_id: "operator", "https://example.com/plan": "gold" };
      assert.equal(await asNumber(named), "admitted");
      for (const value of [number, true, 1, [number], ["operator"], { operator: "operator" }, { sub: number }]) {
        assert.equal(
          await asNumber({ ...named, client_id: value }),
          "unknown_consumer",
          `consumer ${JSON.stringify(value)}`,
        );
        assert.equal(
          await asNumber({ ...named, "https://example.com/plan": value }),
          "tier_missing",
          `tier ${JSON.stringify(value)}`,
        );
      }
      assert.equal(
        await asNumber({ ...named, aud: spelled("audience") as never }),
        "401 Jwt payload [aud] field is not a string or string list",
      );
      const scopes = async (scope: unknown) =>
        (await call("/plans", [bearer(await login.sign({ aud: audience, ...named, scope }))])).headers[
          "x-tollgate-scopes"
        ];
      assert.equal(await scopes("read search"), "read search");
      assert.equal(await scopes(["search", spelled("read    "), true, null, { read: "read" }, ["read"]]), "search");
      for (const scope of [spelled("read    "), spelled("    read"), true, { read: "read" }, [[["read"]]]])
        assert.equal(await scopes(scope), undefined, JSON.stringify(scope));
      // Of a path's steps, each must be an object.
      const nested = async (app: unknown) =>
        (await call("/nested", [bearer(await login.sign({ aud: audience, app }))])).outcome;
      assert.equal(await nested({ client: { id: "acme" } }), "admitted");
      for (const app of [
        { client: { id: spelled("acme\0\0\0\0") } },
        { client: { id: 7 } },
        { client: [{ id: "acme" }] },
        { client: "acme" },
        "acme",
        number,
      ])
        assert.equal(await nested(app), "unknown_consumer", JSON.stringify(app));
    });

    it("key-or-jwt: a key decides where there is one", async () => {
      const token = bearer(await login.sign({ ...good, client_id: "solo" }));
      const withKey = await call("/either", [["x-api-key", keys.gold], token]);
      assert.equal(withKey.headers["x-tollgate-consumer"], "acme");
      assert.equal(withKey.headers["x-tollgate-key-id"], "key-gold");
      assert.equal(withKey.headers["x-api-key"], undefined);
      assert.match(String(withKey.headers["authorization"]), /^Bearer ey/);
      const alone = await call("/either", [bearer(await login.sign(good))]);
      assert.equal(alone.headers["x-tollgate-consumer"], "acme");
      assert.equal(alone.headers["x-tollgate-key-id"], undefined);
      assert.equal(
        (await call("/either", [["x-api-key", keys.revoked], bearer(await login.sign(good))])).outcome,
        "key_revoked",
      );
      assert.equal((await call("/either", [])).outcome, "token_missing");
    });

    it("both: a key and a token of one consumer", async () => {
      const token = bearer(await login.sign(good));
      const { headers } = await call("/both", [["x-api-key", keys.gold], token]);
      assert.deepEqual([headers["x-tollgate-consumer"], headers["x-tollgate-key-id"]], ["acme", "key-gold"]);
      assert.equal((await call("/both", [token])).outcome, "key_missing");
      assert.equal((await call("/both", [["x-api-key", keys.gold]])).outcome, "token_missing");
      assert.equal(
        (await call("/both", [["x-api-key", keys.gold], bearer(await login.sign({ ...good, client_id: "solo" }))]))
          .outcome,
        "token_consumer_mismatch",
      );
    });

    it("limits count a consumer's keys and tokens together", async () => {
      const token = await login.sign(good);
      const outcomes: string[] = [];
      for (const headers of [
        [bearer(token)],
        [["x-api-key", keys.gold]],
        [bearer(await partner.sign(good))],
        [bearer(token)],
        [["x-api-key", keys.gold]],
      ] as Pair[][]) {
        outcomes.push((await call("/limited", headers)).outcome);
      }
      assert.deepEqual(outcomes, ["admitted", "admitted", "admitted", "rate_limited", "rate_limited"]);
    });

    it("APIs without tokens are as they were: whatever stands as Bearer is theirs", async () => {
      assert.equal((await call("/orders/1", [bearer(keys.gold)])).outcome, "admitted");
      assert.equal((await call("/public", [bearer("anything")])).outcome, "admitted");
    });
  });
}
