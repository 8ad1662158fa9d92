/** An API's HTTPRoutes: the Gateway API itself prefers the longer path, then the named method, then more headers, across all routes. */
import type { Api, Cors } from "../../../control/domain/model.ts";
import type { HeaderChanges, Traffic } from "../../../control/domain/trafficSchema.ts";
import { type KubernetesObject, type ManifestDocument, ManifestError, type ManifestOptions } from "../model.ts";
import { delegatesOf } from "./delegates.ts";
import { type Destination, destinationOf } from "./destination.ts";
import { duration } from "./duration.ts";
import { askedMethodHeader, corsMethods, methodsOf } from "./methods.ts";
import { objectName, ownLabels } from "./names.ts";
import type { HostPlan, Point } from "./plan.ts";
import { type Rule, rulesAt } from "./versions.ts";

/** What an HTTPRoute may hold at most. */
const maxHostnames = 16;
const maxRules = 16;
const maxRuleMatches = 64;
const maxMatches = 128;

interface HttpRouteRule {
  matches: object[];
  filters?: object[];
  backendRefs: object[];
  timeouts?: object;
}

/** Hosts at which an API has the same paths, and the listeners that serve them. */
interface Surface {
  /** empty: any host */
  hostnames: string[];
  sections: readonly string[];
  points: readonly Point[];
  /** paths at which the method decides between APIs */
  shared: ReadonlySet<string>;
}

export function httpRoutes(
  api: Api,
  plans: readonly HostPlan[],
  sectionsOf: (host: string) => readonly string[],
  options: ManifestOptions,
): ManifestDocument[] {
  const documents: ManifestDocument[] = [];
  for (const surface of surfacesOf(api, plans, sectionsOf)) {
    for (const rules of packed(rulesOf(api, surface))) {
      for (const hostnames of surface.hostnames.length === 0 ? [[]] : chunks(surface.hostnames, maxHostnames)) {
        documents.push(httpRoute(objectName(api, documents.length), hostnames, surface.sections, rules, api, options));
      }
    }
  }
  return documents;
}

function surfacesOf(api: Api, plans: readonly HostPlan[], sectionsOf: (host: string) => readonly string[]): Surface[] {
  const surfaces = new Map<string, Surface>();
  for (const { host, places } of plans) {
    const own = places.filter(({ points }) => points.some((point) => point.api === api));
    if (own.length === 0) continue;
    const sections = sectionsOf(host);
    const shared = own.filter((place) => place.shared).map(({ path }) => path);
    const key = JSON.stringify([host === "*", sections, own.map(({ path }) => path), shared]);
    const surface = surfaces.get(key);
    if (surface !== undefined) surface.hostnames.push(host);
    else {
      const points = own.flatMap((place) => place.points.filter((point) => point.api === api));
      surfaces.set(key, { hostnames: host === "*" ? [] : [host], sections, points, shared: new Set(shared) });
    }
  }
  return [...surfaces.values()];
}

/** A match, and its path. */
type Matched = readonly [path: string, match: object];

function rulesOf(api: Api, { points, shared }: Surface): HttpRouteRule[] {
  const ordinary = delegatesOf(api, points).flatMap(({ paths, rules }) =>
    rules.flatMap((rule) =>
      routeRules(
        api,
        rule,
        paths.flatMap((path) => matchesOf(api, path, rule, shared.has(path)).map((match): Matched => [path, match])),
      ),
    ),
  );
  const preflights = points.flatMap((point) => {
    if (point.preflight === undefined) return [];
    // A preflight has none of the headers by which versions are chosen: the last rule takes it.
    return routeRules(
      api,
      rulesAt({ api, path: point.base, base: point.base }).at(-1)!,
      preflightMatches(api, point.path).map((match): Matched => [point.path, match]),
    );
  });
  return [...ordinary, ...preflights];
}

function routeRules(api: Api, rule: Rule, matches: readonly Matched[]): HttpRouteRule[] {
  const rest = {
    backendRefs: rule.targets.map(({ version, weight }) =>
      backendRef(destinationOf(api, "gateway-api", version), rule.targets.length === 1 ? undefined : weight),
    ),
    ...timeouts(api.traffic),
  };
  // A rule that rewrites its prefix may have one match only.
  if (rule.rewrite !== undefined)
    return matches.map(([path, match]) => ({ matches: [match], ...filters(api, rule, path), ...rest }));
  return chunks(
    matches.map(([, match]) => match),
    maxRuleMatches,
  ).map((some) => ({ matches: some, ...filters(api, rule), ...rest }));
}

/** A preflight belongs to the API whose method it asks for. */
function preflightMatches(api: Api, path: string): object[] {
  return methodsOf(api).map((method) => routeMatch(path, [[askedMethodHeader, method]], "OPTIONS"));
}

function routeMatch(path: string, headers: readonly (readonly [string, string])[], method?: string): object {
  return {
    path: { type: "PathPrefix", value: path },
    ...(headers.length === 0 ? {} : { headers: headers.map(([name, value]) => ({ type: "Exact", name, value })) }),
    ...(method === undefined ? {} : { method }),
  };
}

function matchesOf(api: Api, path: string, rule: Rule, shared: boolean): object[] {
  const headers = Object.entries(rule.headers);
  const methods = methodsOf(api);
  for (const method of shared ? methods : [])
    if (!routeMethods.has(method))
      refuse(
        api,
        "methods",
        `an HTTPRoute can't match the method ${method}, and another API has the same path. Give this one a path of its own`,
      );
  // Elsewhere a method that the API doesn't take must not fall to a shorter path: the filter refuses it.
  if (methods.length === 0 || !shared) return [routeMatch(path, headers)];
  return [
    ...methods.map((method) => routeMatch(path, headers, method)),
    ...(api.cors !== undefined && headers.length === 0 ? preflightMatches(api, path) : []),
  ];
}

function backendRef({ host, port, service }: Destination, weight: number | undefined): object {
  const target =
    service === undefined
      ? { group: "networking.istio.io", kind: "Hostname", name: host }
      : { name: service.name, namespace: service.namespace };
  return { ...target, port, ...(weight === undefined ? {} : { weight }) };
}

function timeouts(traffic: Traffic | undefined): object {
  return traffic?.timeoutSeconds === undefined ? {} : { timeouts: { request: duration(traffic.timeoutSeconds) } };
}

function filters(api: Api, rule: Rule, path?: string): { filters?: object[] } {
  const { headers } = api.traffic ?? {};
  const all = [
    ...(api.cors === undefined ? [] : [{ type: "CORS", cors: cors(api, api.cors) }]),
    ...urlRewrite(api, rule, path),
    ...modifier("RequestHeaderModifier", "requestHeaderModifier", headers?.request),
    ...modifier("ResponseHeaderModifier", "responseHeaderModifier", headers?.response),
  ];
  return all.length === 0 ? {} : { filters: all };
}

function urlRewrite(api: Api, { rewrite, targets }: Rule, path: string | undefined): object[] {
  // A server outside the mesh knows itself by its own name alone.
  const hostname =
    api.traffic?.external !== undefined && targets.every(({ version }) => version?.upstream === undefined)
      ? { hostname: api.upstream.service }
      : {};
  const change =
    rewrite === undefined || path === undefined
      ? {}
      : { path: { type: "ReplacePrefixMatch", replacePrefixMatch: replaced(path, rewrite) } };
  const both = { ...hostname, ...change };
  return Object.keys(both).length === 0 ? [] : [{ type: "URLRewrite", urlRewrite: both }];
}

/** What the matched path becomes: it may be longer than the part that is rewritten, and its rest stays. */
function replaced(path: string, { from, to }: { from: string; to: string }): string {
  const rest = from === "/" ? (path === "/" ? "" : path) : path.slice(from.length);
  return `${to === "/" ? "" : to}${rest}` || "/";
}

function modifier(type: string, field: string, changes: HeaderChanges | undefined): object[] {
  const pairs = (values: Record<string, string> = {}) =>
    Object.entries(values).map(([name, value]) => ({ name, value }));
  const [set, add, remove] = [pairs(changes?.set), pairs(changes?.add), changes?.remove ?? []];
  if (set.length + add.length + remove.length === 0) return [];
  return [
    {
      type,
      [field]: {
        ...(set.length === 0 ? {} : { set }),
        ...(add.length === 0 ? {} : { add }),
        ...(remove.length === 0 ? {} : { remove }),
      },
    },
  ];
}

function cors(api: Api, rules: Cors): object {
  return {
    allowOrigins: rules.allowOrigins.includes("*") ? ["*"] : rules.allowOrigins,
    allowMethods: corsMethods(api),
    ...(rules.allowHeaders.length === 0 ? {} : { allowHeaders: rules.allowHeaders }),
    ...(rules.exposeHeaders.length === 0 ? {} : { exposeHeaders: rules.exposeHeaders }),
    maxAge: Math.max(1, rules.maxAgeSeconds),
    ...(rules.allowCredentials ? { allowCredentials: true } : {}),
  };
}

function httpRoute(
  name: string,
  hostnames: readonly string[],
  sections: readonly string[],
  rules: HttpRouteRule[],
  api: Api,
  { gateway }: ManifestOptions,
): ManifestDocument {
  const object: KubernetesObject = {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { name, namespace: gateway.namespace, labels: { ...ownLabels } },
    spec: {
      parentRefs: sections.map((sectionName) => ({ name: gateway.name, sectionName })),
      ...(hostnames.length === 0 ? {} : { hostnames: [...hostnames] }),
      rules,
    },
  };
  const comments = new Map<string, string>();
  const beyond = hostnames.filter((host) => !api.hosts.includes(host));
  if (beyond.length > 0)
    comments.set(
      "/spec/hostnames",
      `Of ${beyond.join(", ")} other APIs have some paths. Envoy looks no further than a host's own routes, so this API's are there as well.`,
    );
  return {
    comment:
      "Requests of these hosts and paths. A path is a prefix that ends on a segment's border; among all routes the longest one wins.",
    object,
    comments,
  };
}

/** Rules in as few routes as may hold them. */
function packed(rules: readonly HttpRouteRule[]): HttpRouteRule[][] {
  const routes: HttpRouteRule[][] = [];
  let matches = maxMatches;
  for (const rule of rules) {
    if (matches + rule.matches.length > maxMatches || routes.at(-1)!.length === maxRules) {
      routes.push([]);
      matches = 0;
    }
    routes.at(-1)!.push(rule);
    matches += rule.matches.length;
  }
  return routes;
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}

const routeMethods = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]);

function refuse(api: Api, field: string, why: string): never {
  throw new ManifestError(`API \`${api.id}\`: ${field}: ${why}, or use --routing istio.`);
}

/** Throws a ManifestError for what the Gateway API's standard channel has no words for. */
export function checkHttpRoute(api: Api): void {
  for (const host of api.hosts)
    if (/^[\d.]+$/.test(host)) refuse(api, "hosts", `an HTTPRoute takes no address such as ${host}. Use a name`);
  if (api.traffic?.retries !== undefined)
    refuse(api, "traffic.retries", "an HTTPRoute has no retries in the Gateway API's standard channel. Leave it out");
  api.traffic?.versions?.forEach(({ labels }, index) => {
    if (labels !== undefined)
      refuse(
        api,
        `traffic.versions[${index}].labels`,
        "an HTTPRoute sends to Services, not to some of their pods. Give the version a Service and name it in `upstream`",
      );
  });
  for (const method of api.cors === undefined ? [] : corsMethods(api))
    if (!routeMethods.has(method))
      refuse(api, "cors.allowMethods", `an HTTPRoute can't allow the method ${method}. Leave it out`);
  const paths = [...api.paths, ...(api.traffic?.versions ?? []).flatMap(({ match }) => match?.path ?? [])];
  for (const path of paths)
    if (!/^[-A-Za-z0-9/._~!$&'()*+,;=:@]+$/.test(path))
      refuse(
        api,
        "paths",
        `an HTTPRoute can't match \`${path}\`. Choose a path of letters, digits and -._~!$&'()+,=:@`,
      );
  for (const origin of api.cors?.allowOrigins ?? []) {
    if (origin !== "*" && !/^https?:\/\/(?:\*\.)?[a-z0-9.-]+(?::\d+)?$/.test(origin))
      refuse(
        api,
        "cors.allowOrigins",
        `an HTTPRoute can't allow \`${origin}\`. Name an origin of http or https and a host's name`,
      );
  }
  for (const field of ["allowOrigins", "allowHeaders", "exposeHeaders"] as const) {
    if ((api.cors?.[field].length ?? 0) > 64) refuse(api, `cors.${field}`, "an HTTPRoute takes at most 64. Name fewer");
  }
}
