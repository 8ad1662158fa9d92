/** Sums entries by span, time and series, as rows to add to the tables. */
import type { BulkRow } from "../store/bulk.ts";
import { countColumns, metricOf, observedPlace, refusedPlace } from "./columns.ts";
import type { UsageEntry } from "./model.ts";

/** How far a span's rows have been added to the next longer span. */
export interface RolledUp {
  at: number;
  series: number;
}

export const minuteSpan = 1;
export const hourSpan = 60;
export const daySpan = 1440;
/** Each span with the one that its rows are rolled up into. */
export const nextSpan = { [minuteSpan]: hourSpan, [hourSpan]: daySpan } as const;

/** A gateway's clock may be ahead by so much; a time further ahead, or before all that is kept, counts as now. */
const aheadMinutes = 5;
export const keptDays = 400;
const dayMinutes = 1440;

export class Tally {
  private readonly rolledUp: Record<typeof minuteSpan | typeof hourSpan, RolledUp>;
  private readonly nowMinute: number;
  private readonly rows = new Map<string, number[]>();
  private readonly reasons = new Map<string, number[]>();

  constructor(rolledUp: Record<typeof minuteSpan | typeof hourSpan, RolledUp>, nowMs: number) {
    this.rolledUp = rolledUp;
    this.nowMinute = Math.floor(nowMs / 60_000);
  }

  add(entry: UsageEntry, series: number): void {
    const { nowMinute } = this;
    const minute =
      entry.minute > nowMinute + aheadMinutes || entry.minute < nowMinute - keptDays * dayMinutes
        ? nowMinute
        : entry.minute;
    this.addAt(minuteSpan, minute, series, entry.counts);
    if (!isRolledUp(this.rolledUp[minuteSpan], minute, series)) return;
    const hour = minute - (minute % hourSpan);
    this.addAt(hourSpan, hour, series, entry.counts);
    if (isRolledUp(this.rolledUp[hourSpan], hour, series))
      this.addAt(daySpan, minute - (minute % daySpan), series, entry.counts);
  }

  /** Rows of `usage_counts`. */
  get counts(): BulkRow[] {
    return inOrder(this.rows);
  }

  /** Rows of `usage_refusals`. */
  get refusals(): BulkRow[] {
    return inOrder(this.reasons);
  }

  private addAt(span: number, at: number, series: number, counts: UsageEntry["counts"]): void {
    const key = `${span} ${at} ${series}`;
    let row = this.rows.get(key);
    if (row === undefined) this.rows.set(key, (row = [span, at, series, ...countColumns.map(() => 0)]));
    const add = (place: number, count: number) => (row[place + 3] = row[place + 3]! + count);
    for (const [code, count] of counts) {
      const metric = metricOf(code);
      if (metric === undefined) continue;
      if ("place" in metric) {
        add(metric.place, count);
        continue;
      }
      add(metric.observed ? observedPlace : refusedPlace, count);
      const reasonKey = `${key} ${code}`;
      const reason = this.reasons.get(reasonKey);
      if (reason === undefined)
        this.reasons.set(reasonKey, [span, at, series, metric.reason, metric.observed ? 1 : 0, count]);
      else reason[5] = reason[5]! + count;
    }
  }
}

function isRolledUp(done: RolledUp, at: number, series: number): boolean {
  return at < done.at || (at === done.at && series <= done.series);
}

function inOrder(rows: ReadonlyMap<string, number[]>): number[][] {
  return [...rows.values()].sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]! || a[2]! - b[2]!);
}
