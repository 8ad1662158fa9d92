/** What the databases do differently. Everything else of the store is the same SQL. */
import type { ColumnDefinitionBuilder, Expression, Kysely, RawBuilder, Transaction } from "kysely";
import type { BulkSql } from "./bulk.ts";
import type { LineSql } from "./keyLines.ts";
import type { Tables } from "./tables.ts";

type ColumnType = Expression<unknown> | "text" | "integer" | "bigint" | "blob" | "bytea";

export interface SqlTypes {
  id: ColumnType;
  int64: ColumnType;
  blob: ColumnType;
  rowId: ColumnType;
  rowIdColumn: (column: ColumnDefinitionBuilder) => ColumnDefinitionBuilder;
  /** ends the making of a table whose rows are found by their key and written all the time */
  busyTable: RawBuilder<unknown>;
}

/** A row of `keys` as the feed takes it, in the order of `feedKeyColumns`. */
export type FeedKeyRow = [
  rowId: number,
  id: string,
  digest: Buffer,
  consumerWireId: number,
  state: number,
  notBeforeMs: number | null,
  expiresAtMs: number | null,
  tierWireId: number | null,
  cidrs: string | null,
  apis: string | null,
  scopes: string | null,
  limits: string | null,
];

export const feedKeyColumns = [
  "row_id",
  "id",
  "digest",
  "consumer_wire_id",
  "state",
  "not_before_ms",
  "expires_at_ms",
  "tier_wire_id",
  "cidrs",
  "apis",
  "scopes",
  "limits",
] as const;

export interface SqlDialect {
  types: SqlTypes;
  db: Kysely<Tables>;
  lines: LineSql;
  bulk: BulkSql;
  /** runs `use` on one consistent view */
  snapshot<T>(use: (view: Kysely<Tables>) => Promise<T>): Promise<T>;
  /** called inside the transaction that makes a version */
  announce(trx: Transaction<Tables>, environment: string, version: number): Promise<void>;
  /**
   * Calls `heard` for versions announced by anyone else, and `missed` when announcements may have been lost. Versions of this process are
   * told by the store itself.
   */
  listen(heard: (environment: string, version: number) => void, missed: () => void): Promise<void>;
  /** the clock that windows are counted by, Unix milliseconds: one for all replicas */
  clockMs(db: Kysely<Tables>): Promise<number>;
  /**
   * The first thing in a transaction that changes counters: none other that changes counters of these environments goes on until this one
   * has ended. Gives the clock as it is then.
   */
  lockCounters(trx: Transaction<Tables>, environments: readonly string[]): Promise<number>;
  /** The first thing in a transaction that counts usage: none other that does goes on until this one has ended. Gives the clock. */
  lockUsage(trx: Transaction<Tables>): Promise<number>;
  /** tells every replica, this one too */
  broadcast(text: string): Promise<void>;
  /** `heard` gets what is broadcast from now on, while the database can be reached */
  onBroadcast(heard: (text: string) => void): void;
  /** Throws StoreTrouble when the database is known to refuse writes; looks whether it still does, within milliseconds. */
  check(): Promise<void>;
  close(): Promise<void>;
}
