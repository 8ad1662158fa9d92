/** Usage entries as the inbox keeps them: short, and read by later versions too. */
import type { UsageEntry } from "./model.ts";

const noRoute = -1;
type Line = [minute: number, api: number, route: number, consumer: number, digest: string, ...counts: number[]];

export function packEntries(entries: readonly UsageEntry[]): string {
  const line = ({ minute, api, route, consumer, digest, counts }: UsageEntry): Line => [
    minute,
    api,
    route ?? noRoute,
    consumer,
    digest,
    ...counts.flat(),
  ];
  return JSON.stringify(entries.map(line));
}

export function unpackEntries(text: string): UsageEntry[] {
  return (JSON.parse(text) as Line[]).map(([minute, api, route, consumer, digest, ...flat]) => {
    const counts: UsageEntry["counts"] = [];
    for (let at = 0; at + 1 < flat.length; at += 2) counts.push([flat[at]!, flat[at + 1]!]);
    return { minute, api, route: route === noRoute ? undefined : route, consumer, digest, counts };
  });
}
