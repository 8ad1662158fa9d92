/** PostgreSQL through pg. Replicas hear of each other's versions by LISTEN/NOTIFY, which PostgreSQL delivers after the commit. */
import { Kysely, PostgresDialect, sql } from "kysely";
import pg from "pg";
import type { SqlDialect } from "./dialect.ts";
import type { Tables } from "./tables.ts";

const channel = "tollgate_version";
const broadcastChannel = "tollgate_broadcast";
const int8Oid = 20;
const poolSize = 10;
const connectTimeoutMs = 10_000;
const relistenMs = 1000;
/** A replica that vanished inside a transaction on counters holds up all others no longer than this. */
const countersLockMs = 5000;

const clock = sql`floor(extract(epoch from clock_timestamp()) * 1000)::bigint`;

/** Opens a pool; nothing is connected before the first query. */
export function openPostgres(url: string, onLost: (error: Error) => void): SqlDialect {
  const types = new pg.TypeOverrides();
  // Every int8 of ours stays below 2^53.
  types.setTypeParser(int8Oid, Number);
  const settings = {
    connectionString: url,
    types,
    connectionTimeoutMillis: connectTimeoutMs,
    application_name: "tollgate",
  };
  const pool = new pg.Pool({ ...settings, max: poolSize });
  let closed = false;
  // pool.end() is over before its connections are: what happens to those is nobody's loss.
  pool.on("error", (error) => closed || onLost(error));
  // The pool listens only to idle clients. One that is cut off between two queries of a transaction would end the process; its next query fails.
  pool.on("connect", (client) => client.on("error", () => undefined));
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  let listener: pg.Client | undefined;
  let retry: NodeJS.Timeout | undefined;
  const broadcastListeners: ((text: string) => void)[] = [];

  async function listen(heard: (environment: string, version: number) => void, missed: () => void): Promise<void> {
    const client = new pg.Client({ ...settings, keepAlive: true });
    let lost = false;
    const relisten = (error: Error) => {
      if (lost || closed) return;
      lost = true;
      onLost(error);
      void client.end().catch(() => undefined);
      retry = setTimeout(() => {
        listen(heard, missed).then(missed, relistenLater);
      }, relistenMs);
    };
    const relistenLater = (error: Error) => {
      onLost(error);
      if (!closed) retry = setTimeout(() => listen(heard, missed).then(missed, relistenLater), relistenMs);
    };
    client.on("notification", (message) => {
      if (message.channel === broadcastChannel) {
        for (const heardText of broadcastListeners) heardText(message.payload ?? "");
        return;
      }
      const [environment, version] = (message.payload ?? "").split(" ");
      if (environment !== undefined && version !== undefined) heard(environment, Number(version));
    });
    // Until it listens, a failure is the caller's, who tries again.
    let listening = false;
    client.on("error", (error) => listening && relisten(error));
    client.on("end", () => listening && relisten(new Error("The connection that listens for changes ended.")));
    await client.connect();
    await client.query(`listen ${channel}; listen ${broadcastChannel}`);
    listening = true;
    if (closed) await client.end();
    else listener = client;
  }

  return {
    types: {
      id: sql`text collate "C"`,
      int64: "bigint",
      blob: "bytea",
      rowId: "bigint",
      rowIdColumn: (column) => column.primaryKey().generatedByDefaultAsIdentity(),
      // Room in each page for new versions of its rows, so that no index has to change with them.
      busyTable: sql`with (fillfactor = 70)`,
    },
    lines: {
      hexDigest: sql`encode(digest, 'hex')`,
      jsonList: sql`json_build_array`,
      joinLines: sql`string_agg(line, chr(10) order by row_id)`,
    },
    bulk: {
      value(place, type) {
        const text = sql`(item ->> ${sql.lit(place)})`;
        return type === "hex" ? sql`decode(${text}, 'hex')` : type === "int" ? sql`${text}::bigint` : text;
      },
      source: (json) => sql`json_array_elements(${json}::json) as item`,
    },
    db,
    async snapshot(use) {
      return db.transaction().setIsolationLevel("repeatable read").setAccessMode("read only").execute(use);
    },
    async announce(trx, environment, version) {
      await sql`select pg_notify(${channel}, ${`${environment} ${version}`})`.execute(trx);
    },
    listen,
    async clockMs(on) {
      const { rows } = await sql<{ now: number }>`select ${clock} as now`.execute(on);
      return rows[0]!.now;
    },
    async lockCounters(trx, environments) {
      await sql
        .raw(
          `set local lock_timeout = ${countersLockMs}; set local idle_in_transaction_session_timeout = ${countersLockMs}`,
        )
        .execute(trx);
      // In one order everywhere, so that no two wait for each other. The clock is read after the last lock was had.
      const keys = sql`select hashtextextended('tollgate counters ' || item, 0) as key from json_array_elements_text(${JSON.stringify(environments)}::json) as item order by 1`;
      const { rows } = await sql<{
        now: number;
      }>`select max(${clock}) as now from (select pg_advisory_xact_lock(key) from (${keys}) as keys offset 0) as locks`.execute(
        trx,
      );
      return rows[0]!.now;
    },
    async lockUsage(trx) {
      await sql
        .raw(
          `set local lock_timeout = ${countersLockMs}; set local idle_in_transaction_session_timeout = ${countersLockMs}`,
        )
        .execute(trx);
      const { rows } = await sql<{
        now: number;
      }>`select max(${clock}) as now from (select pg_advisory_xact_lock(hashtextextended('tollgate usage', 0)) offset 0) as locks`.execute(
        trx,
      );
      return rows[0]!.now;
    },
    async broadcast(text) {
      await sql`select pg_notify(${broadcastChannel}, ${text})`.execute(db);
    },
    onBroadcast(heard) {
      broadcastListeners.push(heard);
    },
    async check() {},
    async close() {
      closed = true;
      clearTimeout(retry);
      await Promise.all([db.destroy(), listener?.end()]);
    },
  };
}
