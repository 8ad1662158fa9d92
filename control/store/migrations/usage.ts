import { type ColumnDefinitionBuilder, type CreateTableBuilder, type Kysely, type Migration, sql } from "kysely";
import type { SqlTypes } from "../dialect.ts";

const countColumns = [
  ...["admitted", "cost", "overshoot", "shadowed", "local", "refused", "observed"],
  ...Array.from({ length: 5 }, (_, index) => `status_${index + 1}`),
  ...Array.from({ length: 14 }, (_, index) => `latency_${index}`),
];

/** Usage: batches as they came, and what was made of them; see the tables' types. */
export function usage(types: SqlTypes): Migration {
  const { id, int64, busyTable } = types;
  const required = (column: ColumnDefinitionBuilder) => column.notNull();
  const place = <T extends string, C extends string>(table: CreateTableBuilder<T, C>) =>
    table.addColumn("span", int64, required).addColumn("at", int64, required).addColumn("series", int64, required);
  return {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable("usage_lanes")
        .addColumn("environment", id, required)
        .addColumn("lane", id, required)
        .addColumn("gateway", "text", required)
        // A u64 in 16 hex digits, so that it compares as text.
        .addColumn("seq", id, required)
        .addColumn("last_ms", int64, required)
        .addPrimaryKeyConstraint("usage_lanes_pk", ["environment", "lane"])
        .modifyEnd(busyTable)
        .execute();
      await sql`create index usage_lanes_last on usage_lanes (last_ms)`.execute(db);

      await db.schema
        .createTable("usage_inbox")
        .addColumn("row_id", types.rowId, types.rowIdColumn)
        .addColumn("environment", id, required)
        .addColumn("entry_count", int64, required)
        .addColumn("entries", "text", required)
        .execute();

      await db.schema
        .createTable("usage_series")
        .addColumn("row_id", types.rowId, types.rowIdColumn)
        .addColumn("environment", id, required)
        .addColumn("api", id, required)
        .addColumn("route", id, required)
        .addColumn("consumer", id, required)
        .addColumn("key", id, required)
        .addColumn("tier", id, required)
        .addColumn("used_day", int64, required)
        .addUniqueConstraint("usage_series_ids", ["environment", "key", "consumer", "api", "route", "tier"])
        .execute();
      await sql`create index usage_series_consumer on usage_series (environment, consumer)`.execute(db);
      await sql`create index usage_series_day on usage_series (used_day)`.execute(db);

      await countColumns
        .reduce(
          (table, name) => table.addColumn(name, int64, required),
          place(db.schema.createTable("usage_counts")) as CreateTableBuilder<string, string>,
        )
        .addPrimaryKeyConstraint("usage_counts_pk", ["span", "at", "series"])
        .modifyEnd(busyTable)
        .execute();

      await place(db.schema.createTable("usage_refusals"))
        .addColumn("reason", int64, required)
        .addColumn("observed", int64, required)
        .addColumn("requests", int64, required)
        .addPrimaryKeyConstraint("usage_refusals_pk", ["span", "at", "series", "reason", "observed"])
        .modifyEnd(busyTable)
        .execute();

      await db.schema
        .createTable("usage_rollups")
        .addColumn("span", int64, (column) => column.primaryKey().notNull())
        .addColumn("at", int64, required)
        .addColumn("series", int64, required)
        .modifyEnd(busyTable)
        .execute();
      await sql`insert into usage_rollups (span, at, series) values (1, 0, 0), (60, 0, 0)`.execute(db);
    },
  };
}
