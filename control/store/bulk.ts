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

/** A table's columns with their types; the key's first. */
export type BulkColumns<T extends keyof Tables> = readonly (readonly [
  name: keyof Tables[T] & string,
  type: BulkType,
])[];
export type BulkRow = readonly (string | number | null)[];

/** Inserts rows, or gives those that are there the new values of all columns but the first `keyColumns`. No key may come twice. */
export async function bulkUpsert<T extends keyof Tables>(
  db: Kysely<Tables>,
  bulk: BulkSql,
  table: T,
  columns: BulkColumns<T>,
  keyColumns: number,
  rows: readonly BulkRow[],
): Promise<void> {
  if (rows.length === 0) return;
  const names = columns.map(([name]) => sql.ref(name));
  const values = sql.join(columns.map(([, type], place) => bulk.value(place, type)));
  const updates = sql.join(
    columns.slice(keyColumns).map(([name]) => sql`${sql.ref(name)} = ${sql.ref(`excluded.${name}`)}`),
  );
  await sql`insert into ${sql.table(table)} (${sql.join(names)}) select ${values} from ${bulk.source(JSON.stringify(rows))} where true
    on conflict (${sql.join(names.slice(0, keyColumns))}) do update set ${updates}`.execute(db);
}

/** Inserts rows, or adds the values of all columns but the first `keyColumns` to those that are there. No key may come twice. */
export async function bulkAdd<T extends keyof Tables>(
  db: Kysely<Tables>,
  bulk: BulkSql,
  table: T,
  columns: BulkColumns<T>,
  keyColumns: number,
  rows: readonly BulkRow[],
): Promise<void> {
  if (rows.length === 0) return;
  // Taking a value out of the JSON costs more than storing it; most counts are 0 in all rows.
  const places = columns
    .map((_, place) => place)
    .filter((place) => place < keyColumns || rows.some((row) => row[place] !== 0));
  const short = rows.map((row) => places.map((place) => row[place]!));
  const values = sql.join(places.map((place, at) => bulk.value(at, columns[place]![1])));
  const zeros = columns.filter((_, place) => !places.includes(place));
  const names = sql.join([...places.map((place) => columns[place]!), ...zeros].map(([name]) => sql.ref(name)));
  const sums = sql.join(places.slice(keyColumns).map((place) => added(table, columns[place]![0])));
  const keys = sql.join(columns.slice(0, keyColumns).map(([name]) => sql.ref(name)));
  await sql`insert into ${sql.table(table)} (${names}) select ${values}${sql.raw(", 0".repeat(zeros.length))} from ${bulk.source(JSON.stringify(short))} where true
    on conflict (${keys}) do ${places.length > keyColumns ? sql`update set ${sums}` : sql`nothing`}`.execute(db);
}

/** As `bulkAdd`, with the rows of a query. */
export async function addRows<T extends keyof Tables>(
  db: Kysely<Tables>,
  table: T,
  columns: BulkColumns<T>,
  keyColumns: number,
  rows: RawBuilder<unknown>,
): Promise<void> {
  const names = columns.map(([name]) => sql.ref(name));
  const sums = sql.join(columns.slice(keyColumns).map(([name]) => added(table, name)));
  await sql`insert into ${sql.table(table)} (${sql.join(names)}) ${rows} on conflict (${sql.join(names.slice(0, keyColumns))}) do update set ${sums}`.execute(
    db,
  );
}

function added(table: string, column: string): RawBuilder<unknown> {
  return sql`${sql.ref(column)} = ${sql.ref(`${table}.${column}`)} + ${sql.ref(`excluded.${column}`)}`;
}

/** Selects what of each row whose first columns are one of the keys. */
export async function bulkSelect<R, T extends keyof Tables>(
  db: Kysely<Tables>,
  bulk: BulkSql,
  table: T,
  columns: BulkColumns<T>,
  what: RawBuilder<unknown>,
  keys: readonly BulkRow[],
): Promise<R[]> {
  if (keys.length === 0) return [];
  const on = sql.join(
    columns
      .slice(0, keys[0]!.length)
      .map(([name, type], place) => sql`${sql.ref(`${table}.${name}`)} = ${bulk.value(place, type)}`),
    sql` and `,
  );
  return (
    await sql<R>`select ${what} from ${bulk.source(JSON.stringify(keys))} join ${sql.table(table)} on ${on}`.execute(db)
  ).rows;
}

/** As `bulkSelect`, with `at`: the place of the row's key among the keys. */
export async function bulkFind<R extends { at: number }>(
  db: Kysely<Tables>,
  bulk: BulkSql,
  table: keyof Tables,
  columns: readonly (readonly [name: string, type: BulkType])[],
  what: readonly RawBuilder<unknown>[],
  keys: readonly BulkRow[],
): Promise<R[]> {
  if (keys.length === 0) return [];
  const length = keys[0]!.length;
  const on = sql.join(
    columns
      .slice(0, length)
      .map(([name, type], place) => sql`${sql.ref(`${table}.${name}`)} = ${bulk.value(place, type)}`),
    sql` and `,
  );
  const numbered = JSON.stringify(keys.map((key, at) => [...key, at]));
  return (
    await sql<R>`select ${bulk.value(length, "int")} as at, ${sql.join(what)} from ${bulk.source(numbered)} join ${sql.table(table)} on ${on}`.execute(
      db,
    )
  ).rows;
}

/** Deletes the rows whose first columns are one of the keys. */
export async function bulkDelete<T extends keyof Tables>(
  db: Kysely<Tables>,
  bulk: BulkSql,
  table: T,
  columns: BulkColumns<T>,
  keys: readonly BulkRow[],
): Promise<void> {
  if (keys.length === 0) return;
  const key = columns.slice(0, keys[0]!.length);
  const names = sql.join(key.map(([name]) => sql.ref(name)));
  const values = sql.join(key.map(([, type], place) => bulk.value(place, type)));
  await sql`delete from ${sql.table(table)} where (${names}) in (select ${values} from ${bulk.source(JSON.stringify(keys))})`.execute(
    db,
  );
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
  const { numAffectedRows } =
    await sql`insert into ${sql.table(table)} (${names}) select ${values} from ${bulk.source(JSON.stringify(rows))} where true on conflict do nothing`.execute(
      db,
    );
  return Number(numAffectedRows ?? 0n);
}
