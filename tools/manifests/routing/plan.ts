/**
 * Which API gets a request, as places in order: what both kinds of routes are made of, so that both give the winner that the filter
 * finds (domain/precedence.ts). Envoy chooses one host and stays there, so each has the places of the hosts that cover it as well.
 */
import { pathWithin } from "../../../control/domain/hostsAndPaths.ts";
import type { Api } from "../../../control/domain/model.ts";
import { comparePaths, hostsOf, placesAt } from "../../../control/domain/precedence.ts";
import { ManifestError } from "../model.ts";

/** A path at which an API has routes: one of its own paths, or that of a version. */
export interface Point {
  api: Api;
  path: string;
  /** the API's path that `path` is in; the same but for a version's */
  base: string;
  /** at the path of a version: a preflight alone, which the rules of `base` take, so that the version's API doesn't get it */
  preflight?: true;
}

/** All points of a path; several when APIs share it by their methods. */
export interface Place {
  path: string;
  points: readonly Point[];
  /** whether the method decides here: APIs share the path, or the one that a version's path is in */
  shared: boolean;
}

export interface HostPlan {
  host: string;
  /** the longest path first */
  places: readonly Place[];
}

/** Plans every host that some API names. Throws a ManifestError when a version's path can't be reached. */
export function planHosts(apis: readonly Api[]): HostPlan[] {
  const plans = hostsOf(apis).map((host) => ({ host, places: placesOf(apis, host) }));
  for (const api of apis) checkVersionPaths(api, plans);
  return plans;
}

/** Hosts with the same places, in the order of their first. */
export function groupHosts<T extends HostPlan>(
  plans: readonly T[],
  also: (plan: T) => string = () => "",
): { hosts: string[]; plan: T }[] {
  const groups = new Map<string, { hosts: string[]; plan: T }>();
  for (const plan of plans) {
    const key = JSON.stringify([
      also(plan),
      plan.places.map(({ path, points }) => [path, points.map(({ api, preflight }) => [api.id, preflight])]),
    ]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { hosts: [plan.host], plan });
    else group.hosts.push(plan.host);
  }
  return [...groups.values()];
}

function placesOf(apis: readonly Api[], host: string): Place[] {
  const places = new Map(
    placesAt(apis, host).map((place) => [
      place.path,
      place.apis.map((api): Point => ({ api, path: place.path, base: place.path })),
    ]),
  );
  const bases = [...places.keys()];
  for (const { api, path } of apis.flatMap((api) => versionPaths(api).map((path) => ({ api, path })))) {
    const base = bases.find((other) => pathWithin(path, other));
    if (base !== undefined && places.get(base)!.some((point) => point.api === api))
      add(places, path, { api, path, base });
  }
  for (const [path, points] of places) {
    const { base } = points[0]!;
    const sharers = places.get(base)!;
    if (path === base || sharers.length === 1) continue;
    points.push(
      ...sharers
        .filter(({ api }) => api.cors !== undefined)
        .map(({ api }): Point => ({ api, path, base, preflight: true })),
    );
  }
  const shared = ({ path, base }: Point): boolean => places.get(path)!.length > 1 || places.get(base)!.length > 1;
  return [...places]
    .map(([path, points]) => ({ path, points, shared: points.some(shared) }))
    .sort((a, b) => comparePaths(a.path, b.path));
}

/** Paths of versions that aren't the API's own. */
function versionPaths(api: Api): string[] {
  const paths = new Set(
    (api.traffic?.versions ?? []).flatMap(({ match }) => (match?.path === undefined ? [] : [match.path])),
  );
  return [...paths].filter((path) => !api.paths.includes(path));
}

function checkVersionPaths(api: Api, plans: readonly HostPlan[]): void {
  const reached = new Set(
    plans.flatMap(({ places }) =>
      places.flatMap(({ points }) =>
        points.filter((point) => point.api === api && point.preflight === undefined).map(({ path }) => path),
      ),
    ),
  );
  api.traffic?.versions?.forEach(({ match }, index) => {
    if (match?.path === undefined || reached.has(match.path)) return;
    throw new ManifestError(
      `API \`${api.id}\`: traffic.versions[${index}].match.path \`${match.path}\` belongs to another API, whose path is the longer one. Choose a path that is this API's.`,
    );
  });
}

function add(places: Map<string, Point[]>, path: string, point: Point): void {
  const points = places.get(path);
  if (points === undefined) places.set(path, [point]);
  else points.push(point);
}
