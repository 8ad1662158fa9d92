/** Usage in the database: taken in, counted, rolled up, pruned, read. */
import { setImmediate as breathe, setTimeout as sleep } from "node:timers/promises";
import type { SqlDialect } from "../store/dialect.ts";
import { Arrivals } from "./arrivals.ts";
import { Fold } from "./fold.ts";
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

/** Batches of several lanes are counted together. */
const gatherMs = 100;
const retryMs = 1000;
const settleMs = 2000;
const rollUpMs = 10_000;
const pruneMs = 60_000;

export class SqlUsage implements UsageStore {
  private readonly dialect: SqlDialect;
  private readonly options: UsageOptions;
  private readonly minutesKept: number;
  private readonly arrivals: Arrivals;
  private readonly fold: Fold;
  private readonly timers: NodeJS.Timeout[] = [];
  private folding: Promise<void> | undefined;
  private gathering: NodeJS.Timeout | undefined;
  private keeping: Promise<void> | undefined;
  private closed = false;

  constructor(dialect: SqlDialect, options: UsageOptions = {}) {
    this.dialect = dialect;
    this.options = options;
    this.minutesKept = (options.minutesHours ?? 48) * hourSpan;
    this.arrivals = new Arrivals(dialect, options.nowMs ?? Date.now, () => this.foldSoon(gatherMs));
    this.fold = new Fold(dialect, options.nowMs);
  }

  /** Begins with what an earlier process left, and keeps the tables small from now on. */
  start(): void {
    this.foldSoon(0);
    this.timers.push(setInterval(() => this.keep(() => this.rollUp()), rollUpMs).unref(), setInterval(() => this.keep(() => this.prune()), pruneMs).unref());
  }

  async record(environment: string, gateway: string, lane: bigint, seq: bigint, entries: readonly UsageEntry[]): Promise<"applied" | "repeated"> {
    return this.arrivals.add(environment, gateway, lane, seq, entries);
  }

  async settle(): Promise<void> {
    await this.arrivals.drain();
    const stop = new AbortController();
    await Promise.race([this.foldAll(), sleep(settleMs, undefined, { signal: stop.signal }).catch(() => undefined)]);
    stop.abort();
  }

  async read(query: UsageQuery): Promise<UsageResult> {
    return readUsage(this.dialect, query, this.options.nowMs?.() ?? Date.now(), this.minutesKept);
  }

  async waiting(): Promise<number> {
    return this.dialect.snapshot(async (view) => {
      const { entries } = await view.selectFrom("usage_inbox").select((eb) => eb.fn.sum("entry_count").as("entries")).executeTakeFirstOrThrow();
      return Number(entries ?? 0);
    });
  }

  /** Rolls up all that is due. */
  async rollUp(): Promise<void> {
    for (const span of [minuteSpan, hourSpan] as const) while (!this.closed && (await rollUpStep(this.dialect, span, this.options.nowMs))) await breathe();
  }

  /** Deletes all that is kept no longer. */
  async prune(): Promise<void> {
    while (!this.closed && (await pruneStep(this.dialect, this.minutesKept, this.options.nowMs))) await breathe();
  }

  /** Takes in what is being taken in. The database stays open; what isn't counted yet waits in it. */
  async close(): Promise<void> {
    this.closed = true;
    for (const timer of this.timers) clearInterval(timer);
    clearTimeout(this.gathering);
    await this.arrivals.drain();
    await Promise.allSettled([this.folding, this.keeping]);
  }

  private foldSoon(delayMs: number): void {
    if (this.closed || this.gathering !== undefined) return;
    this.gathering = setTimeout(() => {
      this.gathering = undefined;
      this.foldAll().catch((error: unknown) => {
        this.options.onError?.(error);
        this.foldSoon(retryMs);
      });
    }, delayMs).unref();
  }

  /** One at a time; who comes while it runs waits for its end, and for another round if something arrived meanwhile. */
  private async foldAll(): Promise<void> {
    await this.folding?.catch(() => undefined);
    this.folding ??= this.run().finally(() => (this.folding = undefined));
    await this.folding;
  }

  private async run(): Promise<void> {
    for (;;) {
      const started = performance.now();
      if (this.closed || (await this.fold.step()) === 0) return;
      // At most half of the time is spent on it: leases come first.
      await sleep(performance.now() - started);
    }
  }

  private keep(work: () => Promise<void>): void {
    this.keeping ??= work()
      .catch((error: unknown) => this.options.onError?.(error))
      .finally(() => (this.keeping = undefined));
  }
}
