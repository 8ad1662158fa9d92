import { PassThrough } from "node:stream";
import { Type } from "@sinclair/typebox";
import { environmentPattern } from "../../../domain/schema.ts";
import { loadFile } from "../../../domain/yamlFile.ts";
import { changeContext } from "../../auth.ts";
import type { Services } from "../../context.ts";
import { applyFile, detailOf, planFile } from "../../operations/applyFile.ts";
import { requireEnvironment } from "../../operations/environment.ts";
import { exportFile } from "../../operations/exportFile.ts";
import { answers, EnvironmentQuery } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";

const tags = ["files"];
const fileMaxBytes = 64 * 1024 * 1024;

const Detail = Type.Object({
  path: Type.String(),
  message: Type.String(),
  remedy: Type.String(),
  line: Type.Optional(Type.Integer()),
  column: Type.Optional(Type.Integer()),
});
const ChangeAnswer = Type.Object({
  action: Type.Unsafe<string>({ type: "string", enum: ["create", "update", "delete"] }),
  kind: Type.Unsafe<string>({ type: "string", enum: ["api", "tier", "consumer", "key", "internal-token"] }),
  id: Type.String(),
  fields: Type.Optional(Type.Array(Type.String(), { description: "For an update: the fields that differ." })),
  limits: Type.Optional(
    Type.Array(Type.String(), { description: "For an update that changes limits: what happens to each limit." }),
  ),
});
const Plan = { environment: Type.String(), changes: Type.Array(ChangeAnswer), warnings: Type.Array(Detail) };

/** No default: the file may name its environment. */
const FileQuery = Type.Object(
  {
    environment: Type.Optional(
      Type.String({
        pattern: environmentPattern,
        description: "The environment. If the file names one too, both must be the same.",
      }),
    ),
    prune: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          "Delete records that the sections of the file don't name. A section that is missing from the file is left unchanged.",
      }),
    ),
  },
  { additionalProperties: false },
);
const ValidateQuery = Type.Object({ environment: FileQuery.properties.environment }, { additionalProperties: false });

/** /v1/validate, /v1/diff, /v1/apply, /v1/export: `tollgate.yaml` over HTTP, as YAML or JSON. */
export function fileRoutes(app: App, services: Services): void {
  // JSON is taken as text too: its errors get lines and columns like those of YAML.
  app.removeAllContentTypeParsers();
  const types = ["application/json", "application/yaml", "application/x-yaml", "text/yaml"];
  app.addContentTypeParser(types, { parseAs: "string", bodyLimit: fileMaxBytes }, (_request, body, done) =>
    done(null, body),
  );
  const body = Type.String({ description: "The configuration file (`tollgate.yaml`), as YAML or JSON." });
  const common = { tags, consumes: ["application/yaml", "application/json"], body };

  app.post("/validate", {
    bodyLimit: fileMaxBytes,
    schema: {
      ...common,
      operationId: "validateFile",
      summary: "Validate a configuration file",
      description: "Checks the file by itself, without comparing it with stored records.",
      querystring: ValidateQuery,
      response: answers(
        { 200: Type.Object({ valid: Type.Boolean(), errors: Type.Array(Detail), warnings: Type.Array(Detail) }) },
        413,
        415,
      ),
    },
    handler: async (request) => {
      const { problems } = loadFile(request.body, request.query.environment);
      const errors = problems.filter(({ severity }) => severity === "error").map(detailOf);
      return {
        valid: errors.length === 0,
        errors,
        warnings: problems.filter(({ severity }) => severity === "warning").map(detailOf),
      };
    },
  });

  app.post("/diff", {
    bodyLimit: fileMaxBytes,
    schema: {
      ...common,
      operationId: "diffFile",
      summary: "Preview the changes of a configuration file",
      description: "Returns the changes that applying the file would make. Fails where applying it would fail.",
      querystring: FileQuery,
      response: answers({ 200: Type.Object(Plan) }, 404, 409, 413, 415),
    },
    handler: async (request) =>
      planFile(services.store, request.body, request.query.environment, request.query.prune ?? false),
  });

  app.post("/apply", {
    bodyLimit: fileMaxBytes,
    schema: {
      ...common,
      operationId: "applyFile",
      summary: "Apply a configuration file",
      description: "Applies the file atomically. Applying the same file again changes nothing.",
      querystring: FileQuery,
      response: answers(
        { 200: Type.Object({ ...Plan, changed: Type.Boolean(), version: Type.Integer() }) },
        404,
        409,
        413,
        415,
      ),
    },
    handler: async (request) => {
      const { environment, prune = false } = request.query;
      const applied = await applyFile(
        services.store,
        request.body,
        environment,
        prune,
        changeContext(request, services),
      );
      return { ...applied, changed: applied.changes.length > 0 };
    },
  });

  app.get("/export", {
    schema: {
      operationId: "exportFile",
      tags,
      summary: "Export an environment",
      description:
        "Returns the environment as a configuration file in a stable order. Keys are exported as digests only.",
      produces: ["application/yaml"],
      querystring: EnvironmentQuery,
      response: answers({ 200: Type.String() }, 404),
    },
    handler: async (request, reply) => {
      const { environment = "default" } = request.query;
      await requireEnvironment(services.store, environment);
      const out = new PassThrough();
      exportFile(services.store, environment, out).catch((error: unknown) => {
        if (!out.destroyed) out.destroy(error as Error);
      });
      return reply.header("content-type", "application/yaml; charset=utf-8").send(out);
    },
  });
}
