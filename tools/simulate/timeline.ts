/** What happened when, in slots of time whose length grows with the log, so that their number doesn't. */

export interface TimelineSlot {
  startMs: number;
  requests: number;
  limited: number;
  shadowed: number;
}

const slotsMax = 400;
const fixedSlotsMax = 20_000;
/** Each divides the next. */
const lengthsSeconds = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800];

export class Timeline {
  #slots = new Map<number, TimelineSlot>();
  #lengthMs: number;
  readonly #fixed: boolean;
  #current: TimelineSlot | undefined;

  /** `intervalMs`: the slots' length, as far as it doesn't make more than 20,000; without one it follows the log's. */
  constructor(intervalMs?: number) {
    this.#lengthMs = intervalMs ?? 1000;
    this.#fixed = intervalMs !== undefined;
  }

  get lengthMs(): number {
    return this.#lengthMs;
  }

  add(timeMs: number, limited: boolean, shadowed: boolean): void {
    let slot = this.#current;
    if (slot === undefined || timeMs < slot.startMs || timeMs >= slot.startMs + this.#lengthMs)
      slot = this.#slot(timeMs);
    slot.requests++;
    if (limited) slot.limited++;
    if (shadowed) slot.shadowed++;
  }

  /** The slots in order of time, joined until there are at most so many. */
  slots(most = slotsMax): { lengthMs: number; slots: TimelineSlot[] } {
    let lengthMs = this.#lengthMs;
    let slots = [...this.#slots.values()];
    while (!this.#fixed && span(slots, lengthMs) > most) {
      lengthMs = longer(lengthMs);
      slots = joined(slots, lengthMs);
    }
    return { lengthMs, slots: slots.sort((a, b) => a.startMs - b.startMs) };
  }

  #slot(timeMs: number): TimelineSlot {
    const startMs = Math.floor(timeMs / this.#lengthMs) * this.#lengthMs;
    let slot = this.#slots.get(startMs);
    if (slot === undefined) {
      if (this.#slots.size >= (this.#fixed ? fixedSlotsMax : slotsMax)) {
        this.#lengthMs = longer(this.#lengthMs);
        this.#slots = new Map(joined([...this.#slots.values()], this.#lengthMs).map((one) => [one.startMs, one]));
        return this.#slot(timeMs);
      }
      slot = { startMs, requests: 0, limited: 0, shadowed: 0 };
      this.#slots.set(startMs, slot);
    }
    this.#current = slot;
    return slot;
  }
}

function longer(lengthMs: number): number {
  return (lengthsSeconds.find((seconds) => seconds * 1000 > lengthMs) ?? (lengthMs / 1000) * 2) * 1000;
}

function joined(slots: readonly TimelineSlot[], lengthMs: number): TimelineSlot[] {
  const sums = new Map<number, TimelineSlot>();
  for (const { startMs, requests, limited, shadowed } of slots) {
    const start = Math.floor(startMs / lengthMs) * lengthMs;
    const sum = sums.get(start) ?? { startMs: start, requests: 0, limited: 0, shadowed: 0 };
    sum.requests += requests;
    sum.limited += limited;
    sum.shadowed += shadowed;
    sums.set(start, sum);
  }
  return [...sums.values()];
}

/** How many slots there are, empty ones between them included. */
function span(slots: readonly TimelineSlot[], lengthMs: number): number {
  if (slots.length === 0) return 0;
  let first = Infinity;
  let last = 0;
  for (const { startMs } of slots) {
    first = Math.min(first, startMs);
    last = Math.max(last, startMs);
  }
  return (last - first) / lengthMs + 1;
}
