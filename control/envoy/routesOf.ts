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

function routesOfHost(apis: readonly Api[], host: string): EnvoyObject[] {
  return apis
    .filter((api) => api.hosts.includes(host))
    .flatMap((api) => api.paths.map((path) => ({ path, methods: api.methods, cluster: clusterName(api.upstream) })))
    .sort((a, b) => byLength(a.path, b.path) || b.methods.length - a.methods.length)
    .map(({ path, methods, cluster }) => ({
      match: {
        ...(path === "/" ? { prefix: "/" } : { path_separated_prefix: path }),
        ...(methods.length === 0 ? {} : { headers: [{ name: ":method", string_match: { safe_regex: { regex: methodPattern(methods) } } }] }),
      },
      route: { cluster },
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
