import { timingSafeEqual } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { digestHex } from "../domain/keys.ts";
import { ControlError } from "../errors.ts";
import type { ChangeContext } from "../store/store.ts";
import type { Services } from "./context.ts";
import type { App } from "./typeProvider.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** the name of the admin token that the request came with */
    actor: string;
  }
}

/** Refuses every request to this scope without a valid admin token (RFC 6750); tokens are compared by digest. */
export function requireAdmin(app: App, services: Services): void {
  app.addHook("onRequest", async (request) => {
    const token = /^bearer +([\x21-\x7e]{1,256})$/i.exec(request.headers.authorization ?? "")?.[1];
    const actor = token === undefined ? undefined : await actorOf(token, services);
    if (actor === undefined) throw new ControlError("unauthenticated");
    request.actor = actor;
  });
}

async function actorOf(token: string, services: Services): Promise<string | undefined> {
  const digest = digestHex(token);
  const fixed = services.fixedAdminDigest;
  if (fixed !== undefined && timingSafeEqual(Buffer.from(fixed, "hex"), Buffer.from(digest, "hex")))
    return "environment";
  return (await services.store.adminToken(digest, services.nowMs()))?.name;
}

/** Who asks, for the audit log. */
export function changeContext(request: FastifyRequest, services: Services): ChangeContext {
  return { actor: request.actor, requestId: request.id, nowMs: services.nowMs() };
}
