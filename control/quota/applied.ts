/** Which limits count a key or a consumer, where they do, and by which counters. */
import type { CounterRef } from "../counters/model.ts";
import { applicableLimits, type LimitOwner, routeName } from "../domain/applicableLimits.ts";
import type { Limit } from "../domain/model.ts";
import { countsCaller, countsKey, routeKeys, subjectParts, subjectText } from "../domain/subjects.ts";
import type { FeedApi, FeedLimit } from "../store/feedSource.ts";
import { shapeOf } from "../counters/limitShape.ts";
import type { Caller, QuotaFacts } from "./facts.ts";

/** A limit with one subject, which is the key's or the consumer's. */
export interface AppliedLimit {
  limit: Limit;
  owner: LimitOwner;
  /** what it's counted by; absent: each gateway counts for itself */
  counter?: CounterRef;
  /** of a limit that counts by API, or by route, the API */
  countsApi?: string;
  /** of a limit that counts by route, the route; "": no route of the API */
  countsRoute?: string;
  /** ids of the APIs at which it applies to the key, or to some key of the consumer */
  apis: string[];
  /** where it applies, to whom, as `placeText` writes it: what is counted against it */
  places: Set<string>;
  /** keys of the consumer that have their own limit in place of this one */
  except: string[];
}

/** A place where a limit applies, by the names under which usage is counted. "": no route of the API. */
export function placeText(tier: string, api: string, route: string): string {
  return `${tier}\n${api}\n${route}`;
}

/** Limits that count the key, its consumer, or its consumer at an API; or, without a key, the last two. In the order of their names. */
export function appliedLimits(facts: QuotaFacts): AppliedLimit[] {
  const wireIds = new Map<Limit, number>();
  const note = (limits: readonly FeedLimit[] | undefined) =>
    limits?.forEach(({ limit, wireId }) => wireIds.set(limit, wireId));
  for (const { limits } of [...facts.apis, ...facts.tiers]) note(limits);
  for (const { limited } of facts.callers) note(limited?.limits);

  const applied = new Map<string, AppliedLimit>();
  for (const caller of facts.callers) {
    const own = facts.self === undefined || facts.self === caller;
    for (const { place, api, route, routeKey, found } of placesOf(facts, caller)) {
      for (const { limit, owner } of found) {
        // Those of other keys of the consumer only matter for what is counted against the limits of this one.
        const { subject } = limit;
        if (subject === "ip" || !countsCaller(subject) || (countsKey(subject) && (facts.key === undefined || !own)))
          continue;
        const wireId = wireIds.get(limit)!;
        const parts = subjectParts(subject);
        const perRoute = parts.includes("route");
        const perApi = perRoute || parts.includes("api");
        const id = [wireId, ...(perApi ? [api.wireId] : []), ...(perRoute ? [routeKey] : [])].join(" ");
        let one = applied.get(id);
        if (one === undefined) {
          const counter = {
            limit: shapeOf({ wireId, limit }),
            subject: subjectText(subject, {
              digest: facts.key?.digest,
              consumer: facts.consumer.wireId,
              api: api.wireId,
              routeKey,
            }),
          };
          one = { limit, owner, apis: [], places: new Set(), except: [] };
          if (limit.enforcement === "global") one.counter = counter;
          if (perApi) one.countsApi = api.api.id;
          if (perRoute) one.countsRoute = route;
          applied.set(id, one);
        }
        if (own && !one.apis.includes(api.api.id)) one.apis.push(api.api.id);
        one.places.add(place);
      }
    }
  }
  const limited = facts.callers.flatMap(({ limited: key }) => (key === undefined ? [] : [key]));
  for (const one of applied.values()) {
    if (one.owner.kind === "key" || countsKey(one.limit.subject)) continue;
    one.except = limited
      .filter((key) => key.limits!.some(({ limit }) => limit.name === one.limit.name))
      .map(({ id }) => id);
  }
  // Those that apply to other keys of the consumer alone are left out.
  const own = [...applied.values()].filter(({ apis }) => apis.length > 0);
  return own.sort(
    (a, b) =>
      compare(a.limit.name, b.limit.name) ||
      compare(a.countsApi ?? "", b.countsApi ?? "") ||
      compare(a.countsRoute ?? "", b.countsRoute ?? ""),
  );
}

interface AppliedPlace {
  place: string;
  api: FeedApi;
  /** as `routeName` calls it; "": no route of the API */
  route: string;
  /** 0: no route of the API */
  routeKey: number;
  found: ReturnType<typeof applicableLimits>;
}

/** Each place that the caller may use, with the limits there. */
function* placesOf(facts: QuotaFacts, caller: Caller): Generator<AppliedPlace> {
  const tier = facts.tiers.find(({ wireId }) => wireId === (caller.tier ?? facts.consumer.tierWireId));
  if (tier === undefined) return;
  const key =
    caller.limited === undefined
      ? undefined
      : { id: caller.limited.id, limits: caller.limited.limits!.map(({ limit }) => limit) };
  for (const api of facts.apis) {
    const allowed = [tier.apiWireIds, caller.apis].every((ids) => ids === undefined || ids.includes(api.wireId));
    if (!allowed || api.api.auth.mode === "none") continue;
    const keys = [0, ...routeKeys(api.api.routes)];
    for (const [index, route] of [undefined, ...api.api.routes].entries()) {
      const name = route === undefined ? "" : routeName(route);
      yield {
        place: placeText(tier.tier.id, api.api.id, name),
        api,
        route: name,
        routeKey: keys[index]!,
        found: applicableLimits({ tier: tier.tier, api: api.api, route, key }),
      };
    }
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
