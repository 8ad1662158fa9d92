/** Internal tokens as gateways get them and services verify them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose";
import { Issuer } from "../../control/internalTokens/issuer.ts";
import { lifetimeMostMs } from "../../control/internalTokens/schedule.ts";
import { rotateSigningKeys } from "../../control/internalTokens/signingKeys.ts";
import { askOf, context, key, settings, startEnvironment } from "./support.ts";

const verify = async (token: string, jwks: JSONWebKeySet, nowMs = Date.now()) =>
  (
    await jwtVerify(token, createLocalJWKSet(jwks), {
      issuer: settings.issuer,
      audience: "mesh",
      currentDate: new Date(nowMs),
    })
  ).payload;

describe("a token", () => {
  test("says who calls, and is verified by the published set", async (t) => {
    const { replica } = await startEnvironment(t);
    const { ask, jwks } = await replica();
    const [answer, narrowed] = await ask([askOf("k1"), askOf("k2")]);
    assert.equal(answer!.verdict, "granted");
    const { iat, exp, jti, ...payload } = await verify(answer!.token, await jwks());
    assert.deepEqual(payload, {
      iss: settings.issuer,
      aud: ["mesh"],
      sub: "acme",
      tier: "bronze",
      scope: "read orders",
      key_id: "k1",
      env: "default",
      claims: { org: "acme", region: "eu" },
    });
    assert.match(jti!, /^[0-9a-f-]{36}$/);
    assert.equal(exp! - iat!, 300);
    assert.equal(answer!.expiresAtMs, exp! * 1000);
    assert.ok(answer!.refreshAtMs > iat! * 1000 + 150_000 && answer!.refreshAtMs < exp! * 1000 - 60_000);
    const own = await verify(narrowed!.token, await jwks());
    assert.deepEqual([own["tier"], own["scope"], own["key_id"]], ["gold", "read admin", "k2"]);
    const [published] = (await jwks()).keys;
    assert.deepEqual(Object.keys(published!).sort(), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    assert.equal(decodeProtectedHeader(answer!.token).kid, published!.kid);
  });

  test("isn't given to keys that may not call, nor to unknown ones", async (t) => {
    const { replica } = await startEnvironment(t);
    const { ask } = await replica();
    const answers = await ask([askOf("k3"), askOf("k4"), askOf("k5"), askOf("nobody"), askOf("k1")]);
    assert.deepEqual(
      answers.map(({ verdict }) => verdict),
      ["unknown", "unknown", "unknown", "unknown", "granted"],
    );
    assert.ok(answers.slice(0, 4).every(({ token }) => token === ""));
  });

  test("of a caller without a key is about the consumer and the tier that the gateway names", async (t) => {
    const { store, replica } = await startEnvironment(t);
    const { ask, jwks } = await replica();
    const ids = (await store.snapshotRead("default", async (reader) => ({
      acme: (await reader.consumerById("acme"))!.wireId,
      initech: (await reader.consumerById("initech"))!.wireId,
      gold: (await reader.tierById("gold"))!.wireId,
    })))!;
    const [token, peer, suspended, unknown] = await ask([
      askOf("a", { kind: "token", consumer: ids.acme, tier: ids.gold, scopes: ["orders"] }),
      askOf("b", { kind: "peer", consumer: ids.acme, tier: ids.gold }),
      askOf("c", { kind: "token", consumer: ids.initech, tier: ids.gold }),
      askOf("d", { kind: "token", consumer: 4_000_000_000, tier: ids.gold }),
    ]);
    const payload = await verify(token!.token, await jwks());
    assert.deepEqual(
      [payload.sub, payload["tier"], payload["scope"], payload["key_id"]],
      ["acme", "gold", "orders", undefined],
    );
    assert.equal((await verify(peer!.token, await jwks()))["scope"], "*");
    assert.deepEqual([suspended!.verdict, unknown!.verdict], ["unknown", "unknown"]);
  });

  test("never outlives its key", async (t) => {
    const { change, replica } = await startEnvironment(t);
    const end = new Date(Math.ceil(Date.now() / 1000) * 1000 + 30_000);
    await change((writer) =>
      writer.put("key", key("short", "acme", { expiresAt: end.toISOString().replace(".000Z", "Z") })),
    );
    const [answer] = await (await replica()).ask([askOf("short")]);
    assert.equal(answer!.expiresAtMs, end.getTime());
    assert.ok(answer!.refreshAtMs < end.getTime());
  });

  test("that would be too large for a header is refused", async (t) => {
    const { change, replica } = await startEnvironment(t);
    const claims = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`c${index}`, "x".repeat(1024)]));
    await change(async (writer) => {
      await writer.put("consumer", { id: "huge", tier: "bronze", claims, suspended: false });
      await writer.put("key", key("h1", "huge"));
    });
    assert.deepEqual(
      (await (await replica()).ask([askOf("h1")])).map(({ verdict }) => verdict),
      ["tooLarge"],
    );
  });

  test("isn't given of another epoch, nor without a gateway token", async (t) => {
    const { replica } = await startEnvironment(t);
    const { url, post } = await replica();
    assert.equal((await post([askOf("k1")], 1n)).status, 409);
    const bare = await fetch(`${url}/sync/v1/tokens?environment=default&gateway=n~1&epoch=0000000000000001`, {
      method: "POST",
      headers: { "content-type": "application/vnd.tollgate.frames" },
      body: "x",
    });
    assert.equal(bare.status, 401);
  });
});

describe("an environment", () => {
  test("issues none before it's told to, and after it's told not to", async (t) => {
    const { change, replica } = await startEnvironment(t, { ...settings, enabled: false });
    const { url, ask } = await replica(undefined);
    assert.deepEqual(
      (await ask([askOf("k1")])).map(({ verdict }) => verdict),
      ["off"],
    );
    assert.equal((await fetch(`${url}/.well-known/tollgate/default/jwks.json`)).status, 404);
    assert.equal((await fetch(`${url}/.well-known/tollgate/elsewhere/jwks.json`)).status, 404);
    await change((writer) => writer.putInternalToken(settings));
    const later = await replica();
    const [answer] = await later.ask([askOf("k1")]);
    assert.equal(answer!.verdict, "granted");
    await change((writer) => writer.putInternalToken({ ...settings, enabled: false }));
    const last = await replica();
    assert.deepEqual(
      (await last.ask([askOf("k1")])).map(({ verdict }) => verdict),
      ["off"],
    );
    // What was issued is still verified.
    await verify(answer!.token, await last.jwks());
  });

  test("has one first key, however many replicas ask for it at once", async (t) => {
    const { replica } = await startEnvironment(t);
    const replicas = [await replica(), await replica(), await replica()];
    const sets = await Promise.all(replicas.map(({ jwks }) => jwks()));
    assert.equal(sets[0]!.keys.length, 1);
    assert.deepEqual(sets[1], sets[0]);
    assert.deepEqual(sets[2], sets[0]);
    const response = await fetch(`${replicas[0]!.url}/.well-known/tollgate/default/jwks.json`);
    assert.equal(response.headers.get("cache-control"), "public, max-age=60");
    assert.equal(response.headers.get("content-type"), "application/json; charset=utf-8");
  });
});

describe("a rotation", () => {
  test("publishes ahead, overlaps, and forgets the old key once its tokens are over; on every replica", async (t) => {
    const { store } = await startEnvironment(t);
    const clock = { nowMs: Date.now() };
    const [a, b] = [new Issuer(store, () => clock.nowMs), new Issuer(store, () => clock.nowMs)];
    const kidOf = (token: string): string => decodeProtectedHeader(token).kid!;
    const tokenOf = async (issuer: Issuer): Promise<string> => {
      const [answer] = await issuer.issue("default", [{ kind: "key", digest: askOf("k1").id }]);
      assert.ok(answer?.verdict === "granted");
      return answer.token;
    };
    const kids = async (issuer: Issuer) => (await issuer.jwks("default"))!.keys.map(({ kid }) => kid);
    const before = await tokenOf(a);
    const rotated = await rotateSigningKeys(
      store,
      "default",
      { publishMs: 60_000, withdraw: false },
      { ...context, nowMs: clock.nowMs },
    );
    assert.equal(rotated!.keys.length, 2);
    const next = rotated!.keys.find(({ kid }) => kid !== kidOf(before))!.kid;
    const again = await rotateSigningKeys(
      store,
      "default",
      { publishMs: 0, withdraw: false },
      { ...context, nowMs: clock.nowMs },
    );
    assert.equal(again!.pending?.kid, next);
    assert.equal(again!.keys.length, 2);
    clock.nowMs += 2000;
    for (const issuer of [a, b]) {
      assert.deepEqual((await kids(issuer)).sort(), [kidOf(before), next].sort());
      assert.equal(kidOf(await tokenOf(issuer)), kidOf(before));
    }
    clock.nowMs += 60_000;
    const after = await tokenOf(b);
    assert.equal(kidOf(after), next);
    assert.equal(kidOf(await tokenOf(a)), next);
    await verify(before, (await a.jwks("default"))!, clock.nowMs);
    await verify(after, (await b.jwks("default"))!, clock.nowMs);
    clock.nowMs += lifetimeMostMs + 61_000;
    for (const issuer of [a, b]) assert.deepEqual(await kids(issuer), [next]);
  });

  test("withdraws keys that have leaked", async (t) => {
    const { store, replica } = await startEnvironment(t);
    const first = await replica();
    const [old] = await first.ask([askOf("k1")]);
    await rotateSigningKeys(store, "default", { publishMs: 0, withdraw: true }, { ...context, nowMs: Date.now() });
    const second = await replica();
    const jwks = await second.jwks();
    assert.equal(jwks.keys.length, 1);
    await assert.rejects(verify(old!.token, jwks));
    const [answer] = await second.ask([askOf("k1")]);
    await verify(answer!.token, jwks);
  });

  test("keeps the last set known while the database doesn't answer", async () => {
    let broken = false;
    const issuer = new Issuer(
      {
        async identity() {
          if (broken) throw new Error("the database is away");
          return {
            settings,
            keys: [
              { kid: "a", jwk: { kty: "EC", crv: "P-256", x: "x", y: "y", d: "d" }, createdAtMs: 0, signsFromMs: 0 },
            ],
          };
        },
        changeSigningKeys: async () => [],
        callers: async () => [],
      },
      (() => {
        let nowMs = 1_000_000;
        return () => (nowMs += 2000);
      })(),
    );
    const set = await issuer.jwks("default");
    assert.deepEqual(set, { keys: [{ kty: "EC", crv: "P-256", x: "x", y: "y", kid: "a", use: "sig", alg: "ES256" }] });
    broken = true;
    assert.deepEqual(await issuer.jwks("default"), set);
    await assert.rejects(issuer.issue("default", [{ kind: "key", digest: "0".repeat(32) }]));
  });
});
