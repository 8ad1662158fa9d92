/** Lets other work go first between slices of a long job. */
import { setImmediate as nextTurn } from "node:timers/promises";

const targetMs = 6;

/** Fits the size of a slice of work to the time that slices take, and gives way between them. */
export class Pace {
  size: number;
  readonly #least: number;
  readonly #most: number;
  #startedMs = performance.now();

  constructor(size: number, least: number, most: number) {
    this.size = size;
    this.#least = least;
    this.#most = most;
  }

  /** Call after each slice: the next one begins on a later turn of the event loop. */
  async next(): Promise<void> {
    const tookMs = performance.now() - this.#startedMs;
    if (tookMs > targetMs * 1.5) this.size = Math.max(this.#least, this.size >> 1);
    else if (tookMs < targetMs / 2) this.size = Math.min(this.#most, this.size * 2);
    await nextTurn();
    this.#startedMs = performance.now();
  }
}
