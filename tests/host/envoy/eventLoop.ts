interface Event {
  atMs: number;
  order: number;
  run: () => void;
  cancelled: boolean;
}

/** Stops an event that has not run yet. */
export type Cancel = () => void;

/** Simulated time and what is due in it: events run by time, equal times in the order they were posted. No real time is involved. */
export class EventLoop {
  #nowMs = 0;
  #order = 0;
  #events: Event[] = [];

  /** Milliseconds since the process began, monotonic. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Runs `run` after `delayMs`; 0 is the next time the loop turns. */
  post(delayMs: number, run: () => void): Cancel {
    const event: Event = { atMs: this.#nowMs + delayMs, order: this.#order++, run, cancelled: false };
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#events[middle]!.atMs <= event.atMs) low = middle + 1;
      else high = middle;
    }
    this.#events.splice(low, 0, event);
    return () => void (event.cancelled = true);
  }

  /** Runs all that is due now, and what that makes due now. Throws when it never ends. */
  pump(): void {
    this.#runUntil(this.#nowMs);
  }

  /** Moves time on by `ms`, event by event. */
  advance(ms: number): void {
    this.#runUntil(this.#nowMs + ms);
  }

  /** Lets time pass without running anything, as a callback that takes long does. */
  drift(ms: number): void {
    this.#nowMs += ms;
  }

  #runUntil(endMs: number): void {
    let stuckAtMs = -1;
    let turns = 0;
    for (;;) {
      const next = this.#events[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#events.shift();
      if (next.cancelled) continue;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      turns = this.#nowMs === stuckAtMs ? turns + 1 : 0;
      stuckAtMs = this.#nowMs;
      if (turns > 20_000) throw new Error(`the event loop doesn't come to rest at ${this.#nowMs} ms`);
      next.run();
    }
    this.#nowMs = Math.max(this.#nowMs, endMs);
  }
}
