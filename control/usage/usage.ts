/** Usage in the database: taken in, counted, rolled up, pruned, read. */
import { setImmediate as breathe } from "node:timers/promises";
import type { SqlDialect } from "../store/dialect.ts";
import { Arrivals } from "./arrivals.ts";
import { Folding } from "./folding.ts";
import type { UsageEntry, UsageSink } from "./model.ts";
import { pruneStep } from "./prune.ts";
import { readUsage, type UsageQuery, type UsageResult } from "./query.ts";
import { rollUpStep } from "./rollup.ts";
import { hourSpan, minuteSpan } from "./tally.ts";

export interface UsageOptions {
  /** minutes are kept for so long; hours and days for 400 days (TOLLGATE_USAGE_MINUTES_HOURS) */
  minutesHours?: number;
  /** for tests, instead of the database's clock */
  nowMs?: () => number;
  /** how long what has arrived may lie before it's counted without anybody asking */
  roundMs?: number;
  /** hears of what fails in the background and is tried again */
  onError?: (error: unknown) => void;
}

export interface UsageStore extends UsageSink {
  /** Counts what has arrived, so that reading sees it; gives up waiting after a while. */
  settle(): Promise<void>;
  /** Throws UsageTooLarge, MinutesGone. */
  read(query: UsageQuery): Promise<UsageResult>;
  /** how many entries have arrived and aren't counted yet */
  waiting(): Promise<number>;
}

const rollUpMs = 10_000;
const pruneMs = 60_000;

export class SqlUsage implements UsageStore {
  private readonly dialect: SqlDialect;
  private readonly options: UsageOptions;
  private readonly minutesKept: number;
  private readonly arrivals: Arrivals;
  private readonly folding: Folding;
  private readonly timers: NodeJS.Timeout[] = [];
  private keeping: Promise<void> | undefined;
  private closed = false;

  constructor(dialect: SqlDialect, options: UsageOptions = {}) {
    this.dialect = dialect;
    this.options = options;
    this.minutesKept = (options.minutesHours ?? 48) * hourSpan;
    this.folding = new Folding(dialect, options);
    this.arrivals = new Arrivals(dialect, options.nowMs ?? Date.now, () => this.folding.later());
  }

  /** Begins with what an earlier process left, and keeps the tables small from now on. */
  start(): void {
    this.folding.later();
    this.timers.push(
      setInterval(() => this.keep(() => this.rollUp()), rollUpMs).unref(),
      setInterval(() => this.keep(() => this.prune()), pruneMs).unref(),
    );
  }

  async record(
    environment: string,
    gateway: string,
    lane: bigint,
    seq: bigint,
    entries: readonly UsageEntry[],
  ): Promise<"applied" | "repeated"> {
    return this.arrivals.add(environment, gateway, lane, seq, entries);
  }

  async settle(): Promise<void> {
    await this.arrivals.drain();
    await this.folding.now();
  }

  async read(query: UsageQuery): Promise<UsageResult> {
    return readUsage(this.dialect, query, this.options.nowMs?.() ?? Date.now(), this.minutesKept);
  }

  async waiting(): Promise<number> {
    return this.dialect.snapshot(async (view) => {
      const { entries } = await view
        .selectFrom("usage_inbox")
        .select((eb) => eb.fn.sum("entry_count").as("entries"))
        .executeTakeFirstOrThrow();
      return Number(entries ?? 0);
    });
  }

  /** Rolls up all that is due. */
  async rollUp(): Promise<void> {
    for (const span of [minuteSpan, hourSpan] as const)
      while (!this.closed && (await rollUpStep(this.dialect, span, this.options.nowMs))) await breathe();
  }

  /** Deletes all that is kept no longer. */
  async prune(): Promise<void> {
    while (!this.closed && (await pruneStep(this.dialect, this.minutesKept, this.options.nowMs))) await breathe();
  }

  /** Takes in what is being taken in. The database stays open; what isn't counted yet waits in it. */
  async close(): Promise<void> {
    this.closed = true;
    for (const timer of this.timers) clearInterval(timer);
    await this.arrivals.drain();
    await Promise.all([this.folding.close(), this.keeping]);
  }

  private keep(work: () => Promise<void>): void {
    this.keeping ??= work()
      .catch((error: unknown) => this.options.onError?.(error))
      .finally(() => (this.keeping = undefined));
  }
}
