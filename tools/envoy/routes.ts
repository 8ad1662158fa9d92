import type { Api } from "../../control/domain/model.ts";
import { type HostPlace, hostsOf, placesAt, preflightMethods, withHead } from "../../control/domain/precedence.ts";
import type { ClusterOptions, EnvoyObject } from "./bootstrap.ts";

/**
 * Envoy's virtual hosts and clusters for APIs, in the order in which the filter matches (domain/precedence.ts). Envoy chooses one host and stays
 * there, so each has the routes of the hosts that cover it as well.
 */
export function routesOf(apis: readonly Api[]): { virtualHosts: EnvoyObject[]; clusters: ClusterOptions[] } {
  const virtualHosts = hostsOf(apis).map((host) => ({
    name: host,
    domains: [host],
    routes: placesAt(apis, host).flatMap(routesOfPlace),
  }));
  const clusters = new Map(
    apis.map(({ upstream }) => [
      clusterName(upstream),
      { name: clusterName(upstream), host: upstream.service, port: upstream.port },
    ]),
  );
  return { virtualHosts, clusters: [...clusters.values()] };
}

/** The APIs with what leads to them, the first match first, host by host: what a host's own APIs have no path for goes on to the next. */
export function routeMatches(apis: readonly Api[]): { host: string; api: Api; match: EnvoyObject }[] {
  return hostsOf(apis).flatMap((host) =>
    placesAt(apis, host)
      .filter((place) => place.host === host)
      .flatMap((place) => matchesOf(place).map((one) => ({ host, ...one }))),
  );
}

function routesOfPlace(place: HostPlace<Api>): EnvoyObject[] {
  const routes: EnvoyObject[] = matchesOf(place).map(({ api, match }) => ({
    match,
    route: { cluster: clusterName(api.upstream) },
  }));
  // A method that no API here takes must not fall to a shorter path: the filter refuses it, unless it only observes.
  return place.apis.length === 1
    ? routes
    : [...routes, { match: pathMatch(place.path), direct_response: { status: 405 } }];
}

/** What leads to each API of a place. The method matters where several share it alone: elsewhere the filter refuses those that the API doesn't take. */
function matchesOf({ path, apis }: HostPlace<Api>): { api: Api; match: EnvoyObject }[] {
  const only = apis.length === 1;
  return [
    // A preflight belongs to the API whose method it asks for.
    ...(only ? [] : apis)
      .filter((api) => preflightMethods(api).length > 0)
      .map((api) => ({
        api,
        match: {
          ...pathMatch(path),
          headers: [
            header(":method", ["OPTIONS"]),
            header("access-control-request-method", preflightMethods(api)),
            originHeader(api.cors!.allowOrigins),
          ],
        },
      })),
    ...apis.map((api) => ({
      api,
      match: {
        ...pathMatch(path),
        ...(only || api.methods.length === 0 ? {} : { headers: [header(":method", withHead(api.methods))] }),
      },
    })),
  ];
}

function pathMatch(path: string): EnvoyObject {
  return path === "/" ? { prefix: "/" } : { path_separated_prefix: path };
}

function header(name: string, values: readonly string[]): EnvoyObject {
  return { name, string_match: { safe_regex: { regex: values.map(literalPattern).join("|") } } };
}

/** `*` stands for at least one byte of a host's name, as for the filter. */
function originHeader(origins: readonly string[]): EnvoyObject {
  if (origins.includes("*")) return { name: "origin", string_match: { safe_regex: { regex: ".+" } } };
  return {
    name: "origin",
    string_match: {
      safe_regex: {
        regex: origins.map((origin) => origin.split("*").map(literalPattern).join("[A-Za-z0-9._-]+")).join("|"),
      },
    },
  };
}

/** A text as a regular expression (RE2) that matches it alone. */
export function literalPattern(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

function clusterName(upstream: Api["upstream"]): string {
  return `${upstream.service}:${upstream.port}`;
}
