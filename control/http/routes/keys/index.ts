import type { Readable } from "node:stream";
import { Type } from "@sinclair/typebox";
import { fillKey } from "../../../domain/defaults.ts";
import { issueKey, newKeyId } from "../../../domain/keys.ts";
import type { Key, KeyState } from "../../../domain/model.ts";
import {
  type IssueKeyInput,
  IssueKeySchema,
  type KeyInput,
  KeySchema,
  PutKeySchema,
  recordIdPattern,
} from "../../../domain/schema.ts";
import { ControlError } from "../../../errors.ts";
import { changeContext } from "../../auth.ts";
import type { Services } from "../../context.ts";
import { requireEnvironment } from "../../operations/environment.ts";
import { importKeys } from "../../operations/importKeys.ts";
import { changeRecord, etagOf, putRecord } from "../../operations/putRecord.ts";
import { rotateKey } from "../../operations/rotateKey.ts";
import type { Store } from "../../../store/store.ts";
import { answers, EnvironmentQuery, IdParams, named } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";
import { invalidRequest } from "../../validation.ts";
import { expiryMs } from "../tokens.ts";
import { locationOf, recordRoutes, sendRecord, target } from "../records.ts";

const tags = ["keys"];
const defaultGraceSeconds = 86_400;

const Issued = Type.Object({
  ...KeySchema.properties,
  key: Type.String({ description: "The complete key. It is shown only once and never stored." }),
  warning: Type.Optional(
    Type.String({ description: "Present if gateways deny the key because its consumer is suspended." }),
  ),
});

const RotateBody = Type.Object(
  {
    graceSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 7_776_000,
        description:
          "How long the old key stays valid, 0 to 7776000 seconds. Default: 86400. 0 revokes it immediately.",
      }),
    ),
    id: Type.Optional(
      Type.String({ pattern: recordIdPattern, description: "The ID of the new key. Default: generated." }),
    ),
  },
  { additionalProperties: false },
);

const ImportAnswer = Type.Object({
  created: Type.Integer(),
  unchanged: Type.Integer(),
  failed: Type.Integer(),
  errors: Type.Array(
    Type.Object({ line: Type.Integer(), path: Type.String(), message: Type.String(), remedy: Type.String() }),
    { description: "The first 100 failures, by line." },
  ),
  version: Type.Integer(),
});

const KeyFilters = {
  consumer: Type.Optional(Type.String({ pattern: recordIdPattern, description: "Return only keys of this consumer." })),
  state: Type.Optional(
    Type.Unsafe<KeyState>({
      type: "string",
      enum: ["active", "suspended", "revoked"],
      description: "Return only keys in this state.",
    }),
  ),
};

/** /v1/keys */
export function keyRoutes(app: App, services: Services): void {
  recordRoutes(app, services, {
    kind: "key",
    schema: named("Key"),
    putSchema: PutKeySchema,
    filters: KeyFilters,
    fill: fillPutKey,
  });
  issueRoute(app, services);
  rotateRoute(app, services);
  stateRoute(app, services, "revoke", "Revoke an API key", "Gateways deny the key permanently.", (key) => ({
    ...key,
    state: "revoked",
  }));
  stateRoute(app, services, "suspend", "Suspend an API key", "Gateways deny the key until you resume it.", (key) => ({
    ...notRevoked(key),
    state: "suspended",
  }));
  stateRoute(app, services, "resume", "Resume an API key", "Ends the suspension of the key.", (key) => ({
    ...notRevoked(key),
    state: "active",
  }));
  app.register(async (scope: App) => importRoute(scope, services));
}

function issueRoute(app: App, services: Services): void {
  app.post("/keys", {
    schema: {
      operationId: "createKey",
      tags,
      summary: "Create an API key",
      description: "The key is shown only once.",
      querystring: EnvironmentQuery,
      body: IssueKeySchema,
      response: answers({ 201: Issued }, 404, 409, 413, 415),
    },
    handler: async (request, reply) => {
      const { environment = "default" } = request.query;
      const body: IssueKeyInput = request.body;
      expiryMs(body.expiresAt, services.nowMs());
      const id = body.id ?? newKeyId(services.random);
      const { key, prefix, sha256 } = issueKey(environment, services.random);
      const fill = () => fillKey({ ...body, id, prefix, sha256 });
      const warning = await consumerWarning(services.store, environment, body.consumer);
      const { stored } = await putRecord(
        services.store,
        environment,
        "key",
        id,
        fill,
        { createOnly: true },
        changeContext(request, services),
      );
      reply
        .code(201)
        .header("location", locationOf("key", id, environment))
        .header("cache-control", "no-store");
      return { ...sendRecord(reply, stored), key, ...warning };
    },
  });
}

function rotateRoute(app: App, services: Services): void {
  app.post("/keys/:id/rotate", {
    schema: {
      operationId: "rotateKey",
      tags,
      summary: "Rotate an API key",
      description:
        "Creates a successor with the same permissions. The old key stays valid for a grace period, but never beyond its own expiry. The new key is shown only once.",
      params: IdParams,
      querystring: EnvironmentQuery,
      body: RotateBody,
      response: answers({ 201: Type.Object({ ...Issued.properties, previous: named("Key") }) }, 404, 409, 413, 415),
    },
    preValidation: async (request) => {
      request.body ??= {};
    },
    handler: async (request, reply) => {
      const { environment, id } = target(request);
      const options = { graceSeconds: request.body.graceSeconds ?? defaultGraceSeconds, successorId: request.body.id };
      const { key, record, previous, version, consumerSuspended } = await rotateKey(
        services.store,
        environment,
        id,
        options,
        services.random,
        changeContext(request, services),
      );
      reply
        .code(201)
        .header("location", locationOf("key", record.id, environment))
        .header("etag", etagOf(version))
        .header("cache-control", "no-store");
      return { ...record, key, previous, ...(consumerSuspended ? { warning: suspendedWarning(record.consumer) } : {}) };
    },
  });
}

function stateRoute(
  app: App,
  services: Services,
  action: string,
  summary: string,
  description: string,
  edit: (key: Key) => Key,
): void {
  app.post(`/keys/:id/${action}`, {
    schema: {
      operationId: `${action}Key`,
      tags,
      summary,
      description,
      params: IdParams,
      querystring: EnvironmentQuery,
      response: answers({ 200: named("Key") }, 404, 409, 413, 415),
    },
    handler: async (request, reply) => {
      const { environment, id } = target(request);
      return sendRecord(
        reply,
        await changeRecord(services.store, environment, "key", id, action, edit, changeContext(request, services)),
      );
    },
  });
}

function importRoute(app: App, services: Services): void {
  app.removeAllContentTypeParsers();
  // The body stays a stream: an import may be larger than memory.
  app.addContentTypeParser(["application/x-ndjson", "application/jsonl"], (_request, payload, done) =>
    done(null, payload),
  );
  app.post("/keys/import", {
    // Streams have no limit of their own; a line has one.
    bodyLimit: Number.MAX_SAFE_INTEGER,
    schema: {
      operationId: "importKeys",
      tags,
      summary: "Import API keys",
      description:
        "Send one JSON object per line with `sha256` or `key`. A `key` may have any format; it is hashed immediately and never stored.",
      consumes: ["application/x-ndjson"],
      querystring: EnvironmentQuery,
      body: Type.Unsafe<Readable | null | undefined>({
        description:
          "One JSON object per line: the fields of a key, with `sha256` or `key`. If `id` is absent, it is derived from the digest.",
      }),
      response: answers({ 200: ImportAnswer }, 404, 413, 415),
    },
    handler: async (request) => {
      const { environment = "default" } = request.query;
      await requireEnvironment(services.store, environment);
      if (request.body === undefined || request.body === null)
        throw new ControlError("unsupported_media_type", "Send application/x-ndjson.");
      return importKeys(services.store, environment, request.body, changeContext(request, services));
    },
  });
}

/** A key without digest keeps the stored one. */
function fillPutKey(body: Omit<KeyInput, "sha256"> & { sha256?: string }, stored: Key | undefined): Key {
  const sha256 = body.sha256 ?? stored?.sha256;
  if (sha256 !== undefined) return fillKey({ ...body, sha256 }, stored);
  throw invalidRequest([
    {
      severity: "error",
      path: [],
      message: "`sha256` is missing.",
      remedy: "Send the SHA-256 digest of the key, or create a new key with POST /v1/keys.",
    },
  ]);
}

/** Read before the key is issued: afterwards nothing may keep the answer, the only one with the key, from its caller. */
async function consumerWarning(store: Store, environment: string, id: string): Promise<{ warning?: string }> {
  const consumer = await store.read(environment, (reader) => reader.get("consumer", id));
  return consumer?.record.suspended === true ? { warning: suspendedWarning(id) } : {};
}

function suspendedWarning(consumer: string): string {
  return `The consumer \`${consumer}\` is suspended. Gateways deny the key until you resume the consumer.`;
}

function notRevoked(key: Key): Key {
  if (key.state === "revoked")
    throw new ControlError("key_revoked", `Key \`${key.id}\` is revoked. Revocation is permanent.`);
  return key;
}
