/**
 * The enums of the protocol and of what both sides name alike. `npm run generate` makes `assembly/wire/enums.ts` and tables of `docs/internals/protocol.md` of
 * them; the control plane imports them as they are. A code is never given to another value, and new values go to the end.
 */
import { choice, codesOf, namesOf, type NameOf, type Value } from "./define.ts";

const plain = <const Names extends readonly string[]>(first: number, names: Names): { [N in Names[number]]: Value } =>
  Object.fromEntries(names.map((name, index) => [name, { code: first + index, meaning: "" }])) as {
    [N in Names[number]]: Value;
  };

// ---- records -------------------------------------------------------------------------------------------------------------------------

/** Who may call an API. */
export const authMode = choice("auth mode", "AUTH", {
  none: { code: 0, meaning: "anyone", takesKeys: false, takesTokens: false },
  key: { code: 1, meaning: "an API key", takesKeys: true, takesTokens: false },
  jwt: { code: 2, meaning: "a token that Envoy has verified", takesKeys: false, takesTokens: true },
  "key-or-jwt": { code: 3, meaning: "an API key or a token", takesKeys: true, takesTokens: true },
  "key-and-jwt": {
    code: 4,
    meaning: "an API key and a token of the same consumer",
    takesKeys: true,
    takesTokens: true,
  },
  mtls: { code: 5, meaning: "the certificate of the caller's connection", takesKeys: false, takesTokens: false },
});
export type AuthMode = NameOf<typeof authMode>;
export const authModes = namesOf(authMode);

export const failureMode = choice("failure mode", "FAILURE", {
  closed: { code: 0, meaning: "the request is refused" },
  open: { code: 1, meaning: "the request is admitted" },
  local: { code: 2, meaning: "the request is admitted on a share that was charged beforehand" },
});
export type FailureMode = NameOf<typeof failureMode>;
export const failureModes = namesOf(failureMode);

export const legacyHeaders = choice("legacy headers", "LEGACY", {
  off: { code: 0, meaning: "no X-RateLimit-* headers" },
  tyk: { code: 1, meaning: "X-RateLimit-Reset is a Unix time" },
  envoy: { code: 2, meaning: "X-RateLimit-Reset is in seconds" },
});
export type LegacyHeaders = NameOf<typeof legacyHeaders>;

export const keyState = choice("key state", "STATE", {
  active: { code: 0, meaning: "the key may be used" },
  suspended: { code: 1, meaning: "the key is refused until it's resumed" },
  revoked: { code: 2, meaning: "the key is refused for good" },
});
export type KeyState = NameOf<typeof keyState>;
export const keyStates = namesOf(keyState);

export const limitKind = choice("limit kind", "KIND", {
  rate: { code: 1, meaning: "N per fixed window" },
  quota: { code: 2, meaning: "N per period" },
});
export type LimitKind = NameOf<typeof limitKind>;

/** What a subject is made of: what the limit counts apart. */
export type SubjectPart = "key" | "consumer" | "api" | "route" | "address";

/** Does counting this need to know who calls? */
export function isCaller(part: SubjectPart): boolean {
  return part === "key" || part === "consumer";
}

interface SubjectValue extends Value {
  parts: readonly SubjectPart[];
  /** the 16 bytes, as the table of docs/internals/protocol.md has it */
  bytes: string;
}

/** What a limit counts. `control/domain/subjects.ts` and `assembly/request/limitSubject.ts` make the 16 bytes. */
export const subject = choice("subject", "SUBJECT", {
  key: { code: 1, meaning: "each key", parts: ["key"], bytes: "the first 16 bytes of the key's digest" },
  consumer: { code: 2, meaning: "each consumer", parts: ["consumer"], bytes: "`u32 consumer`, zeros" },
  api: { code: 3, meaning: "all callers of each API", parts: ["api"], bytes: "`u32 0, u32 api`, zeros" },
  "consumer+api": {
    code: 4,
    meaning: "each consumer at each API",
    parts: ["consumer", "api"],
    bytes: "`u32 consumer, u32 api`, zeros",
  },
  ip: {
    code: 5,
    meaning: "each client address; of IPv6 each /64",
    parts: ["address"],
    bytes: "an IPv4 address as `::ffff:a.b.c.d`; of an IPv6 address the first 8 bytes, then zeros",
  },
  route: {
    code: 6,
    meaning: "each key at each route of an API",
    parts: ["key", "route"],
    bytes: "`u32 api`, `u32 key` of the route (0: none), the first 8 bytes of the key's digest",
  },
} satisfies Record<string, SubjectValue>);
export type Subject = NameOf<typeof subject>;
export const subjects = namesOf(subject);

export const period = choice("period", "PERIOD", {
  none: { code: 0, meaning: "`windowSeconds` counts" },
  day: { code: 1, meaning: "a day, UTC" },
  week: { code: 2, meaning: "a week from Monday, UTC" },
  month: { code: 3, meaning: "a month, UTC" },
});
export type Period = NameOf<typeof period>;

/** Records by type; the codes are those of `records.ts`. */
export const recordCodes = { api: 1, tier: 2, consumer: 3, key: 4, delete: 5, limit: 6, counter: 7 } as const;
/** Types from here on may be skipped by a reader that doesn't know them. */
export const skippableType = 128;
/** Kinds of record that a DELETE names, with their record types. */
export const deleteKinds = { api: 1, tier: 2, consumer: 3, key: 4, limit: 6 } as const;
/** Whose limit it is. */
export const ownerKinds = { api: 1, tier: 2, key: 4, route: 10 } as const;
export type OwnerKind = keyof typeof ownerKinds;

export const NO_ROUTE = 0xffffffff;

// ---- frames and calls ----------------------------------------------------------------------------------------------------------------

export const frameType = choice("frame type", "FRAME", {
  manifest: { code: 1, meaning: "fetch the pages of a snapshot" },
  page: { code: 2, meaning: "a part of a snapshot" },
  delta: { code: 3, meaning: "what has changed since a version" },
  heartbeat: { code: 4, meaning: "nothing new" },
  recall: { code: 5, meaning: "return what is held of some counters" },
  leases: { code: 6, meaning: "a lane's call for allowance" },
  leasesAnswer: { code: 7, meaning: "its answer" },
  usage: { code: 8, meaning: "a lane's usage" },
  usageAnswer: { code: 9, meaning: "its answer" },
  tokens: { code: 10, meaning: "a lane's call for internal tokens" },
  tokensAnswer: { code: 11, meaning: "its answer" },
});
export const frameCodes = codesOf(frameType);

/** Bits of an op's action. */
export const leaseAction = {
  ask: 1,
  /** the ask is for the window after the current one; counts for nothing with firstUse */
  next: 2,
  /** the lane wants a share to spend while control is away */
  local: 4,
  /** the lane forgets this window: what it held beyond `returned` stays spent */
  close: 8,
} as const;

export const leaseVerdict = choice("verdict", "VERDICT", {
  noted: { code: 0, meaning: "the op had no ASK" },
  granted: { code: 1, meaning: "`granted` was charged and may be spent" },
  wait: { code: 2, meaning: "others hold the rest: ask again at `untilMs`" },
  spent: { code: 3, meaning: "an ask for `need` is in vain until `untilMs`" },
  unknown: { code: 4, meaning: "no such limit, not counted by control, or out of sight" },
});

export const callerKind = choice("caller of kind", "CALLER", {
  key: { code: 0, meaning: "by an API key" },
  token: { code: 1, meaning: "by a token" },
  peer: { code: 2, meaning: "by a certificate" },
});
export const callerKinds = namesOf(callerKind);
export type CallerKind = NameOf<typeof callerKind>;

export const tokenVerdict = choice("verdict", "TOKEN_VERDICT", {
  unknown: { code: 0, meaning: "no such caller, or none that may call" },
  granted: { code: 1, meaning: "the token follows" },
  off: { code: 2, meaning: "the environment issues none" },
  tooLarge: { code: 3, meaning: "it would take more than 8192 bytes" },
});
export const tokenVerdicts = namesOf(tokenVerdict);
export type TokenVerdict = NameOf<typeof tokenVerdict>;

/** Upper bounds of the latency buckets, in milliseconds; the last bucket has none. */
export const latencyBoundsMs = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000] as const;

/** Metrics of usage: codes from `code` on, `count` of them. */
export const metrics = {
  admitted: { code: 0, count: 1, meaning: "admitted" },
  cost: { code: 1, count: 1, meaning: "the sum of what admitted requests took of limits" },
  overshoot: { code: 2, count: 1, meaning: "admitted without allowance, `failureMode: open`" },
  shadowed: { code: 3, count: 1, meaning: "a shadow limit would have refused" },
  local: { code: 4, count: 1, meaning: "admitted on a share" },
  unsampled: { code: 5, count: 1, meaning: "admitted, and the response isn't looked at" },
  status: { code: 8, count: 5, meaning: "the upstream's status 1xx to 5xx" },
  latency: {
    code: 16,
    count: latencyBoundsMs.length + 1,
    meaning: `time to the response's headers, at most ${latencyBoundsMs.join(", ")} ms, and longer`,
  },
  refused: { code: 64, count: 64, meaning: "refused for the i-th reason of `protocol/reasons.ts`" },
  observed: { code: 128, count: 128, meaning: "the same with `mode: observe` or by a shadow limit" },
} as const satisfies Record<string, { code: number; count: number; meaning: string }>;

// ---- the plugin's configuration ------------------------------------------------------------------------------------------------------

/** Where a key is looked for: the members of `keySources` entries. */
export const keySource = choice("key source", "SOURCE", plain(0, ["header", "bearer", "query", "cookie"]));
export type KeySource = NameOf<typeof keySource>;

/**
 * Headers that carry the message or its way: neither may a key come by one, for it would be stripped, nor a claim go into one, for it
 * would be overwritten.
 */
export const messageHeaders = [
  "host",
  "cookie",
  "content-length",
  "content-type",
  "content-encoding",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "upgrade",
  "expect",
  "accept",
  "origin",
  "user-agent",
  "forwarded",
  "via",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-forwarded-client-cert",
  "x-envoy-external-address",
  "x-envoy-original-path",
  "x-request-id",
  "traceparent",
  "tracestate",
  "grpc-timeout",
] as const;
