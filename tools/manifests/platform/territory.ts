/**
 * The part of an API's requests that a rule of an AuthorizationPolicy can name and that surely belongs to it: a rule that denies must never
 * reach a request that the filter gives to another API. Where the two can't be told apart the rule leaves the request to the filter.
 */
import { pathWithin } from "../../../control/domain/hostsAndPaths.ts";
import type { Api } from "../../../control/domain/model.ts";
import {
  type HostPlace,
  compareHosts,
  hostCovers,
  hostsOf,
  placesAt,
  withHead,
} from "../../../control/domain/precedence.ts";
import { sorted } from "./names.ts";

export interface Operation {
  hosts?: string[];
  notHosts?: string[];
  paths?: string[];
  notPaths?: string[];
  methods?: string[];
  notMethods?: string[];
}

/**
 * The operations that are the API's, host by host and path by path in the filter's order; those that differ in their host or their path alone
 * together. Empty: nothing surely belongs to it. Hosts are compared without a port: Envoy takes it away before (hosts.ts).
 */
export function territory(api: Api, apis: readonly Api[]): Operation[] {
  const hosts = hostsOf(apis);
  const groups = new Map<string, Required<Pick<Operation, "hosts" | "paths">> & Operation>();
  for (const host of hosts.filter((one) => api.hosts.some((own) => hostCovers(own, one)))) {
    const notHosts = hosts.filter(
      (other) => other !== host && compareHosts(other, host) < 0 && hostCovers(host, other),
    );
    const places = placesAt(apis, host);
    for (const place of places.filter((one) => one.apis.includes(api))) {
      const others = places
        .filter(
          (other) =>
            other.path !== place.path &&
            pathWithin(other.path, place.path) &&
            other.apis.some((rival) => rival !== api),
        )
        .map(({ path }) => path);
      const methods = methodsOf(api, place);
      if (methods === undefined) continue;
      const rest = { notHosts, notPaths: others, ...methods };
      const key = JSON.stringify([host, rest]);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { hosts: [host], paths: [place.path], ...rest });
      else group.paths.push(place.path);
    }
  }
  return joinHosts([...groups.values()]).map(operationOf);
}

/** A preflight carries no key and no token, and passes where the API allows it. Undefined: no method is surely the API's. */
function methodsOf(api: Api, { apis }: HostPlace<Api>): Pick<Operation, "notMethods"> | undefined {
  const preflights = apis.some(({ cors }) => cors !== undefined) ? ["OPTIONS"] : [];
  const rivals = apis.filter((other) => other !== api);
  if (rivals.some(({ methods }) => methods.length === 0)) return undefined;
  // All but what others take: the filter refuses the rest, and `post`, which is none of theirs, may be POST to the upstream.
  const notMethods = sorted([...new Set([...rivals.flatMap(({ methods }) => withHead(methods)), ...preflights])]);
  return notMethods.length === 0 ? {} : { notMethods };
}

type Group = Required<Pick<Operation, "hosts" | "paths">> & Operation;

/** Groups that differ in their hosts alone become one, unless one of them is any host. */
function joinHosts(groups: readonly Group[]): Group[] {
  const joined = new Map<string, Group>();
  for (const group of groups) {
    const { hosts, ...rest } = group;
    const key = JSON.stringify([hosts.includes("*"), rest]);
    const same = joined.get(key);
    if (same === undefined) joined.set(key, { ...group });
    else same.hosts = [...same.hosts, ...hosts];
  }
  return [...joined.values()];
}

function operationOf({ hosts, notHosts = [], paths, notPaths = [], notMethods }: Group): Operation {
  return {
    ...(hosts.includes("*") ? {} : { hosts: hostForms(sorted(hosts)) }),
    ...(notHosts.length === 0 ? {} : { notHosts: hostForms(sorted(notHosts)) }),
    ...(paths.includes("/") ? {} : { paths: pathForms(paths) }),
    ...(notPaths.length === 0 ? {} : { notPaths: pathForms(sorted(notPaths)) }),
    ...(notMethods === undefined ? {} : { notMethods }),
  };
}

/** Should Envoy's setting be missing, a host may come with a port; of `*.example.com` that can't be said. */
function hostForms(hosts: readonly string[]): string[] {
  return hosts.flatMap((host) => (host.startsWith("*") ? [host] : [host, `${host}:*`]));
}

/** A prefix that ends on a segment's border. */
export function pathForms(paths: readonly string[]): string[] {
  return sorted(paths).flatMap((path) => (path === "/" ? ["/*"] : [path, `${path}/*`]));
}
