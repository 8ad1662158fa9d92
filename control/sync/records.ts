/** The records of a page or delta as plain objects, with wire ids in place of names. */
import type { AuthMode, FailureMode, KeyState, Subject } from "../domain/model.ts";
import type { legacyHeaders } from "./wire.ts";

export interface WireRoute {
  path: string;
  methods: string[];
  scopes: string[];
  cost: number;
}

export interface WireCors {
  allowOrigins: string[];
  allowMethods: string[];
  allowHeaders: string[];
  exposeHeaders: string[];
  maxAgeSeconds: number;
  allowCredentials: boolean;
}

/** Whose tokens an API takes. What Envoy alone needs of it (keys, forwarding) isn't sent. */
export interface WireJwt {
  issuers: { issuer: string; audiences: string[] }[];
  consumerClaims: string[];
  /** "" : none */
  tierClaim: string;
  scopeClaim: string;
  admitUnknown: boolean;
}

/** News of a counter: it was reset, or granted extra. Only in deltas. */
export interface CounterRecord {
  type: "counter";
  /** of its limit */
  wireId: number;
  generation: number;
  /** 32 lower-case hex digits */
  subject: string;
}

export interface ApiRecord {
  type: "api";
  wireId: number;
  id: string;
  authMode: AuthMode;
  failureMode: FailureMode;
  hosts: string[];
  paths: string[];
  methods: string[];
  scopes: string[];
  routes: WireRoute[];
  cors?: WireCors;
  jwt?: WireJwt;
  /** default: true */
  rateLimitHeaders?: boolean;
  /** default: off */
  legacyHeaders?: (typeof legacyHeaders)[number];
}

export interface TierRecord {
  type: "tier";
  wireId: number;
  id: string;
  scopes: string[];
  /** wire ids; absent: every API */
  apis?: number[];
}

export interface ConsumerRecord {
  type: "consumer";
  wireId: number;
  id: string;
  /** wire id, 0 = none */
  tier: number;
  suspended: boolean;
  claims: Record<string, string>;
  /** SPIFFE ids; absent: none */
  identities?: string[];
}

export interface KeyRecord {
  type: "key";
  id: string;
  /** 16 bytes or more, of which the wire carries the first 16 */
  digest: Uint8Array;
  /** wire id */
  consumer: number;
  state: KeyState;
  /** 0 = SHA-256 */
  algorithm?: number;
  notBeforeMs?: number;
  expiresAtMs?: number;
  /** wire id */
  tier?: number;
  /** CIDRs; absent: any address */
  addresses?: string[];
  /** wire ids */
  apis?: number[];
  scopes?: string[];
  /** it has limits of its own, whose records follow somewhere */
  limited?: boolean;
}

export type DeleteRecord =
  | { type: "delete"; kind: "api" | "tier" | "consumer" | "limit"; wireId: number }
  | { type: "delete"; kind: "key"; digest: Uint8Array };

export interface LimitRecord {
  type: "limit";
  wireId: number;
  name: string;
  ownerKind: "api" | "route" | "tier" | "key";
  /** wire id of the API or tier, 0 for a key */
  owner: number;
  /** index in the API's routes, when the owner is a route */
  route?: number;
  /** the key's, as in its record, when the owner is a key */
  digest?: Uint8Array;
  kind: "rate" | "quota";
  subject: Subject;
  limit: number;
  windowSeconds: number;
  period: "none" | "day" | "week" | "month";
  gateway: boolean;
  shadow: boolean;
  firstUse: boolean;
  smoothing?: { perSecond: number; burst: number };
}

/** A record that this version doesn't know; a reader skips those with codes from 128 on. */
export interface OtherRecord {
  type: "other";
  code: number;
  body: Uint8Array;
}

export type WireRecord = ApiRecord | TierRecord | ConsumerRecord | KeyRecord | DeleteRecord | LimitRecord | CounterRecord | OtherRecord;
