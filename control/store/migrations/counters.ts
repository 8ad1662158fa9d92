import { type ColumnDefinitionBuilder, type Kysely, type Migration, sql } from "kysely";
import type { SqlTypes } from "../dialect.ts";

/**
 * Counters, as control/counters/facts.ts describes their rows. They refer to limits by wire id, which is never used again. What changes
 * with the windows is ordered by span first: it lies together while it's written, and goes together.
 */
export function counters(types: SqlTypes): Migration {
  const { id, int64, busyTable } = types;
  const required = (column: ColumnDefinitionBuilder) => column.notNull();
  const counter = ["environment", "limit_wire_id", "subject"] as const;
  return {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable("counters")
        .addColumn("environment", id, required)
        .addColumn("limit_wire_id", int64, required)
        .addColumn("subject", id, required)
        .addColumn("generation", int64, required)
        .addColumn("pending_extra", int64, required)
        .addColumn("shares", int64, required)
        .addPrimaryKeyConstraint("counters_pk", [...counter])
        .modifyEnd(busyTable)
        .execute();

      await db.schema
        .createTable("counter_windows")
        .addColumn("span", id, required)
        .addColumn("environment", id, required)
        .addColumn("limit_wire_id", int64, required)
        .addColumn("subject", id, required)
        .addColumn("start_ms", int64, required)
        .addColumn("end_ms", int64, required)
        .addColumn("used", int64, required)
        .addColumn("extra", int64, required)
        .addColumn("holders", int64, required)
        .addColumn("silent_asked_ms", int64, required)
        .addPrimaryKeyConstraint("counter_windows_pk", ["span", ...counter])
        .modifyEnd(busyTable)
        .execute();

      await db.schema
        .createTable("counter_holdings")
        .addColumn("span", id, required)
        .addColumn("environment", id, required)
        .addColumn("limit_wire_id", int64, required)
        .addColumn("subject", id, required)
        .addColumn("lane", id, required)
        .addColumn("start_ms", int64, required)
        .addColumn("end_ms", int64, required)
        .addColumn("amount", int64, required)
        .addPrimaryKeyConstraint("counter_holdings_pk", ["span", ...counter, "lane"])
        .modifyEnd(busyTable)
        .execute();

      await db.schema
        .createTable("counter_shares")
        .addColumn("environment", id, required)
        .addColumn("limit_wire_id", int64, required)
        .addColumn("subject", id, required)
        .addColumn("lane", id, required)
        .addColumn("amount", int64, required)
        .addColumn("from_ms", int64, required)
        .addColumn("until_ms", int64, required)
        .addColumn("keep_ms", int64, required)
        .addPrimaryKeyConstraint("counter_shares_pk", [...counter, "lane"])
        .modifyEnd(busyTable)
        .execute();

      await db.schema
        .createTable("counter_lanes")
        .addColumn("environment", id, required)
        .addColumn("lane", id, required)
        .addColumn("gateway", "text", required)
        .addColumn("last_ms", int64, required)
        // A u64, in decimal digits.
        .addColumn("seq", "text", required)
        .addColumn("answer", "text", required)
        .addPrimaryKeyConstraint("counter_lanes_pk", ["environment", "lane"])
        .modifyEnd(busyTable)
        .execute();

      // Spans begin with the window's end, but for those of quotas that begin with first use.
      await sql`create index counter_windows_first on counter_windows (end_ms) where span >= 'first'`.execute(db);
      await sql`create index counter_holdings_first on counter_holdings (end_ms) where span >= 'first'`.execute(db);
    },
  };
}
