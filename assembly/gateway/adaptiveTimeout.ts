/**
 * How long a call may take. One that takes several times as long as the last one did is lost: it's made again, while those who wait still may.
 * Each that fails allows the next one twice as long, so that a link that has become slow is not mistaken for ever.
 */
const FIRST_MS: u32 = 1000;
const MOST_MS: u32 = 2000;
const OF_LAST: u64 = 4;

export class Patience {
  timeoutMs: u32 = FIRST_MS;

  constructor(private leastMs: u32) {}

  answered(tookNs: u64): void {
    const enoughMs = (tookNs * OF_LAST) / 1_000_000;
    this.timeoutMs = enoughMs < this.leastMs ? this.leastMs : enoughMs > MOST_MS ? MOST_MS : <u32>enoughMs;
  }

  failed(): void {
    this.timeoutMs = this.timeoutMs * 2 > MOST_MS ? MOST_MS : this.timeoutMs * 2;
  }
}
