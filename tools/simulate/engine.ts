/**
 * Decides requests one after another as if one exact counter stood behind every limit: all limits of a request are taken or none is
 * (`assembly/request/consumeLimits.ts`). Times never go back.
 */
import { type Counter, hitAgain } from "./counters.ts";
import { Distinct } from "./distinct.ts";
import type { LoggedRequest } from "./requests.ts";
import { type Rule, Rules } from "./rules.ts";
import { Timeline } from "./timeline.ts";
import type { Place } from "../matching.ts";

/** More is in use at a time than memory holds. */
export class CapacityError extends Error {
  override name = "CapacityError";
}

export interface EngineOptions {
  /** counters beyond which those are forgotten that can't change a decision */
  countersMax: number;
  /** counters beyond which there is no memory */
  activeMax: number;
  intervalMs?: number;
}

export type Outcome = "admitted" | "limited";

export class Engine {
  readonly rules = new Rules();
  readonly timeline: Timeline;
  /** callers that were refused something */
  readonly limitedCallers = new Distinct();
  requests = 0;
  limited = 0;
  /** admitted, though a limit in shadow mode would have refused */
  shadowed = 0;
  /** that no limit applied to, or that cost nothing */
  unlimited = 0;
  /** decided without a limit per ip, since the log doesn't tell the address */
  withoutAddress = 0;
  firstMs = 0;
  lastMs = 0;
  /** Were counters forgotten, so that what limits would have been enough is only nearly right? */
  forgot = false;
  readonly #countersMax: number;
  readonly #activeMax: number;
  #counters = 0;
  #sweepAt: number;
  readonly #found: (Counter | undefined)[] = [];
  readonly #refusing: boolean[] = [];

  /** Throws a CapacityError from `decide` when `activeMax` isn't enough. */
  constructor({ countersMax, activeMax, intervalMs }: EngineOptions) {
    this.timeline = new Timeline(intervalMs);
    this.#countersMax = Math.min(countersMax, activeMax);
    this.#activeMax = activeMax;
    this.#sweepAt = this.#countersMax;
  }

  decide({ timeMs, place, caller, address, gateway }: LoggedRequest): Outcome {
    if (this.requests++ === 0) this.firstMs = timeMs;
    const nowMs = Math.max(timeMs, this.lastMs);
    this.lastMs = nowMs;
    const cost = place.route?.cost ?? 1;
    const rules = this.rules.of(place, caller);
    if (cost === 0 || rules.length === 0) {
      this.unlimited++;
      this.timeline.add(nowMs, false, false);
      return "admitted";
    }
    const found = this.#found;
    const refusing = this.#refusing;
    let refused = false;
    let shadowed = false;
    for (let index = 0; index < rules.length; index++) {
      const rule = rules[index]!;
      const counter = this.#counter(rule, place, { caller, address, gateway });
      found[index] = counter;
      refusing[index] = false;
      if (counter === undefined) continue;
      rule.requests++;
      counter.ask(rule.windows, cost, nowMs);
      if (rule.pace !== undefined) counter.pacer(gateway).ask(rule.pace, cost, nowMs);
      if (counter.hasRoom(rule.limit.limit, cost, nowMs)) continue;
      refusing[index] = true;
      this.#hit(rule, counter, false, nowMs);
      if (rule.enforced) refused = true;
      else shadowed = true;
    }
    // The pace is asked only where no window refuses.
    if (!refused) {
      for (let index = 0; index < rules.length; index++) {
        const rule = rules[index]!;
        const counter = found[index];
        if (
          counter === undefined ||
          rule.pace === undefined ||
          refusing[index]! ||
          counter.pacer(gateway).keeps(rule.pace, cost, nowMs)
        )
          continue;
        refusing[index] = true;
        this.#hit(rule, counter, true, nowMs);
        if (rule.enforced) refused = true;
        else shadowed = true;
      }
    }
    if (refused) {
      this.limited++;
      this.limitedCallers.add(caller.keySubject);
    } else {
      if (shadowed) this.shadowed++;
      this.#charge(rules, gateway, cost, nowMs);
    }
    this.timeline.add(nowMs, refused, shadowed && !refused);
    if (this.#counters > this.#sweepAt) this.#sweep(nowMs);
    return refused ? "limited" : "admitted";
  }

  #counter(
    rule: Rule,
    place: Place,
    { caller, address, gateway }: Pick<LoggedRequest, "caller" | "address" | "gateway">,
  ): Counter | undefined {
    const before = rule.counters.size;
    const counter = rule.counter(caller, place, address, gateway);
    if (counter === undefined) this.withoutAddress++;
    else this.#counters += rule.counters.size - before;
    return counter;
  }

  #charge(rules: readonly Rule[], gateway: string, cost: number, nowMs: number): void {
    for (let index = 0; index < rules.length; index++) {
      const counter = this.#found[index];
      if (counter === undefined || this.#refusing[index]!) continue;
      const rule = rules[index]!;
      counter.charge(rule.windows, cost, nowMs);
      if (rule.pace !== undefined) counter.pacer(gateway).charge(rule.pace, cost, nowMs);
    }
  }

  #hit(rule: Rule, counter: Counter, byPace: boolean, nowMs: number): void {
    counter.hit(byPace, nowMs);
    rule.hits = hitAgain(rule.hits, byPace, nowMs, 0);
  }

  #sweep(nowMs: number): void {
    this.#forget(nowMs, false);
    // So many were refused that they alone are too many: reports keep their numbers, not their names.
    if (this.#counters > this.#countersMax) this.#forget(nowMs, true);
    if (this.#counters > this.#activeMax) {
      const most = this.#activeMax.toLocaleString("en-US");
      const remedy = "replay a part (--from, --until), or give Node more (NODE_OPTIONS=--max-old-space-size=<MiB>)";
      throw new CapacityError(
        `At ${new Date(nowMs).toISOString()} more than ${most} counters are in use, which is what memory holds: ${remedy}.`,
      );
    }
    // What is active stays; looking again costs time.
    this.#sweepAt = Math.min(this.#activeMax, Math.max(this.#countersMax, this.#counters * 2));
  }

  #forget(nowMs: number, evenIfHit: boolean): void {
    const before = this.#counters;
    for (const rule of this.rules.all) rule.sweep(nowMs, evenIfHit);
    this.#counters = this.rules.all.reduce((sum, rule) => sum + rule.counters.size, 0);
    this.forgot ||= this.#counters < before;
  }
}
