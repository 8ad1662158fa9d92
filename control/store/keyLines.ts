/**
 * Keys by the million: the database joins a page of rows into one text, a line each, since handing over twelve columns a row costs more
 * than all else. Ids hold no tab and no line end, and JSON escapes both. What most keys lack comes as one JSON list, left out when empty.
 */
import { type Kysely, type RawBuilder, sql } from "kysely";
import type { FeedKeyRow } from "./dialect.ts";
import type { Tables } from "./tables.ts";

/** How a database writes what the page needs. */
export interface LineSql {
  hexDigest: RawBuilder<unknown>;
  jsonList: RawBuilder<unknown>;
  joinLines: RawBuilder<unknown>;
}

const rare = sql.join(
  ["not_before_ms", "expires_at_ms", "tier_wire_id", "cidrs", "apis", "scopes", "limits"].map((column) =>
    sql.ref(column),
  ),
);

/** At most `count` keys above `afterRowId`, ascending. */
export async function readKeyLines(
  db: Kysely<Tables>,
  { hexDigest, jsonList, joinLines }: LineSql,
  environment: string,
  afterRowId: number,
  count: number,
): Promise<FeedKeyRow[]> {
  const line = sql`row_id || ${sql.lit("\t")} || id || ${sql.lit("\t")} || ${hexDigest} || ${sql.lit("\t")} || consumer_wire_id || ${sql.lit("\t")} || state
    || case when coalesce(not_before_ms, expires_at_ms, tier_wire_id) is null and coalesce(cidrs, apis, scopes, limits) is null
       then '' else ${sql.lit("\t")} || ${jsonList}(${rare}) end`;
  const page = sql`select row_id, ${line} as line from keys where environment = ${environment} and row_id > ${afterRowId} order by row_id limit ${sql.lit(count)}`;
  const { rows } = await sql<{ lines: string | null }>`select ${joinLines} as lines from (${page}) as page`.execute(db);
  const lines = rows[0]?.lines;
  return lines === null || lines === undefined ? [] : lines.split("\n").map(parseLine);
}

function parseLine(line: string): FeedKeyRow {
  const [rowId, id, digest, consumerWireId, state, others] = line.split("\t") as [
    string,
    string,
    string,
    string,
    string,
    string?,
  ];
  const row = [Number(rowId), id, Buffer.from(digest, "hex"), Number(consumerWireId), Number(state)] as const;
  return others === undefined
    ? [...row, null, null, null, null, null, null, null]
    : [...row, ...(JSON.parse(others) as Rare)];
}

type Rare = FeedKeyRow extends [unknown, unknown, unknown, unknown, unknown, ...infer R] ? R : never;
