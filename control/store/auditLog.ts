/** Who changed what: written with the change, read by pages. */
import type { Insertable, Kysely, Selectable, Transaction } from "kysely";
import type { AuditEntry, AuditFilter, ChangeContext, Page, PageRequest } from "./store.ts";
import type { AuditTable, Tables } from "./tables.ts";

/** Adds the entry of a change that is no record's: environments and tokens. */
export async function insertAudit(
  trx: Transaction<Tables>,
  context: ChangeContext,
  entry: Pick<Insertable<AuditTable>, "environment" | "action" | "kind" | "id"> & {
    version?: number;
    before?: string;
    after?: string;
  },
): Promise<void> {
  const values = { version: null, after: null, before: null, ...entry };
  await trx
    .insertInto("audit")
    .values({ ...values, time_ms: context.nowMs, actor: context.actor, request_id: context.requestId })
    .execute();
}

/** The newest entries first. */
export async function readAudit(db: Kysely<Tables>, page: PageRequest, filter: AuditFilter): Promise<Page<AuditEntry>> {
  let query = db.selectFrom("audit").selectAll();
  for (const name of ["environment", "actor", "action", "kind", "id"] as const) {
    if (filter[name] !== undefined) query = query.where(name, "=", filter[name]);
  }
  if (page.after !== undefined) query = query.where("row_id", "<", Number(page.after));
  const rows = await query
    .orderBy("row_id", "desc")
    .limit(page.limit + 1)
    .execute();
  const items = rows.slice(0, page.limit).map(auditEntryOf);
  return rows.length > page.limit ? { items, next: String(items.at(-1)!.rowId) } : { items };
}

function auditEntryOf(row: Selectable<AuditTable>): AuditEntry {
  return {
    rowId: row.row_id,
    environment: row.environment,
    timeMs: row.time_ms,
    actor: row.actor,
    action: row.action,
    kind: row.kind,
    id: row.id,
    before: row.before === null ? null : (JSON.parse(row.before) as object),
    after: row.after === null ? null : (JSON.parse(row.after) as object),
    version: row.version,
    requestId: row.request_id,
  };
}
