/**
 * What this process knows of the clock that numbers windows: bounds of its offset from the monotonic clock, from the times at which calls
 * were sent and answered (Marzullo's intersection of intervals). A lease is spent no later than the earliest moment at which its window can
 * end, and no earlier than the latest at which it can begin, so that no clock of a gateway has to be right.
 */

/** Clocks may drift apart by so much: 200 ppm. */
const DRIFT_DIVISOR: i64 = 5000;
const MS: i64 = 1_000_000;

export class ClockBounds {
  private known: bool = false;
  /** offset = clock - monotonic, nanoseconds */
  private low: i64 = 0;
  private high: i64 = 0;
  private atNs: u64 = 0;

  /** The clock showed `clockMs` (cut to milliseconds) at some moment from `sentNs` to `receivedNs`. */
  learn(clockMs: u64, sentNs: u64, receivedNs: u64): void {
    const low = <i64>clockMs * MS - <i64>receivedNs;
    const high = <i64>clockMs * MS + MS - <i64>sentNs;
    if (this.known) {
      const drift = (<i64>receivedNs - <i64>this.atNs) / DRIFT_DIVISOR;
      this.low -= drift;
      this.high += drift;
    }
    // A clock that was set has nothing to do with what was known.
    if (!this.known || low > this.high || high < this.low) {
      this.low = low;
      this.high = high;
    } else {
      if (low > this.low) this.low = low;
      if (high < this.high) this.high = high;
    }
    this.known = true;
    this.atNs = receivedNs;
  }

  /** The first monotonic moment at which the clock can show `clockMs`. */
  earliestNs(clockMs: u64): u64 {
    const at = <i64>clockMs * MS - this.high;
    return at > 0 ? <u64>at : 0;
  }

  /** The last monotonic moment at which the clock can begin to show `clockMs`. */
  latestNs(clockMs: u64): u64 {
    const at = <i64>clockMs * MS - this.low;
    return at > 0 ? <u64>at : 0;
  }

  /** What the clock shows at a monotonic moment, at the least. */
  earliestMs(ns: u64): u64 {
    const at = <i64>ns + this.low;
    return this.known && at > 0 ? <u64>(at / MS) : 0;
  }

  /** What the clock shows at a monotonic moment, at the most. */
  latestMs(ns: u64): u64 {
    const at = <i64>ns + this.high;
    return this.known && at > 0 ? <u64>(at / MS) : 0;
  }
}
