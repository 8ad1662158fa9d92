/** Brings what was logged at a request's end into the order in which requests began. */

export interface Timed {
  timeMs: number;
}

/** More than this is not kept waiting, whatever the tolerance. */
const pendingMax = 2_000_000;

/** Sorts a stream whose items are late by at most `toleranceMs`; what is later than that is moved up to the time of its turn, and counted. */
export class Sorter<T extends Timed> {
  readonly #toleranceMs: number;
  #pending: T[] = [];
  #sorted = true;
  #newestMs = -Infinity;
  #doneMs = -Infinity;
  /** how many came too late to be put in their place */
  late = 0;
  /** by how much at most */
  latestMs = 0;

  constructor(toleranceMs: number) {
    this.#toleranceMs = toleranceMs;
  }

  add(item: T): void {
    if (item.timeMs < this.#doneMs) {
      this.late++;
      this.latestMs = Math.max(this.latestMs, this.#doneMs - item.timeMs);
      item.timeMs = this.#doneMs;
    }
    if (item.timeMs >= this.#newestMs) this.#newestMs = item.timeMs;
    else this.#sorted = false;
    this.#pending.push(item);
  }

  /** What has its place for certain. Costs little when called again and again: it waits until there is enough to sort. */
  take(): T[] {
    const pending = this.#pending;
    const oldestMs = pending[0]?.timeMs ?? Infinity;
    const full = pending.length > pendingMax;
    if (!full && oldestMs > this.#newestMs - 2 * this.#toleranceMs) return [];
    this.#sort();
    const count = full ? pending.length >> 1 : countUntil(pending, this.#newestMs - this.#toleranceMs);
    return this.#release(count);
  }

  /** All that is left. */
  end(): T[] {
    this.#sort();
    return this.#release(this.#pending.length);
  }

  #sort(): void {
    // Stable: requests of the same millisecond stay as they were logged.
    if (!this.#sorted) this.#pending.sort((a, b) => a.timeMs - b.timeMs);
    this.#sorted = true;
  }

  #release(count: number): T[] {
    const released = this.#pending.slice(0, count);
    this.#pending = this.#pending.slice(count);
    const last = released.at(-1);
    if (last !== undefined) this.#doneMs = last.timeMs;
    return released;
  }
}

function countUntil(sorted: readonly Timed[], timeMs: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]!.timeMs <= timeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

interface Cursor<T> {
  batches: AsyncIterator<readonly T[]>;
  batch: readonly T[];
  at: number;
}

/** Joins streams, each in order of time, into one; of equal times the first stream's come first. */
export async function* merged<T extends Timed>(
  streams: readonly AsyncIterable<readonly T[]>[],
): AsyncGenerator<readonly T[]> {
  const cursors: Cursor<T>[] = [];
  for (const stream of streams) {
    const cursor: Cursor<T> = { batches: stream[Symbol.asyncIterator](), batch: [], at: 0 };
    if (await refill(cursor)) cursors.push(cursor);
  }
  while (cursors.length > 1) {
    let first = cursors[0]!;
    for (const cursor of cursors) if (head(cursor) < head(first)) first = cursor;
    let untilMs = Infinity;
    let later = false;
    for (const cursor of cursors) {
      if (cursor === first) later = true;
      // A stream that stands before this one goes first at equal times.
      else untilMs = Math.min(untilMs, later ? head(cursor) : head(cursor) - 1);
    }
    const from = first.at;
    while (first.at < first.batch.length && head(first) <= untilMs) first.at++;
    yield first.batch.slice(from, first.at);
    if (first.at === first.batch.length && !(await refill(first))) cursors.splice(cursors.indexOf(first), 1);
  }
  const [last] = cursors;
  if (last === undefined) return;
  do yield last.batch.slice(last.at);
  while (await refill(last));
}

function head<T extends Timed>({ batch, at }: Cursor<T>): number {
  return batch[at]!.timeMs;
}

async function refill<T>(cursor: Cursor<T>): Promise<boolean> {
  for (;;) {
    const next = await cursor.batches.next();
    if (next.done === true) return false;
    if (next.value.length === 0) continue;
    cursor.batch = next.value;
    cursor.at = 0;
    return true;
  }
}
