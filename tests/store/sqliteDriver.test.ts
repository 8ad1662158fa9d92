/** The driver against a connection that fails as SQLite does. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Kysely, sql } from "kysely";
import type Database from "libsql";
import { sqliteDialect } from "../../control/store/sqliteDriver.ts";
import { StoreTrouble, troubleOf } from "../../control/store/trouble.ts";

class SqliteError extends Error {
  constructor(
    readonly code: string,
    message = "as SQLite says it",
  ) {
    super(message);
  }
}

/** A connection of which the named statement fails, and which then rolls back by itself or not. */
function connection(failing: string, code: string, rollsBack: boolean) {
  const ran: string[] = [];
  const handle = {
    inTransaction: false,
    exec(text: string) {
      ran.push(text);
      if (text === failing) {
        if (rollsBack) handle.inTransaction = false;
        throw new SqliteError(code);
      }
      if (text === "rollback" && !handle.inTransaction)
        throw new SqliteError("SQLITE_ERROR", "cannot rollback - no transaction is active");
      if (text === "begin immediate") handle.inTransaction = true;
      else if (text === "commit" || text === "rollback") handle.inTransaction = false;
    },
    prepare: (text: string) => ({ reader: false, run: () => (handle.exec(text), { changes: 1, lastInsertRowid: 0 }) }),
    close: () => undefined,
  };
  const heard: string[] = [];
  const db = new Kysely<object>({
    dialect: sqliteDialect(handle as unknown as Database.Database, {
      begin: ["begin immediate"],
      explain: (error) => troubleOf(error),
      failed: ({ kind }) => heard.push(kind),
      wrote: () => heard.push("wrote"),
      lockWaitMs: 5,
    }),
  });
  return { db, handle, ran, heard };
}

const codes = {
  SQLITE_FULL: "disk_full",
  SQLITE_IOERR_WRITE: "io",
  SQLITE_IOERR_FSYNC: "io",
  SQLITE_NOMEM: "memory",
  SQLITE_BUSY: "locked",
  SQLITE_BUSY_SNAPSHOT: "locked",
  SQLITE_INTERRUPT: "io",
  SQLITE_CORRUPT_INDEX: "damaged",
  SQLITE_READONLY_DBMOVED: "read_only",
  SQLITE_CONSTRAINT_UNIQUE: undefined,
};

describe("the SQLite driver: the first error is the one that is told", () => {
  for (const [code, kind] of Object.entries(codes)) {
    for (const failing of ["write", "commit"]) {
      for (const rollsBack of [true, false]) {
        it(`${code} of a ${failing}, ${rollsBack ? "rolled back by SQLite" : "transaction left open"}`, async () => {
          const { db, handle, ran, heard } = connection(failing, code, rollsBack);
          const write = () =>
            db.transaction().execute(async (trx) => {
              await sql`write`.execute(trx).catch((error: unknown) => {
                if (!rollsBack) throw error;
              });
              // Whoever goes on after the error must not write alone what belonged to the transaction.
              await sql`more`.execute(trx);
            });
          await assert.rejects(write(), (error: unknown) =>
            kind === undefined
              ? error instanceof SqliteError && error.code === code
              : error instanceof StoreTrouble && error.kind === kind && (error.cause as SqliteError).code === code,
          );
          assert.equal(handle.inTransaction, false);
          assert.equal(ran.includes("rollback"), !rollsBack);
          if (failing === "write") assert.ok(!ran.includes("more"), "nothing ran outside of its transaction");
          // A lock found taken in the midst of a transaction is its caller's alone: the next one may have it.
          if (kind !== "locked") assert.deepEqual([...new Set(heard)], kind === undefined ? [] : [kind]);
          await db
            .transaction()
            .execute((trx) => sql`other`.execute(trx))
            .catch((error: unknown) => assert.ok(failing === "commit", String(error)));
        });
      }
    }
  }

  it("a statement alone is a transaction", async () => {
    const { db, ran, heard } = connection("nothing", "", false);
    await sql`write`.execute(db);
    assert.deepEqual(ran, ["begin immediate", "write", "commit"]);
    assert.deepEqual(heard, ["wrote"]);
  });

  it("asks for a lock in the order of asking, and gives up by each one's own patience", async () => {
    const { db, ran } = connection("begin immediate", "SQLITE_BUSY", false);
    const all = await Promise.allSettled([1, 2, 3].map(() => sql`write`.execute(db)));
    assert.ok(all.every((one) => one.status === "rejected" && (one.reason as StoreTrouble).kind === "locked"));
    assert.ok(!ran.includes("write"));
  });
});
