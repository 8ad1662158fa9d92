import { Type } from "@sinclair/typebox";
import { environmentPattern } from "../../../domain/schema.ts";
import { timeText } from "../../../domain/time.ts";
import { ControlError } from "../../../errors.ts";
import type { Services } from "../../context.ts";
import { answers, pageOf, pageQuery, query } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";

const filter = (description: string) => Type.Optional(Type.String({ minLength: 1, maxLength: 200, description }));
const AuditQuery = query({
  ...pageQuery,
  environment: Type.Optional(Type.String({ pattern: environmentPattern, description: "Only this environment. Absent: all, and what belongs to none." })),
  actor: filter("Only what was done with the admin token of this name."),
  action: filter("create, update, delete, apply, issue, rotate, revoke, …"),
  kind: filter("api, tier, consumer, key, environment, gateway-token, admin-token"),
  id: filter("Only this record."),
});
const Changed = Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()], { description: "The members that changed; of digests only the start." });
const Entry = Type.Object({
  environment: Type.Union([Type.String(), Type.Null()]),
  time: Type.String(),
  actor: Type.String(),
  action: Type.String(),
  kind: Type.String(),
  id: Type.String(),
  before: Changed,
  after: Changed,
  version: Type.Union([Type.Integer(), Type.Null()]),
  requestId: Type.String(),
});

/** /v1/audit */
export function auditRoutes(app: App, services: Services): void {
  app.get("/audit", {
    schema: { tags: ["audit"], summary: "Who changed what, newest first", querystring: AuditQuery, response: answers({ 200: pageOf(Entry) }) },
    handler: async (request) => {
      const { limit = 100, cursor, ...filters } = request.query;
      if (cursor !== undefined && !/^\d{1,15}$/.test(cursor)) throw new ControlError("invalid_request", "`cursor` is not one that a page gave.");
      const page = await services.store.audit({ limit, ...(cursor === undefined ? {} : { after: cursor }) }, filters);
      const items = page.items.map(({ rowId: _rowId, timeMs, ...entry }) => ({ ...entry, time: timeText(timeMs) }));
      return { items, ...(page.next === undefined ? {} : { next: page.next }) };
    },
  });
}
