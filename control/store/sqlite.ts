/**
 * SQLite in one file, through libsql. One connection writes; readers have connections of their own, so that a long snapshot neither
 * waits for a change nor holds one up. WAL with synchronous=FULL: a committed change survives kill -9 and power loss.
 */
import { accessSync, constants, existsSync, statfsSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { Kysely, sql } from "kysely";
import Database from "libsql";
import type { SqlDialect } from "./dialect.ts";
import { keepPrivate, makeFolder } from "./folder.ts";
import { type ConnectionRules, sqliteDialect } from "./sqliteDriver.ts";
import { SqliteFile } from "./sqliteFile.ts";
import type { Tables } from "./tables.ts";
import { StoreTrouble, troubleOf } from "./trouble.ts";

export interface SqliteOptions {
  /** how long a write waits for a lock that another process holds */
  lockWaitMs?: number;
  /** hears when the database begins to refuse writes, and when it takes them again */
  onTrouble?: (trouble: StoreTrouble) => void;
  onRecovered?: () => void;
}

const idleReadersMax = 4;
const defaultLockWaitMs = 5000;
/** `check` waits no longer for a write that shows whether a trouble is over. */
const probeWaitMs = 250;

/** Opens (and creates) the database file. Throws StoreTrouble when it can't be used. */
export async function openSqlite(
  path: string,
  { lockWaitMs = defaultLockWaitMs, onTrouble = () => undefined, onRecovered = () => undefined }: SqliteOptions = {},
): Promise<SqlDialect> {
  const explain = (error: unknown) => explained(error, path);
  let writer: Database.Database;
  let file: SqliteFile;
  try {
    makeFolder(dirname(path));
    // For its user alone, whoever may enter the folder; SQLite gives its side files the same mode.
    if (!existsSync(path)) writeFileSync(path, "", { mode: 0o600 });
    for (const part of ["", "-wal", "-shm"]) keepPrivate(path + part);
    writer = await opened(path, lockWaitMs);
    file = new SqliteFile(path);
  } catch (error) {
    throw explain(error) ?? error;
  }
  let trouble: StoreTrouble | undefined;
  const failed = (met: StoreTrouble): void => {
    if (trouble?.lasting === true) return;
    const before = trouble;
    trouble = met;
    if (before?.kind !== met.kind) onTrouble(met);
  };
  const recovered = (): void => {
    if (trouble === undefined || trouble.lasting) return;
    trouble = undefined;
    onRecovered();
  };
  const db = new Kysely<Tables>({
    dialect: sqliteDialect(writer, {
      explain,
      lockWaitMs,
      begin: ["begin immediate"],
      beforeWrite: () => file.check(),
      wrote: recovered,
      failed,
    }),
  });
  // Reading something takes the snapshot, and what may have to be waited for.
  const reading: ConnectionRules = { explain, lockWaitMs, begin: ["begin", "select 1 from sqlite_schema limit 1"] };
  const openReader = async (): Promise<Kysely<Tables>> => {
    // By its path, which may lead to another file by now: two databases must never be read as one.
    file.check();
    const handle = connect(path);
    try {
      file.check();
      handle.exec("PRAGMA query_only = ON");
      return new Kysely<Tables>({ dialect: sqliteDialect(handle, reading) });
    } catch (error) {
      handle.close();
      throw error;
    }
  };
  const idle: Kysely<Tables>[] = [await openReader()];
  let probing: Promise<void> | undefined;
  /** Writes a page: only that tells whether there is room again. */
  const probe = async (): Promise<void> => {
    await db.transaction().execute((trx) => sql`pragma user_version = 0`.execute(trx));
    recovered();
  };
  let closed = false;

  return {
    types: {
      id: "text",
      int64: "integer",
      blob: "blob",
      rowId: "integer",
      rowIdColumn: (column) => column.primaryKey().autoIncrement(),
      busyTable: sql`without rowid`,
    },
    lines: { hexDigest: sql`hex(digest)`, jsonList: sql`json_array`, joinLines: sql`group_concat(line, char(10))` },
    bulk: {
      value: (place, type) =>
        type === "hex" ? sql`unhex(value ->> ${sql.lit(place)})` : sql`value ->> ${sql.lit(place)}`,
      source: (json) => sql`json_each(${json})`,
    },
    db,
    async snapshot(use) {
      if (closed) throw new Error("The store is closed.");
      const reader = idle.pop() ?? (await openReader());
      try {
        return await reader.transaction().execute(use);
      } finally {
        if (closed || idle.length >= idleReadersMax) await reader.destroy();
        else idle.push(reader);
      }
    },
    async announce() {},
    async listen() {},
    clockMs: async () => Date.now(),
    // A transaction of the connection that writes has had SQLite's own lock since it began.
    lockCounters: async () => Date.now(),
    lockUsage: async () => Date.now(),
    async broadcast() {},
    onBroadcast() {},
    async check() {
      try {
        file.check();
      } catch (error) {
        failed(error as StoreTrouble);
        throw error;
      }
      if (trouble !== undefined && !trouble.lasting) {
        probing ??= probe()
          .catch(() => undefined)
          .finally(() => (probing = undefined));
        await Promise.race([probing, sleep(probeWaitMs, undefined, { ref: false })]);
      }
      if (trouble !== undefined) throw trouble;
    },
    async close() {
      if (closed) return;
      closed = true;
      await probing;
      await Promise.all(idle.splice(0).map((reader) => reader.destroy()));
      try {
        // What a clean stop leaves is one file, whole by itself; without room, or with the lock taken, the side file keeps the rest.
        writer.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      } catch (error) {
        if (troubleOf(error) === undefined) throw error;
      } finally {
        await db.destroy();
      }
    },
  };
}

/** The writer's connection, with a write-ahead log. Waits for a process that holds the file for itself. */
async function opened(path: string, lockWaitMs: number): Promise<Database.Database> {
  for (const startedMs = performance.now(); ; await sleep(20)) {
    let handle: Database.Database | undefined;
    try {
      handle = connect(path);
      const [row] = handle.prepare("PRAGMA journal_mode = WAL").all([]) as { journal_mode: string }[];
      if (row?.journal_mode !== "wal") throw new StoreTrouble("no_wal", path);
      // NORMAL is libsql's default and may lose the last commits on power loss.
      handle.exec("PRAGMA synchronous = FULL");
      // Makes the side files, if need be.
      handle.exec("begin immediate; select 1 from sqlite_schema limit 1; rollback");
      return handle;
    } catch (error) {
      handle?.close();
      if (troubleOf(error)?.kind !== "locked" || performance.now() - startedMs >= lockWaitMs) throw error;
    }
  }
}

/** Opens a file that is there: a missing one isn't made anew in the place of one that was lost. */
function connect(path: string): Database.Database {
  const handle = new Database(`${pathToFileURL(path).href}?mode=rw`);
  handle.exec("PRAGMA busy_timeout = 0");
  handle.exec("PRAGMA cache_size = -32768");
  return handle;
}

/** SQLite's reason, and where that is vague, the file system's. */
function explained(error: unknown, path: string): StoreTrouble | undefined {
  const trouble = troubleOf(error, path);
  const better =
    trouble?.kind === "io" && noRoom(path)
      ? "disk_full"
      : trouble?.kind === "cannot_open" && readOnly(path)
        ? "read_only"
        : undefined;
  return better === undefined ? trouble : new StoreTrouble(better, path, { cause: error });
}

function noRoom(path: string): boolean {
  try {
    return statfsSync(dirname(path)).bavail === 0;
  } catch {
    return false;
  }
}

function readOnly(path: string): boolean {
  try {
    for (const place of [dirname(path), path]) accessSync(place, constants.W_OK);
    return false;
  } catch (error) {
    return troubleOf(error)?.kind === "read_only";
  }
}
