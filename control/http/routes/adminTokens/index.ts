import { Type } from "@sinclair/typebox";
import { issueToken } from "../../../domain/keys.ts";
import { ControlError } from "../../../errors.ts";
import { changeContext } from "../../auth.ts";
import type { Services } from "../../context.ts";
import { answers, Empty, IdParams } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";
import { ExpiresAt, expiryMs, newTokenId, Secret, shownToken, tokenFields, TokenName } from "../tokens.ts";

const tags = ["admin-tokens"];

/** /v1/admin-tokens */
export function adminTokenRoutes(app: App, services: Services): void {
  const { store } = services;

  app.get("/admin-tokens", {
    schema: {
      operationId: "listAdminTokens",
      tags,
      summary: "List admin tokens",
      description: "Returns their names and dates, never the tokens themselves.",
      response: answers({ 200: Type.Object({ items: Type.Array(Type.Object(tokenFields)) }) }),
    },
    handler: async () => ({ items: (await store.adminTokens()).map(shownToken) }),
  });

  app.post("/admin-tokens", {
    schema: {
      operationId: "createAdminToken",
      tags,
      summary: "Create an admin token",
      description: "The token is shown only once.",
      body: Type.Object({ name: TokenName, expiresAt: ExpiresAt }, { additionalProperties: false }),
      response: answers({ 201: Type.Object({ ...tokenFields, token: Secret }) }, 413, 415),
    },
    handler: async (request, reply) => {
      const nowMs = services.nowMs();
      const { token, sha256 } = issueToken("admin", services.random);
      const made = {
        id: newTokenId("at", services.random),
        name: request.body.name,
        expiresAtMs: expiryMs(request.body.expiresAt, nowMs),
      };
      await store.addAdminToken({ ...made, digest: sha256 }, changeContext(request, services));
      reply.code(201).header("cache-control", "no-store");
      return { ...shownToken({ ...made, createdAtMs: nowMs, lastUsedAtMs: null }), token };
    },
  });

  app.delete("/admin-tokens/:id", {
    schema: {
      operationId: "deleteAdminToken",
      tags,
      summary: "Delete an admin token",
      params: IdParams,
      response: answers({ 204: Empty }, 404, 409),
    },
    handler: async (request, reply) => {
      const { id } = request.params;
      const nowMs = services.nowMs();
      const others = (await store.adminTokens()).filter(
        (token) => token.id !== id && (token.expiresAtMs === null || token.expiresAtMs > nowMs),
      );
      if (others.length === 0 && services.fixedAdminDigest === undefined) throw new ControlError("last_admin_token");
      if (!(await store.deleteAdminToken(id, changeContext(request, services))))
        throw new ControlError("record_not_found", `There is no admin token \`${id}\`.`);
      return reply.code(204).send();
    },
  });
}
