/** Random choices that a seed repeats. */
import { createHash, randomInt } from "node:crypto";

export class Random {
  #state: number;

  /** `seed`: any text; equal texts give equal choices. */
  constructor(seed: string) {
    this.#state = createHash("sha256").update(seed).digest().readUInt32LE();
  }

  /** A whole number from 0 to below `limit` (mulberry32). */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  chance(probability: number): boolean {
    return this.below(1_000_000) < probability * 1_000_000;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** Between `least` and `most` items, none of them twice. */
  some<T>(items: readonly T[], least: number, most: number): T[] {
    const left = [...items];
    const count = Math.min(items.length, least + this.below(most - least + 1));
    return Array.from({ length: count }, () => left.splice(this.below(left.length), 1)[0]!);
  }
}

/** A seed to print: from the environment variable TOLLGATE_TEST_SEED, else a new one. */
export function seedOf(env: NodeJS.ProcessEnv = process.env): string {
  return env["TOLLGATE_TEST_SEED"] || String(randomInt(2 ** 32));
}
