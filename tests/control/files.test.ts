/** /v1/validate, /v1/diff, /v1/apply, /v1/export */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { api, expect, type Harness, seed, startApi, yaml } from "./support.ts";

interface Plan {
  environment: string;
  changes: { action: string; kind: string; id: string; fields?: string[] }[];
  warnings: { message: string; line?: number }[];
}
interface Applied extends Plan {
  changed: boolean;
  version: number;
}
interface Refused {
  errors: { path: string; message: string; line: number; column: number }[];
}

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const file = `version: 1
apis:
  - id: echo
    hosts: ["*"]
    paths: [/]
    upstream: {service: echo.demo, port: 8080}
    routes:
      - {path: /search, methods: [POST], cost: 5, scopes: [search]}
tiers:
  - id: bronze
    limits: [{name: minute, kind: rate, limit: 60, windowSeconds: 60}]
consumers:
  - {id: acme, tier: bronze, claims: {org: acme}}
keys:
  - {id: acme-1, consumer: acme, sha256: ${sha256("acme-1")}}
`;
const apply = (h: Harness, text: string, query = "") => h.call("POST", `/v1/apply${query}`, text, yaml);
const brief = (plan: Plan) => plan.changes.map(({ action, kind, id }) => `${action} ${kind} ${id}`);

describe("POST /v1/validate", () => {
  it("finds every error, with its place", async (t) => {
    const h = await startApi(t);
    const bad = file
      .replace("port: 8080", "prt: 8080")
      .replace("kind: rate", "kind: rat")
      .replace("tier: bronze", "tier: 5");
    const { valid, errors } = expect<{ valid: boolean } & Refused>(
      await h.call("POST", "/v1/validate", bad, yaml),
      200,
    );
    assert.equal(valid, false);
    assert.deepEqual(
      errors.map(({ path, line, column }) => [path, line, column]),
      [
        ["apis[0].upstream", 6, 15],
        ["apis[0].upstream.prt", 6, 36],
        ["tiers[0].limits[0].kind", 11, 35],
        ["consumers[0].tier", 13, 22],
      ],
    );
  });

  it("a good one is valid; warnings don't change that; JSON is as good", async (t) => {
    const h = await startApi(t);
    assert.equal(expect(await h.call("POST", "/v1/validate", file, yaml), 200)["valid"], true);
    const jwt = { version: 1, apis: [api("a", { auth: { mode: "jwt" } })] };
    const answer = expect<{ valid: boolean; warnings: object[] }>(await h.call("POST", "/v1/validate", jwt), 200);
    assert.deepEqual([answer.valid, answer.warnings.length], [true, 1]);
  });

  it("refuses what is no file", async (t) => {
    const h = await startApi(t);
    for (const route of ["validate", "diff", "apply"]) {
      expect(
        await h.call("POST", `/v1/${route}`, "x", { "content-type": "text/plain" }),
        415,
        "unsupported_media_type",
      );
      expect(await h.call("POST", `/v1/${route}`), 400, "invalid_request");
      expect(await h.call("POST", `/v1/${route}?prine=true`, file, yaml), 400, "invalid_request");
    }
  });
});

describe("POST /v1/diff", () => {
  it("says what apply would do, and does nothing", async (t) => {
    const h = await startApi(t);
    const plan = expect<Plan>(await h.call("POST", "/v1/diff", file, yaml), 200);
    assert.deepEqual(brief(plan), [
      "create api echo",
      "create tier bronze",
      "create consumer acme",
      "create key acme-1",
    ]);
    assert.equal((await h.store.environment("default"))!.version, 0n);
    await apply(h, file);
    const changed = expect<Plan>(await h.call("POST", "/v1/diff", file.replace("limit: 60", "limit: 61"), yaml), 200);
    assert.deepEqual(changed.changes, [
      {
        action: "update",
        kind: "tier",
        id: "bronze",
        fields: ["limits"],
        limits: ["~ minute: 60 per minute by key → 61 per minute by key"],
      },
    ]);
    expect(await h.call("POST", "/v1/diff", "version: 2", yaml), 400, "invalid_file");
    expect(await h.call("POST", "/v1/diff?environment=nope", "version: 1", yaml), 404, "environment_not_found");
  });
});

describe("POST /v1/apply", () => {
  it("applies in one change; the second time nothing changes", async (t) => {
    const h = await startApi(t);
    const first = expect<Applied>(await apply(h, file), 200);
    assert.deepEqual([first.environment, first.changed, first.version, first.changes.length], ["default", true, 1, 4]);
    assert.deepEqual(first.warnings, []);
    const again = expect<Applied>(await apply(h, file), 200);
    assert.deepEqual([again.changed, again.version, again.changes], [false, 1, []]);
  });

  it("the demo's file applies too", async (t) => {
    const h = await startApi(t);
    const demo = readFileSync(new URL("../../examples/demo/tollgate.yaml", import.meta.url), "utf8");
    assert.equal(expect<Applied>(await apply(h, demo), 200).changed, true);
    assert.equal(expect<Applied>(await apply(h, demo), 200).changed, false);
  });

  it("leaves alone what the file doesn't name, unless told to prune", async (t) => {
    const h = await startApi(t);
    await seed(h);
    await apply(h, file);
    await h.call("POST", "/v1/consumers", { id: "other", tier: "bronze" });
    const issued = expect<{ id: string }>(await h.call("POST", "/v1/keys", { consumer: "other" }), 201);
    const smaller = "version: 1\ntiers: [{id: gold}]\nconsumers: [{id: acme, tier: gold}]\n";
    assert.deepEqual(brief(expect<Applied>(await apply(h, smaller), 200)), [
      "create tier gold",
      "update consumer acme",
    ]);
    const refused = expect<{ references: object[] }>(await apply(h, smaller, "?prune=true"), 409, "record_referenced");
    assert.deepEqual(refused.references, [{ kind: "key", id: issued.id }]);
    await h.call("DELETE", `/v1/keys/${issued.id}`);
    assert.deepEqual(
      brief(expect<Applied>(await apply(h, smaller, "?prune=true"), 200)),
      ["delete consumer other", "delete tier bronze"],
      "keys and APIs aren't in the file",
    );
    assert.deepEqual(brief(expect<Applied>(await apply(h, "version: 1\napis: []\nkeys: []\n", "?prune=true"), 200)), [
      "delete key acme-1",
      "delete api echo",
    ]);
  });

  it("refers to what is stored", async (t) => {
    const h = await startApi(t);
    await apply(h, file);
    const more = `version: 1\nkeys: [{id: k2, consumer: acme, tier: bronze, apis: [echo], sha256: ${sha256("k2")}}]\n`;
    expect(await apply(h, more), 200);
    const wrong = expect<Refused>(
      await apply(h, more.replace("consumer: acme", "consumer: acne")),
      400,
      "invalid_file",
    );
    assert.match(wrong.errors[0]!.message, /no consumer `acne`/);
    expect(await apply(h, `${more}consumers: []\n`, "?prune=true"), 400, "invalid_file");
  });

  it("nothing of a file with errors is applied, and all errors are named", async (t) => {
    const h = await startApi(t);
    await apply(h, file);
    const bad = `version: 1
apis:
  - {id: twin, hosts: ["*"], paths: [/], upstream: {service: up, port: 80}}
tiers: [{id: gold}, {id: gold}]
keys:
  - {id: stolen, consumer: acme, sha256: ${sha256("acme-1")}}
  - {id: wrong, consumer: acme, sha256: ${sha256("w")}, allowedCidrs: [10.0.0.0/33]}
`;
    const { errors } = expect<Refused>(await apply(h, bad), 400, "invalid_file");
    assert.deepEqual(
      errors.map(({ path, line }) => [path, line]),
      [
        ["apis[0]", 3],
        ["tiers[1].id", 4],
        ["keys[1].allowedCidrs[0]", 7],
      ],
    );
    const stolen = expect<Refused>(
      await apply(h, `version: 1\nkeys:\n  - {id: stolen, consumer: acme, sha256: ${sha256("acme-1")}}\n`),
      400,
      "invalid_file",
    );
    assert.match(stolen.errors[0]!.message, /`acme-1`/);
    assert.equal((await h.store.environment("default"))!.version, 1n);
  });

  it("a digest moves to another id when the old one is pruned", async (t) => {
    const h = await startApi(t);
    await apply(h, file);
    const moved = file.replace("id: acme-1", "id: acme-2");
    expect(await apply(h, moved), 400, "invalid_file");
    assert.deepEqual(brief(expect<Applied>(await apply(h, moved, "?prune=true"), 200)), [
      "delete key acme-1",
      "create key acme-2",
    ]);
  });

  it("an environment is named once, or twice alike", async (t) => {
    const h = await startApi(t);
    await h.call("POST", "/v1/environments", { id: "staging" });
    const named = "version: 1\nenvironment: staging\ntiers: [{id: t}]\n";
    assert.equal(expect<Applied>(await apply(h, named), 200).environment, "staging");
    assert.equal(expect<Applied>(await apply(h, named, "?environment=staging"), 200).changed, false);
    assert.equal(expect<Applied>(await apply(h, file, "?environment=staging"), 200).environment, "staging");
    expect(await apply(h, named, "?environment=default"), 400, "environment_mismatch");
    expect(await apply(h, "version: 1\nenvironment: nope\n"), 404, "environment_not_found");
  });

  it("doesn't revive, resume or forget the start of a key", async (t) => {
    const h = await startApi(t);
    await apply(h, file);
    await h.call("POST", "/v1/keys/acme-1/revoke");
    await h.call("POST", "/v1/consumers/acme/suspend");
    assert.equal(expect<Applied>(await apply(h, file), 200).changed, false);
    expect(
      await apply(h, file.replace("consumer: acme, sha256", "consumer: acme, state: active, sha256")),
      400,
      "invalid_file",
    );
  });

  it("takes a large file, and refuses a huge one", async (t) => {
    const h = await startApi(t);
    const consumers = Array.from({ length: 3000 }, (_, index) => `  - {id: c${index}}`).join("\n");
    const large = `version: 1\nconsumers:\n${consumers}\n`;
    assert.equal(expect<Applied>(await apply(h, large), 200).changes.length, 3000);
    expect(await apply(h, "#".repeat(65 << 20)), 413, "body_too_large");
    expect(await h.call("POST", "/v1/validate", "#".repeat(65 << 20), yaml), 413, "body_too_large");
    expect(await h.call("POST", "/v1/diff", "#".repeat(65 << 20), yaml), 413, "body_too_large");
  });
});

describe("GET /v1/export", () => {
  it("gives a file that changes nothing here, and makes the same elsewhere", async (t) => {
    const h = await startApi(t);
    await apply(h, file);
    await h.call(
      "POST",
      "/v1/apis",
      api("full", {
        cors: { allowOrigins: ["https://a.example"], allowCredentials: true },
        limits: [{ name: "q", kind: "quota", limit: 5, period: "30d" }],
        scopes: ["x"],
      }),
    );
    await h.call("PUT", "/v1/tiers/none", { apis: [], scopes: ["*"] });
    await h.call("POST", "/v1/keys", {
      consumer: "acme",
      scopes: [],
      apis: [],
      allowedCidrs: ["::1"],
      expiresAt: "2027-01-01T00:00:00+01:00",
      limits: [{ name: "m", kind: "rate", limit: 1, windowSeconds: 2, mode: "shadow" }],
    });
    await h.call("POST", "/v1/keys/acme-1/rotate");
    await h.call("POST", "/v1/consumers/acme/suspend");
    const response = await h.call("GET", "/v1/export");
    assert.equal(response.statusCode, 200);
    assert.match(String(response.headers["content-type"]), /^application\/yaml/);
    assert.equal(expect<Applied>(await apply(h, response.body, "?prune=true"), 200).changed, false);
    await h.call("POST", "/v1/environments", { id: "copy" });
    const text = response.body.replace("environment: default", "environment: copy");
    expect(await apply(h, text), 200);
    assert.equal((await h.call("GET", "/v1/export?environment=copy")).body, text);
  });

  it("404 and 400", async (t) => {
    const h = await startApi(t);
    expect(await h.call("GET", "/v1/export?environment=nope"), 404, "environment_not_found");
    expect(await h.call("GET", "/v1/export?environment=*"), 400, "invalid_request");
  });
});
