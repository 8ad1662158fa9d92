import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { wellFormedKey } from "../../control/domain/keys.ts";
import { api, expect, type Harness, ndjson, seed, startApi } from "./support.ts";

interface IssuedKey {
  id: string;
  key: string;
  prefix: string;
  sha256: string;
  state: string;
  consumer: string;
  expiresAt?: string;
  rotatedTo?: string;
}

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const issue = async (h: Harness, more: object = {}): Promise<IssuedKey> =>
  expect(await h.call("POST", "/v1/keys", { consumer: "acme", ...more }), 201);

describe("POST /v1/keys", () => {
  it("shows the key this once, and stores its digest", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const response = await h.call("POST", "/v1/keys", { consumer: "acme", name: "CI" });
    const issued = expect<IssuedKey>(response, 201);
    assert.ok(wellFormedKey(issued.key));
    assert.match(issued.key, /^tg_default_/);
    assert.equal(issued.sha256, sha256(issued.key));
    assert.ok(issued.key.startsWith(issued.prefix) && issued.prefix.length === "tg_default_".length + 4);
    assert.match(issued.id, /^k_[0-9a-z]{10}$/);
    assert.equal(response.headers["location"], `/v1/keys/${issued.id}`);
    assert.equal(response.headers["cache-control"], "no-store");
    const { key: _key, ...record } = issued;
    const stored = await h.call("GET", `/v1/keys/${issued.id}`);
    assert.deepEqual(expect(stored, 200), record);
    assert.equal(stored.headers["etag"], response.headers["etag"]);
  });

  it("takes an id once, and says what is wrong", async (t) => {
    const h = await startApi(t);
    await seed(h);
    await issue(h, { id: "mine" });
    expect(await h.call("POST", "/v1/keys", { id: "mine", consumer: "acme" }), 409, "record_exists");
    expect(await h.call("POST", "/v1/keys", { consumer: "nobody" }), 400, "invalid_request");
    expect(await h.call("POST", "/v1/keys", { consumer: "acme", sha256: sha256("x") }), 400, "invalid_request");
    expect(await h.call("POST", "/v1/keys", { consumer: "acme", expiresAt: "tomorrow" }), 400, "invalid_request");
    expect(await h.call("POST", "/v1/keys?environment=nope", { consumer: "acme" }), 404, "environment_not_found");
    expect(await h.call("POST", "/v1/keys", "x", { "content-type": "text/plain" }), 415, "unsupported_media_type");
    expect(
      await h.call("POST", "/v1/keys", `"${"x".repeat(1 << 20)}"`, { "content-type": "application/json" }),
      413,
      "body_too_large",
    );
  });

  it("names the environment in the key", async (t) => {
    const h = await startApi(t);
    await h.call("POST", "/v1/environments", { id: "staging-2" });
    await h.call("POST", "/v1/consumers?environment=staging-2", { id: "acme" });
    const issued = expect<IssuedKey>(await h.call("POST", "/v1/keys?environment=staging-2", { consumer: "acme" }), 201);
    assert.match(issued.key, /^tg_staging-2_/);
    assert.ok(wellFormedKey(issued.key));
  });
});

describe("/v1/keys/{id}", () => {
  it("PUT by digest; without one it keeps the digest", async (t) => {
    const h = await startApi(t);
    await seed(h);
    expect(await h.call("PUT", "/v1/keys/k1", { consumer: "acme" }), 400, "invalid_request");
    expect(await h.call("PUT", "/v1/keys/k1", { consumer: "acme", sha256: sha256("one").toUpperCase() }), 201);
    assert.equal(
      expect(await h.call("PUT", "/v1/keys/k1", { consumer: "acme", name: "n" }), 200)["sha256"],
      sha256("one"),
    );
    expect(await h.call("PUT", "/v1/keys/k2", { consumer: "acme", sha256: sha256("one") }), 409, "digest_in_use");
    expect(await h.call("PUT", "/v1/keys/k1", { consumer: "acme", id: "k2" }), 400, "invalid_request");
    expect(await h.call("PUT", "/v1/keys/k1", { consumer: "acme" }, { "if-match": '"1"' }), 412, "version_mismatch");
    assert.equal(
      expect(await h.call("PUT", "/v1/keys/k1", { consumer: "acme", sha256: sha256("two") }), 200)["sha256"],
      sha256("two"),
    );
  });

  it("an error never repeats what may be a key", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const { key } = await issue(h);
    for (const body of [
      { consumer: "acme", sha256: key },
      { consumer: key },
      { consumer: "acme", name: 5, state: key },
    ]) {
      const response = await h.call("PUT", "/v1/keys/k1", body);
      expect(response, 400, "invalid_request");
      assert.ok(!response.body.includes(key), response.body);
    }
  });

  it("GET and DELETE", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const { id } = await issue(h);
    expect(await h.call("GET", `/v1/keys/${id}`), 200);
    expect(await h.call("DELETE", `/v1/keys/${id}`), 204);
    expect(await h.call("GET", `/v1/keys/${id}`), 404, "record_not_found");
    expect(await h.call("DELETE", `/v1/keys/${id}`), 404, "record_not_found");
    expect(await h.call("DELETE", `/v1/keys/${id}?environment=nope`), 404, "environment_not_found");
  });

  it("the list is narrowed by consumer and state", async (t) => {
    const h = await startApi(t);
    await seed(h);
    await h.call("POST", "/v1/consumers", { id: "other" });
    const [a, b, c] = [await issue(h), await issue(h), await issue(h, { consumer: "other" })];
    await h.call("POST", `/v1/keys/${b.id}/revoke`);
    const ids = async (query: string) =>
      expect<{ items: { id: string }[] }>(await h.call("GET", `/v1/keys?${query}`), 200).items.map(({ id }) => id);
    assert.deepEqual(await ids(""), [a.id, b.id, c.id]);
    assert.deepEqual(await ids("consumer=acme"), [a.id, b.id]);
    assert.deepEqual(await ids("state=active"), [a.id, c.id]);
    assert.deepEqual(await ids("consumer=acme&state=revoked"), [b.id]);
    const page = expect<{ next: string }>(await h.call("GET", "/v1/keys?limit=2"), 200);
    assert.deepEqual(await ids(`limit=2&cursor=${page.next}`), [c.id]);
    expect(await h.call("GET", "/v1/keys?cursor=abc"), 400, "invalid_request");
    expect(await h.call("GET", "/v1/keys?state=gone"), 400, "invalid_request");
  });
});

describe("POST /v1/keys/{id}/revoke, suspend, resume", () => {
  it("revoking is final, whatever else is tried", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const { id } = await issue(h);
    assert.equal(expect(await h.call("POST", `/v1/keys/${id}/revoke`), 200)["state"], "revoked");
    const again = await h.call("POST", `/v1/keys/${id}/revoke`);
    assert.equal(expect(again, 200) && again.headers["etag"], '"4"', "no new version");
    expect(await h.call("POST", `/v1/keys/${id}/resume`), 409, "key_revoked");
    expect(await h.call("POST", `/v1/keys/${id}/suspend`), 409, "key_revoked");
    expect(await h.call("POST", `/v1/keys/${id}/rotate`), 409, "key_revoked");
    assert.equal(expect(await h.call("PUT", `/v1/keys/${id}`, { consumer: "acme" }), 200)["state"], "revoked");
    expect(await h.call("PUT", `/v1/keys/${id}`, { consumer: "acme", state: "active" }), 400, "invalid_request");
  });

  it("a suspension ends", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const { id } = await issue(h);
    assert.equal(expect(await h.call("POST", `/v1/keys/${id}/suspend`), 200)["state"], "suspended");
    assert.equal(expect(await h.call("PUT", `/v1/keys/${id}`, { consumer: "acme" }), 200)["state"], "suspended");
    assert.equal(expect(await h.call("POST", `/v1/keys/${id}/resume`), 200)["state"], "active");
  });

  it("404 for what isn't there", async (t) => {
    const h = await startApi(t);
    for (const action of ["revoke", "suspend", "resume", "rotate"]) {
      expect(await h.call("POST", `/v1/keys/nope/${action}`), 404, "record_not_found");
      expect(await h.call("POST", `/v1/keys/nope/${action}?environment=nope`), 404, "environment_not_found");
    }
  });
});

describe("POST /v1/keys/{id}/rotate", () => {
  interface Rotated extends IssuedKey {
    previous: IssuedKey;
  }

  it("issues a successor with the same rights, and lets the old key live for the grace", async (t) => {
    const h = await startApi(t);
    await seed(h);
    await h.call("POST", "/v1/apis", api("one"));
    const old = await issue(h, { name: "n", apis: ["one"], scopes: ["read"], allowedCidrs: ["10.0.0.0/8"] });
    const rotated = expect<Rotated>(
      await h.call("POST", `/v1/keys/${old.id}/rotate`, { graceSeconds: 60, id: "next" }),
      201,
    );
    assert.equal(rotated.id, "next");
    assert.notEqual(rotated.key, old.key);
    assert.equal(rotated.sha256, sha256(rotated.key));
    assert.equal(rotated.previous.expiresAt, "2026-01-01T00:01:00Z");
    assert.equal(rotated.previous.rotatedTo, "next");
    assert.equal(rotated.previous.state, "active");
    const stored = expect<Record<string, unknown>>(await h.call("GET", "/v1/keys/next"), 200);
    assert.deepEqual(
      [stored["name"], stored["apis"], stored["scopes"], stored["allowedCidrs"], stored["expiresAt"]],
      ["n", ["one"], ["read"], ["10.0.0.0/8"], undefined],
    );
    assert.equal(Number((await h.store.environment("default"))!.version), 5, "one change");
    expect(await h.call("POST", `/v1/keys/${old.id}/rotate`), 409, "key_rotated");
  });

  it("a day of grace unless asked; never past the key's own expiry; none revokes", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const rotate = async (id: string, body?: object) =>
      expect<Rotated>(await h.call("POST", `/v1/keys/${id}/rotate`, body), 201).previous;
    assert.equal((await rotate((await issue(h)).id)).expiresAt, "2026-01-02T00:00:00Z");
    assert.equal(
      (await rotate((await issue(h, { expiresAt: "2026-01-01T00:00:10Z" })).id, { graceSeconds: 60 })).expiresAt,
      "2026-01-01T00:00:10Z",
    );
    const now = await rotate((await issue(h)).id, { graceSeconds: 0 });
    assert.equal(now.state, "revoked");
    assert.equal(now.expiresAt, undefined);
  });

  it("refuses what would make no sense", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const { id } = await issue(h, { expiresAt: "2026-01-01T00:00:10Z" });
    expect(await h.call("POST", `/v1/keys/${id}/rotate`, { graceSeconds: -1 }), 400, "invalid_request");
    expect(await h.call("POST", `/v1/keys/${id}/rotate`, { grace: 1 }), 400, "invalid_request");
    expect(await h.call("POST", `/v1/keys/${id}/rotate`, { id }), 409, "record_exists");
    h.clock.nowMs += 10_000;
    expect(await h.call("POST", `/v1/keys/${id}/rotate`), 409, "key_expired");
  });

  it("refuses a suspended key, and says when the consumer is suspended", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const { id } = await issue(h);
    expect(await h.call("POST", `/v1/keys/${id}/suspend`), 200);
    expect(await h.call("POST", `/v1/keys/${id}/rotate`), 409, "key_suspended");
    const before = expect<{ state: string; rotatedTo?: string }>(await h.call("GET", `/v1/keys/${id}`), 200);
    assert.deepEqual([before.state, before.rotatedTo], ["suspended", undefined], "nothing was changed");
    expect(await h.call("POST", `/v1/keys/${id}/resume`), 200);
    expect(await h.call("POST", "/v1/consumers/acme/suspend"), 200);
    const rotated = expect<{ warning?: string }>(await h.call("POST", `/v1/keys/${id}/rotate`), 201);
    const issued = expect<{ warning?: string }>(await h.call("POST", "/v1/keys", { consumer: "acme" }), 201);
    for (const { warning } of [rotated, issued]) assert.match(warning ?? "", /consumer `acme` is suspended/);
    expect(await h.call("POST", "/v1/consumers/acme/resume"), 200);
    assert.equal(
      expect<{ warning?: string }>(await h.call("POST", "/v1/keys", { consumer: "acme" }), 201).warning,
      undefined,
    );
  });

  it("a file applied again neither revives the old key nor lengthens its grace", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const text = `version: 1\nkeys: [{id: k1, consumer: acme, sha256: ${sha256("k1")}}]\n`;
    const apply = () => h.call("POST", "/v1/apply", text, { "content-type": "application/yaml" });
    expect(await apply(), 200);
    await h.call("POST", "/v1/keys/k1/rotate", { graceSeconds: 60, id: "k2" });
    assert.equal(expect(await apply(), 200)["changed"], false);
    const old = expect<IssuedKey>(await h.call("GET", "/v1/keys/k1"), 200);
    assert.deepEqual([old.expiresAt, old.rotatedTo], ["2026-01-01T00:01:00Z", "k2"]);
    await h.call("POST", "/v1/keys/k1/revoke");
    assert.equal(expect(await apply(), 200)["changed"], false);
  });
});

describe("POST /v1/keys/import", () => {
  interface Imported {
    created: number;
    unchanged: number;
    failed: number;
    errors: { line: number; path: string; message: string }[];
    version: number;
  }
  const lines = (...rows: unknown[]) =>
    rows.map((row) => (typeof row === "string" ? row : JSON.stringify(row))).join("\n");

  it("takes digests and keys of any form, and changes nothing the second time", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const { key } = await issue(h);
    await h.call(
      "DELETE",
      `/v1/keys/${expect<{ items: { id: string }[] }>(await h.call("GET", "/v1/keys"), 200).items[0]!.id}`,
    );
    const body = lines(
      { consumer: "acme", key: "legacy secret ü" },
      "",
      {
        id: "own",
        consumer: "acme",
        sha256: sha256("own"),
        limits: [{ name: "l", kind: "rate", limit: 1, windowSeconds: 1 }],
      },
      { consumer: "acme", key },
    );
    const first = expect<Imported>(await h.call("POST", "/v1/keys/import", body, ndjson), 200);
    assert.deepEqual([first.created, first.unchanged, first.failed], [3, 0, 0]);
    const again = expect<Imported>(await h.call("POST", "/v1/keys/import", `${body}\n`, ndjson), 200);
    assert.deepEqual([again.created, again.unchanged, again.version], [0, 3, first.version]);
    const keys = expect<{ items: IssuedKey[] }>(await h.call("GET", "/v1/keys"), 200).items;
    assert.deepEqual(
      keys.map((one) => one.sha256),
      [sha256("legacy secret ü"), sha256("own"), sha256(key)],
    );
    assert.deepEqual(
      keys.map((one) => one.prefix),
      [undefined, undefined, key.slice(0, "tg_default_".length + 4)],
    );
    assert.equal(keys[0]!.id, `k_${sha256("legacy secret ü").slice(0, 20)}`);
  });

  it("refuses a key that no gateway would take, by its bytes", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const done = expect<Imported>(
      await h.call(
        "POST",
        "/v1/keys/import",
        lines({ consumer: "acme", key: "ü".repeat(128) }, { consumer: "acme", key: "ü".repeat(129) }),
        ndjson,
      ),
      200,
    );
    assert.equal(done.created, 1);
    assert.deepEqual(
      done.errors.map(({ line, path }) => [line, path]),
      [[2, "key"]],
    );
  });

  it("leaves faulty rows out, and names their lines", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const body = lines(
      { consumer: "acme", key: "good" },
      "not json",
      { consumer: "nobody", key: "x" },
      { consumer: "acme" },
      { consumer: "acme", key: "y", sha256: sha256("y") },
      { consumer: "acme", key: "z", expiresAt: "never" },
      { id: "dup", consumer: "acme", key: "good" },
      { id: "a", consumer: "acme", key: "a" },
      { id: "a", consumer: "acme", key: "b" },
      { consumer: "acme", kee: "x" },
    );
    const done = expect<Imported>(await h.call("POST", "/v1/keys/import", body, ndjson), 200);
    assert.deepEqual([done.created, done.failed], [2, 8]);
    assert.deepEqual(
      done.errors.map(({ line, path }) => [line, path]),
      [
        [2, ""],
        [3, "consumer"],
        [4, ""],
        [5, ""],
        [6, "expiresAt"],
        [7, "sha256"],
        [9, "id"],
        [10, "kee"],
      ],
    );
  });

  it("takes many, in several changes", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const rows = Array.from({ length: 25_000 }, (_, index) => ({
      id: `k${index}`,
      consumer: "acme",
      sha256: sha256(`k${index}`),
    }));
    const done = expect<Imported>(await h.call("POST", "/v1/keys/import", lines(...rows), ndjson), 200);
    assert.deepEqual([done.created, done.version], [25_000, 5]);
    assert.equal((await h.store.snapshotRead("default", (reader) => reader.counts()))?.keys, 25_000);
  });

  it("400, 404, 413, 415", async (t) => {
    const h = await startApi(t);
    await seed(h);
    expect(await h.call("POST", "/v1/keys/import?environment=nope", "{}", ndjson), 404, "environment_not_found");
    expect(await h.call("POST", "/v1/keys/import?environment=NOPE", "{}", ndjson), 400, "invalid_request");
    expect(await h.call("POST", "/v1/keys/import", "x".repeat(70_000), ndjson), 413, "body_too_large");
    expect(await h.call("POST", "/v1/keys/import", {}), 415, "unsupported_media_type");
    expect(await h.call("POST", "/v1/keys/import"), 415, "unsupported_media_type");
  });
});
