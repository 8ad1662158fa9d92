/** Who may call what, as the filter decides it (`assembly/request/decide.ts`): each route, the tiers and consumers that may, the limits there. */
import { applicableLimits, type ApplicableLimit, routeName } from "../../control/domain/applicableLimits.ts";
import { ownerText } from "../../control/domain/limitWords.ts";
import { ApiRouter, type Misplaced, type Place } from "../../tools/matching.ts";
import {
  type Api,
  type AuthMode,
  type Consumer,
  isClosed,
  type Key,
  type Limit,
  type Route,
  takesKeys,
  type Tier,
} from "../../control/domain/model.ts";

export interface Rights {
  apis: readonly Api[];
  tiers: readonly Tier[];
  consumers: readonly Consumer[];
  /** those that are known; a control may have more */
  keys: readonly Key[];
}

/** Whose calls are asked about; none of them: everybody's. */
export type Asker =
  | { kind: "tier"; tier: Tier }
  | { kind: "consumer"; consumer: Consumer; tier: Tier | undefined }
  | { kind: "key"; key: Key; consumer: Consumer | undefined; tier: Tier | undefined };

/** A limit, and whose it is. */
export interface LimitHere {
  name: string;
  kind: Limit["kind"];
  limit: number;
  windowSeconds?: number;
  period?: string;
  subject: Limit["subject"];
  enforcement: Limit["enforcement"];
  mode: Limit["mode"];
  smoothing?: { perSecond: number; burst: number };
  /** such as `tier bronze`, `api echo`, `route POST /search of echo`, `key acme-1` */
  from: string;
}

export interface CallersHere {
  /** undefined: everybody, without a key */
  tier: string | undefined;
  /** those of the tier that may call now */
  consumers: string[];
  /** keys that have this tier in place of their consumer's */
  keys: string[];
  limits: LimitHere[];
}

/** A route, or what is left of an API's path. */
export interface RouteAccess {
  api: string;
  hosts: readonly string[];
  path: string;
  /** empty: any */
  methods: readonly string[];
  /** with no `methods`: any but those of routes at the same path */
  otherMethods: boolean;
  /** undefined: no route of the API, the path itself */
  route: string | undefined;
  auth: AuthMode;
  scopes: string[];
  cost: number;
  callers: CallersHere[];
  /** no request gets here: what takes them in its place, or `405` */
  hiddenBy: string | undefined;
  /** why the asker may not call; undefined: it may, or nobody is asked about */
  refused: Refusal | undefined;
}

export interface Refusal {
  /** by the codes of reasons.ts */
  reason:
    | "tier_missing"
    | "api_not_allowed"
    | "scope_missing"
    | "key_missing"
    | "token_missing"
    | "peer_missing"
    | "unknown_peer"
    | "auth_mode_unsupported";
  message: string;
}

/** Every route of the APIs, in the order of hosts and paths. */
export function routesOf(rights: Rights, asker: Asker | undefined): RouteAccess[] {
  const router = new ApiRouter(rights.apis);
  const lines = rights.apis.flatMap((api) => placesOf(api).map((place) => accessOf(place, api, rights, asker, router)));
  return lines.sort(
    (a, b) =>
      compare(hostOrder(a), hostOrder(b)) ||
      compare(a.path, b.path) ||
      compare(a.methods.join(), b.methods.join()) ||
      compare(a.api, b.api),
  );
}

interface OnePlace {
  path: string;
  methods: readonly string[];
  otherMethods: boolean;
  route: Route | undefined;
}

/** The API's paths, as far as routes at the same path leave something of them, and its routes. */
function placesOf(api: Api): OnePlace[] {
  const paths = api.paths.flatMap((path): OnePlace[] => {
    const here = api.routes.filter((route) => route.path === path);
    if (here.some(({ methods }) => methods.length === 0)) return [];
    const taken = new Set(here.flatMap(({ methods }) => withHead(methods)));
    if (api.methods.length === 0) return [{ path, methods: [], otherMethods: taken.size > 0, route: undefined }];
    const left = api.methods.filter((method) => !taken.has(method));
    return left.length === 0 ? [] : [{ path, methods: left, otherMethods: false, route: undefined }];
  });
  const routes = api.routes.map((route) => ({
    path: route.path,
    methods: route.methods.length === 0 ? methodsLeft(api, route) : route.methods,
    otherMethods: false,
    route,
  }));
  return [...paths, ...routes];
}

/** Of a route for any method: those of the API that no other route at the path takes. */
function methodsLeft(api: Api, route: Route): readonly string[] {
  const taken = new Set(
    api.routes
      .filter((other) => other !== route && other.path === route.path)
      .flatMap(({ methods }) => withHead(methods)),
  );
  return api.methods.filter((method) => !taken.has(method));
}

function withHead(methods: readonly string[]): readonly string[] {
  return methods.includes("GET") ? [...methods, "HEAD"] : methods;
}

function accessOf(
  { route, ...place }: OnePlace,
  api: Api,
  rights: Rights,
  asker: Asker | undefined,
  router: ApiRouter,
): RouteAccess {
  const scopes = [...new Set([...api.scopes, ...(route?.scopes ?? [])])];
  const refused = asker === undefined || api.auth.mode === "none" ? undefined : refusalOf(api, scopes, asker);
  return {
    api: api.id,
    hosts: api.hosts,
    ...place,
    route: route === undefined ? undefined : routeName(route),
    auth: api.auth.mode,
    scopes,
    cost: route?.cost ?? 1,
    callers: refused === undefined ? callersOf(api, route, scopes, rights, asker) : [],
    hiddenBy: hiddenBy(place, api, route, router),
    refused,
  };
}

function callersOf(
  api: Api,
  route: Route | undefined,
  scopes: readonly string[],
  rights: Rights,
  asker: Asker | undefined,
): CallersHere[] {
  if (api.auth.mode === "none")
    return [{ tier: undefined, consumers: [], keys: [], limits: limitsOf(applicableLimits({ api, route })) }];
  if (asker !== undefined) {
    const tier = asker.tier!;
    const key = asker.kind === "key" ? asker.key : undefined;
    const consumers =
      asker.kind === "consumer"
        ? [asker.consumer.id]
        : asker.kind === "tier"
          ? consumersOf(rights, tier, api)
          : [asker.key.consumer];
    return [
      {
        tier: tier.id,
        consumers,
        keys: key === undefined ? [] : [key.id],
        limits: limitsOf(applicableLimits({ tier, api, route, key })),
      },
    ];
  }
  if (isClosed(api)) return [];
  return rights.tiers
    .filter((tier) => tierRefusal(api, scopes, tier) === undefined)
    .map((tier) => ({
      tier: tier.id,
      consumers: consumersOf(rights, tier, api),
      keys: (takesKeys(api.auth.mode) ? rights.keys : [])
        .filter((key) => key.tier === tier.id && isActive(key, rights) && keyRefusal(api, scopes, key) === undefined)
        .map(({ id }) => id),
      limits: limitsOf(applicableLimits({ tier, api, route })),
    }));
}

/** Those that may call now; by certificate only who has an identity. */
function consumersOf({ consumers }: Rights, tier: Tier, { auth }: Api): string[] {
  return consumers
    .filter(
      (consumer) =>
        consumer.tier === tier.id && !consumer.suspended && (auth.mode !== "mtls" || consumer.identities !== undefined),
    )
    .map(({ id }) => id);
}

function isActive(key: Key, { consumers }: Rights): boolean {
  return key.state === "active" && consumers.some(({ id, suspended }) => id === key.consumer && !suspended);
}

function refusalOf(api: Api, scopes: readonly string[], asker: Asker): Refusal | undefined {
  const { mode } = api.auth;
  if (isClosed(api)) return { reason: "auth_mode_unsupported", message: "the API doesn't say whose tokens it takes" };
  if (asker.tier === undefined) return { reason: "tier_missing", message: "it has no tier" };
  if (asker.kind === "key" && !takesKeys(mode))
    return { reason: mode === "mtls" ? "peer_missing" : "token_missing", message: "the API takes no keys" };
  if (asker.kind === "consumer" && mode === "mtls" && asker.consumer.identities === undefined)
    return { reason: "unknown_peer", message: "it has no identity" };
  return (
    tierRefusal(api, scopes, asker.tier) ?? (asker.kind === "key" ? keyRefusal(api, scopes, asker.key) : undefined)
  );
}

function tierRefusal(api: Api, scopes: readonly string[], tier: Tier): Refusal | undefined {
  return refusalBy(api, scopes, tier, `tier ${tier.id}`);
}

function keyRefusal(api: Api, scopes: readonly string[], key: Key): Refusal | undefined {
  return refusalBy(api, scopes, { apis: key.apis, scopes: key.scopes ?? ["*"] }, `key ${key.id}`);
}

/** What tier or key leave out; absent `apis` leave out nothing. */
function refusalBy(
  api: Api,
  scopes: readonly string[],
  { apis, scopes: granted }: { apis?: readonly string[] | undefined; scopes: readonly string[] },
  whose: string,
): Refusal | undefined {
  if (apis !== undefined && !apis.includes(api.id))
    return { reason: "api_not_allowed", message: `${whose} doesn't include the API` };
  const missing = granted.includes("*") ? [] : scopes.filter((scope) => !granted.includes(scope));
  return missing.length === 0
    ? undefined
    : { reason: "scope_missing", message: `${whose} lacks ${missing.join(", ")}` };
}

function limitsOf(limits: readonly ApplicableLimit[]): LimitHere[] {
  return limits.map(({ limit, owner }) => {
    const { name, kind, limit: amount, windowSeconds, period, subject, enforcement, mode, smoothing } = limit;
    return {
      name,
      kind,
      limit: amount,
      ...(windowSeconds === undefined ? {} : { windowSeconds }),
      ...(period === undefined ? {} : { period }),
      subject,
      enforcement,
      mode,
      ...(smoothing === undefined ? {} : { smoothing }),
      from: ownerText(owner),
    };
  });
}

/** A method that no API names, for places that take any. */
const someMethod = "TOLLGATE";

/** Does no request with the line's own path get there? Then what takes the first of them. */
function hiddenBy(
  { path, methods }: Pick<OnePlace, "path" | "methods">,
  api: Api,
  route: Route | undefined,
  router: ApiRouter,
): string | undefined {
  let other: Place | Misplaced | undefined;
  for (const host of api.hosts) {
    for (const method of methods.length === 0 ? [someMethod] : methods) {
      const found = router.match(host.replace("*", "some"), path, method);
      if (typeof found === "object" && found.api === api && found.route === route) return undefined;
      other ??= found;
    }
  }
  if (typeof other !== "object") return "405";
  return other.api === api ? `route ${routeName(other.route!)}` : `api ${other.api.id}`;
}

/** Exact hosts first, then suffixes, then any; of one kind by name. */
function hostOrder({ hosts }: RouteAccess): string {
  const [host] = [...hosts].sort();
  return host === "*" ? "2" : host!.startsWith("*.") ? `1${host}` : `0${host}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
