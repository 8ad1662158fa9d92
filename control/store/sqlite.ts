/**
 * SQLite in one file, through libsql. One connection writes; readers have connections of their own, so that a long snapshot neither
 * waits for a change nor holds one up. WAL with synchronous=FULL: a committed change survives kill -9 and power loss.
 */
import { existsSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { Kysely, sql, type SqliteDatabase, SqliteDialect } from "kysely";
import Database from "libsql";
import type { SqlDialect } from "./dialect.ts";
import { keepPrivate, makeFolder } from "./folder.ts";
import type { Tables } from "./tables.ts";

const idleReadersMax = 4;
const busyTimeoutMs = 10_000;

/** Opens (and creates) the database file. Throws when the folder can't be written or the file is no database. */
export function openSqlite(file: string): SqlDialect {
  makeFolder(dirname(file));
  // For its user alone, whoever may enter the folder; SQLite gives its side files the same mode.
  if (!existsSync(file)) writeFileSync(file, "", { mode: 0o600 });
  for (const part of ["", "-wal", "-shm"]) keepPrivate(file + part);
  const writer = connect(file);
  // NORMAL is libsql's default and may lose the last commits on power loss.
  writer.exec("PRAGMA synchronous = FULL");
  const db = kyselyOf(writer);
  const idle: Kysely<Tables>[] = [];
  let closed = false;

  return {
    types: { id: "text", int64: "integer", blob: "blob", rowId: "integer", rowIdColumn: (column) => column.primaryKey().autoIncrement(), busyTable: sql`without rowid` },
    lines: { hexDigest: sql`hex(digest)`, jsonList: sql`json_array`, joinLines: sql`group_concat(line, char(10))` },
    bulk: {
      value: (place, type) => (type === "hex" ? sql`unhex(value ->> ${sql.lit(place)})` : sql`value ->> ${sql.lit(place)}`),
      source: (json) => sql`json_each(${json})`,
    },
    db,
    async snapshot(use) {
      if (closed) throw new Error("The store is closed.");
      const reader = idle.pop() ?? openReader(file);
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
    async lockCounters(trx) {
      // Takes SQLite's own lock before anything is read; of this process nobody else has it, since one connection does all writing.
      await sql`delete from counter_lanes where false`.execute(trx);
      return Date.now();
    },
    async lockUsage(trx) {
      await sql`delete from usage_rollups where false`.execute(trx);
      return Date.now();
    },
    async broadcast() {},
    onBroadcast() {},
    async close() {
      if (closed) return;
      closed = true;
      await Promise.all(idle.splice(0).map((reader) => reader.destroy()));
      try {
        // What a clean stop leaves is one file, whole by itself.
        writer.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      } finally {
        await db.destroy();
      }
    },
  };
}

function openReader(file: string): Kysely<Tables> {
  const handle = connect(file);
  handle.exec("PRAGMA query_only = ON");
  return kyselyOf(handle);
}

function connect(file: string): Database.Database {
  const handle = new Database(file);
  handle.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
  handle.exec("PRAGMA journal_mode = WAL");
  handle.exec("PRAGMA cache_size = -32768");
  return handle;
}

function kyselyOf(handle: Database.Database): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database: handle as unknown as SqliteDatabase }) });
}
