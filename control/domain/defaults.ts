/** Fills in what a file or a request body leaves out, and brings values to their one spelling. The input has passed its schema. */
import { cidrText, parseCidr } from "./cidr.ts";
import type {
  Api,
  Auth,
  AuthJwt,
  Consumer,
  Cors,
  EnvironmentSpec,
  InternalToken,
  Key,
  Limit,
  Route,
  Tier,
  TokenIssuer,
} from "./model.ts";
import { parsePeriod } from "./period.ts";
import type {
  ApiInput,
  AuthJwtInput,
  ConsumerInput,
  CorsInput,
  FileInput,
  InternalTokenInput,
  KeyInput,
  LimitInput,
  RouteInput,
  TierInput,
} from "./schema.ts";
import { parseTime, timeText } from "./time.ts";
import { fillTraffic } from "./traffic.ts";

/** Where a token's consumer is looked for, unless the API says otherwise. */
export const standardConsumerClaims = ["client_id", "azp", "sub"] as const;

type Loose<T> = { [K in keyof T]: T[K] | undefined };

/** Drops the members that are undefined. */
function defined<T extends object>(value: Loose<T>): T {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}

const upper = (methods: readonly string[] = []) => [...new Set(methods.map((method) => method.toUpperCase()))];

/** A limit with its defaults: subject key, enforcement global, mode enforce; a length as period is anchored at first use. */
export function fillLimit(input: LimitInput): Limit {
  const period = input.period === undefined ? undefined : parsePeriod(input.period);
  return defined<Limit>({
    name: input.name,
    kind: input.kind,
    limit: input.limit,
    windowSeconds: input.windowSeconds,
    period: input.period,
    anchor: input.anchor ?? (period !== undefined && "seconds" in period ? "firstUse" : "calendar"),
    subject: input.subject ?? "key",
    enforcement: input.enforcement ?? "global",
    mode: input.mode ?? "enforce",
    smoothing:
      input.smoothing === undefined
        ? undefined
        : { perSecond: input.smoothing.perSecond, burst: input.smoothing.burst },
  });
}

const fillLimits = (limits: readonly LimitInput[] = []) => limits.map(fillLimit);

function fillCors(input: CorsInput): Cors {
  return {
    allowOrigins: input.allowOrigins.map((origin) => origin.toLowerCase()),
    allowMethods: upper(input.allowMethods),
    allowHeaders: (input.allowHeaders ?? []).map((header) => header.toLowerCase()),
    exposeHeaders: (input.exposeHeaders ?? []).map((header) => header.toLowerCase()),
    maxAgeSeconds: input.maxAgeSeconds ?? 600,
    allowCredentials: input.allowCredentials ?? false,
  };
}

function fillRoute(input: RouteInput): Route {
  return {
    path: input.path,
    methods: upper(input.methods),
    scopes: input.scopes ?? [],
    cost: input.cost ?? 1,
    limits: fillLimits(input.limits),
  };
}

function fillAuth(input: ApiInput["auth"]): Auth {
  return defined<Auth>({
    mode: input?.mode ?? "key",
    jwt: input?.jwt === undefined ? undefined : fillAuthJwt(input.jwt),
  });
}

/** Tokens with their defaults: the consumer by client_id, azp or sub, nobody unknown, and the token goes on to the upstream. */
function fillAuthJwt(input: AuthJwtInput): AuthJwt {
  return defined<AuthJwt>({
    issuers: input.issuers.map(({ issuer, jwksUri, jwks, audiences }) =>
      defined<TokenIssuer>({ issuer, jwksUri, jwks, audiences: audiences ?? [] }),
    ),
    consumerClaims: input.consumerClaims ?? [...standardConsumerClaims],
    tierClaim: input.tierClaim,
    scopeClaim: input.scopeClaim,
    unknownConsumers: input.unknownConsumers ?? "deny",
    forwardToken: input.forwardToken ?? true,
  });
}

/** An API with its defaults: auth.mode key, failureMode closed, RateLimit headers but no legacy ones, a route's cost 1. */
export function fillApi(input: ApiInput): Api {
  return defined<Api>({
    id: input.id,
    name: input.name,
    hosts: input.hosts.map((host) => host.toLowerCase()),
    paths: input.paths,
    methods: upper(input.methods),
    upstream: { service: input.upstream.service.toLowerCase(), port: input.upstream.port },
    auth: fillAuth(input.auth),
    scopes: input.scopes ?? [],
    failureMode: input.failureMode ?? "closed",
    rateLimitHeaders: input.rateLimitHeaders ?? true,
    legacyHeaders: input.legacyHeaders ?? "off",
    routes: (input.routes ?? []).map(fillRoute),
    limits: fillLimits(input.limits),
    cors: input.cors === undefined ? undefined : fillCors(input.cors),
    traffic: input.traffic === undefined ? undefined : fillTraffic(input.traffic),
  });
}

/** A tier with its defaults. */
export function fillTier(input: TierInput): Tier {
  return defined<Tier>({
    id: input.id,
    name: input.name,
    scopes: input.scopes ?? [],
    apis: input.apis,
    limits: fillLimits(input.limits),
  });
}

/** A consumer with its defaults; `suspended` left out keeps what is stored, since suspending is an act, not a setting. */
export function fillConsumer(input: ConsumerInput, stored?: Consumer): Consumer {
  const claims = Object.fromEntries(Object.entries(input.claims ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
  const identities = input.identities === undefined || input.identities.length === 0 ? undefined : input.identities;
  return defined<Consumer>({
    id: input.id,
    name: input.name,
    tier: input.tier,
    claims,
    identities,
    suspended: input.suspended ?? stored?.suspended ?? false,
  });
}

/**
 * A key with its defaults. Left out, `state` and `prefix` keep what is stored, and so does the expiry of a rotated key:
 * else applying a file again would revive a revoked key or lengthen a grace period.
 */
export function fillKey(input: KeyInput, stored?: Key): Key {
  const rotatedTo = input.rotatedTo ?? stored?.rotatedTo;
  const sameKey = stored === undefined || stored.sha256 === input.sha256.toLowerCase();
  return defined<Key>({
    id: input.id,
    consumer: input.consumer,
    name: input.name,
    tier: input.tier,
    sha256: input.sha256.toLowerCase(),
    prefix: input.prefix ?? (sameKey ? stored?.prefix : undefined),
    state: input.state ?? stored?.state ?? "active",
    notBefore: oneTime(input.notBefore),
    expiresAt: oneTime(input.expiresAt) ?? (rotatedTo === undefined ? undefined : stored?.expiresAt),
    allowedCidrs: (input.allowedCidrs ?? []).map(oneCidr),
    apis: input.apis,
    scopes: input.scopes,
    limits: fillLimits(input.limits),
    rotatedTo,
  });
}

/** The internal token with its defaults: enabled, audience tollgate, five minutes. */
function fillInternalToken({
  enabled = true,
  issuer,
  audiences = ["tollgate"],
  lifetimeSeconds = 300,
}: InternalTokenInput): InternalToken {
  return { enabled, issuer, audiences: [...new Set(audiences)], lifetimeSeconds };
}

/** The whole file with its defaults, seen from what is stored. */
export function fillEnvironment(
  input: FileInput,
  environment: string,
  stored?: Pick<EnvironmentSpec, "consumers" | "keys">,
): EnvironmentSpec {
  const consumers = new Map(stored?.consumers.map((consumer) => [consumer.id, consumer]));
  const keys = new Map(stored?.keys.map((key) => [key.id, key]));
  return {
    version: 1,
    environment,
    ...(input.internalToken === undefined ? {} : { internalToken: fillInternalToken(input.internalToken) }),
    apis: (input.apis ?? []).map(fillApi),
    tiers: (input.tiers ?? []).map(fillTier),
    consumers: (input.consumers ?? []).map((consumer) => fillConsumer(consumer, consumers.get(consumer.id))),
    keys: (input.keys ?? []).map((key) => fillKey(key, keys.get(key.id))),
  };
}

/** A wrong time or network stays as it is, for semantics.ts to name it. */
function oneTime(text: string | undefined): string | undefined {
  const ms = text === undefined ? undefined : parseTime(text);
  return ms === undefined ? text : timeText(ms);
}

function oneCidr(text: string): string {
  const cidr = parseCidr(text);
  return cidr === undefined ? text : cidrText(cidr);
}
