/** Entries added up: one for each minute of a caller, API and route. */
import type { UsageEntry } from "./model.ts";

type Sums = Map<number, number>;

export class Merged {
  private readonly byEnvironment = new Map<string, Map<string, { entry: UsageEntry; sums: Sums }>>();
  /** how many the added ones have become */
  size = 0;

  add(environment: string, entries: readonly UsageEntry[]): void {
    let merged = this.byEnvironment.get(environment);
    if (merged === undefined) this.byEnvironment.set(environment, (merged = new Map()));
    for (const entry of entries) {
      const key = `${entry.minute} ${entry.api} ${entry.route ?? ""} ${entry.consumer} ${entry.digest}`;
      let one = merged.get(key);
      if (one === undefined) {
        merged.set(key, (one = { entry, sums: new Map() }));
        this.size++;
      }
      for (const [metric, count] of entry.counts) one.sums.set(metric, (one.sums.get(metric) ?? 0) + count);
    }
  }

  /** The sums of each environment. */
  *[Symbol.iterator](): Generator<[environment: string, entries: UsageEntry[]]> {
    for (const [environment, merged] of this.byEnvironment)
      yield [environment, [...merged.values()].map(({ entry, sums }) => ({ ...entry, counts: [...sums] }))];
  }
}
