/** Which entries of usage are taken: of APIs that the token's group sees, of minutes near now, with counts that a worker can reach. */
import type { UsageEntry } from "../usage/model.ts";
import type { Catalog } from "./catalog.ts";
import type { View } from "./view.ts";

/**
 * A gateway that can't reach the control plane keeps counting by the minute for as long as it serves: a day by default
 * (`maxSnapshotAgeSeconds`), and some days where that is set higher.
 */
export const oldestMinutes = 7 * 1440;
/** A gateway's clock may be wrong by its time zone. What is ahead of now counts as now. */
export const aheadMinutes = 1440;
/** Requests of one worker in a minute: 100,000 a second, several times what an Envoy worker can proxy. */
export const workerMinuteMost = 6_000_000;
/** Requests of one gateway in a minute, whatever its number of workers. */
export const gatewayMinuteMost = 60_000_000;
/** Limits of one request. */
const limitsMost = 128;
/** Gateways' minutes of which sums are kept, the newest. */
const sumsMost = 100_000;

export type UsageFault = "api" | "minute" | "count";

export interface ScopedEntries {
  taken: UsageEntry[];
  refused: Record<UsageFault, number>;
  /** what was taken says was taken from limits */
  cost: number;
}

const admitted = 0;
const cost = 1;
const overshoot = 2;
const shadowed = 3;
const local = 4;
const refusedFrom = 64;

export class UsageScope {
  /** requests told so far, by gateway and minute */
  readonly #sums = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** The entries of a batch that are taken. `gateway` names it among all groups and environments. `current`: its wire ids are of this epoch. */
  entries(
    catalog: Catalog,
    current: boolean,
    view: View,
    gateway: string,
    entries: readonly UsageEntry[],
  ): ScopedEntries {
    const scoped: ScopedEntries = { taken: [], refused: { api: 0, minute: 0, count: 0 }, cost: 0 };
    const nowMinute = Math.floor(this.#now() / 60_000);
    for (const entry of entries) {
      const known = current ? catalog.api(entry.api) : undefined;
      const fault =
        known !== undefined && !view.sees(known.api.id)
          ? "api"
          : this.#fault(entry, known?.maxCost ?? catalog.maxCost, gateway, nowMinute);
      if (fault !== undefined) {
        scoped.refused[fault]++;
        continue;
      }
      scoped.taken.push(known === undefined ? withoutWireIds(entry, current && entry.api !== 0) : entry);
      for (const [metric, count] of entry.counts) if (metric === cost) scoped.cost += count;
    }
    return scoped;
  }

  #fault({ minute, counts }: UsageEntry, maxCost: number, gateway: string, nowMinute: number): UsageFault | undefined {
    if (minute > nowMinute + aheadMinutes || minute < nowMinute - oldestMinutes) return "minute";
    const sums = new Map<number, number>();
    for (const [metric, count] of counts) sums.set(metric, (sums.get(metric) ?? 0) + count);
    const of = (metric: number): number => sums.get(metric) ?? 0;
    const most = (metric: number): number => {
      if (metric === cost) return of(admitted) * maxCost;
      if (metric === overshoot || metric === local) return of(admitted);
      return metric === shadowed ? workerMinuteMost * limitsMost : workerMinuteMost;
    };
    for (const [metric, count] of sums) if (count > most(metric)) return "count";
    const requests = [...sums].reduce(
      (sum, [metric, count]) => (metric === admitted || metric >= refusedFrom ? sum + count : sum),
      0,
    );
    return this.#fits(`${gateway} ${minute}`, requests) ? undefined : "count";
  }

  /** Adds to what a gateway has told of a minute, if that stays possible. */
  #fits(place: string, requests: number): boolean {
    const sum = (this.#sums.get(place) ?? 0) + requests;
    if (sum > gatewayMinuteMost) return false;
    this.#sums.delete(place);
    this.#sums.set(place, sum);
    if (this.#sums.size > sumsMost) this.#sums.delete(this.#sums.keys().next().value!);
    return true;
  }
}

/**
 * Of another epoch, a wire id may stand for something else; a digest is what it always was. Of an API that isn't known, the caller still is;
 * without an API, gateways tell no consumer.
 */
function withoutWireIds({ minute, consumer, digest, counts }: UsageEntry, consumerKnown: boolean): UsageEntry {
  return { minute, api: 0, consumer: consumerKnown ? consumer : 0, digest, counts };
}
