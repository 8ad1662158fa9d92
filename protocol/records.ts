/** The records of pages and deltas, field by field, in the order of their bytes. */
import type { RecordLayout, Struct } from "./define.ts";
import {
  authMode,
  failureMode,
  keyState,
  legacyHeaders,
  limitKind,
  ownerKinds,
  period,
  recordCodes,
  subject,
} from "./enums.ts";

const route: Struct = {
  name: "route",
  type: "WireRoute",
  meaning: "A part of an API.",
  fields: [
    { kind: "path", name: "path", meaning: "as in `paths`" },
    { kind: "strs", name: "methods", meaning: "as the API's" },
    { kind: "strs", name: "scopes", meaning: "required on top of the API's" },
    { kind: "u32", name: "cost", meaning: "what one call takes from every limit", bounded: "route cost" },
    {
      kind: "u32",
      name: "key",
      none: 0,
      meaning: "tells the API's routes apart wherever they stand; 0: the control plane is older than this field",
    },
  ],
};

const cors: Struct = {
  name: "cors",
  type: "WireCors",
  meaning: "An API's CORS rules.",
  fields: [
    { kind: "strs", name: "allowOrigins", as: "corsOrigins", meaning: "`*`, exact, or `https://*.suffix`" },
    { kind: "strs", name: "allowMethods", as: "corsMethods", meaning: "empty: any" },
    { kind: "strs", name: "allowHeaders", as: "corsHeaders", meaning: "" },
    { kind: "strs", name: "exposeHeaders", as: "corsExposed", meaning: "" },
    { kind: "u32", name: "maxAgeSeconds", meaning: "", bounded: "cors.maxAgeSeconds" },
    { kind: "bool", name: "allowCredentials", meaning: "" },
  ],
};

const jwt: Struct = {
  name: "jwt",
  type: "WireJwt",
  meaning: "Whose tokens an API takes. What Envoy alone needs of it (keys, forwarding) isn't sent.",
  fields: [
    {
      kind: "columns",
      name: "issuers",
      columns: ["issuer", "audiences"],
      meaning: "`list<str>` issuers, then `list<list<str>>` audiences, as many lists as issuers; an empty one: any",
    },
    { kind: "strs", name: "consumerClaims", meaning: "the first that a token has names the consumer" },
    { kind: "str", name: "tierClaim", meaning: "empty: none" },
    { kind: "str", name: "scopeClaim", meaning: "empty: none" },
    {
      kind: "flags",
      bytes: 1,
      bits: [
        { bit: 0, name: "admitUnknown", as: "jwtAdmitsUnknown", meaning: "admit callers of whom there is no record" },
      ],
    },
  ],
};

const api: RecordLayout = {
  name: "api",
  type: "ApiRecord",
  code: recordCodes.api,
  meaning: "Hosts, paths and methods that belong together, and who may call them.",
  fields: [
    { kind: "wireId", name: "wireId", meaning: "" },
    { kind: "choice", name: "authMode", of: authMode, meaning: "who may call" },
    { kind: "choice", name: "failureMode", of: failureMode, meaning: "when allowance can't be had" },
    {
      kind: "flags",
      bytes: 2,
      bits: [
        { bit: 0, name: "cors", presence: true, meaning: "CORS follows" },
        { bit: 1, name: "rateLimitHeaders", inverted: true, meaning: "no RateLimit headers" },
        {
          bit: 2,
          name: "legacyHeaders",
          optional: true,
          choice: { of: legacyHeaders, bits: 2 },
          meaning: "X-RateLimit-* headers",
        },
        { bit: 4, name: "jwt", presence: true, meaning: "tokens follow" },
      ],
    },
    { kind: "str", name: "id", meaning: "" },
    { kind: "strs", name: "hosts", meaning: "lower case, `*`, `*.suffix` or exact, no port" },
    {
      kind: "paths",
      name: "paths",
      meaning: "`/` or `/a/b`, normalized, without a trailing slash, at most 48 segments",
    },
    { kind: "strs", name: "methods", meaning: "upper case; empty: any; GET includes HEAD" },
    { kind: "strs", name: "scopes", meaning: "all of them required; empty: none" },
    { kind: "list", name: "routes", item: route, meaning: "" },
    { kind: "struct", name: "cors", when: "cors", of: cors, meaning: "" },
    { kind: "struct", name: "jwt", when: "jwt", of: jwt, meaning: "" },
  ],
  closed: {
    meaning: "refuses every request",
    constant: ["AUTH_CLOSED", 255],
    as: ["if (apiAuthMode(at) <= AUTH_LAST) store<u8>(at, <u8>AUTH_CLOSED, 4);"],
  },
};

const tier: RecordLayout = {
  name: "tier",
  type: "TierRecord",
  code: recordCodes.tier,
  meaning: "Scopes and APIs that many consumers share.",
  fields: [
    { kind: "wireId", name: "wireId", meaning: "" },
    {
      kind: "flags",
      bytes: 4,
      bits: [
        {
          bit: 0,
          name: "apis",
          as: "EVERY_API",
          absence: true,
          meaning: "every API is allowed, and the list is empty",
        },
      ],
    },
    { kind: "str", name: "id", meaning: "" },
    { kind: "strs", name: "scopes", meaning: "`*`: every scope" },
    { kind: "wireIds", name: "apis", meaning: "absent: every API" },
  ],
  closed: {
    meaning: "refuses every caller",
    constant: ["TIER_CLOSED", 0x80000000],
    as: ["store<u32>(at, TIER_CLOSED, 4);", "store<u16>(tierApis(at), 0);"],
  },
};

const consumer: RecordLayout = {
  name: "consumer",
  type: "ConsumerRecord",
  code: recordCodes.consumer,
  meaning: "An account that calls APIs.",
  fields: [
    { kind: "wireId", name: "wireId", meaning: "" },
    { kind: "u32", name: "tier", meaning: "wire id, 0: none" },
    {
      kind: "flags",
      bytes: 2,
      bits: [
        { bit: 0, name: "suspended", meaning: "suspended" },
        { bit: 1, name: "identities", presence: true, meaning: "identities follow" },
      ],
    },
    { kind: "zero", bytes: 1 },
    { kind: "shortStr", name: "id", meaning: "" },
    { kind: "claims", name: "claims", meaning: "names `[a-z0-9-]`, values printable ASCII" },
    {
      kind: "strs",
      name: "identities",
      when: "identities",
      meaning: "SPIFFE ids, exact; each belongs to one consumer",
    },
  ],
  closed: {
    meaning: "is refused",
    constant: ["CONSUMER_CLOSED", 0x8001],
    as: ["store<u16>(at, <u16>(consumerFlags(at) | CONSUMER_CLOSED), 8);"],
  },
};

const key: RecordLayout = {
  name: "key",
  type: "KeyRecord",
  code: recordCodes.key,
  meaning: "An API key, by its digest.",
  fields: [
    { kind: "digest", name: "digest", meaning: "the first 16 bytes of the digest" },
    { kind: "wireId", name: "consumer", meaning: "wire id" },
    {
      kind: "flags",
      bytes: 2,
      bits: [
        { bit: 0, name: "state", choice: { of: keyState, bits: 2 }, meaning: "whether it may be used" },
        { bit: 2, name: "notBeforeMs", presence: true, meaning: "`notBeforeMs` follows" },
        { bit: 3, name: "expiresAtMs", presence: true, meaning: "`expiresAtMs` follows" },
        { bit: 4, name: "tier", presence: true, meaning: "a tier follows" },
        { bit: 5, name: "addresses", presence: true, meaning: "addresses follow" },
        { bit: 6, name: "apis", presence: true, meaning: "APIs follow" },
        { bit: 7, name: "scopes", presence: true, meaning: "scopes follow" },
        {
          bit: 8,
          name: "limited",
          as: "HAS_LIMITS",
          optional: true,
          meaning: "it has limits of its own: LIMIT records with ownerKind key follow somewhere",
        },
      ],
    },
    {
      kind: "u8",
      name: "algorithm",
      only: [0],
      meaning: "of the digest: 0 SHA-256; others are reserved for imported keys",
    },
    { kind: "shortStr", name: "id", meaning: "" },
    { kind: "u64", name: "notBeforeMs", when: "notBeforeMs", as: "notBeforeMs", meaning: "Unix milliseconds" },
    {
      kind: "u64",
      name: "expiresAtMs",
      when: "expiresAtMs",
      as: "expiresAtMs",
      meaning: "the first millisecond at which the key is no longer valid",
    },
    { kind: "wireId", name: "tier", when: "tier", as: "ownTier", meaning: "wire id; instead of the consumer's" },
    {
      kind: "addresses",
      name: "addresses",
      when: "addresses",
      as: "addresses",
      meaning: "networks that callers must come from; host bits 0; an IPv4-mapped network is written as family 4",
    },
    { kind: "wireIds", name: "apis", when: "apis", as: "ownApis", meaning: "narrows the tier's" },
    { kind: "strs", name: "scopes", when: "scopes", as: "ownScopes", meaning: "narrows the tier's" },
  ],
  closed: { meaning: "is refused", constant: ["KEY_CLOSED", 3], as: ["store<u16>(at, <u16>KEY_CLOSED, 20);"] },
  opened: {
    meaning:
      "a caller without a key: a tier's wire id in place of the consumer's own, or 0; scopes that narrow the tier's, or 0",
    standIn: ["tier", "scopes"],
  },
};

const deletion: RecordLayout = {
  name: "delete",
  type: "DeleteRecord",
  code: recordCodes.delete,
  meaning: "A record is gone. Only in deltas. One of a kind that the reader doesn't know concerns nothing that it has.",
  fields: [
    {
      kind: "variant",
      on: "kind",
      key: "key",
      digest: "digest",
      wireId: "wireId",
      meaning: "of a key the 16 digest bytes, else the `u32` wire id",
    },
  ],
};

const limit: RecordLayout = {
  name: "limit",
  type: "LimitRecord",
  code: recordCodes.limit,
  meaning: "A rate or a quota.",
  fields: [
    { kind: "wireId", name: "wireId", as: "limitId", meaning: "" },
    {
      kind: "codes",
      name: "ownerKind",
      of: {
        label: "owner of kind",
        prefix: "OWNER",
        values: Object.fromEntries(Object.entries(ownerKinds).map(([name, code]) => [name, { code, meaning: "" }])),
      },
      meaning: "whose limit it is: api 1, tier 2, key 4, route 10",
    },
    { kind: "choice", name: "kind", of: limitKind, meaning: "" },
    { kind: "choice", name: "subject", of: subject, meaning: "what is counted apart" },
    {
      kind: "flags",
      bytes: 1,
      bits: [
        { bit: 0, name: "gateway", as: "isPerGateway", meaning: "each gateway counts for itself" },
        { bit: 1, name: "shadow", as: "isShadow", meaning: "refuses nothing" },
        { bit: 2, name: "firstUse", as: "isFirstUse", meaning: "windows open with the first use" },
        { bit: 3, name: "smoothing", presence: true, meaning: "smoothing counts" },
      ],
    },
    { kind: "u32", name: "owner", meaning: "wire id of the API (also for a route), tier; 0 for a key" },
    { kind: "route", name: "route", owner: "route", meaning: "index in the API's routes, 0xFFFFFFFF: none" },
    { kind: "u64", name: "limit", as: "limitAmount", meaning: "" },
    {
      kind: "u32",
      name: "windowSeconds",
      as: "windowSeconds",
      bounded: "windowSeconds",
      meaning: "rate: the window; quota: a length in seconds, or 0 with `period`",
    },
    { kind: "choice", name: "period", of: period, meaning: "" },
    { kind: "lengthOf", name: "nameBytes", as: "nameBytes", of: "name", meaning: "" },
    { kind: "zero", bytes: 2 },
    {
      kind: "group",
      name: "smoothing",
      when: "smoothing",
      meaning: "calls per second that go on at once",
      members: [
        { name: "perSecond", as: "pacePerSecond", meaning: "" },
        { name: "burst", as: "paceBurst", meaning: "" },
      ],
    },
    { kind: "digest", name: "digest", ofOwner: "key", meaning: "first digest bytes of the owning key, else 0" },
    { kind: "text", name: "name", meaning: "" },
  ],
  closed: {
    meaning: "refuses every request that it applies to, unless it's a shadow",
    constant: ["SUBJECT_CLOSED", 255],
    as: ["store<u8>(at, <u8>SUBJECT_CLOSED, 6);"],
  },
  broken: "limitPeriod(body) == PERIOD_NONE && windowSeconds(body) == 0",
};

const counter: RecordLayout = {
  name: "counter",
  type: "CounterRecord",
  code: recordCodes.counter,
  meaning: "News, not state: a counter was reset, or granted extra. Only in deltas.",
  fields: [
    { kind: "wireId", name: "wireId", as: "counterLimit", meaning: "of the limit" },
    {
      kind: "u32",
      name: "generation",
      bounded: "generation",
      meaning: "raised by each reset and grant; answers to asks of before carry an older one",
    },
    { kind: "digest", name: "subject", hex: true, meaning: "" },
    { kind: "zero", bytes: 8 },
  ],
};

export const recordLayouts: readonly RecordLayout[] = [api, tier, consumer, key, deletion, limit, counter];
export const structs: readonly Struct[] = [route, cors, jwt];
