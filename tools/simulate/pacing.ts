/** Smoothing: GCRA (ITU-T I.371, annex A), as `assembly/limits/gatewayCounters.ts` computes it. */

export interface Pace {
  intervalNs: number;
  toleranceNs: number;
}

export function paceOf(smoothing: { perSecond: number; burst: number }): Pace {
  const intervalNs = Math.max(1, Math.floor(1e9 / smoothing.perSecond));
  return { intervalNs, toleranceNs: intervalNs * Math.max(1, smoothing.burst) };
}

/** The pace of one counter in one gateway. */
export class Pacer {
  /** how far the theoretical arrival time was ahead of the clock at `aheadMs`: so all numbers stay whole and small */
  #aheadNs = 0;
  #aheadMs = 0;
  /** the same if nothing had been refused */
  #demandAheadNs = 0;
  #demandAheadMs = 0;
  #peakAheadNs = 0;

  /** Someone asks for `cost`, whatever becomes of it. */
  ask(pace: Pace, cost: number, nowMs: number): void {
    this.#demandAheadNs =
      Math.max(0, this.#demandAheadNs - (nowMs - this.#demandAheadMs) * 1e6) + pace.intervalNs * cost;
    this.#demandAheadMs = nowMs;
    this.#peakAheadNs = Math.max(this.#peakAheadNs, this.#demandAheadNs);
  }

  keeps(pace: Pace, cost: number, nowMs: number): boolean {
    return this.#aheadAt(nowMs) + pace.intervalNs * cost <= pace.toleranceNs;
  }

  charge(pace: Pace, cost: number, nowMs: number): void {
    this.#aheadNs = this.#aheadAt(nowMs) + pace.intervalNs * cost;
    this.#aheadMs = nowMs;
  }

  isActive(nowMs: number): boolean {
    return this.#aheadAt(nowMs) > 0;
  }

  /** The smallest burst by which nothing would have been refused. */
  burst(pace: Pace): number {
    return Math.ceil(this.#peakAheadNs / pace.intervalNs);
  }

  #aheadAt(nowMs: number): number {
    return Math.max(0, this.#aheadNs - (nowMs - this.#aheadMs) * 1e6);
  }
}
