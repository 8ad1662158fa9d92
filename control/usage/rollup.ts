/**
 * Adds minutes to hours, and hours to days, a few rows at a time and in the order of time and series, so that one position says what has
 * been added. What comes late, before that position, is added to both when it's counted.
 */
import { sql, type Transaction } from "kysely";
import { addRows } from "../store/bulk.ts";
import type { SqlDialect } from "../store/dialect.ts";
import type { Tables } from "../store/tables.ts";
import { countKeyColumns, countRow, refusalKeyColumns, refusalRow, rolledUp } from "./rows.ts";
import { hourSpan, minuteSpan, nextSpan, type RolledUp } from "./tally.ts";

const stepRows = 200;
/** Most of a minute's usage has come when it is so old; what comes later costs a little more. */
const ripeMinutes = 3;

/** One step. Gives whether there is more to do. */
export async function rollUpStep(
  dialect: SqlDialect,
  span: typeof minuteSpan | typeof hourSpan,
  clock: (() => number) | undefined,
): Promise<boolean> {
  return dialect.db
    .transaction()
    .setIsolationLevel("read committed")
    .execute(async (trx) => {
      const clockMs = await dialect.lockUsage(trx);
      const all = await rolledUp(trx);
      const from = all[span];
      // An hour is complete once all of its minutes were added to it.
      const until =
        span === minuteSpan
          ? Math.floor((clock?.() ?? clockMs) / 60_000) - ripeMinutes + 1
          : all[minuteSpan].at - (all[minuteSpan].at % hourSpan);
      if (until <= from.at) return false;
      const chunk = await nextChunk(trx, span, from, until);
      if (chunk === undefined) {
        await move(trx, span, { at: until, series: 0 });
        return false;
      }
      const after = chunk.at === from.at ? from.series : 0;
      await add(trx, "usage_counts", countRow, countKeyColumns, span, chunk, after);
      await add(trx, "usage_refusals", refusalRow, refusalKeyColumns, span, chunk, after);
      await move(trx, span, chunk);
      return true;
    });
}

/** The last position of the rows that come next: of one time, at most `stepRows`. */
async function nextChunk(
  trx: Transaction<Tables>,
  span: number,
  from: RolledUp,
  until: number,
): Promise<RolledUp | undefined> {
  const rows = trx.selectFrom("usage_counts").where("span", "=", span);
  const rest = await rows
    .select("at")
    .where("at", "=", from.at)
    .where("series", ">", from.series)
    .limit(1)
    .executeTakeFirst();
  const first =
    rest ??
    (await rows
      .select("at")
      .where("at", ">", from.at)
      .where("at", "<", until)
      .orderBy("at")
      .limit(1)
      .executeTakeFirst());
  if (first === undefined) return undefined;
  const after = first.at === from.at ? from.series : 0;
  const chunk = await rows
    .select("series")
    .where("at", "=", first.at)
    .where("series", ">", after)
    .orderBy("series")
    .limit(stepRows)
    .execute();
  return { at: first.at, series: chunk.at(-1)!.series };
}

async function add<T extends "usage_counts" | "usage_refusals">(
  trx: Transaction<Tables>,
  table: T,
  columns: Parameters<typeof addRows<T>>[2],
  keyColumns: number,
  span: typeof minuteSpan | typeof hourSpan,
  { at, series }: RolledUp,
  after: number,
): Promise<void> {
  const target = nextSpan[span];
  const values = sql.join([
    sql.lit(target),
    sql.lit(at - (at % target)),
    ...columns.slice(2).map(([name]) => sql.ref(name)),
  ]);
  const rows = sql`select ${values} from ${sql.table(table)} where span = ${span} and at = ${at} and series > ${after} and series <= ${series}`;
  await addRows(trx, table, columns, keyColumns, rows);
}

async function move(trx: Transaction<Tables>, span: number, { at, series }: RolledUp): Promise<void> {
  await trx.updateTable("usage_rollups").set({ at, series }).where("span", "=", span).execute();
}
