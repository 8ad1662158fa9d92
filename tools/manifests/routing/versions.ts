/** An API's rules at one point: which requests go to which version, the most particular first. */
import { pathWithin } from "../../../control/domain/hostsAndPaths.ts";
import type { Api } from "../../../control/domain/model.ts";
import type { TrafficVersion } from "../../../control/domain/trafficSchema.ts";
import type { Point } from "./plan.ts";

export interface Rule {
  /** headers that a request must have */
  headers: Readonly<Record<string, string>>;
  /** where it goes, with shares of 100; without a version: the API's own upstream */
  targets: readonly { version?: TrafficVersion; weight: number }[];
  /** what the beginning of the path becomes */
  rewrite: { from: string; to: string } | undefined;
}

/**
 * The rules whose path is this point. What none of them takes goes on to a shorter path. So a version with a path of its own wins over
 * those of the API's path; then the one with more headers, then the one with the longer path, then the earlier one: as the Gateway API
 * orders routes, whatever the order in which they are written.
 */
export function rulesAt(point: Point): Rule[] {
  const { api, path, base } = point;
  const versions = api.traffic?.versions ?? [];
  const isBase = path === base;
  const matched = versions
    .filter(
      ({ match }) =>
        match !== undefined &&
        (match.path === path || (isBase && (match.path === undefined || pathWithin(path, match.path)))),
    )
    .sort((a, b) => headerCount(b) - headerCount(a) || (b.match!.path?.length ?? 0) - (a.match!.path?.length ?? 0))
    .map(
      (version): Rule => ({
        headers: version.match!.header ?? {},
        targets: [{ version, weight: 100 }],
        rewrite: rewriteOf(api, base, version),
      }),
    );
  const end = matched.findIndex(({ headers }) => Object.keys(headers).length === 0);
  if (end >= 0) return matched.slice(0, end + 1);
  return isBase ? [...matched, { headers: {}, targets: shares(versions), rewrite: rewriteOf(api, base) }] : matched;
}

function shares(versions: readonly TrafficVersion[]): Rule["targets"] {
  const sharing = versions.filter(({ match }) => match === undefined);
  return sharing.length === 0
    ? [{ weight: 100 }]
    : sharing.map((version) => ({ version, weight: version.weight ?? 0 }));
}

function rewriteOf(api: Api, base: string, version?: TrafficVersion): Rule["rewrite"] {
  if (version?.rewrite !== undefined) return change(version.match!.path!, version.rewrite.prefix);
  return api.traffic?.rewrite === undefined ? undefined : change(base, api.traffic.rewrite.prefix);
}

function change(from: string, to: string): Rule["rewrite"] {
  return from === to ? undefined : { from, to };
}

function headerCount({ match }: TrafficVersion): number {
  return Object.keys(match?.header ?? {}).length;
}
