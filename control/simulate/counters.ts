/** One limit applied to one subject: where its window stands, and what a report says of it. */
import type { LimitShape } from "../counters/model.ts";
import { windowAt } from "../counters/windows.ts";
import type { Caller } from "./callers.ts";
import { type Pace, Pacer } from "./pacing.ts";

/** What was refused, or would have been but for shadow mode. */
export interface Hits {
  count: number;
  /** of these by smoothing alone */
  paced: number;
  firstMs: number;
  lastMs: number;
  /** windows in which there was one */
  windows: number;
  lastWindowMs: number;
}

export class Counter {
  readonly caller: Caller;
  readonly api: string;
  readonly address: string | undefined;
  /** which gateway counts; empty: all together */
  readonly gateway: string;
  startMs = 0;
  endMs = 0;
  used = 0;
  /** what was asked for in the window, refused requests included */
  demand = 0;
  demandStartMs = 0;
  demandEndMs = 0;
  /** the window with the greatest demand */
  peak = 0;
  peakStartMs = 0;
  peakEndMs = 0;
  hits: Hits | undefined;
  /** by gateway, since each keeps a pace of its own */
  #pacers: Map<string, Pacer> | undefined;

  constructor(caller: Caller, api: string, address: string | undefined, gateway: string) {
    this.caller = caller;
    this.api = api;
    this.address = address;
    this.gateway = gateway;
  }

  /** Someone asks for `cost`, whatever becomes of it. */
  ask(shape: LimitShape, cost: number, nowMs: number): void {
    if (nowMs >= this.demandEndMs) {
      const { startMs, endMs } = windowAt(shape, nowMs);
      this.demandStartMs = startMs;
      this.demandEndMs = endMs;
      this.demand = 0;
    }
    this.demand += cost;
    if (this.demand > this.peak) {
      this.peak = this.demand;
      this.peakStartMs = this.demandStartMs;
      this.peakEndMs = this.demandEndMs;
    }
  }

  /** Has the window room for `cost`? */
  hasRoom(limit: number, cost: number, nowMs: number): boolean {
    return (nowMs < this.endMs ? this.used : 0) + cost <= limit;
  }

  charge(shape: LimitShape, cost: number, nowMs: number): void {
    if (nowMs >= this.endMs) {
      const { startMs, endMs } = windowAt(shape, nowMs);
      this.startMs = startMs;
      this.endMs = endMs;
      this.used = 0;
    }
    this.used += cost;
  }

  pacer(gateway: string): Pacer {
    this.#pacers ??= new Map();
    let pacer = this.#pacers.get(gateway);
    if (pacer === undefined) this.#pacers.set(gateway, (pacer = new Pacer()));
    return pacer;
  }

  hit(byPace: boolean, nowMs: number): void {
    this.hits = hitAgain(this.hits, byPace, nowMs, this.demandStartMs);
  }

  /** Could forgetting it change a decision? */
  isActive(nowMs: number): boolean {
    if (nowMs < this.endMs || nowMs < this.demandEndMs) return true;
    return this.#pacers !== undefined && [...this.#pacers.values()].some((pacer) => pacer.isActive(nowMs));
  }

  /** The smallest burst by which smoothing would have refused nothing. */
  burst(pace: Pace): number {
    return Math.max(0, ...[...(this.#pacers?.values() ?? [])].map((pacer) => pacer.burst(pace)));
  }
}

/** Adds one more to what was hit. */
export function hitAgain(before: Hits | undefined, byPace: boolean, nowMs: number, windowMs: number): Hits {
  const hits = before ?? { count: 0, paced: 0, firstMs: nowMs, lastMs: nowMs, windows: 0, lastWindowMs: -1 };
  hits.count++;
  if (byPace) hits.paced++;
  hits.lastMs = nowMs;
  if (hits.lastWindowMs !== windowMs) {
    hits.lastWindowMs = windowMs;
    hits.windows++;
  }
  return hits;
}
