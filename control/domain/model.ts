/** What Tollgate knows: the records of an environment, as in `tollgate.yaml` and the admin API. Times are RFC 3339 strings. */
import {
  type AuthMode,
  authMode,
  type FailureMode,
  type KeyState,
  type LegacyHeaders,
  type LimitKind,
  type Subject,
} from "../../protocol/enums.ts";
import type { Traffic } from "./trafficSchema.ts";

export type { AuthMode, FailureMode, KeyState, Subject } from "../../protocol/enums.ts";

/** A rate (N per fixed window) or a quota (N per period). */
export interface Limit {
  name: string;
  kind: LimitKind;
  limit: number;
  /** rate only, whole seconds, 1 and more */
  windowSeconds?: number;
  /** quota only: day, week, month, or a length such as `30d`, `12h` */
  period?: string;
  /** quota only; a length in `period` needs firstUse */
  anchor: "calendar" | "firstUse";
  subject: Subject;
  enforcement: "global" | "gateway";
  mode: "enforce" | "shadow";
  smoothing?: { perSecond: number; burst: number };
}

export interface Cors {
  /** "*", an exact origin, or `https://*.example.com` */
  allowOrigins: string[];
  /** empty: any */
  allowMethods: string[];
  allowHeaders: string[];
  exposeHeaders: string[];
  maxAgeSeconds: number;
  allowCredentials: boolean;
}

export interface Route {
  path: string;
  methods: string[];
  scopes: string[];
  /** what one call takes from every limit; 0 is free */
  cost: number;
  limits: Limit[];
}

/** Whose tokens an API takes, and what their claims mean. */
export interface AuthJwt {
  issuers: TokenIssuer[];
  /** the first of these claims that a token has names the consumer; `a.b` is a path, unless a claim has that very name */
  consumerClaims: string[];
  /** a claim whose value is a tier's id, which counts in place of the consumer's own */
  tierClaim?: string;
  /** a claim with scopes, which narrow the tier's */
  scopeClaim?: string;
  unknownConsumers: "deny" | "allow";
  /** whether the upstream gets the token */
  forwardToken: boolean;
}

export interface TokenIssuer {
  issuer: string;
  /** where its keys are, or the keys themselves: one of them */
  jwksUri?: string;
  jwks?: string;
  /** empty: any */
  audiences: string[];
}

export interface Auth {
  mode: AuthMode;
  /** of the modes with tokens, and only of these */
  jwt?: AuthJwt;
}

/** Does the mode take tokens? */
export function takesTokens(mode: AuthMode): boolean {
  return authMode.values[mode].takesTokens;
}

/** Is there nobody who may call, because the API wants tokens and doesn't say whose? */
export function isClosed({ auth: { mode, jwt } }: Pick<Api, "auth">): boolean {
  return takesTokens(mode) && mode !== "key-or-jwt" && jwt === undefined;
}

/** Does the mode take keys? */
export function takesKeys(mode: AuthMode): boolean {
  return authMode.values[mode].takesKeys;
}

export interface Api {
  id: string;
  name?: string;
  hosts: string[];
  paths: string[];
  /** empty: any */
  methods: string[];
  upstream: { service: string; port: number };
  auth: Auth;
  /** required of the caller, all of them */
  scopes: string[];
  failureMode: FailureMode;
  /** whether responses carry RateLimit and RateLimit-Policy */
  rateLimitHeaders: boolean;
  /** X-RateLimit-* as another gateway writes them */
  legacyHeaders: LegacyHeaders;
  routes: Route[];
  limits: Limit[];
  cors?: Cors;
  /** its way through the gateway: of `tollgate manifests`, not of the filter */
  traffic?: Traffic;
}

export interface Tier {
  id: string;
  name?: string;
  /** "*": every scope */
  scopes: string[];
  /** API ids; absent: every API */
  apis?: string[];
  limits: Limit[];
}

export interface Consumer {
  id: string;
  name?: string;
  tier?: string;
  claims: Record<string, string>;
  /** SPIFFE ids by which it calls APIs with auth.mode mtls; absent: none */
  identities?: string[];
  suspended: boolean;
}

export interface Key {
  id: string;
  consumer: string;
  name?: string;
  /** instead of the consumer's */
  tier?: string;
  /** hex SHA-256 of the whole key; never the key */
  sha256: string;
  /** the visible start of the key, e.g. `tg_default_3fXk`; absent for imported keys */
  prefix?: string;
  state: KeyState;
  notBefore?: string;
  expiresAt?: string;
  allowedCidrs: string[];
  /** API ids; absent: all that the tier allows */
  apis?: string[];
  /** absent: all that the tier has */
  scopes?: string[];
  /** override the tier's limits of the same name */
  limits: Limit[];
  /** the key that replaces this one after a rotation */
  rotatedTo?: string;
}

/** The short-lived tokens by which services in the mesh verify who calls (docs/concepts/internal-tokens.md). */
export interface InternalToken {
  /** false: none are issued */
  enabled: boolean;
  /** claim `iss` */
  issuer: string;
  /** claim `aud`, 1 and more */
  audiences: string[];
  lifetimeSeconds: number;
}

/** All of an environment, as `tollgate.yaml` holds it after defaults were filled in. */
export interface EnvironmentSpec {
  version: 1;
  environment: string;
  /** absent: none are issued, and none ever were */
  internalToken?: InternalToken;
  apis: Api[];
  tiers: Tier[];
  consumers: Consumer[];
  keys: Key[];
}
