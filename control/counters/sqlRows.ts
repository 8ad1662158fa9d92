/** Counter rows in SQL tables: a statement for each kind of row, whatever their number. */
import { type Kysely, sql } from "kysely";
import { type BulkColumns, bulkDelete, type BulkRow, bulkSelect, type BulkSql, bulkUpsert } from "../store/bulk.ts";
import type { Tables } from "../store/tables.ts";
import { aliveMs, type Changes, type CounterId, counterKey, type Facts, type Holder, type HoldingId, holdingKey, type LaneId, laneKey, type ShareRow, type Wanted, type WindowId, windowKey } from "./facts.ts";

const counter = [["environment", "text"], ["limit_wire_id", "int"], ["subject", "text"]] as const;
const heads: BulkColumns<"counters"> = [...counter, ["generation", "int"], ["pending_extra", "int"], ["shares", "int"]];
const windows: BulkColumns<"counter_windows"> = [
  ...counter, ["span", "text"], ["start_ms", "int"], ["end_ms", "int"], ["used", "int"], ["extra", "int"], ["holders", "int"], ["silent_asked_ms", "int"],
];
const holdings: BulkColumns<"counter_holdings"> = [...counter, ["span", "text"], ["lane", "text"], ["start_ms", "int"], ["end_ms", "int"], ["amount", "int"]];
const shares: BulkColumns<"counter_shares"> = [...counter, ["lane", "text"], ["amount", "int"], ["from_ms", "int"], ["until_ms", "int"], ["keep_ms", "int"]];
const lanes: BulkColumns<"counter_lanes"> = [["environment", "text"], ["lane", "text"], ["gateway", "text"], ["last_ms", "int"], ["seq", "text"], ["answer", "text"]];

const laneIds = ({ environment, lane }: LaneId): BulkRow => [environment, lane];
const counterIds = ({ environment, wireId, subject }: CounterId): BulkRow => [environment, wireId, subject];
const windowIds = ({ environment, wireId, subject, span }: WindowId): BulkRow => [environment, wireId, subject, span];
const holdingIds = ({ environment, wireId, subject, span, lane }: HoldingId): BulkRow => [environment, wireId, subject, span, lane];

/** A row's columns as they come: libsql and pg agree on text and numbers. */
type Row<T extends keyof Tables> = { [K in keyof Tables[T]]: Tables[T][K] };

/** Loads what is wanted into the facts; what isn't there is noted as such. */
export async function loadRows(db: Kysely<Tables>, bulk: BulkSql, wanted: Wanted, facts: Facts): Promise<void> {
  if (wanted.lanes.size > 0) {
    for (const key of wanted.lanes.keys()) facts.lanes.set(key, null);
    const rows = await bulkSelect<Row<"counter_lanes">, "counter_lanes">(db, bulk, "counter_lanes", lanes, all("counter_lanes"), [...wanted.lanes.values()].map(laneIds));
    for (const { environment, lane, gateway, last_ms: lastMs, seq, answer } of rows) {
      const row = { environment, lane, gateway, lastMs, seq: BigInt(seq), answer };
      facts.lanes.set(laneKey(row), row);
    }
  }
  if (wanted.heads.size > 0) {
    for (const key of wanted.heads.keys()) facts.heads.set(key, null);
    const rows = await bulkSelect<Row<"counters">, "counters">(db, bulk, "counters", heads, all("counters"), [...wanted.heads.values()].map(counterIds));
    for (const { environment, limit_wire_id: wireId, subject, generation, pending_extra: pendingExtra, shares: shareCount } of rows) {
      const row = { environment, wireId, subject, generation, pendingExtra, shares: shareCount };
      facts.heads.set(counterKey(row), row);
    }
  }
  if (wanted.windows.size > 0) {
    for (const key of wanted.windows.keys()) facts.windows.set(key, null);
    const rows = await bulkSelect<Row<"counter_windows">, "counter_windows">(db, bulk, "counter_windows", windows, all("counter_windows"), [...wanted.windows.values()].map(windowIds));
    for (const { environment, limit_wire_id: wireId, subject, span, start_ms: startMs, end_ms: endMs, used, extra, holders, silent_asked_ms: silentAskedMs } of rows) {
      const row = { environment, wireId, subject, span, startMs, endMs, used, extra, holders, silentAskedMs };
      facts.windows.set(windowKey(row), row);
    }
  }
  if (wanted.holdings.size > 0) {
    for (const key of wanted.holdings.keys()) facts.holdings.set(key, null);
    const rows = await bulkSelect<Row<"counter_holdings">, "counter_holdings">(db, bulk, "counter_holdings", holdings, all("counter_holdings"), [...wanted.holdings.values()].map(holdingIds));
    for (const { environment, limit_wire_id: wireId, subject, span, lane, start_ms: startMs, end_ms: endMs, amount } of rows) {
      const row = { environment, wireId, subject, span, lane, startMs, endMs, amount };
      facts.holdings.set(holdingKey(row), row);
    }
  }
  if (wanted.holders.size > 0) await loadHolders(db, bulk, wanted, facts);
  if (wanted.shares.size > 0) {
    for (const key of wanted.shares.keys()) facts.shares.set(key, []);
    const rows = await bulkSelect<Row<"counter_shares">, "counter_shares">(db, bulk, "counter_shares", shares, all("counter_shares"), [...wanted.shares.values()].map(counterIds));
    for (const { environment, limit_wire_id: wireId, subject, lane, amount, from_ms: fromMs, until_ms: untilMs, keep_ms: keepMs } of rows) {
      const row: ShareRow = { environment, wireId, subject, lane, amount, fromMs, untilMs, keepMs };
      facts.shares.get(counterKey(row))!.push(row);
    }
  }
}

async function loadHolders(db: Kysely<Tables>, bulk: BulkSql, wanted: Wanted, facts: Facts): Promise<void> {
  for (const key of wanted.holders.keys()) facts.holders.set(key, []);
  type Found = Row<"counter_holdings"> & { gateway: string | null; last_ms: number | null };
  const contact = (name: "gateway" | "last_ms") =>
    sql`(select ${sql.ref(`l.${name}`)} from counter_lanes l where l.environment = counter_holdings.environment and l.lane = counter_holdings.lane) as ${sql.ref(name)}`;
  const what = sql`counter_holdings.*, ${contact("gateway")}, ${contact("last_ms")}`;
  const rows = await bulkSelect<Found, "counter_holdings">(db, bulk, "counter_holdings", holdings, what, [...wanted.holders.values()].map(windowIds));
  for (const { environment, limit_wire_id: wireId, subject, span, lane, start_ms: startMs, amount, gateway, last_ms: lastMs } of rows) {
    const holder: Holder = { lane, startMs, amount, gateway: gateway ?? "", lastMs: lastMs ?? 0 };
    facts.holders.get(windowKey({ environment, wireId, subject, span }))!.push(holder);
  }
}

/** How many lanes of an environment called lately. */
export async function countLanesAlive(db: Kysely<Tables>, environment: string, nowMs: number): Promise<number> {
  const row = await db
    .selectFrom("counter_lanes")
    .select((eb) => eb.fn.countAll<number>().as("count"))
    .where("environment", "=", environment)
    .where("last_ms", ">", nowMs - aliveMs)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

export async function writeRows(db: Kysely<Tables>, bulk: BulkSql, changes: Changes): Promise<void> {
  await bulkUpsert(db, bulk, "counter_lanes", lanes, 2, changes.lanes.map((row) => [...laneIds(row), row.gateway, row.lastMs, String(row.seq), row.answer]));
  await bulkUpsert(db, bulk, "counters", heads, 3, changes.heads.map((row) => [...counterIds(row), row.generation, row.pendingExtra, row.shares]));
  await bulkUpsert(
    db, bulk, "counter_windows", windows, 4,
    changes.windows.map((row) => [...windowIds(row), row.startMs, row.endMs, row.used, row.extra, row.holders, row.silentAskedMs]),
  );
  const kept = changes.holdings.filter(({ amount }) => amount > 0);
  await bulkUpsert(db, bulk, "counter_holdings", holdings, 5, kept.map((row) => [...holdingIds(row), row.startMs, row.endMs, row.amount]));
  await bulkDelete(db, bulk, "counter_holdings", holdings, changes.holdings.filter(({ amount }) => amount === 0).map(holdingIds));
  await bulkUpsert(db, bulk, "counter_shares", shares, 4, changes.shares.map((row) => [...counterIds(row), row.lane, row.amount, row.fromMs, row.untilMs, row.keepMs]));
}

function all(table: keyof Tables) {
  return sql`${sql.table(table)}.*`;
}
