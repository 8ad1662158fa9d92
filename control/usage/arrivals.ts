/**
 * Takes batches in: the lane's number and the batch itself, in one short transaction for all that wait. They are counted later, from the
 * inbox, in steps that hold up no lease.
 */
import { type Kysely, sql, type Transaction } from "kysely";
import { type BulkColumns, bulkInsert } from "../store/bulk.ts";
import type { SqlDialect } from "../store/dialect.ts";
import { chunks } from "../store/records.ts";
import type { Tables } from "../store/tables.ts";
import { packEntries } from "./inboxText.ts";
import { inParts } from "./parts.ts";
import type { UsageEntry } from "./model.ts";

export type Outcome = "applied" | "repeated";

interface Arrival {
  environment: string;
  gateway: string;
  lane: string;
  seq: string;
  entries: readonly UsageEntry[];
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

const laneColumns: BulkColumns<"usage_lanes"> = [
  ["environment", "text"],
  ["lane", "text"],
  ["gateway", "text"],
  ["seq", "text"],
  ["last_ms", "int"],
];
const inboxColumns: BulkColumns<"usage_inbox"> = [
  ["environment", "text"],
  ["entry_count", "int"],
  ["part", "int"],
  ["entries", "text"],
];
/** An inbox row is counted as a whole. */
const rowEntries = 100;
/** A transaction takes further batches only up to so many entries. */
const groupEntries = 1000;
const waitingMax = 10_000;

export class Arrivals {
  private readonly dialect: SqlDialect;
  private readonly nowMs: () => number;
  private readonly arrived: () => void;
  private waiting: Arrival[] = [];
  private running: Promise<void> | undefined;

  /** `arrived` is called whenever there is something new in the inbox. */
  constructor(dialect: SqlDialect, nowMs: () => number, arrived: () => void) {
    this.dialect = dialect;
    this.nowMs = nowMs;
    this.arrived = arrived;
  }

  /** Resolves once the batch is durable. Rejects when nothing of it was taken. */
  add(
    environment: string,
    gateway: string,
    lane: bigint,
    seq: bigint,
    entries: readonly UsageEntry[],
  ): Promise<Outcome> {
    if (this.waiting.length >= waitingMax) return Promise.reject(new Error("Too many batches of usage are waiting."));
    return new Promise((resolve, reject) => {
      this.waiting.push({ environment, gateway, lane: u64Text(lane), seq: u64Text(seq), entries, resolve, reject });
      this.running ??= this.run();
    });
  }

  async drain(): Promise<void> {
    await this.running;
  }

  private async run(): Promise<void> {
    // What arrives in the same turn of the event loop joins the first group.
    await new Promise(setImmediate);
    while (this.waiting.length > 0) {
      const group = this.nextGroup();
      try {
        const moved = await this.dialect.db.transaction().execute((trx) => this.take(trx, group));
        for (const arrival of group) arrival.resolve(moved.has(laneKey(arrival)) ? "applied" : "repeated");
        if (moved.size > 0) this.arrived();
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.running = undefined;
  }

  /** The longest waiting ones, of each lane one. */
  private nextGroup(): Arrival[] {
    const group = new Map<string, Arrival>();
    const later: Arrival[] = [];
    let entries = 0;
    for (const arrival of this.waiting) {
      const key = laneKey(arrival);
      if (group.has(key) || (group.size > 0 && entries + arrival.entries.length > groupEntries)) later.push(arrival);
      else {
        group.set(key, arrival);
        entries += arrival.entries.length;
      }
    }
    this.waiting = later;
    return [...group.values()];
  }

  /** Gives the lanes whose number went up. */
  private async take(trx: Transaction<Tables>, group: readonly Arrival[]): Promise<Set<string>> {
    const moved = await this.moveLanes(trx, group);
    const arrived = group.filter((arrival) => moved.has(laneKey(arrival)));
    const rows = [...new Set(arrived.map(({ environment }) => environment))].flatMap((environment) => {
      const entries = arrived
        .filter((arrival) => arrival.environment === environment)
        .flatMap((arrival) => arrival.entries);
      return [...inParts(entries)].flatMap(([part, all]) =>
        [...chunks(all, rowEntries)].map((some) => [environment, some.length, part, packEntries(some)]),
      );
    });
    if (rows.length > 0) await bulkInsert(trx, this.dialect.bulk, "usage_inbox", inboxColumns, rows);
    return moved;
  }

  private async moveLanes(db: Kysely<Tables>, group: readonly Arrival[]): Promise<Set<string>> {
    const { bulk } = this.dialect;
    const nowMs = this.nowMs();
    // In one order everywhere, so that no two replicas wait for each other.
    const sorted = [...group].sort((a, b) => (laneKey(a) < laneKey(b) ? -1 : 1));
    const rows = sorted.map(({ environment, lane, gateway, seq }) => [environment, lane, gateway, seq, nowMs]);
    const names = laneColumns.map(([name]) => sql.ref(name));
    const values = sql.join(laneColumns.map(([, type], place) => bulk.value(place, type)));
    const result = await sql<{ environment: string; lane: string }>`insert into usage_lanes (${sql.join(names)})
      select ${values} from ${bulk.source(JSON.stringify(rows))} where true
      on conflict (environment, lane) do update set gateway = excluded.gateway, seq = excluded.seq, last_ms = excluded.last_ms
      where usage_lanes.seq < excluded.seq
      returning environment, lane`.execute(db);
    return new Set(result.rows.map(laneKey));
  }
}

function laneKey({ environment, lane }: { environment: string; lane: string }): string {
  return `${environment} ${lane}`;
}

function u64Text(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}
