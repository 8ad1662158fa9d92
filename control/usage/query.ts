/** Reads usage: by time and group, in slices, so that a long question holds nobody up. */
import { setImmediate as breathe } from "node:timers/promises";
import { type Kysely, type RawBuilder, sql } from "kysely";
import type { BulkSql } from "../store/bulk.ts";
import type { SqlDialect } from "../store/dialect.ts";
import type { Tables } from "../store/tables.ts";
import { countColumns } from "./columns.ts";
import { Cells, type UsageCell, UsageTooLarge } from "./cells.ts";
import { rolledUp } from "./rows.ts";
import { type Interval, intervalSpan, type Slice, slicesOf, widened } from "./slices.ts";

export const dimensions = ["api", "route", "consumer", "key", "tier"] as const;
export type Dimension = (typeof dimensions)[number];

export interface UsageQuery {
  environment: string;
  fromMs: number;
  /** not included */
  toMs: number;
  interval: Interval;
  group: readonly Dimension[];
  filter: Partial<Record<Dimension, string>>;
  /** more rows are refused with UsageTooLarge */
  rowsMax: number;
  /** only so many groups, those with the most requests */
  top?: number;
}

export interface UsageRow extends UsageCell {
  /** where the interval starts, Unix milliseconds */
  atMs: number;
  /** in the order of `group`; "": none, or unknown when it was counted */
  names: string[];
}

export interface UsageResult {
  /** the stretch as it was read: whole intervals */
  fromMs: number;
  toMs: number;
  /** by time; in it the busiest first */
  rows: UsageRow[];
  /** of all groups, those that `top` left out too */
  totals: UsageCell;
}

/** Minutes are asked for that are kept no longer. */
export class MinutesGone extends Error {
  readonly oldestMs: number;

  constructor(oldestMs: number) {
    super("Minutes of this age are kept no longer.");
    this.oldestMs = oldestMs;
  }
}

interface Reading {
  bulk: BulkSql;
  view: Kysely<Tables>;
  query: UsageQuery;
  /** those to look up one by one */
  series: number[] | undefined;
  cells: Cells;
  /** by performance.now() */
  deadline: number;
}

/** What one statement reads: a stretch of time and of series. */
interface Part extends Slice {
  after: number;
  upTo: number;
}

const minuteMs = 60_000;
/** So long a statement may take on SQLite, which answers on the main thread; the next one reads more or less time accordingly. */
const [quickMs, slowMs] = [8, 30];
const firstSpans = 30;
const deadlineMs = 20_000;
/** Up to so many series are looked up one by one; beyond, everything in the stretch is read through. */
const seriesSoughtMax = 100;
const spansSoughtMax = 3000;

export async function readUsage(
  dialect: SqlDialect,
  query: UsageQuery,
  nowMs: number,
  minutesKept: number,
): Promise<UsageResult> {
  const oldestMinute = Math.floor(nowMs / minuteMs) - minutesKept;
  const asked = { from: Math.floor(query.fromMs / minuteMs), to: Math.ceil(query.toMs / minuteMs) };
  if (query.interval === "minute" && asked.from < oldestMinute) throw new MinutesGone(oldestMinute * minuteMs);
  const stretch = widened(asked, query.interval, oldestMinute);
  const cells = new Cells(query.top, query.rowsMax);
  await dialect.snapshot(async (view) => {
    const series = await soughtSeries(view, query);
    if (series?.length === 0) return;
    const deadline = performance.now() + deadlineMs;
    const reading: Reading = { bulk: dialect.bulk, view, query, series, cells, deadline };
    for (const slice of slicesOf(stretch, query.interval, await rolledUp(view))) await readSlice(reading, slice);
  });
  const at = query.interval === "total" ? () => stretch.from : (minute: number) => minute;
  const rows = cells.rows().map((row) => ({ ...row, atMs: at(row.at) * minuteMs }));
  return { fromMs: stretch.from * minuteMs, toMs: stretch.to * minuteMs, rows, totals: cells.totals };
}

async function readSlice(reading: Reading, slice: Slice): Promise<void> {
  const { view, series, deadline } = reading;
  let spans = series === undefined ? firstSpans : spansSoughtMax;
  const { seriesMax } = await view
    .selectFrom("usage_series")
    .select((eb) => eb.fn.max("row_id").as("seriesMax"))
    .executeTakeFirstOrThrow();
  let width = Math.max(1, Number(seriesMax ?? 0));
  const all = width;
  for (let from = slice.from; from < slice.to; ) {
    const part: Part = {
      span: slice.span,
      from,
      to: Math.min(slice.to, from + spans * slice.span),
      after: 0,
      upTo: all,
    };
    for (let after = 0; after < all; ) {
      part.after = after;
      part.upTo = Math.min(all, after + width);
      const started = performance.now();
      await readPart(reading, part);
      const tookMs = performance.now() - started;
      if (tookMs > slowMs) {
        if (spans > 1) spans = Math.ceil(spans / 2);
        else if (series === undefined) width = Math.ceil(width / 2);
      } else if (tookMs < quickMs) {
        if (width < all) width = Math.min(all, width * 2);
        else if (spans < spansSoughtMax) spans *= 2;
      }
      if (performance.now() > deadline)
        throw new UsageTooLarge(`There is too much usage to be read within ${deadlineMs / 1000} seconds.`);
      after = part.upTo;
      await breathe();
    }
    from = part.to;
  }
}

async function readPart({ bulk, view, query, series, cells }: Reading, part: Part): Promise<void> {
  const { environment, interval, group, filter } = query;
  const bucket = bucketOf(interval, part);
  const names = group.map((dimension) => sql.ref(`s.${dimension}`));
  const conditions = [sql`c.span = ${part.span}`];
  if (series === undefined) {
    conditions.push(
      sql`c.at >= ${part.from}`,
      sql`c.at < ${part.to}`,
      sql`c.series > ${part.after}`,
      sql`c.series <= ${part.upTo}`,
    );
    conditions.push(sql`s.environment = ${environment}`);
    for (const [dimension, id] of Object.entries(filter)) conditions.push(sql`${sql.ref(`s.${dimension}`)} = ${id}`);
  } else {
    const starts = sql`select ${bulk.value(0, "int")} from ${bulk.source(JSON.stringify(startsOf(part)))}`;
    conditions.push(sql`c.at in (${starts})`, sql`c.series in (${sql.join(series)})`);
  }
  const grouped = sql.join([bucket, ...names]);
  const from = (table: string, what: RawBuilder<unknown>, more: RawBuilder<unknown>[] = []) =>
    sql`select ${bucket} as at, ${sql.join([...names.map((name, index) => sql`${name} as ${sql.ref(`n${index}`)}`), what])}
      from ${sql.table(table)} c join usage_series s on s.row_id = c.series where ${sql.join(conditions, sql` and `)} group by ${sql.join([grouped, ...more])}`;

  const sums = sql.join(
    countColumns.map((name) => sql`cast(sum(${sql.ref(`c.${name}`)}) as bigint) as ${sql.ref(name)}`),
  );
  for (const row of (await from("usage_counts", sums).execute(view)).rows as Record<string, number | string>[]) {
    const cell = cells.cell(
      row["at"] as number,
      group.map((_, index) => row[`n${index}`] as string),
    );
    countColumns.forEach((name, place) => (cell.counts[place]! += row[name] as number));
  }
  const reasons = from("usage_refusals", sql`c.reason, c.observed, cast(sum(c.requests) as bigint) as requests`, [
    sql`c.reason`,
    sql`c.observed`,
  ]);
  for (const row of (await reasons.execute(view)).rows as Record<string, number | string>[]) {
    const cell = cells.cell(
      row["at"] as number,
      group.map((_, index) => row[`n${index}`] as string),
    );
    const map = row["observed"] === 1 ? cell.observed : cell.refused;
    map.set(row["reason"] as number, (map.get(row["reason"] as number) ?? 0) + (row["requests"] as number));
  }
}

/** The start of the interval that a row belongs to. */
function bucketOf(interval: Interval, { span }: Slice): RawBuilder<unknown> {
  const length = intervalSpan[interval];
  // A plain constant would be read as the number of a column.
  if (length === undefined) return sql`c.span * 0`;
  return length === span ? sql`c.at` : sql`(c.at - c.at % ${sql.lit(length)})`;
}

function startsOf({ span, from, to }: Slice): [number][] {
  return Array.from({ length: Math.ceil((to - from) / span) }, (_, index) => [from + index * span]);
}

/** The series that a filter leaves, when they are few. */
async function soughtSeries(view: Kysely<Tables>, { environment, filter }: UsageQuery): Promise<number[] | undefined> {
  if (filter.key === undefined && filter.consumer === undefined) return undefined;
  let rows = view.selectFrom("usage_series").select("row_id").where("environment", "=", environment);
  for (const dimension of dimensions) {
    const id = filter[dimension];
    if (id !== undefined) rows = rows.where(dimension, "=", id);
  }
  const found = await rows.limit(seriesSoughtMax + 1).execute();
  return found.length > seriesSoughtMax ? undefined : found.map((row) => row.row_id);
}
