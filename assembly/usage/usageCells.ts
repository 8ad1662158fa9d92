/**
 * Usage: what was admitted and refused, by key, consumer, API, route and minute. Requests add to cells in memory; about once a second the
 * cells become a numbered batch in the outbox. Counts are never lost for want of room: when cells or outbox are full, detail is.
 *
 * ```
 *   cell, 152 bytes:  u32 minute | u32 api | u32 route | u32 consumer | 16 digest | u32 metric of a lone count, or ALL | u32 hash |
 *                     28 u32 counts: admitted, cost, overshoot, shadowed, local, 5 status classes, 14 latency buckets, responses that aren't looked at,
 *                     responses that are to be, 2 unused
 * ```
 */
import { wallNs } from "../abi/host";
import { allocBlock, freeBlock } from "../lib/blocks";
import {
  LATENCY_BOUNDS_MS,
  NO_ROUTE,
  USAGE_ADMITTED,
  USAGE_COST,
  USAGE_LATENCY,
  USAGE_SHADOWED,
  USAGE_STATUS,
  USAGE_STATUSES,
  USAGE_UNSAMPLED,
} from "../wire/enums";

const CELLS: u32 = 16384;
/** Cells in use at which a batch is due at once, and beyond which detail is given up. */
const CROWDED: u32 = 4096;
const FULL: u32 = 8192;
/** Cells in use at which the minute stands still, as in a very long outage: each minute takes cells, and some must always be free. */
const FROZEN: u32 = CELLS - 1024;
const CELL_BYTES: u32 = 152;
const COUNTS_AT: u32 = 40;
/** So many are told. */
const COUNTS: u32 = 25;
/** Admissions whose responses aren't looked at. */
const UNSEEN: u32 = 24;
const LOOKS: u32 = 25;
const KEPT: u32 = 26;
/** The cell counts admissions; others count one metric. */
const ALL: u32 = 0xffffffff;

/** Places in a cell; those before them are the metrics themselves. */
const STATUS: u32 = 5;
const LATENCY: u32 = STATUS + USAGE_STATUSES;
const NO_DIGEST = memory.data(16, 8);
export const ENTRY_MOST: u32 = 37 + 25 * 6;

export class Usage {
  private cells: usize = 0;
  private list: usize = 0;
  used: u32 = 0;
  private minute: u32 = 0;

  /** Looks at the wall clock: a minute is as exact as a tick is. */
  tick(): void {
    if (this.used >= FROZEN) return;
    this.minute = <u32>(wallNs() / 60_000_000_000);
  }

  get crowded(): bool {
    return this.used >= CROWDED;
  }

  /** Counts an admission of `cost`; `digest` 0: nobody's. Gives its cell, which the next admission may move; 0: there is none. */
  admit(api: u32, route: u32, consumer: u32, digest: usize, cost: u32, extra: u32): usize {
    const cell = this.cell(api, route, consumer, digest, ALL);
    if (cell == 0) return 0;
    add(cell, USAGE_ADMITTED, 1);
    add(cell, USAGE_COST, cost);
    if (extra != 0) add(cell, extra, 1);
    return cell;
  }

  /** A shadow limit would have refused what was admitted, so many times. */
  shadowed(api: u32, route: u32, consumer: u32, digest: usize, times: u32): void {
    const cell = this.cell(api, route, consumer, digest, ALL);
    if (cell != 0) add(cell, USAGE_SHADOWED, times);
  }

  /** Counts a refusal: `metric` is USAGE_REFUSED or USAGE_OBSERVED plus the reason. */
  refuse(api: u32, route: u32, consumer: u32, digest: usize, metric: u32): void {
    const cell = this.cell(api, route, consumer, digest, metric);
    if (cell != 0) add(cell, 0, 1);
  }

  /** Counts a response: its status and how long it took. */
  respond(api: u32, route: u32, consumer: u32, digest: usize, status: u32, ns: u64): void {
    const cell = this.cell(api, route, consumer, digest, ALL);
    if (cell == 0) return;
    const hundreds = status / 100;
    if (hundreds >= 1 && hundreds <= USAGE_STATUSES) add(cell, STATUS + hundreds - 1, 1);
    const ms = (ns + 999_999) / 1_000_000;
    let bucket: u32 = 0;
    while (bucket < 13 && ms > <u64>load<u32>(LATENCY_BOUNDS_MS + ((<usize>bucket) << 2))) bucket++;
    add(cell, LATENCY + bucket, 1);
  }

  private cell(api: u32, route: u32, consumer: u32, digest: usize, metric: u32): usize {
    if (this.cells == 0) return 0;
    if (this.used >= FULL) {
      digest = 0;
      consumer = 0;
      route = NO_ROUTE;
      if (this.used >= FULL + 1024) api = 0;
    }
    if (digest == 0) digest = NO_DIGEST;
    let hash =
      (<u32>load<u64>(digest) ^
        (api * 0x9e3779b1) ^
        (route * 0x85ebca6b) ^
        (consumer * 0xc2b2ae35) ^
        (metric * 0x27d4eb2f) ^
        this.minute) *
      0x01000193;
    hash ^= hash >> 15;
    let i = hash & (CELLS - 1);
    while (true) {
      const at = this.cells + <usize>i * CELL_BYTES;
      if (load<u32>(at) == 0) {
        store<u32>(at, this.minute);
        store<u32>(at, api, 4);
        store<u32>(at, route, 8);
        store<u32>(at, consumer, 12);
        memory.copy(at + 16, digest, 16);
        store<u32>(at, metric, 32);
        store<u32>(this.list + (usize(this.used++) << 2), i);
        return at;
      }
      if (
        load<u32>(at) == this.minute &&
        load<u32>(at, 4) == api &&
        load<u32>(at, 8) == route &&
        load<u32>(at, 12) == consumer &&
        load<u32>(at, 32) == metric &&
        load<u64>(at, 16) == load<u64>(digest) &&
        load<u64>(at, 24) == load<u64>(digest, 8)
      )
        return at;
      i = (i + 1) & (CELLS - 1);
    }
  }

  /** Takes the memory; before the first request is decided, which never takes any. */
  begin(): bool {
    if (this.cells != 0) return true;
    this.tick();
    this.cells = allocBlock(<u64>CELLS * CELL_BYTES);
    this.list = allocBlock(<u64>CELLS * 4);
    if (this.cells == 0 || this.list == 0) {
      this.free();
      return false;
    }
    memory.fill(this.cells, 0, <usize>CELLS * CELL_BYTES);
    return true;
  }

  /** Writes the oldest cells as entries of the wire into `max` bytes at `to`, and empties them. Gives the bytes; `written` says how many. */
  drain(to: usize, max: u32): u32 {
    written = 0;
    let at = to;
    while (written < this.used && at + ENTRY_MOST <= to + max) {
      const cell = this.cells + <usize>load<u32>(this.list + ((<usize>written) << 2)) * CELL_BYTES;
      at = writeEntry(at, cell);
      written++;
    }
    // Open addressing has no holes: what is left is entered anew once the rest is cleared.
    const left = this.used - written;
    for (let i: u32 = 0; i < written; i++)
      memory.fill(this.cells + <usize>load<u32>(this.list + ((<usize>i) << 2)) * CELL_BYTES, 0, CELL_BYTES);
    if (left > 0) this.enterAnew(written, left, false);
    else this.used = 0;
    return <u32>(at - to);
  }

  /** The wire ids of what was counted mean something else from now on; a key's digest is what it always was. */
  disown(): void {
    if (this.used > 0) this.enterAnew(0, this.used, true);
  }

  private enterAnew(from: u32, left: u32, disowned: bool): void {
    const kept = allocBlock(<u64>left * CELL_BYTES);
    if (kept == 0) {
      this.used = 0;
      memory.fill(this.cells, 0, <usize>CELLS * CELL_BYTES);
      return;
    }
    for (let i: u32 = 0; i < left; i++) {
      const cell = this.cells + <usize>load<u32>(this.list + ((<usize>(from + i)) << 2)) * CELL_BYTES;
      memory.copy(kept + <usize>i * CELL_BYTES, cell, CELL_BYTES);
      memory.fill(cell, 0, CELL_BYTES);
    }
    this.used = 0;
    const minute = this.minute;
    for (let i: u32 = 0; i < left; i++) {
      const old = kept + <usize>i * CELL_BYTES;
      this.minute = load<u32>(old);
      const cell = disowned
        ? this.cell(0, NO_ROUTE, 0, old + 16, load<u32>(old, 32))
        : this.cell(load<u32>(old, 4), load<u32>(old, 8), load<u32>(old, 12), old + 16, load<u32>(old, 32));
      for (let n: u32 = 0; n < KEPT; n++) add(cell, n, load<u32>(old + COUNTS_AT + ((<usize>n) << 2)));
    }
    this.minute = minute;
    freeBlock(kept);
  }

  free(): void {
    freeBlock(this.cells);
    freeBlock(this.list);
    this.cells = 0;
    this.list = 0;
    this.used = 0;
  }
}

/** Entries that the last `drain` wrote. */
export let written: u32 = 0;

/** Whether a response of this cell was, or will be, looked at. */
export function hasLooks(cell: usize): bool {
  return load<u32>(cell + COUNTS_AT + (LOOKS << 2)) != 0;
}

/** An admission's response will be looked at, or won't. */
export function noteLook(cell: usize, looks: bool): void {
  add(cell, looks ? LOOKS : UNSEEN, 1);
}

// @ts-ignore: decorator
@inline
function add(cell: usize, n: u32, by: u32): void {
  const at = cell + COUNTS_AT + ((<usize>n) << 2);
  store<u32>(at, load<u32>(at) + by);
}

function writeEntry(at: usize, cell: usize): usize {
  memory.copy(at, cell, 32);
  const n = at + 32;
  at += 33;
  let pairs: u32 = 0;
  const metric = load<u32>(cell, 32);
  const last: u32 = metric == ALL ? COUNTS : 1;
  for (let i: u32 = 0; i < last; i++) {
    const count = load<u32>(cell + COUNTS_AT + ((<usize>i) << 2));
    if (count == 0) continue;
    const code =
      metric != ALL
        ? metric
        : i < STATUS
          ? i
          : i < LATENCY
            ? USAGE_STATUS + i - STATUS
            : i < UNSEEN
              ? USAGE_LATENCY + i - LATENCY
              : USAGE_UNSAMPLED;
    store<u8>(at++, <u8>code);
    at = writeVarint(at, count);
    pairs++;
  }
  store<u8>(n, <u8>pairs);
  return at;
}

function writeVarint(at: usize, n: u32): usize {
  while (n >= 128) {
    store<u8>(at++, <u8>(n | 128));
    n >>= 7;
  }
  store<u8>(at, <u8>n);
  return at + 1;
}
