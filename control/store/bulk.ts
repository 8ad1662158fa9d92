/** Inserts many rows with one parameter, a JSON text that the database takes apart: much cheaper than a parameter a value. */
import { type Kysely, type RawBuilder, sql } from "kysely";
import type { Tables } from "./tables.ts";

export type BulkType = "text" | "int" | "hex";

/** How a database reads a JSON list of lists. */
export interface BulkSql {
  /** the value at a place of a row, of a type */
  value(place: number, type: BulkType): RawBuilder<unknown>;
  /** the rows of the JSON text */
  source(json: string): RawBuilder<unknown>;
}

/** Inserts rows, digests as hex; rows that break a unique constraint are left out. Gives how many were inserted. */
export async function bulkInsert<T extends keyof Tables>(
  db: Kysely<Tables>,
  bulk: BulkSql,
  table: T,
  columns: readonly (readonly [name: keyof Tables[T] & string, type: BulkType])[],
  rows: readonly (readonly (string | number | null)[])[],
): Promise<number> {
  const names = sql.join(columns.map(([name]) => sql.ref(name)));
  const values = sql.join(columns.map(([, type], place) => bulk.value(place, type)));
  const { numAffectedRows } = await sql`insert into ${sql.table(table)} (${names}) select ${values} from ${bulk.source(JSON.stringify(rows))} where true on conflict do nothing`.execute(db);
  return Number(numAffectedRows ?? 0n);
}
