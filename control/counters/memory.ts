/** Counters in memory, for tests: nothing outlives the process. Everything it does is done at once, so `applyNow` needs no promise. */
import { grant, inspect, reset } from "./adjust.ts";
import { decide } from "./decide.ts";
import {
  aliveMs,
  type Changes,
  type Facts,
  type HeadRow,
  type HoldingRow,
  laneId,
  type LaneRow,
  noFacts,
  noteHolding,
  type ShareRow,
  type Wanted,
  type WindowRow,
} from "./facts.ts";
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
import { RecallPace } from "./recallPace.ts";
import type { Judgement } from "./settle.ts";
import { type Applied, type CounterStore, laneKeptMs, windowKeptMs } from "./store.ts";

export interface MemoryOptions extends Partial<CounterSettings> {
  nowMs?: () => number;
}

export class MemoryCounterStore implements CounterStore {
  private readonly settings: CounterSettings;
  private readonly nowMs: () => number;
  private readonly pace = new RecallPace();
  private readonly lanes = new Map<string, LaneRow>();
  private readonly heads = new Map<string, HeadRow>();
  private readonly windows = new Map<string, WindowRow>();
  /** by window, then by lane */
  private readonly holdings = new Map<string, Map<string, HoldingRow>>();
  /** by counter, then by lane */
  private readonly shares = new Map<string, Map<string, ShareRow>>();

  constructor({ nowMs = Date.now, leaseMs = defaultLeaseMs }: MemoryOptions = {}) {
    this.nowMs = nowMs;
    this.settings = { leaseMs };
  }

  applyNow(calls: readonly LaneCall[], limits: LimitsOf): Applied {
    const facts = noFacts(this.nowMs());
    const { answers, changes, recalls } = this.settle(facts, () => decide(facts, calls, limits, this.settings));
    this.write(changes);
    return { answers, recalls: this.pace.pass(recalls, facts.nowMs) };
  }

  async apply(calls: readonly LaneCall[], limits: LimitsOf): Promise<Applied> {
    return this.applyNow(calls, limits);
  }

  async reset(environment: string, counters: readonly CounterRef[]): Promise<CounterGeneration[]> {
    const facts = noFacts(this.nowMs());
    const { changes, generations } = this.settle(facts, () => reset(facts, environment, counters));
    this.write(changes);
    return generations;
  }

  async grant(environment: string, counters: readonly CounterRef[], amount: number): Promise<CounterGeneration[]> {
    const facts = noFacts(this.nowMs());
    const { changes, generations } = this.settle(facts, () => grant(facts, environment, counters, amount));
    this.write(changes);
    return generations;
  }

  async inspect(environment: string, counters: readonly CounterRef[]): Promise<CounterState[]> {
    const facts = noFacts(this.nowMs());
    return this.settle(facts, () => inspect(facts, environment, counters)).states;
  }

  async prune(): Promise<void> {
    const nowMs = this.nowMs();
    const endedBefore = nowMs - windowKeptMs;
    for (const [key, { endMs }] of this.windows) if (endMs < endedBefore) this.windows.delete(key);
    for (const [key, rows] of this.holdings) {
      for (const [lane, row] of rows) if (row.endMs < endedBefore) rows.delete(lane);
      if (rows.size === 0) this.holdings.delete(key);
    }
    for (const [key, { lastMs }] of this.lanes) if (lastMs < nowMs - laneKeptMs) this.lanes.delete(key);
    for (const [key, rows] of this.shares) {
      const before = rows.size;
      for (const [lane, { keepMs }] of rows) if (keepMs < nowMs) rows.delete(lane);
      const head = this.heads.get(key);
      if (rows.size < before && head !== undefined) this.heads.set(key, { ...head, shares: rows.size });
      if (rows.size === 0) this.shares.delete(key);
    }
  }

  async broadcast(): Promise<void> {}

  async listen(_heard: (recalls: Recall[]) => void): Promise<void> {}

  async close(): Promise<void> {}

  private settle<D extends { kind: "decided" }>(facts: Facts, judge: () => Judgement<D>): D {
    for (;;) {
      const outcome = judge();
      if (outcome.kind === "decided") return outcome;
      this.load(outcome.wanted, facts);
    }
  }

  private load(wanted: Wanted, facts: Facts): void {
    for (const key of wanted.lanes.keys()) facts.lanes.set(key, this.lanes.get(key) ?? null);
    for (const key of wanted.heads.keys()) facts.heads.set(key, this.heads.get(key) ?? null);
    for (const key of wanted.windows.keys()) facts.windows.set(key, this.windows.get(key) ?? null);
    for (const [key, { window, lanes }] of wanted.holdings)
      for (const lane of lanes) noteHolding(facts, window, lane, this.holdings.get(key)?.get(lane) ?? null);
    for (const [key, { counter }] of wanted.holders) {
      const rows = [...(this.holdings.get(key)?.values() ?? [])];
      facts.holders.set(
        key,
        rows.map(({ lane, startMs, amount }) => {
          const { gateway = "", lastMs = 0 } = this.lanes.get(laneId(counter.environment, lane).key) ?? {};
          return { lane, startMs, amount, gateway, lastMs };
        }),
      );
    }
    for (const key of wanted.shares.keys()) facts.shares.set(key, [...(this.shares.get(key)?.values() ?? [])]);
    for (const environment of wanted.lanesAlive) {
      const alive = [...this.lanes.values()].filter(
        ({ id, lastMs }) => id.environment === environment && lastMs > facts.nowMs - aliveMs,
      );
      facts.lanesAlive.set(environment, alive.length);
    }
  }

  private write(changes: Changes): void {
    for (const row of changes.lanes) this.lanes.set(row.id.key, row);
    for (const row of changes.heads) this.heads.set(row.id.key, row);
    for (const row of changes.windows) this.windows.set(row.id.key, row);
    for (const row of changes.holdings) {
      const rows = this.holdings.get(row.window.key) ?? new Map<string, HoldingRow>();
      this.holdings.set(row.window.key, rows);
      if (row.amount === 0) rows.delete(row.lane);
      else rows.set(row.lane, row);
    }
    for (const row of changes.shares) {
      const rows = this.shares.get(row.counter.key) ?? new Map<string, ShareRow>();
      this.shares.set(row.counter.key, rows.set(row.lane, row));
    }
  }
}
