/**
 * Which host and which path come first, for everything that is generated from APIs: Envoy's routes, VirtualServices, HTTPRoutes and
 * AuthorizationPolicies. It is the order in which the filter matches (`assembly/snapshot/router.ts`): the exact host, then `*.suffix` from the longest on,
 * then `*`, and the first of them that has a path at all; there the longest path, on segment borders.
 */
import { pathWithin } from "./hostsAndPaths.ts";
import type { Api } from "./model.ts";

export type Placed = Pick<Api, "hosts" | "paths">;

/** The APIs at one path of a host; several differ by method. */
export interface HostPlace<T extends Placed> {
  path: string;
  /** the host pattern whose APIs these are: the host itself, or one that covers it */
  host: string;
  apis: readonly T[];
}

/** Does this host of a definition take requests for the other one (a host, or all hosts of a pattern)? */
export function hostCovers(pattern: string, host: string): boolean {
  return (
    pattern === "*" ||
    pattern === host ||
    (pattern.startsWith("*.") && host.endsWith(pattern.slice(1)) && host.length >= pattern.length)
  );
}

/** Orders hosts: exact ones, then the longest suffix, then `*`; hosts of the same kind and length by name. */
export function compareHosts(a: string, b: string): number {
  const rank = (host: string): number => (host === "*" ? 2 : host.startsWith("*.") ? 1 : 0);
  return rank(a) - rank(b) || (rank(a) === 1 ? b.length - a.length : 0) || compareText(a, b);
}

/** Orders paths: the longest first, paths of the same length by name. */
export function comparePaths(a: string, b: string): number {
  return b.length - a.length || compareText(a, b);
}

/** All hosts that some API names, in order. */
export function hostsOf(apis: readonly Placed[]): string[] {
  return [...new Set(apis.flatMap((api) => api.hosts))].sort(compareHosts);
}

/**
 * Every path at which a request for this host belongs to an API, in order. A host whose APIs have no path for a request passes it on to the next
 * less exact one; so paths of a less exact host are there too, unless they lie below one of a more exact host, which hides them.
 */
export function placesAt<T extends Placed>(apis: readonly T[], host: string): HostPlace<T>[] {
  const places = new Map<string, { path: string; host: string; apis: T[] }>();
  for (const level of hostsOf(apis).filter((other) => hostCovers(other, host))) {
    const hiding = [...places.keys()];
    for (const api of apis.filter(({ hosts }) => hosts.includes(level))) {
      for (const path of api.paths) {
        if (hiding.some((other) => pathWithin(path, other))) continue;
        const place = places.get(path);
        if (place === undefined) places.set(path, { path, host: level, apis: [api] });
        else place.apis.push(api);
      }
    }
  }
  return [...places.values()].sort((a, b) => comparePaths(a.path, b.path));
}

/** The methods of a list, to which HEAD belongs where GET does (RFC 9110, 9.3.2). Empty: any. */
export function withHead(methods: readonly string[]): string[] {
  return [...new Set(methods.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method])))];
}

/** The methods for which a preflight of an API passes without a key, where the method decides between APIs; none without CORS. */
export function preflightMethods({ methods, cors }: Pick<Api, "methods" | "cors">): string[] {
  if (cors === undefined) return [];
  const allowed = withHead(cors.allowMethods);
  return withHead(methods).filter((method) => allowed.length === 0 || allowed.includes(method));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
