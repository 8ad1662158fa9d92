/** Admissions by the window that they were charged to, as a client can tell it. */
import assert from "node:assert/strict";
import type { Response } from "../../kit/http1.ts";

/** An admission that took longer, across a border, could be of either window as far as its `t` tells. */
const certainMs = 500;

export class WindowCount {
  private readonly certain = new Map<number, number>();
  /** of one of the windows from the first to the last, however slow the machine was */
  private readonly spread: { from: number; to: number }[] = [];
  /** windows in which a request was refused: clients wanted more than there was */
  private readonly refused = new Set<number>();
  private firstMs = Infinity;
  private lastMs = 0;

  /** `aheadMs`: how far the clock that numbers windows is ahead of ours. */
  constructor(
    private readonly limit: number,
    private readonly lengthMs: number,
    private readonly aheadMs = 0,
  ) {}

  note(answer: Response, sentMs: number, readMs: number): void {
    this.firstMs = Math.min(this.firstMs, sentMs);
    this.lastMs = Math.max(this.lastMs, readMs);
    const from = this.windowOf(sentMs);
    const to = this.windowOf(readMs);
    if (answer.status === 429 && from === to) this.refused.add(from);
    if (answer.status !== 200) return;
    if (from === to) return add(this.certain, from);
    if (to > from + 1 || readMs - sentMs > certainMs) return void this.spread.push({ from, to });
    // Near the border the time that is left is short in the old window, and long in the new one.
    const secondsLeft = Number(/;t=(\d+)/.exec(answer.header("ratelimit") ?? "")?.[1]);
    assert.ok(secondsLeft >= 1 && secondsLeft <= this.lengthMs / 1000, `RateLimit: ${answer.header("ratelimit")}`);
    add(this.certain, secondsLeft * 1000 <= this.lengthMs / 2 ? from : to);
  }

  /** How many whole windows have refused somebody so far. */
  get exhausted(): number {
    return [...this.refused].filter((window) => this.isWhole(window)).length;
  }

  /** No window may have more than the limit; whole ones in which clients wanted more have nearly all of it together. */
  check(leastShare = 0.95): void {
    const first = this.windowOf(this.firstMs);
    const last = this.windowOf(this.lastMs);
    let waiting: number[] = [];
    let total = 0;
    const counts: number[] = [];
    for (let window = first; window <= last; window++) {
      const certain = this.certain.get(window) ?? 0;
      // What must be in this window or an earlier one comes first: if there's a way to place all of them, this is one.
      waiting = [...waiting, ...this.spread.filter(({ from }) => from === window).map(({ to }) => to)].sort(
        (a, b) => a - b,
      );
      const placed = waiting.splice(0, Math.max(0, this.limit - certain)).length;
      counts.push(certain + placed);
      if (this.refused.has(window) && this.isWhole(window)) total += certain + placed;
      assert.ok(
        waiting.every((to) => to > window),
        `window ${window - first} of ${this.limit}: ${counts.join(" ")}, and ${waiting.length} more`,
      );
    }
    const said = `of ${this.limit}: ${counts.join(" ")}; uncertain: ${this.spread.length}`;
    assert.ok(
      counts.every((count) => count <= this.limit),
      said,
    );
    assert.ok(this.exhausted > 0 && total >= leastShare * this.exhausted * this.limit, said);
  }

  /** Whether clients were at work from its begin to its end. */
  private isWhole(window: number): boolean {
    return window > this.windowOf(this.firstMs) && window < this.windowOf(this.lastMs);
  }

  private windowOf(ms: number): number {
    return Math.floor((ms + this.aheadMs) / this.lengthMs);
  }
}

function add(counts: Map<number, number>, window: number): void {
  counts.set(window, (counts.get(window) ?? 0) + 1);
}
