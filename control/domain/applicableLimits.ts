/**
 * Which limits a request has (`assembly/snapshot/applicableLimits.ts` does the same in the filter): those of its tier, API, route and key; of one
 * name, the most specific. Without a caller, those that count callers are left out.
 */
import type { Api, Key, Limit, Route, Tier } from "./model.ts";
import { countsCaller } from "./subjects.ts";

/** Whose limit it is. */
export type LimitOwner =
  | { kind: "tier"; tier: string }
  | { kind: "api"; api: string }
  | { kind: "route"; api: string; route: string }
  | { kind: "key"; key: string };

export interface ApplicableLimit {
  limit: Limit;
  owner: LimitOwner;
}

/** Where a request goes and who sends it. */
export interface LimitedRequest {
  /** the caller's: the key's own or its consumer's; absent: a keyless request */
  tier?: Pick<Tier, "id" | "limits"> | undefined;
  api?: Pick<Api, "id" | "limits"> | undefined;
  route?: Route | undefined;
  key?: Pick<Key, "id" | "limits"> | undefined;
}

/** The limits of a request, each name once, in the order in which the names first appear from tier to key. */
export function applicableLimits({ tier, api, route, key }: LimitedRequest): ApplicableLimit[] {
  const byName = new Map<string, ApplicableLimit>();
  const add = (limits: readonly Limit[], owner: LimitOwner) => {
    for (const limit of limits) byName.set(limit.name, { limit, owner });
  };
  if (tier !== undefined) add(tier.limits, { kind: "tier", tier: tier.id });
  if (api !== undefined) add(api.limits, { kind: "api", api: api.id });
  if (api !== undefined && route !== undefined)
    add(route.limits, { kind: "route", api: api.id, route: routeName(route) });
  if (key !== undefined) add(key.limits, { kind: "key", key: key.id });
  const all = [...byName.values()];
  return tier === undefined && key === undefined ? all.filter(({ limit }) => !countsCaller(limit.subject)) : all;
}

/** How a route is called where people read it: its methods, if it names some, and its path. */
export function routeName({ methods, path }: Pick<Route, "methods" | "path">): string {
  return methods.length === 0 ? path : `${methods.join(",")} ${path}`;
}
