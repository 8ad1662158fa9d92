/** Deletes what is kept no longer, a few rows at a time. */
import { type RawBuilder, sql } from "kysely";
import type { SqlDialect } from "../store/dialect.ts";
import { rolledUp } from "./rows.ts";
import { daySpan, hourSpan, keptDays, minuteSpan } from "./tally.ts";

const stepRows = 500;
const dayMs = 86_400_000;
/** A lane that has been silent for so long sends nothing again. */
const laneKeptMs = 30 * dayMs;

/** One step. Gives whether there is more to do. */
export async function pruneStep(
  dialect: SqlDialect,
  minutesKept: number,
  clock: (() => number) | undefined,
): Promise<boolean> {
  return dialect.db
    .transaction()
    .setIsolationLevel("read committed")
    .execute(async (trx) => {
      const clockMs = await dialect.lockUsage(trx);
      const nowMs = clock?.() ?? clockMs;
      const nowMinute = Math.floor(nowMs / 60_000);
      const positions = await rolledUp(trx);
      const oldestKept = nowMinute - keptDays * daySpan;
      // Whole hours, so that one of which a part is gone is never read by minutes; and never what isn't rolled up yet.
      const oldestMinute = Math.min(nowMinute - minutesKept, positions[minuteSpan].at);
      const before = {
        [minuteSpan]: oldestMinute - (oldestMinute % hourSpan),
        [hourSpan]: Math.min(oldestKept, positions[hourSpan].at),
        [daySpan]: oldestKept,
      };
      let more = false;
      const deleteSome = async (table: string, key: string, condition: RawBuilder<unknown>) => {
        const columns = sql.raw(key);
        const { numAffectedRows } = await sql`delete from ${sql.table(table)} where (${columns}) in
        (select ${columns} from ${sql.table(table)} where ${condition} limit ${sql.lit(stepRows)})`.execute(trx);
        more ||= Number(numAffectedRows ?? 0n) === stepRows;
      };
      for (const span of [minuteSpan, hourSpan, daySpan] as const) {
        const old = sql`span = ${span} and at < ${before[span]}`;
        await deleteSome("usage_counts", "span, at, series", old);
        await deleteSome("usage_refusals", "span, at, series, reason, observed", old);
      }
      await deleteSome("usage_series", "row_id", sql`used_day < ${Math.floor(nowMs / dayMs) - keptDays - 1}`);
      await deleteSome("usage_lanes", "environment, lane", sql`last_ms < ${nowMs - laneKeptMs}`);
      return more;
    });
}
