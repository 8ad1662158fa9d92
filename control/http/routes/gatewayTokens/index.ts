import { Type } from "@sinclair/typebox";
import { issueToken } from "../../../domain/keys.ts";
import { lowerIdPattern } from "../../../domain/schema.ts";
import { ControlError } from "../../../errors.ts";
import type { GatewayToken } from "../../../store/store.ts";
import { changeContext } from "../../auth.ts";
import type { Services } from "../../context.ts";
import { readIn, requireEnvironment } from "../../operations/environment.ts";
import { answers, Empty, EnvironmentQuery, IdParams } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";
import { invalidRequest } from "../../validation.ts";
import { target } from "../records.ts";
import { ExpiresAt, expiryMs, newTokenId, Secret, shownToken, tokenFields, TokenName } from "../tokens.ts";

const tags = ["gateway-tokens"];
/** Two, so that a group's token is changed without a gap. */
const validTokensMax = 2;

const Shown = {
  ...tokenFields,
  environment: Type.String(),
  group: Type.String(),
  apis: Type.Union([Type.Array(Type.String()), Type.Null()], {
    description: "The IDs of the APIs that the group receives. null: all APIs.",
  }),
};
const Body = Type.Object(
  {
    group: Type.String({
      pattern: lowerIdPattern,
      description: "The gateway group: 1 to 63 lower-case letters, digits, `.`, `_`, `-`.",
    }),
    name: Type.Optional(TokenName),
    apis: Type.Optional(
      Type.Array(Type.String({ pattern: lowerIdPattern }), {
        maxItems: 1000,
        description: "The IDs of the APIs that the group receives. Absent: all APIs.",
      }),
    ),
    expiresAt: ExpiresAt,
  },
  { additionalProperties: false },
);

/** /v1/gateway-tokens */
export function gatewayTokenRoutes(app: App, services: Services): void {
  const { store } = services;

  app.get("/gateway-tokens", {
    schema: {
      operationId: "listGatewayTokens",
      tags,
      summary: "List gateway tokens",
      description: "Returns their groups, names and dates, never the tokens themselves.",
      querystring: EnvironmentQuery,
      response: answers({ 200: Type.Object({ items: Type.Array(Type.Object(Shown)) }) }, 404),
    },
    handler: async (request) => {
      const { environment = "default" } = request.query;
      await requireEnvironment(store, environment);
      return { items: (await store.gatewayTokens(environment)).map(shown) };
    },
  });

  app.post("/gateway-tokens", {
    schema: {
      operationId: "createGatewayToken",
      tags,
      summary: "Create a gateway token",
      description: "The token is shown only once. A gateway group has at most two valid tokens.",
      querystring: EnvironmentQuery,
      body: Body,
      response: answers({ 201: Type.Object({ ...Shown, token: Secret }) }, 404, 409, 413, 415),
    },
    handler: async (request, reply) => {
      const { environment = "default" } = request.query;
      const { group, apis } = request.body;
      const nowMs = services.nowMs();
      const known = await readIn(store, environment, async (reader) => ({ value: new Set(await reader.ids("api")) }));
      const unknown = (apis ?? []).flatMap((id, index) =>
        known.has(id)
          ? []
          : [
              {
                severity: "error" as const,
                path: ["apis", index],
                message: `There is no API \`${id}\`.`,
                remedy: "Create the API first, or name an existing one.",
              },
            ],
      );
      if (unknown.length > 0) throw invalidRequest(unknown);
      const { token, sha256 } = issueToken("gateway", services.random);
      const id = newTokenId("gt", services.random);
      const made = {
        id,
        name: request.body.name ?? id,
        environment,
        group,
        apis: apis ?? null,
        expiresAtMs: expiryMs(request.body.expiresAt, nowMs),
      };
      if (
        !(await store.addGatewayToken({ ...made, digest: sha256 }, validTokensMax, changeContext(request, services)))
      ) {
        throw new ControlError("gateway_tokens_full", `Group \`${group}\` has ${validTokensMax} valid tokens.`);
      }
      reply.code(201).header("cache-control", "no-store");
      return { ...shown({ ...made, createdAtMs: nowMs, lastUsedAtMs: null }), token };
    },
  });

  app.delete("/gateway-tokens/:id", {
    schema: {
      operationId: "deleteGatewayToken",
      tags,
      summary: "Delete a gateway token",
      description: "The control plane rejects gateways that use the token from now on.",
      params: IdParams,
      querystring: EnvironmentQuery,
      response: answers({ 204: Empty }, 404),
    },
    handler: async (request, reply) => {
      const { environment, id } = target(request);
      await requireEnvironment(store, environment);
      if (!(await store.deleteGatewayToken(environment, id, changeContext(request, services))))
        throw new ControlError("record_not_found", `There is no gateway token \`${id}\`.`);
      return reply.code(204).send();
    },
  });
}

function shown(token: GatewayToken): object {
  return { ...shownToken(token), environment: token.environment, group: token.group, apis: token.apis };
}
