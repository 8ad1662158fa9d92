import type { Kysely } from "kysely";
import type { BulkColumns } from "../store/bulk.ts";
import type { Tables } from "../store/tables.ts";
import { countColumns } from "./columns.ts";
import { hourSpan, minuteSpan, type RolledUp } from "./tally.ts";

export const countRow: BulkColumns<"usage_counts"> = [
  ["span", "int"],
  ["at", "int"],
  ["series", "int"],
  ...countColumns.map((name) => [name, "int"] as const),
];
export const countKeyColumns = 3;
export const refusalRow: BulkColumns<"usage_refusals"> = [
  ["span", "int"],
  ["at", "int"],
  ["series", "int"],
  ["reason", "int"],
  ["observed", "int"],
  ["requests", "int"],
];
export const refusalKeyColumns = 5;

/** How far minutes are rolled up into hours, and hours into days. */
export async function rolledUp(db: Kysely<Tables>): Promise<Record<typeof minuteSpan | typeof hourSpan, RolledUp>> {
  const rows = await db.selectFrom("usage_rollups").selectAll().execute();
  const of = (span: number): RolledUp => {
    const row = rows.find((one) => one.span === span);
    return { at: row?.at ?? 0, series: row?.series ?? 0 };
  };
  return { [minuteSpan]: of(minuteSpan), [hourSpan]: of(hourSpan) };
}
