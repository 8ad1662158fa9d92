/** A preview refuses exactly what the act refuses, with the same words. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { expect, type Harness, startApi, yaml } from "./support.ts";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const idOf = (prefix: string) => fc.integer({ min: 1, max: 3 }).map((number) => `${prefix}${number}`);
const some = <T>(one: fc.Arbitrary<T>) => fc.array(one, { maxLength: 3 });
const absentOr = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: undefined });

const api = fc.record({
  id: idOf("api"),
  hosts: fc.constantFrom(["a.example"], ["b.example"], ["*"]),
  paths: fc.constantFrom(["/"], ["/x"]),
  upstream: fc.constant({ service: "s.x", port: 80 }),
});
const tier = fc.record({ id: idOf("tier"), apis: absentOr(some(idOf("api"))) });
const consumer = fc.record({ id: idOf("consumer"), tier: absentOr(idOf("tier")) });
const key = fc.record({
  id: idOf("key"),
  consumer: idOf("consumer"),
  sha256: fc.integer({ min: 1, max: 4 }).map((number) => sha256(String(number))),
  tier: absentOr(idOf("tier")),
  apis: absentOr(some(idOf("api"))),
});
const file = fc.record({
  version: fc.constant(1),
  environment: absentOr(fc.constantFrom("default", "default", "other")),
  apis: absentOr(some(api)),
  tiers: absentOr(some(tier)),
  consumers: absentOr(some(consumer)),
  keys: absentOr(some(key)),
});
/** Everything that the others may refer to, so that a random file has a chance to be taken. */
const whole = {
  version: 1,
  apis: [1, 2, 3].map((number) => ({
    id: `api${number}`,
    hosts: [`h${number}.example`],
    paths: ["/"],
    upstream: { service: "s.x", port: 80 },
  })),
  tiers: [1, 2, 3].map((number) => ({ id: `tier${number}`, apis: [`api${number}`] })),
  consumers: [1, 2, 3].map((number) => ({ id: `consumer${number}`, tier: `tier${number}` })),
  keys: [1, 2, 3].map((number) => ({
    id: `key${number}`,
    consumer: `consumer${number}`,
    sha256: sha256(String(number)),
    apis: [`api${number}`],
  })),
};

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

async function ask(h: Harness, path: string, text: string, query: string): Promise<Answer> {
  const response = await h.call("POST", `${path}?${query}`, text, yaml);
  const { requestId: _id, ...body } = response.json<Record<string, unknown>>();
  return { status: response.statusCode, body };
}

describe("POST /v1/diff", () => {
  it("refuses what POST /v1/apply refuses, with the same problem, and promises what it then does", async (t) => {
    const h = await startApi(t);
    const seen = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(
        fc.array(file, { maxLength: 2 }),
        file,
        fc.constantFrom("prune=true", "prune=false", "prune=true&environment=default"),
        async (before, after, query) => {
          await ask(
            h,
            "/v1/apply",
            JSON.stringify({ version: 1, apis: [], tiers: [], consumers: [], keys: [] }),
            "prune=true",
          );
          await ask(h, "/v1/apply", JSON.stringify(whole), "");
          for (const one of before) await ask(h, "/v1/apply", JSON.stringify(one), "");
          const preview = await ask(h, "/v1/diff", JSON.stringify(after), query);
          const act = await ask(h, "/v1/apply", JSON.stringify(after), query);
          assert.equal(preview.status, act.status);
          assert.ok(act.status < 500, JSON.stringify(act.body));
          seen.set(act.status, (seen.get(act.status) ?? 0) + 1);
          if (act.status !== 200) return assert.deepEqual(preview.body, act.body);
          const { version: _version, changed: _changed, ...promised } = act.body;
          assert.deepEqual(preview.body, promised);
        },
      ),
      { numRuns: 300 },
    );
    for (const status of [200, 400, 409])
      assert.ok((seen.get(status) ?? 0) > 5, `${status} came up: ${JSON.stringify([...seen])}`);
  });

  it("names the record outside the file that uses what would be deleted", async (t) => {
    const h = await startApi(t);
    const text = (sections: object) => JSON.stringify({ version: 1, ...sections });
    expect(await h.call("POST", "/v1/apply", text(whole), yaml), 200);
    const refused = expect<{ references: object[] }>(
      await h.call("POST", "/v1/diff?prune=true", text({ tiers: [], consumers: [] }), yaml),
      409,
      "record_referenced",
    );
    assert.deepEqual(refused.references, [{ kind: "key", id: "key1" }]);
  });
});

describe("POST /v1/validate", () => {
  it("refuses a file for another environment than the one asked for, as applying it does", async (t) => {
    const h = await startApi(t);
    const { valid, errors } = expect<{ valid: boolean; errors: { path: string }[] }>(
      await h.call("POST", "/v1/validate?environment=default", "version: 1\nenvironment: staging\n", yaml),
      200,
    );
    assert.equal(valid, false);
    assert.deepEqual(
      errors.map(({ path }) => path),
      ["environment"],
    );
  });
});
