/** Holds every answer to what the OpenAPI document promises. */
import assert from "node:assert/strict";
import { Ajv } from "ajv";
import type { LightMyRequestResponse } from "fastify";

interface Document {
  paths: Record<
    string,
    Record<string, { responses: Record<string, { content?: Record<string, { schema: object }> }> }>
  >;
}

/** Gives a function that fails when an answer's status, content type or body isn't in the document. */
export function answerCheck(document: object): (method: string, url: string, response: LightMyRequestResponse) => void {
  const { paths } = document as Document;
  const ajv = new Ajv({ strict: false, allErrors: true });
  ajv.addSchema(document, "document");
  const templates = Object.keys(paths).map((path) => ({
    path,
    pattern: new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, "[^/]+")}$`),
  }));
  // `/v1/keys/import` comes before `/v1/keys/{id}`.
  templates.sort((a, b) => a.path.split("{").length - b.path.split("{").length);
  return (method, url, response) => {
    const path = templates.find(({ pattern }) => pattern.test(url.split("?", 1)[0]!))?.path;
    const operation = path === undefined ? undefined : paths[path]?.[method.toLowerCase()];
    if (operation === undefined) {
      assert.ok(
        [401, 404, 405].includes(response.statusCode) || url.startsWith("/openapi"),
        `${method} ${url} is not in the document`,
      );
      return;
    }
    const where = `${method} ${path} ${response.statusCode}`;
    const answer = operation.responses[String(response.statusCode)];
    assert.ok(answer !== undefined, `${where} is not in the document: ${response.body.slice(0, 300)}`);
    if (response.body === "") return;
    const type = String(response.headers["content-type"]).split(";", 1)[0]!;
    assert.ok(answer.content?.[type] !== undefined, `${where}: ${type} is not in the document`);
    if (!/json$/.test(type)) return;
    const steps = [
      "paths",
      path!,
      method.toLowerCase(),
      "responses",
      String(response.statusCode),
      "content",
      type,
      "schema",
    ];
    const pointer = steps.map((step) => encodeURIComponent(step.replaceAll("~", "~0").replaceAll("/", "~1"))).join("/");
    const validate = ajv.getSchema(`document#/${pointer}`);
    assert.ok(validate !== undefined, pointer);
    assert.ok(
      validate(response.json()),
      `${where}: ${ajv.errorsText(validate.errors)} in ${response.body.slice(0, 500)}`,
    );
  };
}
