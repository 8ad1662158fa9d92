/** Environments, tokens, audit, gateways, health, metrics, the document; and what all routes share. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Validator } from "@seriousme/openapi-schema-validator";
import { errorKinds } from "../../control/errors.ts";
import { adminToken, api, expect, type Harness, ndjson, seed, startApi, yaml } from "./support.ts";

const without = (token: string | undefined): Record<string, string> => ({
  authorization: token === undefined ? "" : `Bearer ${token}`,
});

describe("every route", () => {
  it("under /v1 wants an admin token", async (t) => {
    const h = await startApi(t);
    const document = (await h.call("GET", "/openapi.json")).json<{ paths: Record<string, Record<string, unknown>> }>();
    let routes = 0;
    for (const [path, operations] of Object.entries(document.paths)) {
      if (!path.startsWith("/v1/")) continue;
      for (const method of Object.keys(operations)) {
        const url = path.replace("{id}", "x");
        for (const token of [undefined, "wrong", `${adminToken}x`]) {
          const response = await h.call(method.toUpperCase(), url, undefined, without(token));
          expect(response, 401, "unauthenticated");
          assert.match(String(response.headers["www-authenticate"]), /^Bearer/);
        }
        routes++;
      }
    }
    assert.ok(routes > 30);
  });

  it("says 404 and 405 as problems", async (t) => {
    const h = await startApi(t);
    expect(await h.call("GET", "/v1/nope"), 404, "not_found");
    expect(await h.call("GET", "/"), 404, "not_found");
    expect(await h.call("GET", "/v1/apis/%zz"), 404, "not_found");
    for (const [method, url, allow] of [
      ["PATCH", "/v1/apis/x", "DELETE, GET, HEAD, PUT"],
      ["DELETE", "/v1/keys", "GET, HEAD, POST"],
      ["GET", "/v1/apply", "POST"],
      ["POST", "/healthz", "GET, HEAD"],
    ] as const) {
      const response = await h.call(method, url);
      expect(response, 405, "method_not_allowed");
      assert.equal(response.headers["allow"], allow);
    }
  });

  it("answers with a request id, the caller's when it has one", async (t) => {
    const h = await startApi(t);
    assert.match(String((await h.call("GET", "/healthz")).headers["x-request-id"]), /^[0-9a-f-]{36}$/);
    const response = await h.call("GET", "/v1/tiers/nope", undefined, { "x-request-id": "mine-1" });
    assert.equal(response.headers["x-request-id"], "mine-1");
    assert.equal(expect(response, 404)["requestId"], "mine-1");
    assert.notEqual(
      (await h.call("GET", "/healthz", undefined, { "x-request-id": "has space" })).headers["x-request-id"],
      "has space",
    );
  });

  it("a fault of the store is a 500 without its details, and logged", async (t) => {
    const h = await startApi(t);
    h.services.store = {
      ...h.store,
      environment: () => Promise.reject(new Error("secret detail of the database")),
    } as typeof h.store;
    const response = await h.call("GET", "/v1/tiers");
    expect(response, 500, "internal");
    assert.ok(!response.body.includes("secret detail"));
    assert.match(h.logs(), /secret detail of the database/);
  });

  it("the table of errors has what each needs", () => {
    for (const [code, kind] of Object.entries(errorKinds)) {
      assert.match(code, /^[a-z_]+$/);
      assert.ok(
        kind.status >= 400 &&
          kind.status < 600 &&
          kind.title.length > 5 &&
          kind.meaning.length > 10 &&
          kind.remedy.length > 10,
        code,
      );
      assert.match(kind.title, /^[A-Z]\S*(?: \S+){0,4}$/, `the title of ${code} has at most five words`);
      assert.match(kind.meaning, /^[A-Z].*\.$/, code);
      assert.match(kind.remedy, /^[A-Z].*\.$/, code);
    }
  });
});

describe("whatever is sent", () => {
  it("is answered without an internal error, and as the document says", async (t) => {
    const h = await startApi(t);
    await seed(h);
    await h.call("POST", "/v1/apis", api("one"));
    const { paths } = (await h.call("GET", "/openapi.json")).json<{ paths: Record<string, Record<string, unknown>> }>();
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      path.startsWith("/v1/") ? Object.keys(methods).map((method) => ({ path, method: method.toUpperCase() })) : [],
    );
    const word = fc.constantFrom(
      "id",
      "x1",
      "acme",
      "bronze",
      "one",
      "tier",
      "consumer",
      "apis",
      "hosts",
      "paths",
      "limits",
      "kind",
      "rate",
      "name",
      "*",
      "/",
      "__proto__",
      "constructor",
      "\u0000",
      "🦊",
      "../..",
    );
    const value = fc.letrec<{ any: unknown }>((tie) => ({
      any: fc.oneof(
        { maxDepth: 3 },
        word,
        fc.integer(),
        fc.double(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie("any"), { maxLength: 3 }),
        fc.dictionary(word, tie("any"), { maxKeys: 5 }),
      ),
    })).any;
    // A sound record with one member replaced gets further than noise.
    const record = fc.constantFrom<object>(
      api("x1"),
      { id: "x1", tier: "bronze", claims: { a: "b" } },
      { id: "x1", consumer: "acme", apis: ["one"], limits: [{ name: "l", kind: "rate", limit: 1, windowSeconds: 1 }] },
      { version: 1, tiers: [{ id: "a" }] },
    );
    const body = fc.oneof(
      value,
      record,
      fc.tuple(record, word, value).map(([sound, name, other]) => ({ ...sound, [name]: other })),
    );
    const type = fc.constantFrom("application/json", "application/yaml", "application/x-ndjson");
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...operations),
        fc.oneof(fc.constantFrom("acme", "bronze", "one"), word),
        word,
        word,
        body,
        type,
        async ({ path, method }, id, parameter, text, payload, contentType) => {
          const url = `${path.replace("{id}", encodeURIComponent(id))}?${encodeURIComponent(parameter)}=${encodeURIComponent(text)}`;
          const sent = ["POST", "PUT"].includes(method) ? (JSON.stringify(payload) ?? "") : undefined;
          for (const target of [url, url.split("?", 1)[0]!]) {
            const response = await h.call(
              method,
              target,
              sent,
              sent === undefined ? {} : { "content-type": contentType },
            );
            assert.ok(response.statusCode < 500, `${method} ${target} ${sent}: ${response.body}`);
          }
        },
      ),
      { numRuns: 400 },
    );
  });
});

describe("/v1/environments", () => {
  it("are listed, created once, and get a new epoch", async (t) => {
    const h = await startApi(t);
    const made = expect<{ id: string; epoch: string; version: number; createdAt: string }>(
      await h.call("POST", "/v1/environments", { id: "staging" }),
      201,
    );
    assert.deepEqual([made.id, made.version, made.createdAt], ["staging", 0, "2026-01-01T00:00:00Z"]);
    expect(await h.call("POST", "/v1/environments", { id: "staging" }), 409, "record_exists");
    expect(await h.call("POST", "/v1/environments", { id: "No" }), 400, "invalid_request");
    expect(await h.call("POST", "/v1/environments", "x", { "content-type": "text/plain" }), 415);
    const renewed = expect<{ epoch: string; version: number }>(
      await h.call("POST", "/v1/environments/staging/renew-epoch"),
      200,
    );
    assert.match(renewed.epoch, /^[0-9a-f]{16}$/);
    assert.notEqual(renewed.epoch, made.epoch);
    assert.equal(renewed.version, 1);
    expect(await h.call("POST", "/v1/environments/nope/renew-epoch"), 404, "environment_not_found");
    const { items } = expect<{ items: { id: string }[] }>(await h.call("GET", "/v1/environments"), 200);
    assert.deepEqual(
      items.map(({ id }) => id),
      ["default", "staging"],
    );
  });
});

describe("/v1/gateway-tokens", () => {
  it("are shown once, two to a group, and gone when deleted", async (t) => {
    const h = await startApi(t);
    await h.call("POST", "/v1/apis", api("echo"));
    const issue = (body: object, query = "") => h.call("POST", `/v1/gateway-tokens${query}`, body);
    const response = await issue({ group: "edge", name: "one", apis: ["echo"], expiresAt: "2026-01-01T01:00:00Z" });
    const one = expect<{ id: string; token: string; apis: string[] }>(response, 201);
    assert.match(one.token, /^tgg_[0-9A-Za-z]{43}$/);
    assert.equal(response.headers["cache-control"], "no-store");
    const two = expect<{ id: string; token: string }>(await issue({ group: "edge" }), 201);
    expect(await issue({ group: "edge" }), 409, "gateway_tokens_full");
    expect(await issue({ group: "edge", apis: ["nope"] }), 400, "invalid_request");
    expect(await issue({ group: "e", expiresAt: "2025-01-01T00:00:00Z" }), 400, "invalid_request");
    expect(await issue({ group: "e", expiresAt: "soon" }), 400, "invalid_request");
    expect(await issue({ group: "NO" }), 400, "invalid_request");
    expect(await issue({ group: "e" }, "?environment=nope"), 404, "environment_not_found");
    h.clock.nowMs += 3_600_000;
    expect(await issue({ group: "edge" }), 201);
    const list = await h.call("GET", "/v1/gateway-tokens");
    const { items } = expect<{
      items: { id: string; group: string; apis: string[] | null; expiresAt: string | null }[];
    }>(list, 200);
    assert.equal(items.length, 3);
    assert.ok(!list.body.includes(two.token));
    assert.deepEqual(items.find(({ id }) => id === one.id)?.apis, ["echo"]);
    expect(await h.call("DELETE", `/v1/gateway-tokens/${two.id}`), 204);
    expect(await h.call("DELETE", `/v1/gateway-tokens/${two.id}`), 404, "record_not_found");
    expect(await h.call("DELETE", `/v1/gateway-tokens/${one.id}?environment=nope`), 404, "environment_not_found");
    expect(await h.call("GET", "/v1/gateway-tokens?environment=nope"), 404, "environment_not_found");
  });
});

describe("/v1/admin-tokens", () => {
  it("work until they expire or are deleted", async (t) => {
    const h = await startApi(t);
    const made = expect<{ id: string; token: string }>(
      await h.call("POST", "/v1/admin-tokens", { name: "ci", expiresAt: "2026-01-01T01:00:00Z" }),
      201,
    );
    assert.match(made.token, /^tga_[0-9A-Za-z]{43}$/);
    const use = () => h.call("GET", "/v1/tiers", undefined, without(made.token));
    expect(await use(), 200);
    const list = await h.call("GET", "/v1/admin-tokens");
    const { items } = expect<{ items: { id: string; lastUsedAt: string }[] }>(list, 200);
    assert.deepEqual(
      items.map(({ id, lastUsedAt }) => [id, lastUsedAt]),
      [[made.id, "2026-01-01T00:00:00Z"]],
    );
    assert.ok(!list.body.includes(made.token));
    h.clock.nowMs += 3_600_000;
    expect(await use(), 401, "unauthenticated");
    expect(await h.call("DELETE", `/v1/admin-tokens/${made.id}`), 204);
    expect(await h.call("DELETE", `/v1/admin-tokens/${made.id}`), 404, "record_not_found");
    expect(await h.call("POST", "/v1/admin-tokens", {}), 400, "invalid_request");
    expect(
      await h.call("POST", "/v1/admin-tokens", { name: "x", expiresAt: "2025-01-01T00:00:00Z" }),
      400,
      "invalid_request",
    );
  });

  it("the last one stays, unless the environment gives one", async (t) => {
    const h = await startApi(t);
    const made = expect<{ id: string; token: string }>(await h.call("POST", "/v1/admin-tokens", { name: "only" }), 201);
    delete h.services.fixedAdminDigest;
    const remove = (token: string) => h.call("DELETE", `/v1/admin-tokens/${made.id}`, undefined, without(token));
    expect(await remove(adminToken), 401);
    expect(await remove(made.token), 409, "last_admin_token");
    expect(await h.call("POST", "/v1/admin-tokens", { name: "second" }, without(made.token)), 201);
    expect(await remove(made.token), 204);
  });
});

describe("/v1/audit", () => {
  it("says who changed what, and never a secret", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const ci = expect<{ token: string }>(await h.call("POST", "/v1/admin-tokens", { name: "ci" }), 201);
    const issued = expect<{ id: string; key: string; sha256: string }>(
      await h.call("POST", "/v1/keys", { consumer: "acme" }, { ...without(ci.token), "x-request-id": "req-7" }),
      201,
    );
    await h.call("POST", `/v1/keys/${issued.id}/revoke`);
    interface Entry {
      actor: string;
      action: string;
      kind: string;
      id: string;
      requestId: string;
      after: Record<string, unknown>;
      time: string;
    }
    const response = await h.call("GET", `/v1/audit?id=${issued.id}`);
    const { items } = expect<{ items: Entry[] }>(response, 200);
    assert.deepEqual(
      items.map(({ actor, action }) => [actor, action]),
      [
        ["environment", "revoke"],
        ["ci", "create"],
      ],
    );
    assert.deepEqual([items[1]!.requestId, items[1]!.kind, items[1]!.time], ["req-7", "key", "2026-01-01T00:00:00Z"]);
    for (const secret of [issued.key, issued.sha256, ci.token]) assert.ok(!response.body.includes(secret));
    const page = expect<{ items: Entry[]; next: string }>(
      await h.call("GET", "/v1/audit?limit=1&kind=tier&environment=default&actor=environment&action=create"),
      200,
    );
    assert.deepEqual(
      page.items.map(({ id }) => id),
      ["bronze"],
    );
    const first = expect<{ next: string }>(await h.call("GET", "/v1/audit?limit=1"), 200);
    const second = expect<{ items: Entry[] }>(await h.call("GET", `/v1/audit?limit=1&cursor=${first.next}`), 200);
    assert.equal(second.items[0]!.action, "create");
    expect(await h.call("GET", "/v1/audit?cursor=x"), 400, "invalid_request");
    expect(await h.call("GET", "/v1/audit?nope=x"), 400, "invalid_request");
  });
});

describe("/v1/gateways", () => {
  it("shows version, lag and last contact", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const report = {
      group: "edge",
      environment: "default",
      tokenId: "edge-1",
      heldUntilMs: 0,
      version: 2n,
      applied: 1n,
      workers: 2,
      lastContactMs: h.clock.nowMs,
    };
    await h.store.recordGateway({ ...report, id: "node~1" });
    await h.store.recordGateway({ ...report, id: "node~2", applied: 9n, lastContactMs: h.clock.nowMs - 75_000 });
    assert.deepEqual(expect(await h.call("GET", "/v1/gateways"), 200), {
      version: 2,
      items: [
        {
          id: "node~1",
          group: "edge",
          state: "connected",
          version: 2,
          applied: 1,
          lag: 1,
          workers: 2,
          lastContact: "2026-01-01T00:00:00Z",
        },
        {
          id: "node~2",
          group: "edge",
          state: "lost",
          version: 2,
          applied: 9,
          lag: 0,
          workers: 2,
          lastContact: "2025-12-31T23:58:45Z",
        },
      ],
    });
    expect(await h.call("GET", "/v1/gateways?environment=nope"), 404, "environment_not_found");
    expect(await h.call("GET", "/v1/gateways?x=1"), 400, "invalid_request");
  });
});

describe("health, metrics, document", () => {
  it("need no token", async (t) => {
    const h = await startApi(t);
    for (const url of ["/healthz", "/readyz", "/metrics", "/openapi.json"])
      assert.equal((await h.call("GET", url, undefined, without(undefined))).statusCode, 200);
  });

  it("/readyz follows the database, the counter store and the feed", async (t) => {
    const h = await startApi(t);
    h.services.counterCheck = () => Promise.reject(new Error("down"));
    expect(await h.call("GET", "/readyz"), 503, "not_ready");
    h.services.counterCheck = async () => undefined;
    expect(await h.call("GET", "/readyz"), 200);
    h.services.feedReady = () => false;
    expect(await h.call("GET", "/readyz"), 503, "not_ready");
    h.services.feedReady = () => true;
    h.services.store = { ...h.store, ping: () => Promise.reject(new Error("down")) } as typeof h.store;
    const response = await h.call("GET", "/readyz");
    expect(response, 503, "not_ready");
    assert.equal(response.headers["retry-after"], "1");
    expect(await h.call("GET", "/healthz"), 200);
  });

  it("/metrics counts requests by route, and knows versions and gateways", async (t) => {
    const h = await startApi(t);
    await seed(h);
    await h.call("GET", "/v1/tiers/bronze");
    await h.call("GET", "/v1/tiers/nope");
    await h.store.recordGateway({
      id: "n~1",
      group: "edge",
      environment: "default",
      tokenId: "edge-1",
      heldUntilMs: 0,
      version: 2n,
      applied: 1n,
      workers: 1,
      lastContactMs: h.clock.nowMs,
    });
    const { body } = await h.call("GET", "/metrics");
    for (const line of [
      'tollgate_http_requests_total{method="GET",route="/v1/tiers/:id",status="200"} 1',
      'tollgate_http_requests_total{method="GET",route="/v1/tiers/:id",status="404"} 1',
      'tollgate_environment_version{environment="default"} 2',
      'tollgate_gateways{environment="default",state="connected"} 1',
      'tollgate_gateway_lag_versions_max{environment="default"} 1',
    ]) {
      assert.ok(body.includes(line), line);
    }
  });

  it("/openapi.json is a valid OpenAPI document", async (t) => {
    const h = await startApi(t);
    const document = (await h.call("GET", "/openapi.json")).json<Record<string, unknown>>();
    const { valid, errors } = await new Validator().validate(document);
    assert.ok(valid, JSON.stringify(errors));
    assert.equal((await new Validator().validate({ ...document, info: {} })).valid, false, "the validator works");
  });
});

describe("the log", () => {
  it("holds no key and no token, whatever the request", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const secrets = await everySecret(h);
    for (const secret of secrets) {
      await h.call("GET", `/v1/keys/${secret}`);
      await h.call("GET", `/v1/keys?consumer=${secret}`);
      await h.call("GET", `/v1/keys/%zz${secret}`);
      await h.call("GET", `/${secret}?api_key=${secret}`);
      await h.call("GET", "/v1/tiers", undefined, {
        authorization: `Bearer ${secret}`,
        "x-api-key": secret,
        cookie: `k=${secret}`,
      });
      await h.call("PUT", "/v1/keys/x", { consumer: secret, sha256: secret, [secret]: secret });
      await h.call("POST", "/v1/keys/import", JSON.stringify({ consumer: "nobody", key: secret }), ndjson);
      await h.call("POST", "/v1/apply", `version: 1\nkeys: [{id: x, consumer: acme, sha256: ${secret}}]`, yaml);
    }
    assert.ok(h.logs().includes('"route":"/v1/keys/:id"'), "there is a log");
    for (const secret of secrets) assert.ok(!h.logs().includes(secret), secret);
  });
});

/** Makes one of each kind of secret. */
async function everySecret(h: Harness): Promise<string[]> {
  const issued = expect<{ id: string; key: string }>(await h.call("POST", "/v1/keys", { consumer: "acme" }), 201);
  const rotated = expect<{ key: string }>(await h.call("POST", `/v1/keys/${issued.id}/rotate`), 201);
  const gateway = expect<{ token: string }>(await h.call("POST", "/v1/gateway-tokens", { group: "edge" }), 201);
  const admin = expect<{ token: string }>(await h.call("POST", "/v1/admin-tokens", { name: "x" }), 201);
  expect(
    await h.call(
      "POST",
      "/v1/keys/import",
      JSON.stringify({ consumer: "acme", key: "an-imported-legacy-secret" }),
      ndjson,
    ),
    200,
  );
  return [issued.key, rotated.key, gateway.token, admin.token, "an-imported-legacy-secret", adminToken];
}
