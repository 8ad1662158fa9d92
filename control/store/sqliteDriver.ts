/**
 * Kysely's driver for one SQLite connection. libsql works on the calling thread, the event loop's, so nothing waits inside of SQLite: a lock
 * that another process holds is asked for again and again, between which everything else goes on.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type Dialect,
  type TransactionSettings,
} from "kysely";
import type Database from "libsql";
import { StoreTrouble } from "./trouble.ts";

export interface ConnectionRules {
  /** what begins a transaction; together they take the locks that it needs, so that none of its later statements has to wait */
  begin: readonly string[];
  /** throws when what is about to be committed would be lost */
  beforeWrite?: () => void;
  /** hears of every transaction that changed something, and of every trouble */
  wrote?: () => void;
  failed?: (trouble: StoreTrouble) => void;
  /** an error of SQLite in the store's words; `undefined`: it isn't the database's condition */
  explain: (error: unknown) => StoreTrouble | undefined;
  /** how long a lock of another process is waited for */
  lockWaitMs: number;
}

const firstPauseMs = 1;
const longestPauseMs = 20;

/** A Kysely dialect over this connection, which `destroy` closes. */
export function sqliteDialect(handle: Database.Database, rules: ConnectionRules): Dialect {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new SqliteDriver(handle, rules),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

class SqliteDriver implements Driver {
  readonly #handle: Database.Database;
  readonly #connection: SqliteConnection;
  readonly #queue: (() => void)[] = [];
  #taken = false;

  constructor(handle: Database.Database, rules: ConnectionRules) {
    this.#handle = handle;
    this.#connection = new SqliteConnection(handle, rules);
  }

  async init(): Promise<void> {}

  /** One user at a time, in the order of asking. */
  async acquireConnection(): Promise<SqliteConnection> {
    const askedMs = performance.now();
    if (this.#taken) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#taken = true;
    this.#connection.askedMs = askedMs;
    return this.#connection;
  }

  async releaseConnection(): Promise<void> {
    const next = this.#queue.shift();
    if (next === undefined) this.#taken = false;
    else next();
  }

  async beginTransaction(connection: SqliteConnection, _settings: TransactionSettings): Promise<void> {
    await connection.begin();
  }

  async commitTransaction(connection: SqliteConnection): Promise<void> {
    await connection.commit();
  }

  async rollbackTransaction(connection: SqliteConnection): Promise<void> {
    connection.rollback();
  }

  async destroy(): Promise<void> {
    this.#handle.close();
  }
}

class SqliteConnection implements DatabaseConnection {
  readonly #handle: Database.Database;
  readonly #rules: ConnectionRules;
  /** when its present user asked for it, by the monotonic clock */
  askedMs = 0;
  #inTransaction = false;
  #changed = false;
  /** the error for which SQLite ended the transaction by itself */
  #ended: unknown;
  /** since when every attempt found the lock taken */
  #lockedSinceMs: number | undefined;

  constructor(handle: Database.Database, rules: ConnectionRules) {
    this.#handle = handle;
    this.#rules = rules;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (this.#inTransaction) return this.#guarded(() => this.#run<R>(query));
    // Not left to SQLite's own transactions: a statement that finds the lock taken stays under way there, until libsql's object is collected.
    await this.begin();
    try {
      const result = this.#guarded(() => this.#run<R>(query));
      await this.commit();
      return result;
    } catch (error) {
      this.rollback();
      throw error;
    }
  }

  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error("Streams are not supported.");
  }

  async begin(): Promise<void> {
    this.#ended = undefined;
    this.#changed = false;
    try {
      for (const statement of this.#rules.begin)
        await this.#unlocked(() => this.#guarded(() => this.#handle.exec(statement)));
      this.#inTransaction = true;
    } catch (error) {
      this.rollback();
      throw error;
    }
  }

  async commit(): Promise<void> {
    await this.#unlocked(() =>
      this.#guarded(() => {
        this.#rules.beforeWrite?.();
        this.#handle.exec("commit");
      }),
    );
    this.#inTransaction = false;
    if (this.#changed) this.#rules.wrote?.();
  }

  /** Never throws, for it would hide why it's called. SQLite may have rolled back by itself: disk full, input and output, memory. */
  rollback(): void {
    this.#inTransaction = false;
    this.#ended = undefined;
    if (!this.#handle.inTransaction) return;
    try {
      this.#handle.exec("rollback");
    } catch (error) {
      // The next `begin` fails while a transaction is open, so that nothing is ever written into the wrong one.
      const trouble = this.#rules.explain(error);
      if (trouble !== undefined) this.#rules.failed?.(trouble);
    }
  }

  #run<R>({ sql, parameters }: CompiledQuery): QueryResult<R> {
    const statement = this.#handle.prepare(sql) as Database.Statement & { reader: boolean };
    if (statement.reader) {
      const rows = statement.all(parameters) as R[];
      this.#changed ||= rows.length > 0 && !/^\s*(select|with|pragma|explain)\b/i.test(sql);
      return { rows };
    }
    const { changes, lastInsertRowid } = statement.run(parameters) as {
      changes: number;
      lastInsertRowid: number | bigint;
    };
    this.#changed ||= changes > 0;
    return { numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid), rows: [] };
  }

  /** Runs a statement, and tells its errors in the store's words. What ended the transaction is what all further statements of it get. */
  #guarded<T>(act: () => T): T {
    if (this.#ended !== undefined) throw this.#ended;
    try {
      return act();
    } catch (error) {
      const trouble = this.#rules.explain(error) ?? error;
      if (this.#inTransaction && !this.#handle.inTransaction) this.#ended = trouble;
      if (trouble instanceof StoreTrouble && trouble.kind !== "locked") this.#rules.failed?.(trouble);
      throw trouble;
    }
  }

  /** Tries again while another process holds the lock; its user's patience counts from when it asked, or from when the lock was first found taken. */
  async #unlocked<T>(act: () => T): Promise<T> {
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      try {
        const result = act();
        this.#lockedSinceMs = undefined;
        return result;
      } catch (error) {
        if (!(error instanceof StoreTrouble) || error.kind !== "locked" || this.#ended !== undefined) throw error;
        const nowMs = performance.now();
        this.#lockedSinceMs ??= nowMs;
        if (nowMs - Math.max(this.#lockedSinceMs, this.askedMs) >= this.#rules.lockWaitMs) {
          this.#rules.failed?.(error);
          throw error;
        }
        await sleep(pauseMs);
      }
    }
  }
}
