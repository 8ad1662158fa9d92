/** Counter rows in SQL tables: a statement for each kind of row, whatever their number. */
import { type Kysely, type RawBuilder, sql } from "kysely";
import {
  type BulkColumns,
  bulkDelete,
  bulkFind,
  type BulkRow,
  type BulkSql,
  type BulkType,
  bulkUpsert,
} from "../store/bulk.ts";
import type { Tables } from "../store/tables.ts";
import {
  aliveMs,
  type Changes,
  type CounterId,
  type Facts,
  type LaneId,
  noteHolding,
  type Wanted,
  type WindowId,
} from "./facts.ts";

const heads: BulkColumns<"counters"> = [
  ["environment", "text"],
  ["limit_wire_id", "int"],
  ["subject", "text"],
  ["generation", "int"],
  ["pending_extra", "int"],
  ["shares", "int"],
];
const windows: BulkColumns<"counter_windows"> = [
  ["span", "text"],
  ["environment", "text"],
  ["limit_wire_id", "int"],
  ["subject", "text"],
  ["start_ms", "int"],
  ["end_ms", "int"],
  ["used", "int"],
  ["extra", "int"],
  ["holders", "int"],
  ["silent_asked_ms", "int"],
];
const holdings: BulkColumns<"counter_holdings"> = [
  ["span", "text"],
  ["environment", "text"],
  ["limit_wire_id", "int"],
  ["subject", "text"],
  ["lane", "text"],
  ["start_ms", "int"],
  ["end_ms", "int"],
  ["amount", "int"],
];
const shares: BulkColumns<"counter_shares"> = [
  ["environment", "text"],
  ["limit_wire_id", "int"],
  ["subject", "text"],
  ["lane", "text"],
  ["amount", "int"],
  ["from_ms", "int"],
  ["until_ms", "int"],
  ["keep_ms", "int"],
];
const lanes: BulkColumns<"counter_lanes"> = [
  ["environment", "text"],
  ["lane", "text"],
  ["gateway", "text"],
  ["last_ms", "int"],
  ["seq", "text"],
  ["answer", "text"],
];

// Keys, in the order of the columns above.
const ofLane = ({ environment, lane }: LaneId) => [environment, lane];
const ofCounter = ({ environment, wireId, subject }: CounterId) => [environment, wireId, subject];
const ofWindow = ({ counter: { environment, wireId, subject }, span }: WindowId) => [
  span,
  environment,
  wireId,
  subject,
];

/**
 * Loads what is wanted into the facts; what isn't there is noted as such. A row is found again by the place of its key in the question,
 * which spares the database telling the key and us building it.
 */
export async function loadRows(db: Kysely<Tables>, bulk: BulkSql, wanted: Wanted, facts: Facts): Promise<void> {
  if (wanted.lanes.size > 0) {
    const ids = [...wanted.lanes.values()];
    for (const { key } of ids) facts.lanes.set(key, null);
    type Found = { at: number; gateway: string; seq: string; last_ms: number };
    for (const row of await select<Found>("counter_lanes", lanes, ids.map(ofLane), "gateway", "seq", "last_ms")) {
      const id = ids[row.at]!;
      facts.lanes.set(id.key, { id, gateway: row.gateway, seq: BigInt(row.seq), answer: null, lastMs: row.last_ms });
    }
  }
  if (wanted.answers.size > 0) {
    const ids = [...wanted.answers.values()];
    for (const row of await select<{ at: number; answer: string }>("counter_lanes", lanes, ids.map(ofLane), "answer")) {
      const { key } = ids[row.at]!;
      facts.lanes.set(key, { ...facts.lanes.get(key)!, answer: row.answer });
    }
  }
  if (wanted.heads.size > 0) {
    const ids = [...wanted.heads.values()];
    for (const { key } of ids) facts.heads.set(key, null);
    type Found = { at: number; generation: number; pending_extra: number; shares: number };
    for (const row of await select<Found>(
      "counters",
      heads,
      ids.map(ofCounter),
      "generation",
      "pending_extra",
      "shares",
    )) {
      const id = ids[row.at]!;
      facts.heads.set(id.key, { id, generation: row.generation, pendingExtra: row.pending_extra, shares: row.shares });
    }
  }
  if (wanted.windows.size > 0) {
    const ids = [...wanted.windows.values()];
    for (const { key } of ids) facts.windows.set(key, null);
    type Found = {
      at: number;
      start_ms: number;
      end_ms: number;
      used: number;
      extra: number;
      holders: number;
      silent_asked_ms: number;
    };
    for (const row of await select<Found>(
      "counter_windows",
      windows,
      ids.map(ofWindow),
      "start_ms",
      "end_ms",
      "used",
      "extra",
      "holders",
      "silent_asked_ms",
    )) {
      const id = ids[row.at]!;
      facts.windows.set(id.key, {
        id,
        startMs: row.start_ms,
        endMs: row.end_ms,
        used: row.used,
        extra: row.extra,
        holders: row.holders,
        silentAskedMs: row.silent_asked_ms,
      });
    }
  }
  if (wanted.holdings.size > 0) {
    const ids = [...wanted.holdings.values()].flatMap(({ window, lanes: own }) =>
      [...own].map((lane) => ({ window, lane })),
    );
    for (const { window, lane } of ids) noteHolding(facts, window, lane, null);
    type Found = { at: number; start_ms: number; end_ms: number; amount: number };
    for (const row of await select<Found>(
      "counter_holdings",
      holdings,
      ids.map(({ window, lane }) => [...ofWindow(window), lane]),
      "start_ms",
      "end_ms",
      "amount",
    )) {
      const { window, lane } = ids[row.at]!;
      noteHolding(facts, window, lane, { window, lane, startMs: row.start_ms, endMs: row.end_ms, amount: row.amount });
    }
  }
  if (wanted.holders.size > 0) {
    const ids = [...wanted.holders.values()];
    for (const { key } of ids) facts.holders.set(key, []);
    type Found = {
      at: number;
      lane: string;
      start_ms: number;
      amount: number;
      gateway: string | null;
      last_ms: number | null;
    };
    for (const row of await select<Found>(
      "counter_holdings",
      holdings,
      ids.map(ofWindow),
      "lane",
      "start_ms",
      "amount",
      contact("gateway"),
      contact("last_ms"),
    )) {
      facts.holders.get(ids[row.at]!.key)!.push({
        lane: row.lane,
        startMs: row.start_ms,
        amount: row.amount,
        gateway: row.gateway ?? "",
        lastMs: row.last_ms ?? 0,
      });
    }
  }
  if (wanted.shares.size > 0) {
    const ids = [...wanted.shares.values()];
    for (const { key } of ids) facts.shares.set(key, []);
    type Found = { at: number; lane: string; amount: number; from_ms: number; until_ms: number; keep_ms: number };
    for (const row of await select<Found>(
      "counter_shares",
      shares,
      ids.map(ofCounter),
      "lane",
      "amount",
      "from_ms",
      "until_ms",
      "keep_ms",
    )) {
      const counter = ids[row.at]!;
      facts.shares.get(counter.key)!.push({
        counter,
        lane: row.lane,
        amount: row.amount,
        fromMs: row.from_ms,
        untilMs: row.until_ms,
        keepMs: row.keep_ms,
      });
    }
  }

  function select<R extends { at: number }>(
    table: keyof Tables,
    columns: readonly (readonly [string, BulkType])[],
    keys: BulkRow[],
    ...what: (string | RawBuilder<unknown>)[]
  ): Promise<R[]> {
    return bulkFind<R>(
      db,
      bulk,
      table,
      columns,
      what.map((one) => (typeof one === "string" ? sql`${sql.ref(`${table}.${one}`)}` : one)),
      keys,
    );
  }
}

/** Something of the lane that has a holding. */
function contact(column: "gateway" | "last_ms"): RawBuilder<unknown> {
  return sql`(select ${sql.ref(`l.${column}`)} from counter_lanes l where l.environment = counter_holdings.environment and l.lane = counter_holdings.lane) as ${sql.ref(column)}`;
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
  await bulkUpsert(
    db,
    bulk,
    "counter_lanes",
    lanes,
    2,
    changes.lanes.map(({ id, gateway, lastMs, seq, answer }) => [...ofLane(id), gateway, lastMs, String(seq), answer]),
  );
  await bulkUpsert(
    db,
    bulk,
    "counters",
    heads,
    3,
    changes.heads.map(({ id, generation, pendingExtra, shares: count }) => [
      ...ofCounter(id),
      generation,
      pendingExtra,
      count,
    ]),
  );
  await bulkUpsert(
    db,
    bulk,
    "counter_windows",
    windows,
    4,
    changes.windows.map(({ id, startMs, endMs, used, extra, holders, silentAskedMs }) => [
      ...ofWindow(id),
      startMs,
      endMs,
      used,
      extra,
      holders,
      silentAskedMs,
    ]),
  );
  const [kept, gone]: [BulkRow[], BulkRow[]] = [[], []];
  for (const { window, lane, startMs, endMs, amount } of changes.holdings) {
    if (amount > 0) kept.push([...ofWindow(window), lane, startMs, endMs, amount]);
    else gone.push([...ofWindow(window), lane]);
  }
  await bulkUpsert(db, bulk, "counter_holdings", holdings, 5, kept);
  await bulkDelete(db, bulk, "counter_holdings", holdings, gone);
  await bulkUpsert(
    db,
    bulk,
    "counter_shares",
    shares,
    4,
    changes.shares.map(({ counter, lane, amount, fromMs, untilMs, keepMs }) => [
      ...ofCounter(counter),
      lane,
      amount,
      fromMs,
      untilMs,
      keepMs,
    ]),
  );
}
