/** One limit applied to one subject: where its window stands, and what a report says of it. */
import type { LimitShape } from "../../control/counters/model.ts";
import { type Window, windowAt } from "../../control/counters/windows.ts";
import type { Caller } from "./callers.ts";
import { type Pace, Pacer } from "./pacing.ts";

const never: Window = { startMs: 0, endMs: 0 };

/** The windows of one limit; most counters of it are in the same one. */
export class Windows {
  readonly #shape: LimitShape;
  #last = never;

  constructor(shape: LimitShape) {
    this.#shape = shape;
  }

  /** The window that contains a time; with firstUse, the one that begins with it. */
  at(nowMs: number): Window {
    if (this.#shape.firstUse && this.#shape.period === "none") return windowAt(this.#shape, nowMs);
    if (nowMs < this.#last.startMs || nowMs >= this.#last.endMs) this.#last = windowAt(this.#shape, nowMs);
    return this.#last;
  }
}

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

/** There may be millions: windows are shared, and most fields are small whole numbers. */
export class Counter {
  /** of a limit that counts callers */
  readonly caller: Caller | undefined;
  readonly api: string;
  /** of a limit that counts by route; empty: none */
  readonly route: string;
  /** the subject, and the gateway where each counts for itself */
  readonly name: string;
  /** which gateway counts; empty: all together */
  readonly gateway: string;
  /** the window of `used` */
  #window = never;
  #used = 0;
  /** the window of `demand`: what was asked for, refused requests included */
  #demandWindow = never;
  #demand = 0;
  /** the window with the greatest demand */
  peakWindow = never;
  peak = 0;
  hits: Hits | undefined;
  /** by gateway, since each keeps a pace of its own */
  #pacers: Map<string, Pacer> | undefined;

  constructor(caller: Caller | undefined, api: string, route: string, name: string, gateway: string) {
    this.caller = caller;
    this.api = api;
    this.route = route;
    this.name = name;
    this.gateway = gateway;
  }

  /** Someone asks for `cost`, whatever becomes of it. */
  ask(windows: Windows, cost: number, nowMs: number): void {
    if (nowMs >= this.#demandWindow.endMs) {
      this.#demandWindow = windows.at(nowMs);
      this.#demand = 0;
    }
    this.#demand += cost;
    if (this.#demand > this.peak) {
      this.peak = this.#demand;
      this.peakWindow = this.#demandWindow;
    }
  }

  /** Has the window room for `cost`? */
  hasRoom(limit: number, cost: number, nowMs: number): boolean {
    return (nowMs < this.#window.endMs ? this.#used : 0) + cost <= limit;
  }

  charge(windows: Windows, cost: number, nowMs: number): void {
    if (nowMs >= this.#window.endMs) {
      this.#window = windows.at(nowMs);
      this.#used = 0;
    }
    this.#used += cost;
  }

  pacer(gateway: string): Pacer {
    this.#pacers ??= new Map();
    let pacer = this.#pacers.get(gateway);
    if (pacer === undefined) this.#pacers.set(gateway, (pacer = new Pacer()));
    return pacer;
  }

  hit(byPace: boolean, nowMs: number): void {
    this.hits = hitAgain(this.hits, byPace, nowMs, this.#demandWindow.startMs);
  }

  /** Could forgetting it change a decision? */
  isActive(nowMs: number): boolean {
    if (nowMs < this.#window.endMs || nowMs < this.#demandWindow.endMs) return true;
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
