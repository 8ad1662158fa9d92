/** Limits, and what changes about them, in words. */
import { type LimitOwner, routeName } from "./applicableLimits.ts";
import type { Api, Key, Limit, Tier } from "./model.ts";

const lengths: Record<number, string> = { 1: "second", 60: "minute", 3600: "hour", 86_400: "day" };

/** Such as `60 per minute by key`, `1000 per day by consumer, shadow`. */
export function limitText(limit: Limit): string {
  const { windowSeconds = 0, period = "" } = limit;
  const per = limit.kind === "rate" ? (lengths[windowSeconds] ?? `${windowSeconds} s`) : period;
  const more = [
    limit.anchor === "firstUse" ? "from the first use" : undefined,
    limit.enforcement === "gateway" ? "in each gateway" : undefined,
    limit.smoothing === undefined
      ? undefined
      : `paced at ${limit.smoothing.perSecond} per second, burst ${limit.smoothing.burst}`,
    limit.mode === "shadow" ? "shadow" : undefined,
  ];
  return [`${limit.limit} per ${per} by ${limit.subject}`, ...more.filter((word) => word !== undefined)].join(", ");
}

/** `tier bronze`, `route POST /search of echo`. */
export function ownerText(owner: LimitOwner): string {
  switch (owner.kind) {
    case "tier":
      return `tier ${owner.tier}`;
    case "api":
      return `api ${owner.api}`;
    case "route":
      return `route ${owner.route} of ${owner.api}`;
    case "key":
      return `key ${owner.key}`;
  }
}

/** What becomes of a record's limits, one line each: `+` added, `-` removed, `~` changed. */
export function limitChanges(before: Api | Tier | Key, after: Api | Tier | Key): string[] {
  const [old, now] = [limitsByName(before), limitsByName(after)];
  const names = [...new Set([...old.keys(), ...now.keys()])];
  return names.flatMap((name) => {
    const [from, to] = [old.get(name), now.get(name)];
    if (from === to) return [];
    if (from === undefined) return [`+ ${name}: ${to}`];
    return [to === undefined ? `- ${name}: ${from}` : `~ ${name}: ${from} → ${to}`];
  });
}

/** A route's limits carry its name. */
function limitsByName(record: Api | Tier | Key): Map<string, string> {
  const texts = new Map(record.limits.map((limit) => [limit.name, limitText(limit)]));
  for (const route of "routes" in record ? record.routes : []) {
    for (const limit of route.limits) texts.set(`${routeName(route)} ${limit.name}`, limitText(limit));
  }
  return texts;
}
