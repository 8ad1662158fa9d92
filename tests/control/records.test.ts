/** /v1/apis, /v1/tiers, /v1/consumers: what every kind of record does, then what is special. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { api, expect, seed, startApi } from "./support.ts";

const samples = {
  apis: {
    first: api("x1"),
    second: api("x2"),
    changed: api("x1", { name: "New" }),
    wrong: api("x3", { paths: ["nope"] }),
  },
  tiers: {
    first: { id: "x1" },
    second: { id: "x2" },
    changed: { id: "x1", scopes: ["s"] },
    wrong: { id: "x3", apis: ["nope"] },
  },
  consumers: {
    first: { id: "x1" },
    second: { id: "x2" },
    changed: { id: "x1", claims: { a: "b" } },
    wrong: { id: "x3", tier: "nope" },
  },
};

for (const [section, { first, second, changed, wrong }] of Object.entries(samples)) {
  describe(`/v1/${section}`, () => {
    it("POST creates once", async (t) => {
      const h = await startApi(t);
      const made = await h.call("POST", `/v1/${section}`, first);
      expect(made, 201);
      assert.equal(made.headers["location"], `/v1/${section}/x1`);
      assert.equal(made.headers["etag"], '"1"');
      expect(await h.call("POST", `/v1/${section}`, first), 409, "record_exists");
    });

    it("GET gives one, with its ETag", async (t) => {
      const h = await startApi(t);
      await h.call("POST", `/v1/${section}`, first);
      const got = await h.call("GET", `/v1/${section}/x1`);
      assert.deepEqual({ ...expect<object>(got, 200), ...first }, got.json());
      assert.equal(got.headers["etag"], '"1"');
      expect(await h.call("GET", `/v1/${section}/nope`), 404, "record_not_found");
      expect(await h.call("GET", `/v1/${section}/-bad-`), 400, "invalid_request");
    });

    it("PUT creates, replaces, and changes nothing the second time", async (t) => {
      const h = await startApi(t);
      const made = await h.call("PUT", `/v1/${section}/x1`, { ...first, id: undefined });
      expect(made, 201);
      assert.equal(made.headers["location"], `/v1/${section}/x1`);
      const replaced = await h.call("PUT", `/v1/${section}/x1`, changed);
      assert.deepEqual({ ...expect<object>(replaced, 200), ...changed }, replaced.json());
      assert.equal(replaced.headers["etag"], '"2"');
      const again = await h.call("PUT", `/v1/${section}/x1`, changed);
      assert.equal(expect(again, 200) && again.headers["etag"], '"2"');
      expect(await h.call("PUT", `/v1/${section}/x2`, first), 400, "invalid_request");
    });

    it("what was got can be put back", async (t) => {
      const h = await startApi(t);
      await h.call("POST", `/v1/${section}`, first);
      const got = await h.call("GET", `/v1/${section}/x1`);
      const put = await h.call("PUT", `/v1/${section}/x1`, got.json());
      assert.equal(expect(put, 200) && put.headers["etag"], '"1"');
    });

    it("PUT and DELETE hold to If-Match and If-None-Match", async (t) => {
      const h = await startApi(t);
      const put = (headers: Record<string, string>, body: object = changed) =>
        h.call("PUT", `/v1/${section}/x1`, body, headers);
      expect(await put({ "if-match": "*" }), 412, "version_mismatch");
      expect(await put({ "if-none-match": "*" }, first), 201);
      expect(await put({ "if-none-match": "*" }), 412, "version_mismatch");
      expect(await put({ "if-match": '"7"' }), 412, "version_mismatch");
      expect(await put({ "if-match": '"7", "1"' }), 200);
      expect(await h.call("DELETE", `/v1/${section}/x1`, undefined, { "if-match": '"1"' }), 412, "version_mismatch");
      expect(await h.call("DELETE", `/v1/${section}/x1`, undefined, { "if-match": '"2"' }), 204);
    });

    it("DELETE deletes once", async (t) => {
      const h = await startApi(t);
      await h.call("POST", `/v1/${section}`, first);
      expect(await h.call("DELETE", `/v1/${section}/x1`), 204);
      expect(await h.call("DELETE", `/v1/${section}/x1`), 404, "record_not_found");
      expect(await h.call("GET", `/v1/${section}/x1`), 404, "record_not_found");
    });

    it("GET lists by pages", async (t) => {
      const h = await startApi(t);
      for (const record of [second, first]) expect(await h.call("POST", `/v1/${section}`, record), 201);
      const page = expect<{ items: { id: string }[]; next: string }>(
        await h.call("GET", `/v1/${section}?limit=1`),
        200,
      );
      assert.deepEqual(
        page.items.map(({ id }) => id),
        ["x1"],
      );
      const rest = expect<{ items: { id: string }[]; next?: string }>(
        await h.call("GET", `/v1/${section}?limit=1&cursor=${page.next}`),
        200,
      );
      assert.deepEqual(
        rest.items.map(({ id }) => id),
        ["x2"],
      );
      assert.equal(rest.next, undefined);
      for (const query of ["limit=0", "limit=1001", "limit=x", "lmit=1", "environment=UPPER"])
        expect(await h.call("GET", `/v1/${section}?${query}`), 400, "invalid_request");
    });

    it("names every wrong field", async (t) => {
      const h = await startApi(t);
      expect(await h.call("POST", `/v1/${section}`, wrong), 400, "invalid_request");
      expect(await h.call("PUT", `/v1/${section}/x3`, wrong), 400, "invalid_request");
      const problem = expect<{ errors: { path: string; message: string; remedy: string }[] }>(
        await h.call("POST", `/v1/${section}`, { ...first, id: "Not an id", nmae: "x" }),
        400,
        "invalid_request",
      );
      assert.deepEqual(problem.errors.map(({ path }) => path).sort(), ["id", "nmae"]);
      assert.match(problem.errors.find(({ path }) => path === "nmae")!.remedy, /`name`/);
      expect(await h.call("POST", `/v1/${section}`, "{", { "content-type": "application/json" }), 400, "invalid_json");
      expect(
        await h.call("POST", `/v1/${section}`, '{"__proto__": {}}', { "content-type": "application/json" }),
        400,
        "invalid_json",
      );
      expect(await h.call("POST", `/v1/${section}`), 400, "invalid_request");
      expect(
        await h.call("POST", `/v1/${section}`, "id=x1", { "content-type": "application/x-www-form-urlencoded" }),
        415,
        "unsupported_media_type",
      );
      expect(
        await h.call("POST", `/v1/${section}`, `"${"x".repeat(1 << 20)}"`, { "content-type": "application/json" }),
        413,
        "body_too_large",
      );
    });

    it("belongs to one environment", async (t) => {
      const h = await startApi(t);
      await h.call("POST", "/v1/environments", { id: "staging" });
      const made = await h.call("POST", `/v1/${section}?environment=staging`, first);
      expect(made, 201);
      assert.equal(made.headers["location"], `/v1/${section}/x1?environment=staging`);
      expect(await h.call("GET", `/v1/${section}/x1`), 404, "record_not_found");
      for (const [method, url, body] of [
        ["GET", "", undefined],
        ["POST", "", first],
        ["GET", "/x1", undefined],
        ["PUT", "/x1", first],
        ["DELETE", "/x1", undefined],
      ] as const) {
        expect(await h.call(method, `/v1/${section}${url}?environment=nope`, body), 404, "environment_not_found");
      }
    });
  });
}

describe("/v1/apis", () => {
  it("an API that collides with another is refused", async (t) => {
    const h = await startApi(t);
    await h.call("POST", "/v1/apis", api("one", { methods: ["get"] }));
    expect(await h.call("POST", "/v1/apis", api("two", { paths: ["/one"], methods: ["HEAD"] })), 409, "api_ambiguous");
    expect(await h.call("PUT", "/v1/apis/two", api("two", { paths: ["/one"] })), 409, "api_ambiguous");
    expect(await h.call("POST", "/v1/apis", api("two", { paths: ["/one"], methods: ["POST"] })), 201);
  });

  it("an API that tiers or keys name isn't deleted", async (t) => {
    const h = await startApi(t);
    await seed(h);
    await h.call("POST", "/v1/apis", api("one"));
    await h.call("PUT", "/v1/tiers/silver", { apis: ["one"] });
    const key = expect<{ id: string }>(await h.call("POST", "/v1/keys", { consumer: "acme", apis: ["one"] }), 201);
    const refused = expect(await h.call("DELETE", "/v1/apis/one"), 409, "record_referenced");
    assert.deepEqual(refused["references"], [
      { kind: "tier", id: "silver" },
      { kind: "key", id: key.id },
    ]);
  });
});

describe("/v1/tiers", () => {
  it("a tier in use isn't deleted", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const refused = expect(await h.call("DELETE", "/v1/tiers/bronze"), 409, "record_referenced");
    assert.deepEqual(refused["references"], [{ kind: "consumer", id: "acme" }]);
    await h.call("PUT", "/v1/consumers/acme", {});
    expect(await h.call("DELETE", "/v1/tiers/bronze"), 204);
  });
});

describe("/v1/consumers", () => {
  it("are suspended and resumed, and PUT leaves that alone", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const suspended = await h.call("POST", "/v1/consumers/acme/suspend");
    assert.equal(expect(suspended, 200)["suspended"], true);
    assert.equal(suspended.headers["etag"], '"3"');
    assert.equal(expect(await h.call("PUT", "/v1/consumers/acme", { tier: "bronze" }), 200)["suspended"], true);
    assert.equal(
      expect(await h.call("POST", "/v1/consumers/acme/resume", undefined, { "content-type": "application/json" }), 200)[
        "suspended"
      ],
      false,
    );
    assert.equal(expect(await h.call("PUT", "/v1/consumers/acme", { suspended: true }), 200)["suspended"], true);
    for (const action of ["suspend", "resume"]) {
      expect(await h.call("POST", `/v1/consumers/nobody/${action}`), 404, "record_not_found");
      expect(await h.call("POST", `/v1/consumers/acme/${action}?environment=nope`), 404, "environment_not_found");
    }
  });

  it("one with keys isn't deleted", async (t) => {
    const h = await startApi(t);
    await seed(h);
    const key = expect<{ id: string }>(await h.call("POST", "/v1/keys", { consumer: "acme" }), 201);
    expect(await h.call("DELETE", "/v1/consumers/acme"), 409, "record_referenced");
    expect(await h.call("DELETE", `/v1/keys/${key.id}`), 204);
    expect(await h.call("DELETE", "/v1/consumers/acme"), 204);
  });
});
