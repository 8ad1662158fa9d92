import type { Api } from "../domain/model.ts";
import type { ClusterOptions, EnvoyObject } from "./bootstrap.ts";

/**
 * Envoy's virtual hosts and clusters for APIs, in the order in which the filter matches: the exact host, then the longest `*.suffix`,
 * then `*`; within a host the longest path, on segment borders.
 */
export function routesOf(apis: readonly Api[]): { virtualHosts: EnvoyObject[]; clusters: ClusterOptions[] } {
  const hosts = [...new Set(apis.flatMap((api) => api.hosts))].sort();
  const virtualHosts = hosts.map((host) => ({
    name: host,
    domains: [host],
    routes: hosts.filter((other) => covers(other, host)).sort(byLength).flatMap((other) => routesOfHost(apis, other)),
  }));
  const clusters = new Map(apis.map(({ upstream }) => [clusterName(upstream), { name: clusterName(upstream), host: upstream.service, port: upstream.port }]));
  return { virtualHosts, clusters: [...clusters.values()] };
}

/** The APIs with what leads to them, the first match first: exact hosts before suffixes before any; within a host the longest path. */
export function routeMatches(apis: readonly Api[]): { host: string; api: Api; match: EnvoyObject }[] {
  const hosts = [...new Set(apis.flatMap((api) => api.hosts))].sort((a, b) => Number(a.startsWith("*")) - Number(b.startsWith("*")) || byLength(a, b));
  return hosts.flatMap((host) => matchesOfHost(apis, host).map((one) => ({ host, ...one })));
}

function routesOfHost(apis: readonly Api[], host: string): EnvoyObject[] {
  return matchesOfHost(apis, host).map(({ api, match }) => ({ match, route: { cluster: clusterName(api.upstream) } }));
}

function matchesOfHost(apis: readonly Api[], host: string): { api: Api; match: EnvoyObject }[] {
  return apis
    .filter((api) => api.hosts.includes(host))
    .flatMap((api) => api.paths.map((path) => ({ path, api })))
    .sort((a, b) => byLength(a.path, b.path) || b.api.methods.length - a.api.methods.length)
    .map(({ path, api }) => ({
      api,
      match: {
        ...(path === "/" ? { prefix: "/" } : { path_separated_prefix: path }),
        ...(api.methods.length === 0 ? {} : { headers: [{ name: ":method", string_match: { safe_regex: { regex: methodPattern(api.methods) } } }] }),
      },
    }));
}

/** CORS preflights go where the API's other requests go; GET includes HEAD. */
function methodPattern(methods: readonly string[]): string {
  return [...new Set([...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"])].join("|");
}

function covers(pattern: string, host: string): boolean {
  return pattern === "*" || pattern === host || (pattern.startsWith("*.") && host.endsWith(pattern.slice(1)) && host !== pattern.slice(2));
}

function byLength(a: string, b: string): number {
  return b.length - a.length;
}

function clusterName(upstream: Api["upstream"]): string {
  return `${upstream.service}:${upstream.port}`;
}
