import { type Kysely, type Migration, sql } from "kysely";
import type { SqlTypes } from "../dialect.ts";

/** The inbox of usage by part, so that what one caller did is counted together; responses that weren't looked at. */
export function usageParts({ int64 }: SqlTypes): Migration {
  return {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .alterTable("usage_inbox")
        .addColumn("part", int64, (column) => column.notNull().defaultTo(0))
        .execute();
      await db.schema
        .alterTable("usage_counts")
        .addColumn("unsampled", int64, (column) => column.notNull().defaultTo(0))
        .execute();
      await sql`create index usage_inbox_part on usage_inbox (part, row_id)`.execute(db);
    },
  };
}
