/** The limits of the file, each with its counters, and which of them a request has. */
import type { LimitShape } from "../../control/counters/model.ts";
import type { SubjectPart } from "../../protocol/enums.ts";
import { applicableLimits, type LimitOwner, routeName } from "../../control/domain/applicableLimits.ts";
import { countsCaller, subjectParts } from "../../control/domain/subjects.ts";
import type { Place } from "../matching.ts";
import type { Limit, Tier } from "../../control/domain/model.ts";
import { parsePeriod } from "../../control/domain/period.ts";
import type { Caller, KeyFacts } from "./callers.ts";
import { Counter, type Hits, Windows } from "./counters.ts";
import { type Pace, paceOf } from "./pacing.ts";
import { Peaks } from "./peaks.ts";

/** What is left of callers whose counters were forgotten to bound the memory. */
export interface Forgotten {
  peaks: Peaks;
  bursts: Peaks;
  /** callers that had been refused, as far as one knows */
  callersHit: number;
  hits: number;
  paced: number;
}

export class Rule {
  readonly limit: Limit;
  readonly owner: LimitOwner;
  readonly windows: Windows;
  readonly pace: Pace | undefined;
  readonly enforced: boolean;
  readonly counters = new Map<string, Counter>();
  readonly forgotten: Forgotten = { peaks: new Peaks(), bursts: new Peaks(), callersHit: 0, hits: 0, paced: 0 };
  /** requests that it applied to */
  requests = 0;
  hits: Hits | undefined;
  readonly #countsCallers: boolean;
  readonly #countsRoutes: boolean;
  readonly #parts: readonly SubjectPart[];

  constructor(index: number, limit: Limit, owner: LimitOwner) {
    this.limit = limit;
    this.owner = owner;
    this.windows = new Windows(shapeOf(index + 1, limit));
    this.pace = limit.smoothing === undefined ? undefined : paceOf(limit.smoothing);
    this.enforced = limit.mode === "enforce";
    this.#parts = subjectParts(limit.subject);
    this.#countsCallers = countsCaller(limit.subject);
    this.#countsRoutes = this.#parts.includes("route");
  }

  /** The counter of a subject. `undefined`: the log doesn't tell the address that it counts by. */
  counter(
    caller: Caller,
    { api: { id: api }, route }: Place,
    address: string | undefined,
    gateway: string,
  ): Counter | undefined {
    const routeText = this.#countsRoutes && route !== undefined ? routeName(route) : "";
    const subject = this.#subject(caller, api, routeText, address);
    if (subject === undefined) return undefined;
    const apart = gateway !== "" && this.limit.enforcement === "gateway";
    const name = apart ? `${subject} at ${gateway}` : subject;
    let counter = this.counters.get(name);
    if (counter === undefined) {
      counter = new Counter(this.#countsCallers ? caller : undefined, api, routeText, name, apart ? gateway : "");
      this.counters.set(name, counter);
    }
    return counter;
  }

  /** `undefined`: the log doesn't tell the address. */
  #subject(caller: Caller, api: string, route: string, address: string | undefined): string | undefined {
    let text: string | undefined;
    for (const part of this.#parts) {
      const value =
        part === "key"
          ? caller.keySubject
          : part === "consumer"
            ? caller.consumerSubject
            : part === "api"
              ? api
              : part === "route"
                ? `${api} ${route}`
                : address;
      if (value === undefined) return undefined;
      text = text === undefined ? value : `${text} ${value}`;
    }
    return text;
  }

  /** Forgets counters that can't change a decision any more. */
  sweep(nowMs: number, evenIfHit: boolean): void {
    for (const [name, counter] of this.counters) {
      if (counter.isActive(nowMs) || (counter.hits !== undefined && !evenIfHit)) continue;
      this.forgotten.peaks.add(counter.peak);
      if (this.pace !== undefined) this.forgotten.bursts.add(counter.burst(this.pace));
      if (counter.hits !== undefined) {
        this.forgotten.callersHit++;
        this.forgotten.hits += counter.hits.count;
        this.forgotten.paced += counter.hits.paced;
      }
      this.counters.delete(name);
    }
  }
}

function shapeOf(wireId: number, limit: Limit): LimitShape {
  const period = limit.period === undefined ? undefined : parsePeriod(limit.period);
  return {
    wireId,
    kind: limit.kind,
    limit: limit.limit,
    windowSeconds: limit.windowSeconds ?? (period !== undefined && "seconds" in period ? period.seconds : 0),
    period: period !== undefined && "named" in period ? period.named : "none",
    firstUse: limit.anchor === "firstUse",
  };
}

const nobodysTier = { id: "", limits: [] };

/** Gives each request its limits. */
export class Rules {
  readonly all: Rule[] = [];
  readonly #byLimit = new Map<Limit, Rule>();
  /** by the key, where it has limits of its own, then by tier and place */
  readonly #lists = new Map<KeyFacts | undefined, Map<Tier | undefined, Map<Place, readonly Rule[]>>>();

  /** The limits of a request, merged by name. Each list is made once. */
  of(place: Place, caller: Caller): readonly Rule[] {
    const keyless = place.api.auth.mode === "none";
    const key = keyless || caller.key === undefined || caller.key.key.limits.length === 0 ? undefined : caller.key;
    const tier = keyless ? undefined : caller.tier;
    const places = child(child(this.#lists, key), tier);
    let rules = places.get(place);
    if (rules === undefined) {
      rules = this.#merge(place, tier, key, keyless);
      places.set(place, rules);
    }
    return rules;
  }

  #merge({ api, route }: Place, tier: Tier | undefined, key: KeyFacts | undefined, keyless: boolean): Rule[] {
    // A caller whose tier isn't known is a caller all the same.
    const rights = keyless ? {} : { tier: tier ?? nobodysTier, key: key?.key };
    return applicableLimits({ api, route, ...rights }).map(({ limit, owner }) => this.#rule(limit, owner));
  }

  #rule(limit: Limit, owner: LimitOwner): Rule {
    let rule = this.#byLimit.get(limit);
    if (rule === undefined) {
      rule = new Rule(this.all.length, limit, owner);
      this.all.push(rule);
      this.#byLimit.set(limit, rule);
    }
    return rule;
  }
}

function child<K, L, V>(maps: Map<K, Map<L, V>>, key: K): Map<L, V> {
  let map = maps.get(key);
  if (map === undefined) maps.set(key, (map = new Map()));
  return map;
}
