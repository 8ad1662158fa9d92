/** What Tollgate knows: the records of an environment, as in `tollgate.yaml` and the admin API. Times are RFC 3339 strings. */

export type AuthMode = "key" | "jwt" | "key-or-jwt" | "keyless";
export type FailureMode = "closed" | "open" | "local";
export type LegacyHeaders = "off" | "tyk" | "envoy";
export type Subject = "key" | "consumer" | "api" | "consumer+api" | "ip";
export type KeyState = "active" | "suspended" | "revoked";

/** A rate (N per fixed window) or a quota (N per period). */
export interface Limit {
  name: string;
  kind: "rate" | "quota";
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

export interface Api {
  id: string;
  name?: string;
  hosts: string[];
  paths: string[];
  /** empty: any */
  methods: string[];
  upstream: { service: string; port: number };
  auth: { mode: AuthMode };
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

/** All of an environment, as `tollgate.yaml` holds it after defaults were filled in. */
export interface EnvironmentSpec {
  version: 1;
  environment: string;
  apis: Api[];
  tiers: Tier[];
  consumers: Consumer[];
  keys: Key[];
}
