/**
 * The counters that are active in this worker: a bounded number of places, taken in segments as they are needed, found by limit and
 * subject. A place is given to another counter only when nothing would be given back by that: its window is over, or its authority has
 * acknowledged what was returned.
 */
import { allocBlock, freeBlock } from "../lib/blocks";
import { COUNTER_BYTES, Counter, IN_USE } from "./counter";

const SEGMENT: u32 = 1024;
const SPARE: u32 = 2048;

// @ts-ignore: decorator
@inline
function hashOf(limit: u32, a: u64, b: u64): u32 {
  let h = (a ^ (b * 0x9e3779b97f4a7c15) ^ (<u64>limit * 0xff51afd7ed558ccd)) * 0xc4ceb9fe1a85ec53;
  h ^= h >> 32;
  return <u32>h;
}

export class Slab {
  private buckets: usize = 0;
  private mask: u32 = 0;
  private segments: Array<usize> = [];
  private free_: usize = 0;
  private hand: u32 = 0;
  count: u32 = 0;

  /** `most` counters, of which the index takes its memory with the first. */
  constructor(public most: u32) {}

  // @ts-ignore: decorator
  @inline
  find(limit: u32, a: u64, b: u64): Counter | null {
    if (this.buckets == 0) return null;
    let at = <usize>load<u32>(this.buckets + ((<usize>(hashOf(limit, a, b) & this.mask)) << 2));
    while (at != 0) {
      const c = changetype<Counter>(at);
      if (c.subjectA == a && c.subjectB == b && c.limit == limit) return c;
      at = c.bucketNext;
    }
    return null;
  }

  /** A new counter, cleared; null when all places are taken that `prepare` has made. */
  add(limit: u32, a: u64, b: u64): Counter | null {
    if (this.free_ == 0 || this.count >= this.most) return null;
    const at = this.free_;
    const c = changetype<Counter>(at);
    this.free_ = c.bucketNext;
    const serial = c.serial;
    memory.fill(at, 0, COUNTER_BYTES);
    c.serial = serial;
    c.limit = limit;
    c.subjectA = a;
    c.subjectB = b;
    c.flags = IN_USE;
    const bucket = this.buckets + ((<usize>(hashOf(limit, a, b) & this.mask)) << 2);
    c.bucketNext = load<u32>(bucket);
    store<u32>(bucket, <u32>at);
    this.count++;
    return c;
  }

  remove(c: Counter): void {
    const at = changetype<usize>(c);
    let link = this.buckets + ((<usize>(hashOf(c.limit, c.subjectA, c.subjectB) & this.mask)) << 2);
    while (load<u32>(link) != 0) {
      if (<usize>load<u32>(link) == at) {
        store<u32>(link, <u32>c.bucketNext);
        break;
      }
      link = <usize>load<u32>(link) + offsetof<Counter>("bucketNext");
    }
    c.flags = 0;
    c.serial++;
    c.bucketNext = this.free_;
    this.free_ = at;
    this.count--;
  }

  /** The next place, round and round; null when it's free. */
  step(): Counter | null {
    const all = <u32>this.segments.length * SEGMENT;
    if (all == 0) return null;
    if (this.hand >= all) this.hand = 0;
    const i = this.hand++;
    const at = unchecked(this.segments[i / SEGMENT]) + <usize>(i % SEGMENT) * COUNTER_BYTES;
    const c = changetype<Counter>(at);
    return (c.flags & IN_USE) == 0 ? null : c;
  }

  /** Places that there is memory for. */
  get places(): u32 {
    return <u32>this.segments.length * SEGMENT;
  }

  /** Whether places run low while more are allowed: `prepare` is due. */
  // @ts-ignore: decorator
  @inline
  get isLow(): bool {
    const free = this.places - this.count;
    return free < SPARE / 2 && this.places < this.most;
  }

  /** Takes memory ahead of need: the request path itself never does. */
  prepare(): void {
    if (this.buckets == 0 && !this.makeIndex()) return;
    const spare = this.count / 4 + SPARE;
    while (this.places < this.most && this.places - this.count < spare) if (!this.addSegment()) return;
  }

  private makeIndex(): bool {
    let buckets: u32 = 1024;
    while (buckets < this.most) buckets <<= 1;
    this.buckets = allocBlock((<u64>buckets) << 2);
    if (this.buckets == 0) return false;
    memory.fill(this.buckets, 0, (<usize>buckets) << 2);
    this.mask = buckets - 1;
    return true;
  }

  private addSegment(): bool {
    const segment = allocBlock(<u64>SEGMENT * COUNTER_BYTES);
    if (segment == 0) return false;
    memory.fill(segment, 0, <usize>SEGMENT * COUNTER_BYTES);
    for (let i: i32 = SEGMENT - 1; i >= 0; i--) {
      const at = segment + <usize>i * COUNTER_BYTES;
      changetype<Counter>(at).bucketNext = this.free_;
      this.free_ = at;
    }
    this.segments.push(segment);
    return true;
  }

  /** Forgets all counters and gives their memory back. */
  clear(): void {
    for (let i = 0; i < this.segments.length; i++) freeBlock(this.segments[i]);
    freeBlock(this.buckets);
    this.segments = [];
    this.buckets = 0;
    this.free_ = 0;
    this.hand = 0;
    this.count = 0;
  }
}
