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

/** What `npm test` tries unless told otherwise: its result depends on the code alone. */
const suiteSeed = "186846263";

/** The suites' seed: the environment variable TOLLGATE_TEST_SEED, `random` for a new one, else always the same. */
export function seedOf(env: NodeJS.ProcessEnv = process.env): string {
  const given = env["TOLLGATE_TEST_SEED"];
  return given === "random" ? newSeed() : given || suiteSeed;
}

/** A seed that was never tried, to be printed. */
export function newSeed(): string {
  return String(randomInt(2 ** 32));
}
