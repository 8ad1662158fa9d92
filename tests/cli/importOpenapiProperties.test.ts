/**
 * Whatever the document: a call that it describes reaches an API of ours, and the gateway asks for no less than the document does.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fillApi } from "../../control/domain/defaults.ts";
import { ApiRouter, type Place } from "../../tools/matching.ts";
import { importOpenApi } from "../../tools/openapi/importOpenApi.ts";

interface Described {
  template: string;
  method: string;
  /** undefined: everybody may call */
  scopes: string[] | undefined;
  cost: number;
  failureMode: string;
}

const runs = 300;
const texts = ["a", "b", "me"];
const segment = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...texts) },
  { weight: 2, arbitrary: fc.constantFrom("{x}", "{y}") },
  { weight: 1, arbitrary: fc.constantFrom("{x}.json", "v{x}") },
);
const template = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => `/${segments.join("/")}`);
const operation: fc.Arbitrary<Described> = fc.record({
  template,
  method: fc.constantFrom("get", "post", "head"),
  scopes: fc.option(fc.uniqueArray(fc.constantFrom("r", "w", "x"), { maxLength: 2 }), { nil: undefined, freq: 3 }),
  cost: fc.integer({ min: 0, max: 3 }),
  failureMode: fc.constantFrom("closed", "open", "local"),
});
const document = fc.uniqueArray(operation, {
  minLength: 1,
  maxLength: 12,
  selector: ({ template: path, method }) => `${method} ${path.replace(/\{.\}/g, "{}")}`,
});

function textOf(operations: readonly Described[]): string {
  const paths: Record<string, Record<string, object>> = {};
  for (const { template: path, method, scopes, cost, failureMode } of operations) {
    (paths[path] ??= {})[method] = {
      security: scopes === undefined ? [] : [{ token: scopes }],
      "x-tollgate": { cost, failureMode },
    };
  }
  return JSON.stringify({
    openapi: "3.1.0",
    info: { title: "T", version: "1" },
    paths,
    components: { securitySchemes: { token: { type: "http", scheme: "bearer", bearerFormat: "JWT" } } },
  });
}

/** The operations that a request may be, as OpenAPI matches: a path without parameters comes before templates. */
function matching(operations: readonly Described[], path: string, method: string): Described[] {
  const exact = operations.filter((one) => one.template === path);
  const candidates =
    exact.length > 0
      ? exact
      : operations.filter((one) =>
          new RegExp(`^${one.template.replaceAll(".", "\\.").replace(/\{.\}/g, "[^/]+")}$`).test(path),
        );
  return candidates.filter((one) => one.method === method);
}

test("a described call reaches an API that asks for all that the document asks for", () => {
  const filling = fc.array(fc.constantFrom(...texts, "zz", "vb", "a.json"), { minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(document, fc.array(filling, { minLength: 3, maxLength: 3 }), (operations, fillings) => {
      const apis = importOpenApi(textOf(operations)).apis.map(fillApi);
      const router = new ApiRouter(apis);
      for (const { template: path, method } of operations) {
        for (const values of fillings) {
          const request = path
            .split("/")
            .map((text, index) => text.replace(/\{.\}/, () => values[index % 4]!))
            .join("/");
          const described = matching(operations, request, method);
          if (described.length === 0) continue;
          const found = router.match("any.example", request, method.toUpperCase());
          assert.ok(typeof found === "object", `${method} ${request}: ${String(found)}`);
          checkStrict(found, described, `${method} ${request}`);
        }
      }
    }),
    { numRuns: runs },
  );
});

const failureOrder = ["closed", "local", "open"];

function checkStrict({ api, route }: Place, described: readonly Described[], what: string): void {
  const scopes = new Set([...api.scopes, ...(route?.scopes ?? [])]);
  for (const one of described) {
    if (one.scopes !== undefined) assert.notEqual(api.auth.mode, "none", what);
    for (const scope of one.scopes ?? []) assert.ok(scopes.has(scope), `${what} needs ${scope}`);
    assert.ok((route?.cost ?? 1) >= one.cost, `${what} costs ${one.cost}`);
    assert.ok(
      failureOrder.indexOf(api.failureMode) <= failureOrder.indexOf(one.failureMode),
      `${what} fails ${one.failureMode}`,
    );
  }
}

test("a document without templates and without paths below each other is taken exactly", () => {
  const flat = fc.uniqueArray(
    operation.map((one) => ({ ...one, template: `/${one.template.replace(/[{}/.]/g, "")}z` })),
    {
      minLength: 1,
      maxLength: 8,
      selector: ({ template: path, method }) => `${method === "head" ? "get" : method} ${path}`,
    },
  );
  fc.assert(
    fc.property(flat, (operations) => {
      const { apis, notes } = importOpenApi(textOf(operations));
      const router = new ApiRouter(apis.map(fillApi));
      for (const { template: path, method, scopes, cost, failureMode } of operations) {
        const found = router.match("any.example", path, method.toUpperCase()) as Place;
        assert.deepEqual(
          [...new Set([...found.api.scopes, ...(found.route?.scopes ?? [])])].sort(),
          [...(scopes ?? [])].sort(),
        );
        assert.deepEqual(
          [found.api.auth.mode, found.api.failureMode, found.route?.cost],
          [scopes === undefined ? "none" : "jwt", failureMode, cost],
        );
      }
      assert.ok(notes.every(({ message }) => !message.includes("one route")));
    }),
    { numRuns: runs },
  );
});
