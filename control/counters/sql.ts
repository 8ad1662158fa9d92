/**
 * Counters in the database that control has anyway. A group of calls is one transaction: it takes the environments' lock, reads the clock,
 * loads rows, decides, writes. The lock is one for an environment and not one for a counter: groups of hundreds of calls would collide in
 * some counter nearly always, and this way they can't deadlock. Replicas take turns; whoever waits gathers a larger group meanwhile.
 */
import { randomUUID } from "node:crypto";
import { sql, type Kysely, type Transaction } from "kysely";
import type { SqlDialect } from "../store/dialect.ts";
import type { Tables } from "../store/tables.ts";
import { troubleOf } from "../store/trouble.ts";
import { grant, inspect, reset } from "./adjust.ts";
import { decide } from "./decide.ts";
import { type Changes, type Facts, noFacts, type Wanted } from "./facts.ts";
import { LanesAlive } from "./lanesAlive.ts";
import {
  type CounterGeneration,
  type CounterRef,
  type CounterSettings,
  type CounterState,
  defaultLeaseMs,
  type LaneCall,
  type LimitsOf,
  type Recall,
} from "./model.ts";
import { plan } from "./plan.ts";
import { packRecalls, unpackRecalls } from "./recallText.ts";
import { RecallPace } from "./recallPace.ts";
import { type Matter, settle } from "./settle.ts";
import { countLanesAlive, loadRows, writeRows } from "./sqlRows.ts";
import {
  type Applied,
  answerKeptMs,
  CountersUnavailable,
  type CounterStore,
  laneKeptMs,
  windowKeptMs,
} from "./store.ts";

export interface SqlCounterOptions extends Partial<CounterSettings> {
  /** for tests, instead of the database's clock */
  nowMs?: () => number;
}

/** Serialization failures and deadlocks. No rule of ours brings them about, but an owner's settings or tools might. */
const conflictCode = /^(40001|40P01)$/;
const triesMax = 5;
/** One pruning statement deletes so many rows at most, so that it holds up no lease for long. */
const pruneRows = 2000;
/** Lanes that are gone are looked for only so often, since all lanes have to be looked at. */
const lanesPruneMs = 3_600_000;
/** PostgreSQL refuses a notification of 8,000 bytes. */
const broadcastBytes = 7000;

export class SqlCounterStore implements CounterStore {
  private readonly dialect: SqlDialect;
  private readonly settings: CounterSettings;
  private readonly nowMs: (() => number) | undefined;
  private readonly pace = new RecallPace();
  private readonly lanesAlive = new LanesAlive();
  private readonly sender = randomUUID();
  private lanesPrunedMs = 0;

  constructor(dialect: SqlDialect, { nowMs, leaseMs = defaultLeaseMs }: SqlCounterOptions = {}) {
    this.dialect = dialect;
    this.nowMs = nowMs;
    this.settings = { leaseMs };
  }

  async apply(calls: readonly LaneCall[], limits: LimitsOf): Promise<Applied> {
    if (calls.length === 0) return { answers: [], recalls: [] };
    const environments = [...new Set(calls.map(({ environment }) => environment))];
    const { answers, recalls, nowMs } = await this.change(environments, {
      plan: (nowMs) => plan(calls, limits, nowMs),
      judge: (facts) => decide(facts, calls, limits, this.settings),
    });
    return { answers, recalls: this.pace.pass(recalls, nowMs) };
  }

  async reset(environment: string, counters: readonly CounterRef[]): Promise<CounterGeneration[]> {
    return (await this.change([environment], { judge: (facts) => reset(facts, environment, counters) })).generations;
  }

  async grant(environment: string, counters: readonly CounterRef[], amount: number): Promise<CounterGeneration[]> {
    return (await this.change([environment], { judge: (facts) => grant(facts, environment, counters, amount) }))
      .generations;
  }

  async inspect(environment: string, counters: readonly CounterRef[]): Promise<CounterState[]> {
    const { dialect } = this;
    return reachable(() =>
      dialect.snapshot(async (view) => {
        const facts = noFacts(this.nowMs?.() ?? (await dialect.clockMs(view)));
        return (
          await settle(facts, (wanted) => this.load(view, wanted, facts), {
            judge: (known) => inspect(known, environment, counters),
          })
        ).states;
      }),
    );
  }

  async prune(): Promise<void> {
    const { db } = this.dialect;
    await reachable(async () => {
      const nowMs = this.nowMs?.() ?? (await this.dialect.clockMs(db));
      await this.deleteEnded("counter_windows", nowMs);
      await this.deleteEnded("counter_holdings", nowMs);
      await this.pruneShares(nowMs);
      if (nowMs - this.lanesPrunedMs < lanesPruneMs) return;
      this.lanesPrunedMs = nowMs;
      await db
        .deleteFrom("counter_lanes")
        .where("last_ms", "<", nowMs - laneKeptMs)
        .execute();
      await db
        .updateTable("counter_lanes")
        .set({ answer: "" })
        .where("last_ms", "<", nowMs - answerKeptMs)
        .where("answer", "<>", "")
        .execute();
    });
  }

  async broadcast(recalls: readonly Recall[]): Promise<void> {
    await reachable(async () => {
      for (const text of packRecalls(this.sender, recalls, broadcastBytes)) await this.dialect.broadcast(text);
    });
  }

  async listen(heard: (recalls: Recall[]) => void): Promise<void> {
    this.dialect.onBroadcast((text) => {
      const recalls = unpackRecalls(this.sender, text);
      if (recalls.length > 0) heard(recalls);
    });
  }

  /** The database is its owner's to close. */
  async close(): Promise<void> {}

  private async change<D extends { kind: "decided"; changes: Changes }>(
    environments: readonly string[],
    matter: Matter<D>,
  ): Promise<D & { nowMs: number }> {
    return this.inTransaction(async (trx) => {
      const clockMs = await this.dialect.lockCounters(trx, environments);
      const facts = noFacts(this.nowMs?.() ?? clockMs);
      const decided = await settle(facts, (wanted) => this.load(trx, wanted, facts), matter);
      await writeRows(trx, this.dialect.bulk, decided.changes);
      return { ...decided, nowMs: facts.nowMs };
    });
  }

  private async load(db: Kysely<Tables>, wanted: Wanted, facts: Facts): Promise<void> {
    await loadRows(db, this.dialect.bulk, wanted, facts);
    for (const environment of wanted.lanesAlive) {
      facts.lanesAlive.set(
        environment,
        await this.lanesAlive.get(environment, facts.nowMs, () => countLanesAlive(db, environment, facts.nowMs)),
      );
    }
  }

  private async inTransaction<T>(use: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    return reachable(async () => {
      for (let tries = 1; ; tries++) {
        try {
          return await this.dialect.db.transaction().setIsolationLevel("read committed").execute(use);
        } catch (error) {
          if (tries === triesMax || !conflictCode.test((error as { code?: string }).code ?? "")) throw error;
        }
      }
    });
  }

  private async deleteEnded(table: "counter_windows" | "counter_holdings", nowMs: number): Promise<void> {
    const key = sql.raw(`span, environment, limit_wire_id, subject${table === "counter_windows" ? "" : ", lane"}`);
    const before = nowMs - windowKeptMs;
    for (const ended of [sql`span < ${String(before)}`, sql`span >= 'first' and end_ms < ${before}`]) {
      for (;;) {
        // The condition stands outside as well, for a row that becomes another window's between the two.
        const { numAffectedRows } = await sql`delete from ${sql.table(table)} where ${ended} and (${key}) in
          (select ${key} from ${sql.table(table)} where ${ended} limit ${sql.lit(pruneRows)})`.execute(this.dialect.db);
        if (Number(numAffectedRows ?? 0n) < pruneRows) break;
      }
    }
  }

  private async pruneShares(nowMs: number): Promise<void> {
    const { db } = this.dialect;
    const old = await db
      .selectFrom("counter_shares")
      .select("environment")
      .distinct()
      .where("keep_ms", "<", nowMs)
      .execute();
    for (const { environment } of old) {
      await this.inTransaction(async (trx) => {
        await this.dialect.lockCounters(trx, [environment]);
        await sql`update counters set shares = (select count(*) from counter_shares s where s.environment = counters.environment
          and s.limit_wire_id = counters.limit_wire_id and s.subject = counters.subject and s.keep_ms >= ${nowMs})
          where environment = ${environment} and shares > 0`.execute(trx);
        await trx
          .deleteFrom("counter_shares")
          .where("environment", "=", environment)
          .where("keep_ms", "<", nowMs)
          .execute();
      });
    }
  }
}

async function reachable<T>(use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    const trouble = troubleOf(error);
    throw trouble === undefined ? error : new CountersUnavailable({ cause: trouble });
  }
}
