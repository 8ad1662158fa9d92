/** Admissions by the window that they were charged to, as a client can tell it. */
import assert from "node:assert/strict";
import type { Response } from "../../kit/http1.ts";

/** An admission that took longer, across a border, could be of either window as far as its `t` tells. */
const certainMs = 500;

export class WindowCount {
  private readonly certain = new Map<number, number>();
  /** of this window or of the next one */
  private readonly either = new Map<number, number>();
  private firstMs = Infinity;
  private lastMs = 0;

  /** `aheadMs`: how far the clock that numbers windows is ahead of ours. */
  constructor(private readonly limit: number, private readonly lengthMs: number, private readonly aheadMs = 0) {}

  note(answer: Response, sentMs: number, readMs: number): void {
    this.firstMs = Math.min(this.firstMs, sentMs);
    this.lastMs = Math.max(this.lastMs, readMs);
    if (answer.status !== 200) return;
    const from = this.windowOf(sentMs);
    const to = this.windowOf(readMs);
    if (from === to) return add(this.certain, from);
    assert.equal(to, from + 1, `an answer took ${readMs - sentMs} ms`);
    if (readMs - sentMs > certainMs) return add(this.either, from);
    // Near the border the time that is left is short in the old window, and long in the new one.
    const secondsLeft = Number(/;t=(\d+)/.exec(answer.header("ratelimit") ?? "")?.[1]);
    assert.ok(secondsLeft >= 1 && secondsLeft <= this.lengthMs / 1000, `RateLimit: ${answer.header("ratelimit")}`);
    add(this.certain, secondsLeft * 1000 <= this.lengthMs / 2 ? from : to);
  }

  /** No window may have more than the limit; those that were hammered from end to end have nearly all of it together. */
  check(leastShare = 0.95): void {
    const first = this.windowOf(this.firstMs);
    const last = this.windowOf(this.lastMs);
    let carried = 0;
    let total = 0;
    const counts: number[] = [];
    for (let window = first; window <= last; window++) {
      const count = (this.certain.get(window) ?? 0) + carried;
      const either = this.either.get(window) ?? 0;
      const here = Math.max(0, Math.min(either, this.limit - count));
      carried = either - here;
      counts.push(count + here);
      if (window > first && window < last) total += count + here;
    }
    const said = `of ${this.limit}: ${counts.join(" ")}; uncertain: ${[...this.either.values()].join(" ")}`;
    assert.equal(carried, 0, said);
    assert.ok(counts.every((count) => count <= this.limit), said);
    const inner = last - first - 1;
    assert.ok(inner > 0 && total >= leastShare * inner * this.limit, said);
  }

  private windowOf(ms: number): number {
    return Math.floor((ms + this.aheadMs) / this.lengthMs);
  }
}

function add(counts: Map<number, number>, window: number): void {
  counts.set(window, (counts.get(window) ?? 0) + 1);
}
