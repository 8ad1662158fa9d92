/** What the routes of APIs, tiers, consumers and keys have in common. */
import type { TProperties, TSchema } from "@sinclair/typebox";
import type { FastifyReply } from "fastify";
import { type Kind, type Records, sectionOf } from "../../domain/diff.ts";
import { ControlError } from "../../errors.ts";
import type { KeyFilter, Stored } from "../../store/store.ts";
import { changeContext } from "../auth.ts";
import type { Services } from "../context.ts";
import { requireEnvironment } from "../operations/environment.ts";
import { deleteRecord, etagOf, notFound, type Preconditions, putRecord } from "../operations/putRecord.ts";
import {
  answers,
  Empty,
  EnvironmentQuery,
  environmentQuery,
  IdParams,
  pageOf,
  pageQuery,
  preconditions,
  query,
} from "../schemas.ts";
import type { App } from "../typeProvider.ts";

export interface RecordKind<K extends Kind, Body extends { id?: string }> {
  kind: K;
  /** the record as it is answered */
  schema: TSchema;
  putSchema: TSchema;
  /** what listing may be narrowed by */
  filters?: TProperties;
  /** fills in defaults; gets the stored record of this id */
  fill: (body: Body & { id: string }, stored: Records[K] | undefined) => Records[K];
}

/** How summaries name a kind. */
const kindWords: Record<Kind, { one: string; many: string }> = {
  api: { one: "an API", many: "APIs" },
  tier: { one: "a tier", many: "tiers" },
  consumer: { one: "a consumer", many: "consumers" },
  key: { one: "an API key", many: "API keys" },
};

const capitalized = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;

/** GET (list, one), PUT and DELETE of a kind; POST too when `createSchema` is given. */
export function recordRoutes<K extends Kind, Body extends { id?: string }>(
  app: App,
  services: Services,
  record: RecordKind<K, Body>,
  createSchema?: TSchema,
): void {
  const { kind, schema } = record;
  const path = `/${sectionOf[kind]}`;
  const tags = [sectionOf[kind]];
  const words = kindWords[kind];

  app.get(path, {
    schema: {
      operationId: `list${capitalized(sectionOf[kind])}`,
      tags,
      summary: `List ${words.many}`,
      querystring: query({ ...environmentQuery, ...pageQuery, ...record.filters }),
      response: answers({ 200: pageOf(schema) }, 404),
    },
    handler: async (request) => {
      const { environment, limit, cursor, ...filter } = request.query as {
        environment: string;
        limit: number;
        cursor?: string;
      } & KeyFilter;
      await requireEnvironment(services.store, environment);
      if (kind === "key" && cursor !== undefined && !/^\d{1,15}$/.test(cursor))
        throw new ControlError("invalid_request", "`cursor` is not the `next` value of a page.");
      const page = await services.store.list(
        environment,
        kind,
        { limit, ...(cursor === undefined ? {} : { after: cursor }) },
        filter,
      );
      return {
        items: page.items.map((stored) => stored.record),
        ...(page.next === undefined ? {} : { next: page.next }),
      };
    },
  });

  app.get(`${path}/:id`, {
    schema: {
      operationId: `get${capitalized(kind)}`,
      tags,
      summary: `Get ${words.one}`,
      params: IdParams,
      querystring: EnvironmentQuery,
      response: answers({ 200: schema }, 404),
    },
    handler: async (request, reply) => {
      const { environment, id } = target(request);
      await requireEnvironment(services.store, environment);
      const found = await services.store.read(environment, (reader) => reader.get(kind, id));
      if (found === undefined) throw notFound(kind, id);
      return sendRecord(reply, found);
    },
  });

  app.put(`${path}/:id`, {
    schema: {
      operationId: `put${capitalized(kind)}`,
      tags,
      summary: `Create or replace ${words.one}`,
      params: IdParams,
      querystring: EnvironmentQuery,
      headers: preconditions,
      body: record.putSchema,
      response: answers({ 200: schema, 201: schema }, 404, 409, 412, 413, 415),
    },
    handler: async (request, reply) => {
      const { environment, id } = target(request);
      const body = request.body as Body;
      if (body.id !== undefined && body.id !== id)
        throw new ControlError("invalid_request", `The body's id is \`${body.id}\`, the path's \`${id}\`.`);
      const fill = (stored: Records[K] | undefined) => record.fill({ ...body, id }, stored);
      const options = { preconditions: conditions(request.headers) };
      const { outcome, stored } = await putRecord(
        services.store,
        environment,
        kind,
        id,
        fill,
        options,
        changeContext(request, services),
      );
      if (outcome === "created") reply.code(201).header("location", locationOf(kind, id, environment));
      return sendRecord(reply, stored);
    },
  });

  app.delete(`${path}/:id`, {
    schema: {
      operationId: `delete${capitalized(kind)}`,
      tags,
      summary: `Delete ${words.one}`,
      params: IdParams,
      querystring: EnvironmentQuery,
      headers: preconditions,
      response: answers({ 204: Empty }, 404, 409, 412),
    },
    handler: async (request, reply) => {
      const { environment, id } = target(request);
      await deleteRecord(
        services.store,
        environment,
        kind,
        id,
        conditions(request.headers),
        changeContext(request, services),
      );
      return reply.code(204).send();
    },
  });

  if (createSchema === undefined) return;
  app.post(path, {
    schema: {
      operationId: `create${capitalized(kind)}`,
      tags,
      summary: `Create ${words.one}`,
      querystring: EnvironmentQuery,
      body: createSchema,
      response: answers({ 201: schema }, 404, 409, 413, 415),
    },
    handler: async (request, reply) => {
      const { environment } = request.query as { environment: string };
      const body = request.body as Body & { id: string };
      const fill = () => record.fill(body, undefined);
      const { stored } = await putRecord(
        services.store,
        environment,
        kind,
        body.id,
        fill,
        { createOnly: true },
        changeContext(request, services),
      );
      reply.code(201).header("location", locationOf(kind, body.id, environment));
      return sendRecord(reply, stored);
    },
  });
}

/** The environment and the id that a request is about. */
export function target(request: { params: unknown; query: unknown }): { environment: string; id: string } {
  return {
    environment: (request.query as { environment: string }).environment,
    id: (request.params as { id: string }).id,
  };
}

/** The record, with its version as ETag. */
export function sendRecord<T>(reply: FastifyReply, stored: Stored<T>): T {
  reply.header("etag", etagOf(stored.version));
  return stored.record;
}

export function locationOf(kind: Kind, id: string, environment: string): string {
  return `/v1/${sectionOf[kind]}/${id}${environment === "default" ? "" : `?environment=${environment}`}`;
}

function conditions(headers: Record<string, unknown>): Preconditions {
  return {
    ifMatch: headers["if-match"] as string | undefined,
    ifNoneMatch: headers["if-none-match"] as string | undefined,
  };
}
