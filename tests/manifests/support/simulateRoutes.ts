/** Which upstream a request gets by the routes that were made: Istio's and the Gateway API's rules for choosing, in a few lines each. */
import type { ManifestFile } from "../../../tools/manifests/model.ts";

export interface Asked {
  host: string;
  path: string;
  method: string;
  headers: Readonly<Record<string, string>>;
  /** the server name of the TLS connection; absent: plain HTTP */
  sni?: string;
}

/** Hosts of the upstreams that may get it, with their shares; or a status that the gateway answers with. */
export type Outcome = { upstreams: string[]; weights: number[] } | { status: number };

type Fields = Record<string, any>;

const objectsOf = (files: readonly ManifestFile[], kind: string): Fields[] =>
  files
    .flatMap(({ documents }) => documents.map(({ object }) => object as Fields))
    .filter((object) => object["kind"] === kind);

/** The most particular of the hosts that take the name, as Envoy chooses a virtual host: it never looks at another one. */
function virtualHost(hosts: readonly string[], name: string): string | undefined {
  if (hosts.includes(name)) return name;
  const suffixes = hosts
    .filter((host) => host.startsWith("*.") && name.endsWith(host.slice(1)))
    .sort((a, b) => b.length - a.length);
  return suffixes[0] ?? hosts.find((host) => host === "*");
}

/**
 * Gateways, VirtualServices and what they delegate to, as istiod makes Envoy's virtual hosts of them (pilot/pkg/networking/core/gateway.go): a
 * host has the routes of every VirtualService that shares it with the server, one after the other. `reverse`: in the other order, of
 * which istiod says nothing.
 */
export function byVirtualServices(files: readonly ManifestFile[], asked: Asked, reverse = false): Outcome {
  const services = objectsOf(files, "VirtualService");
  const roots = services.filter(({ spec }) => spec.hosts !== undefined);
  const hosts = new Map<string, { rules: Fields[]; redirect: boolean }>();
  for (const { gateway, server } of serversFor(files, asked)) {
    const name = `${gateway["metadata"].namespace}/${gateway["metadata"].name}`;
    for (const { spec } of reverse ? [...roots].reverse() : roots) {
      if (!spec.gateways.includes(name)) continue;
      for (const host of new Set(
        (server["hosts"] as string[]).flatMap((one) => (spec.hosts as string[]).flatMap((other) => common(one, other))),
      )) {
        const known = hosts.get(host) ?? { rules: [], redirect: false };
        hosts.set(host, {
          rules: [...known.rules, ...spec.http],
          redirect: known.redirect || server["tls"]?.httpsRedirect === true,
        });
      }
    }
  }
  const host = virtualHost([...hosts.keys()], asked.host);
  if (host === undefined) return { status: 404 };
  if (hosts.get(host)!.redirect) return { status: 301 };
  for (const rule of hosts.get(host)!.rules) {
    if (!(rule["match"] as Fields[]).some((match) => istioMatches(match, asked))) continue;
    if (rule["directResponse"] !== undefined) return { status: rule["directResponse"].status };
    const delegate = services.find(
      ({ metadata, spec }) =>
        spec.hosts === undefined &&
        metadata.name === rule["delegate"].name &&
        metadata.namespace === rule["delegate"].namespace,
    )!;
    // What a delegate doesn't take goes on: istiod puts its rules in place of the root's.
    const inner = (delegate["spec"].http as Fields[]).find(
      ({ match }) => match === undefined || match.some((one: Fields) => istioMatches(one, asked)),
    );
    if (inner !== undefined)
      return {
        upstreams: inner["route"].map(({ destination }: Fields) => destination.host),
        weights: inner["route"].map(({ weight }: Fields) => weight ?? 100),
      };
  }
  return { status: 404 };
}

/** All servers of port 80 together; of port 443 the one whose host is nearest to the connection's server name. */
function serversFor(files: readonly ManifestFile[], { sni }: Asked): { gateway: Fields; server: Fields }[] {
  const servers = objectsOf(files, "Gateway").flatMap((gateway) =>
    (gateway["spec"].servers as Fields[]).map((server) => ({ gateway, server })),
  );
  if (sni === undefined) return servers.filter(({ server }) => server["port"].number === 80);
  const secured = servers.filter(({ server }) => server["port"].number === 443);
  const host = virtualHost(
    secured.flatMap(({ server }) => server["hosts"] as string[]),
    sni,
  );
  return secured.filter(({ server }) => server["hosts"].includes(host));
}

/** What two hosts both take. */
function common(a: string, b: string): string[] {
  const within = (one: string, wide: string): boolean =>
    wide === "*" || one === wide || (wide.startsWith("*.") && one !== "*" && one.endsWith(wide.slice(1)));
  return within(a, b) ? [a] : within(b, a) ? [b] : [];
}

function istioMatches(match: Fields, { path, method, headers }: Asked): boolean {
  const text = (rule: Fields | undefined, value: string | undefined): boolean => {
    if (rule === undefined) return true;
    if (value === undefined) return false;
    if (rule["exact"] !== undefined) return rule["exact"] === value;
    if (rule["prefix"] !== undefined) return value.startsWith(rule["prefix"]);
    return new RegExp(`^(?:${rule["regex"]})$`).test(value);
  };
  return (
    text(match["uri"], path) &&
    text(match["method"], method) &&
    Object.entries((match["headers"] ?? {}) as Record<string, Fields>).every(([name, rule]) =>
      text(rule, headers[name]),
    )
  );
}

/** HTTPRoutes, by the precedence that the Gateway API demands: path, method, headers. */
export function byHttpRoutes(files: readonly ManifestFile[], asked: Asked): Outcome {
  const listeners = objectsOf(files, "Gateway")
    .flatMap(({ spec }) => spec.listeners as Fields[])
    .filter(({ port }) => port === (asked.sni === undefined ? 80 : 443));
  const hostOf = (listener: Fields): string => listener["hostname"] ?? "*";
  const listener = listeners.find((one) => hostOf(one) === virtualHost(listeners.map(hostOf), asked.sni ?? asked.host));
  // Requests for the host of another listener are none of this one's.
  if (listener === undefined || virtualHost(listeners.map(hostOf), asked.host) !== hostOf(listener))
    return { status: 404 };
  const routes = objectsOf(files, "HTTPRoute").filter(({ spec }) =>
    spec.parentRefs.some(({ sectionName }: Fields) => sectionName === listener["name"]),
  );
  const hostsOf = ({ spec }: Fields): string[] => spec.hostnames ?? ["*"];
  const host = virtualHost(routes.flatMap(hostsOf), asked.host);
  const candidates = routes
    .filter((route) => host !== undefined && hostsOf(route).includes(host))
    .flatMap(({ spec }) =>
      (spec.rules as Fields[]).flatMap((rule) =>
        ((rule["matches"] ?? [{ path: { value: "/" } }]) as Fields[]).map((match) => ({ rule, match })),
      ),
    )
    .filter(({ match }) => routeMatches(match, asked))
    .sort(
      (a, b) =>
        b.match["path"].value.length - a.match["path"].value.length ||
        Number(b.match["method"] !== undefined) - Number(a.match["method"] !== undefined) ||
        (b.match["headers"] ?? []).length - (a.match["headers"] ?? []).length,
    );
  if (candidates[0] === undefined) return { status: 404 };
  if (candidates[0].rule["backendRefs"] === undefined) return { status: 301 };
  const refs = candidates[0].rule["backendRefs"] as Fields[];
  return {
    upstreams: refs.map(({ name, namespace }) =>
      namespace === undefined ? name : `${name}.${namespace}.svc.cluster.local`,
    ),
    weights: refs.map(({ weight }) => weight ?? 100),
  };
}

function routeMatches(match: Fields, { path, method, headers }: Asked): boolean {
  const prefix = match["path"].value as string;
  const within = prefix === "/" || path === prefix || path.startsWith(`${prefix}/`);
  return (
    within &&
    (match["method"] === undefined || match["method"] === method) &&
    ((match["headers"] ?? []) as Fields[]).every(({ name, value }) => headers[name] === value)
  );
}
