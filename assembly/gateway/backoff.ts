/**
 * When a call that failed is made again: after a while that doubles with each failure, up to a bound, the second half of it by chance, so
 * that many that failed together don't come back together.
 */
import { random64 } from "../abi/wasi";

export class Retry {
  /** not before */
  atNs: u64 = 0;
  /** the last while; 0: the last call was answered */
  whileNs: u64 = 0;

  constructor(
    private leastNs: u64,
    private mostNs: u64,
  ) {}

  failed(now: u64): void {
    const doubled = this.whileNs * 2;
    this.whileNs = doubled == 0 ? this.leastNs : doubled > this.mostNs ? this.mostNs : doubled;
    this.atNs = now + this.whileNs / 2 + (random64() % (this.whileNs / 2 + 1));
  }

  answered(): void {
    this.whileNs = 0;
    this.atNs = 0;
  }
}
