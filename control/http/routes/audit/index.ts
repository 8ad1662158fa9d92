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
  environment: Type.Optional(
    Type.String({
      pattern: environmentPattern,
      description:
        "Return only entries of this environment. Absent: entries of all environments, and those that belong to none.",
    }),
  ),
  actor: filter("Return only changes made with the admin token of this name."),
  action: filter(
    "Return only entries with this action, such as create, update, delete, apply, issue, rotate or revoke.",
  ),
  kind: filter(
    "Return only entries about this kind of record: api, tier, consumer, key, environment, gateway-token or admin-token.",
  ),
  id: filter("Return only entries about the record with this ID."),
});
const Changed = Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()], {
  description: "The fields that changed. Digests are shortened.",
});
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
    schema: {
      operationId: "listAuditEntries",
      tags: ["audit"],
      summary: "List audit log entries",
      description: "Returns the newest entries first.",
      querystring: AuditQuery,
      response: answers({ 200: pageOf(Entry) }),
    },
    handler: async (request) => {
      const { limit = 100, cursor, ...filters } = request.query;
      if (cursor !== undefined && !/^\d{1,15}$/.test(cursor))
        throw new ControlError("invalid_request", "`cursor` is not the `next` value of a page.");
      const page = await services.store.audit({ limit, ...(cursor === undefined ? {} : { after: cursor }) }, filters);
      const items = page.items.map(({ rowId: _rowId, timeMs, ...entry }) => ({ ...entry, time: timeText(timeMs) }));
      return { items, ...(page.next === undefined ? {} : { next: page.next }) };
    },
  });
}
