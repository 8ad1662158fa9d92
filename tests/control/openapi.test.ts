/** The OpenAPI document as a source for generated clients and reference pages. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { tags as knownTags } from "../../control/http/openapi.ts";
import { startApi } from "./support.ts";

interface Operation {
  operationId?: string;
  summary?: string;
  description?: string;
  tags?: string[];
  responses: Record<string, { description?: string; content?: Record<string, { schema: { $ref?: string } }> }>;
}

/** Verbs that summaries begin with. A new verb is added here once it is clear that it is one. */
const verbs = [
  "Apply",
  "Check",
  "Create",
  "Delete",
  "Export",
  "Get",
  "Grant",
  "Import",
  "List",
  "Preview",
  "Read",
  "Renew",
  "Reset",
  "Resume",
  "Revoke",
  "Rotate",
  "Suspend",
  "Validate",
];

async function operations(t: TestContext): Promise<{ where: string; operation: Operation }[]> {
  const { app } = await startApi(t);
  const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, Operation>> };
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ where: `${method.toUpperCase()} ${path}`, operation })),
  );
  assert.ok(all.length > 40, `only ${all.length} operations`);
  return all;
}

describe("the OpenAPI document", () => {
  it("gives every operation a unique camelCase operationId", async (t) => {
    const seen = new Map<string, string>();
    for (const { where, operation } of await operations(t)) {
      const { operationId = "" } = operation;
      assert.match(operationId, /^[a-z]+(?:[A-Z][a-z]+)+$/, where);
      assert.equal(
        seen.get(operationId),
        undefined,
        `${where} has the operationId of another operation, ${operationId}`,
      );
      seen.set(operationId, where);
    }
    assert.equal(seen.get("listKeys"), "GET /v1/keys");
    assert.equal(seen.get("createKey"), "POST /v1/keys");
    assert.equal(seen.get("rotateKey"), "POST /v1/keys/{id}/rotate");
  });

  it("summarizes every operation in the imperative, without a final period", async (t) => {
    for (const { where, operation } of await operations(t)) {
      const { summary = "", description } = operation;
      const verb = summary.split(" ", 1)[0]!;
      assert.ok(verbs.includes(verb), `${where}: "${summary}" doesn't begin with a known verb`);
      assert.ok(summary.includes(" ") && summary.length <= 60, `${where}: "${summary}"`);
      assert.doesNotMatch(summary, /[.;:]/, where);
      if (description !== undefined) assert.match(description, /^[A-Z].*\.$/, where);
    }
  });

  it("puts every operation under one tag that the document describes", async (t) => {
    const used = new Set<string>();
    for (const { where, operation } of await operations(t)) {
      assert.equal(operation.tags?.length, 1, where);
      used.add(operation.tags[0]!);
    }
    assert.deepEqual([...used].sort(), Object.keys(knownTags).sort());
  });

  it("documents an error response of every operation as problem+json, 401 wherever a token is required", async (t) => {
    for (const { where, operation } of await operations(t)) {
      const errors = Object.entries(operation.responses).filter(([status]) => Number(status) >= 400);
      assert.ok(errors.length > 0, `${where} documents no error response`);
      for (const [status, response] of errors) {
        assert.match(
          response.content?.["application/problem+json"]?.schema.$ref ?? "",
          /\/Problem$/,
          `${where} ${status}`,
        );
        assert.ok((response.description ?? "").length > 5, `${where} ${status}`);
      }
      if (where.includes(" /v1/")) assert.ok("401" in operation.responses, where);
    }
  });
});
