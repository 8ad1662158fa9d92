/** The golden fixtures: what each holds, and how its bytes come about. `npm run generate:wire` writes them. */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { EnvironmentSpec, Key } from "../../control/domain/model.ts";
import { checksum } from "../../control/sync/frames.ts";
import type { DecodeError } from "../../control/sync/reader.ts";
import { verdict } from "../../control/counters/model.ts";
import type {
  ApiRecord,
  ClosedRecord,
  ConsumerRecord,
  CounterRecord,
  DeleteRecord,
  KeyRecord,
  LimitRecord,
  TierRecord,
  WireRecord,
} from "../../control/sync/generated/records.ts";
import { HEADER_BYTES } from "../../control/sync/wire.ts";
import { encodeFrame, encodeFrames, type FrameSpec } from "./encode.ts";

export interface Fixture {
  description: string;
  /** what a reader gets: all of it, or what comes before the error */
  frames: FrameSpec[];
  /** what is encoded, when that isn't `frames` */
  encode?: FrameSpec[];
  /** bytes replaced after encoding; `resum`: the checksum of the frame that begins there is made right again */
  patch?: { offset: number; bytes: number[]; resum?: number };
  /** bytes cut off at the end */
  cutBytes?: number;
  error?: Pick<DecodeError, "offset" | "reason">;
}

const stamp = { epoch: 0x0123456789abcdefn, version: 42n, timeMs: 1_790_000_000_123 };
const page = (records: WireRecord[], index = 0, pageCount = 1): FrameSpec => ({
  ...stamp,
  type: "page",
  index,
  pageCount,
  records,
});
const delta = (records: WireRecord[], more = false): FrameSpec => ({
  ...stamp,
  type: "delta",
  base: 40n,
  more,
  records,
});
/** A record with a value that isn't known. */
const closed = (of: ClosedRecord["of"], hex: string): ClosedRecord => ({
  type: "closed",
  of,
  body: new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex")),
});
const rawPage = (hex: string): FrameSpec => ({
  ...stamp,
  type: "page",
  index: 0,
  pageCount: 1,
  records: [],
  payload: Buffer.from(hex.replaceAll(" ", ""), "hex"),
});
const digest = (text: string): Uint8Array => new Uint8Array(createHash("sha256").update(text).digest().subarray(0, 16));

const api: ApiRecord = {
  type: "api",
  wireId: 1,
  id: "echo",
  authMode: "key",
  failureMode: "closed",
  hosts: ["*"],
  paths: ["/"],
  methods: [],
  scopes: [],
  routes: [],
};
const tier: TierRecord = { type: "tier", wireId: 1, id: "bronze", scopes: ["read"] };
const consumer: ConsumerRecord = {
  type: "consumer",
  wireId: 1,
  id: "acme",
  tier: 1,
  suspended: false,
  claims: { org: "acme" },
};
const key: KeyRecord = { type: "key", id: "acme-1", digest: digest("acme-1"), consumer: 1, state: "active" };
const limit: LimitRecord = {
  type: "limit",
  wireId: 1,
  name: "minute",
  ownerKind: "tier",
  owner: 1,
  kind: "rate",
  subject: "key",
  limit: 60,
  windowSeconds: 60,
  period: "none",
  gateway: false,
  shadow: false,
  firstUse: false,
};

const fullApi: ApiRecord = {
  type: "api",
  wireId: 7,
  id: "orders",
  authMode: "key-or-jwt",
  failureMode: "local",
  hosts: ["api.example.com", "*.example.org"],
  paths: ["/orders", "/v2/orders"],
  methods: ["GET", "POST"],
  scopes: ["read", "orders"],
  routes: [
    { path: "/orders/search", methods: ["POST"], scopes: ["search"], cost: 5 },
    { path: "/orders/free", methods: [], scopes: [], cost: 0 },
    { path: "/orders/export", methods: ["GET", "HEAD"], scopes: ["export", "admin"], cost: 4_294_967_295 },
  ],
  cors: {
    allowOrigins: ["https://shop.example.com", "https://*.example.org"],
    allowMethods: ["GET", "POST"],
    allowHeaders: ["x-api-key"],
    exposeHeaders: ["x-request-id"],
    maxAgeSeconds: 600,
    allowCredentials: true,
  },
  jwt: {
    issuers: [
      { issuer: "https://login.example.com/", audiences: ["api://orders", "https://api.example.com"] },
      { issuer: "https://other.example.com", audiences: [] },
    ],
    consumerClaims: ["client_id", "app.id"],
    tierClaim: "https://example.com/plan",
    scopeClaim: "scope",
    admitUnknown: true,
  },
};

const everyField: WireRecord[] = [
  fullApi,
  {
    ...api,
    wireId: 8,
    id: "public",
    authMode: "none",
    failureMode: "open",
    paths: ["/public"],
    cors: {
      allowOrigins: ["*"],
      allowMethods: [],
      allowHeaders: [],
      exposeHeaders: [],
      maxAgeSeconds: 0,
      allowCredentials: false,
    },
  },
  { ...api, wireId: 4_294_967_295, id: "tokens", authMode: "jwt", paths: ["/tokens"], methods: ["DELETE"] },
  { ...api, wireId: 9, id: "quiet", paths: ["/quiet"], rateLimitHeaders: false },
  { ...api, wireId: 10, id: "as-tyk", paths: ["/as-tyk"], legacyHeaders: "tyk" },
  {
    ...api,
    wireId: 11,
    id: "as-envoy",
    paths: ["/as-envoy"],
    rateLimitHeaders: false,
    legacyHeaders: "envoy",
    cors: {
      allowOrigins: ["*"],
      allowMethods: [],
      allowHeaders: [],
      exposeHeaders: ["ratelimit"],
      maxAgeSeconds: 1,
      allowCredentials: false,
    },
  },
  {
    ...api,
    wireId: 12,
    id: "both",
    authMode: "key-and-jwt",
    paths: ["/both"],
    jwt: {
      issuers: [{ issuer: "https://login.example.com/", audiences: [] }],
      consumerClaims: ["sub"],
      tierClaim: "",
      scopeClaim: "",
      admitUnknown: false,
    },
  },
  { ...api, wireId: 13, id: "mesh", authMode: "mtls", paths: ["/mesh"] },
  { ...limit, wireId: 2, name: "per-ip", ownerKind: "api", owner: 8, subject: "ip", limit: 600, gateway: true },
  {
    ...limit,
    wireId: 3,
    name: "searches",
    ownerKind: "route",
    owner: 7,
    route: 0,
    subject: "consumer+api",
    limit: 9_007_199_254_740_991,
    shadow: true,
  },
  tier,
  limit,
  {
    ...limit,
    wireId: 4,
    name: "day",
    kind: "quota",
    subject: "consumer",
    limit: 1000,
    windowSeconds: 0,
    period: "day",
  },
  {
    ...limit,
    wireId: 5,
    name: "week",
    kind: "quota",
    subject: "api",
    limit: 0,
    windowSeconds: 0,
    period: "week",
    firstUse: true,
  },
  { ...limit, wireId: 6, name: "month", kind: "quota", windowSeconds: 0, period: "month" },
  { ...limit, wireId: 7, name: "thirty", kind: "quota", windowSeconds: 2_592_000, firstUse: true },
  { ...limit, wireId: 8, name: "smooth", limit: 6000, smoothing: { perSecond: 200, burst: 50 } },
  { ...tier, wireId: 2, id: "silver", scopes: [], apis: [7, 8, 999] },
  { ...tier, wireId: 3, id: "none", scopes: ["*"], apis: [] },
  consumer,
  { ...consumer, wireId: 2, id: "no-tier", tier: 0, suspended: true, claims: {} },
  {
    ...consumer,
    wireId: 3,
    id: "c".repeat(255),
    claims: { org: "initech", plan: "gold plus, yearly", note: "x".repeat(300) },
  },
  {
    ...consumer,
    wireId: 4,
    id: "workload",
    claims: {},
    identities: ["spiffe://cluster.local/ns/shop/sa/checkout", "spiffe://cluster.local/ns/shop/sa/cart"],
  },
  { ...consumer, wireId: 5, id: "workload-with-claims", identities: ["spiffe://cluster.local/ns/shop/sa/mail"] },
  key,
  { ...key, id: "suspended", digest: digest("suspended"), state: "suspended" },
  { ...key, id: "revoked", digest: digest("revoked"), state: "revoked" },
  { ...key, id: "from", digest: digest("from"), notBeforeMs: 1_800_000_000_000 },
  { ...key, id: "until", digest: digest("until"), expiresAtMs: 1_700_000_000_000 },
  { ...key, id: "own-tier", digest: digest("own-tier"), tier: 2 },
  {
    ...key,
    id: "addresses",
    digest: digest("addresses"),
    addresses: ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "::/0", "2001:db8::/33", "fe80::1:0:0:1/128"],
  },
  { ...key, id: "apis", digest: digest("apis"), apis: [8, 7] },
  { ...key, id: "no-apis", digest: digest("no-apis"), apis: [] },
  { ...key, id: "scopes", digest: digest("scopes"), scopes: ["search"] },
  { ...key, id: "no-scopes", digest: digest("no-scopes"), scopes: [] },
  {
    ...key,
    id: "e".repeat(255),
    digest: digest("everything"),
    consumer: 3,
    state: "suspended",
    notBeforeMs: 1,
    expiresAtMs: 9_007_199_254_740_991,
    tier: 3,
    addresses: ["10.1.0.0/16"],
    apis: [1],
    scopes: ["read", "search"],
    limited: true,
  },
  { ...limit, wireId: 9, name: "minute", ownerKind: "key", owner: 0, digest: digest("everything"), limit: 5 },
  closed(
    "key",
    `${Buffer.from(digest("imported")).toString("hex")} 01000000 0000 09 08 ${Buffer.from("imported").toString("hex")}`,
  ),
];

const deletes: DeleteRecord[] = [
  { type: "delete", kind: "key", digest: digest("acme-1") },
  { type: "delete", kind: "consumer", wireId: 1 },
  { type: "delete", kind: "tier", wireId: 4_294_967_295 },
  { type: "delete", kind: "limit", wireId: 3 },
  { type: "delete", kind: "api", wireId: 7 },
];

const subject = "00112233445566778899aabbccddeeff";
const counters: CounterRecord[] = [
  { type: "counter", wireId: 1, generation: 1, subject },
  { type: "counter", wireId: 4_294_967_295, generation: 4_294_967_295, subject: "ffffffffffffffffffffffffffffffff" },
];

const lane = 0xfedcba9876543210n;
const minute: number = 1_790_000_040_000;
const nothing = { windowStartMs: 0, held: 0, returned: 0, need: 0, want: 0 };
const leases: FrameSpec = {
  ...stamp,
  timeMs: 0,
  version: 7n,
  type: "leases",
  lane,
  ops: [
    { ...nothing, wireId: 1, subject, actions: 1, need: 1, want: 64 },
    { ...nothing, wireId: 2, subject: "00000000000000000000ffffc0000207", actions: 1 | 2 | 4, need: 5, want: 5 },
    {
      ...nothing,
      wireId: 3,
      subject: "20010db8000000010000000000000000",
      actions: 0,
      windowStartMs: minute,
      held: 12,
      returned: 30,
    },
    {
      ...nothing,
      wireId: 4_294_967_295,
      subject: "00000001000000000000000000000000",
      actions: 8,
      windowStartMs: minute,
      returned: 9_007_199_254_740_991,
    },
  ],
};
const answered = {
  generation: 0,
  granted: 0,
  windowStartMs: minute,
  windowEndMs: minute + 60_000,
  leaseEndMs: minute + 60_000,
  remaining: 0,
  untilMs: 0,
  share: 0,
  shareUntilMs: 0,
};
const leasesAnswer: FrameSpec & { type: "leasesAnswer" } = {
  ...stamp,
  version: 7n,
  type: "leasesAnswer",
  lane,
  answers: [
    { ...answered, verdict: verdict.noted, leaseEndMs: 0, remaining: 9_007_199_254_740_991 },
    { ...answered, verdict: verdict.granted, granted: 30, remaining: 30, share: 15, shareUntilMs: minute + 3_600_000 },
    { ...answered, verdict: verdict.wait, generation: 4_294_967_295, untilMs: minute + 10 },
    { ...answered, verdict: verdict.spent, generation: 2, untilMs: minute + 60_000 },
    { ...answered, verdict: verdict.unknown, windowStartMs: 0, windowEndMs: 0, leaseEndMs: 0 },
  ],
};
const noDigest = "0".repeat(32);
const usage: FrameSpec = {
  ...stamp,
  timeMs: 0,
  version: 8n,
  type: "usage",
  lane,
  entries: [
    {
      minute: 29_833_334,
      api: 1,
      route: 0,
      consumer: 2,
      digest: subject,
      counts: [
        [0, 1],
        [1, 5],
        [9, 127],
        [16, 128],
        [29, 4_294_967_295],
      ],
    },
    { minute: 29_833_334, api: 1, consumer: 0, digest: noDigest, counts: [[64, 300]] },
    { minute: 29_833_335, api: 0, consumer: 0, digest: noDigest, counts: [] },
    {
      minute: 4_294_967_295,
      api: 4_294_967_295,
      route: 65_535,
      consumer: 4_294_967_295,
      digest: "f".repeat(32),
      counts: [[255, 0]],
    },
  ],
};
const tokens: FrameSpec & { type: "tokens" } = {
  ...stamp,
  version: 3n,
  timeMs: 0,
  type: "tokens",
  lane,
  asks: [
    { id: subject, kind: "key", consumer: 1, tier: 1 },
    { id: "a".repeat(32), kind: "token", consumer: 4_294_967_295, tier: 4_294_967_295, scopes: ["read", "orders"] },
    { id: "b".repeat(32), kind: "peer", consumer: 2, tier: 3, scopes: [] },
  ],
};
const tokensAnswer: FrameSpec & { type: "tokensAnswer" } = {
  ...stamp,
  version: 3n,
  type: "tokensAnswer",
  lane,
  answers: [
    {
      id: subject,
      verdict: "granted",
      refreshAtMs: minute + 180_000,
      expiresAtMs: minute + 300_000,
      token: "eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
    },
    { id: "a".repeat(32), verdict: "unknown", refreshAtMs: 0, expiresAtMs: 0, token: "" },
    { id: "b".repeat(32), verdict: "off", refreshAtMs: 0, expiresAtMs: 0, token: "" },
    { id: "c".repeat(32), verdict: "tooLarge", refreshAtMs: 0, expiresAtMs: 0, token: "" },
    {
      id: "d".repeat(32),
      verdict: "granted",
      refreshAtMs: 1,
      expiresAtMs: 9_007_199_254_740_991,
      token: "t".repeat(8192),
    },
  ],
};
const leasesBytes = encodeFrame(leases).length;

const manyKeys = (from: number, count: number): KeyRecord[] =>
  Array.from({ length: count }, (_, i) => ({ ...key, id: `k${from + i}`, digest: digest(`k${from + i}`) }));

const twoPages = [page([api, tier, consumer, ...manyKeys(0, 3)], 0, 2), page(manyKeys(3, 4), 1, 2)];
const totalBytes = encodeFrames(twoPages).length;
const manifest: FrameSpec = {
  ...stamp,
  type: "manifest",
  current: 44n,
  counts: { pageCount: 2, keyCount: 7, consumerCount: 1, tierCount: 1, apiCount: 1, limitCount: 0, totalBytes },
};
const heartbeat: FrameSpec = { ...stamp, type: "heartbeat" };
const small = page([key]);
const smallBytes = encodeFrame(small).length;

const keyBody = `${Buffer.from(key.digest).toString("hex")} 01000000 0000 00 01 61`;

export const fixtures: Record<string, Fixture> = {
  heartbeat: { description: "nothing new", frames: [heartbeat] },
  manifest: { description: "fetch two pages", frames: [manifest] },
  snapshot: { description: "a manifest and its two pages, one after another", frames: [manifest, ...twoPages] },
  "every-field": {
    description: "one page with every record type and every optional field, at their least and greatest",
    frames: [page(everyField)],
  },
  "subject-route": {
    description: "an API whose routes are told apart, and a limit that counts by them",
    frames: [
      page([
        {
          ...fullApi,
          wireId: 14,
          routes: fullApi.routes.map((route, index) => ({ ...route, key: 0xffffffff - index })),
        },
        { ...limit, wireId: 10, name: "each-route", subject: "route" },
      ]),
    ],
  },
  "empty-page": { description: "an environment without records", frames: [page([])] },
  "great-numbers": {
    description: "epoch and version use all 64 bits",
    frames: [{ ...heartbeat, epoch: 0xfedcba9876543210n, version: 0xffffffffffffffffn }],
  },
  delta: {
    description: "one record of each type replaced",
    frames: [delta([fullApi, limit, tier, consumer, { ...key, state: "revoked" }])],
  },
  "delta-deletes": { description: "every kind of DELETE", frames: [delta(deletes)] },
  "delta-parts": {
    description: "three parts: the version is reached with the last",
    frames: [
      delta([tier, consumer, ...manyKeys(0, 2)], true),
      delta([...manyKeys(2, 2), deletes[0]!], true),
      delta([{ ...key, id: "moved" }]),
    ],
  },
  "delta-empty": { description: "only the version moves", frames: [delta([])] },
  "delta-counters": { description: "counters that were reset or granted extra", frames: [delta(counters)] },
  recall: {
    description: "return what is parked of two counters",
    frames: [
      {
        ...stamp,
        type: "recall",
        counters: [
          { wireId: 1, subject, windowStartMs: minute },
          { wireId: 4_294_967_295, subject: "f".repeat(32), windowStartMs: 0 },
        ],
      },
    ],
  },
  "recall-and-heartbeat": {
    description: "two frames in one answer",
    frames: [{ ...stamp, type: "recall", counters: [{ wireId: 1, subject, windowStartMs: minute }] }, heartbeat],
  },
  leases: {
    description: "a lane's call: an ask, one for the next window with a share, a return, a farewell",
    frames: [leases],
  },
  "leases-empty": { description: "a lane's call that says nothing", frames: [{ ...leases, ops: [] } as FrameSpec] },
  "leases-beyond-2-53": {
    description: "amounts beyond 2^53 - 1 are read as that",
    frames: [
      {
        ...leases,
        ops: [
          {
            wireId: 1,
            subject,
            actions: 1,
            windowStartMs: minute,
            held: 9_007_199_254_740_991,
            returned: 9_007_199_254_740_991,
            need: 1,
            want: 9_007_199_254_740_991,
          },
        ],
      } as FrameSpec,
    ],
    encode: [
      {
        ...leases,
        payload: Buffer.from(
          `01000000 00000000 01000000 01000000 ${subject} ${u64(minute)} ffffffffffffffff 0000000000002000 0100000000000000 ffffffffffffff7f`.replaceAll(
            " ",
            "",
          ),
          "hex",
        ),
      },
    ],
  },
  "leases-answer": { description: "every verdict", frames: [leasesAnswer] },
  usage: { description: "what was admitted and refused by minute, API, route, consumer and key", frames: [usage] },
  "usage-empty": { description: "a batch of nothing", frames: [{ ...usage, entries: [] } as FrameSpec] },
  "usage-answer": {
    description: "a batch was applied",
    frames: [{ ...stamp, version: 8n, type: "usageAnswer", lane }],
  },
  tokens: {
    description: "whose tokens a worker needs: of a key, of a token with narrowed scopes, of a peer without any",
    frames: [tokens],
  },
  "tokens-empty": { description: "a call for no token", frames: [{ ...tokens, asks: [] } as FrameSpec] },
  "tokens-answer": { description: "every verdict, and a token as large as it may be", frames: [tokensAnswer] },
  "unknown-skippable": {
    description: "records of types 128 and 255 among known ones: skipped",
    frames: [
      page([
        { type: "other", code: 128, body: new Uint8Array() },
        key,
        { type: "other", code: 255, body: new Uint8Array(200).fill(7) },
        { ...key, id: "after", digest: digest("after") },
      ]),
    ],
  },
  "longer-bodies": {
    description: "fields appended by a later minor version: ignored",
    frames: [page([{ ...key, id: "a" }])],
    encode: [rawPage(`04 1d ${keyBody} ffffffff`)],
  },
  "padded-length": {
    description: "a record's length as a varint of four bytes, where one would do",
    frames: [page([{ ...key, id: "a" }])],
    encode: [rawPage(`04 99808000 ${keyBody}`)],
  },

  "unknown-mandatory": {
    description: "a record type below 128 that isn't known: a newer format, nothing of the frame counts",
    frames: [],
    encode: [page([key, { type: "other", code: 99, body: new Uint8Array(3) }])],
    error: { offset: smallBytes, reason: "record_type" },
  },
  "format-newer": {
    description: "format 2",
    frames: [heartbeat],
    encode: [heartbeat, heartbeat],
    patch: { offset: 48 + 4, bytes: [2], resum: 48 },
    error: { offset: 48 + 4, reason: "format" },
  },
  "magic-wrong": {
    description: "no frame",
    frames: [],
    encode: [heartbeat],
    patch: { offset: 0, bytes: [0x55] },
    error: { offset: 0, reason: "magic" },
  },
  "frame-type-unknown": {
    description: "a frame of type 12 with a right checksum",
    frames: [],
    encode: [heartbeat],
    patch: { offset: 6, bytes: [12], resum: 0 },
    error: { offset: 6, reason: "frame_type" },
  },
  "checksum-wrong-payload": {
    description: "one bit of the payload flipped",
    frames: [],
    encode: [small],
    patch: { offset: 60, bytes: [0] },
    error: { offset: 12, reason: "checksum" },
  },
  "checksum-wrong-header": {
    description: "the version changed",
    frames: [],
    encode: [small],
    patch: { offset: 24, bytes: [43] },
    error: { offset: 12, reason: "checksum" },
  },
  "truncated-header": {
    description: "47 bytes",
    frames: [],
    encode: [heartbeat],
    cutBytes: 1,
    error: { offset: 0, reason: "truncated" },
  },
  "truncated-payload": {
    description: "the last byte is missing",
    frames: [heartbeat],
    encode: [heartbeat, small],
    cutBytes: 1,
    error: { offset: 48 + 8, reason: "truncated" },
  },
  "frame-too-large": {
    description: "payloadBytes is 1 MiB, so the frame would be larger",
    frames: [],
    encode: [heartbeat],
    patch: { offset: 8, bytes: [0, 0, 0x10, 0] },
    error: { offset: 8, reason: "frame_bytes" },
  },
  "length-huge": {
    description: "payloadBytes is 0xFFFFFFFF",
    frames: [],
    encode: [heartbeat],
    patch: { offset: 8, bytes: [255, 255, 255, 255] },
    error: { offset: 8, reason: "frame_bytes" },
  },
  "manifest-short": {
    description: "a manifest of 39 bytes",
    frames: [],
    encode: [{ ...manifest, payload: new Uint8Array(39) }],
    error: { offset: 48, reason: "payload" },
  },
  "record-past-payload": {
    description: "a record's length reaches past the payload",
    frames: [],
    encode: [rawPage("05 06 01 01000000")],
    error: { offset: 48, reason: "record_bounds" },
  },
  "varint-endless": {
    description: "a length of six bytes",
    frames: [],
    encode: [rawPage("05 808080808000")],
    error: { offset: 48, reason: "record_bounds" },
  },
  "varint-huge": {
    description: "a length of 2^32 - 1",
    frames: [],
    encode: [rawPage("05 ffffffff0f")],
    error: { offset: 48, reason: "record_bounds" },
  },
  "varint-cut": {
    description: "the payload ends within a length",
    frames: [],
    encode: [rawPage("05 80")],
    error: { offset: 48, reason: "record_bounds" },
  },
  "field-past-record": {
    description: "a key's id reaches past its record, into the next",
    frames: [],
    encode: [rawPage(`04 19 ${keyBody.replace("01 61", "02 61")} 04 19 ${keyBody}`)],
    error: { offset: 50 + 24, reason: "field_bounds" },
  },
  "list-past-record": {
    description: "a tier's list of 65535 scopes",
    frames: [],
    encode: [rawPage("02 0d 01000000 01000000 0100 61 ffff")],
    error: { offset: 50 + 13, reason: "field_bounds" },
  },
  "body-empty": {
    description: "a key without a body",
    frames: [],
    encode: [rawPage("04 00")],
    error: { offset: 50, reason: "field_bounds" },
  },
  "delete-in-page": {
    description: "a DELETE in a snapshot",
    frames: [],
    encode: [page([deletes[1]!])],
    error: { offset: 48, reason: "value" },
  },
  "counter-in-page": {
    description: "a COUNTER in a snapshot",
    frames: [],
    encode: [page([counters[0]!])],
    error: { offset: 48, reason: "value" },
  },
  "counter-short": {
    description: "a COUNTER of 31 bytes",
    frames: [],
    encode: [
      {
        ...delta([]),
        payload: Buffer.from(`071f01000000 01000000 ${subject} 00000000000000`.replaceAll(" ", ""), "hex"),
      },
    ],
    error: { offset: 50 + 24, reason: "field_bounds" },
  },
  "wire-id-zero": {
    description: "a DELETE of API 0",
    frames: [],
    encode: [{ ...delta([]), payload: Buffer.from("05050100000000", "hex") }],
    error: { offset: 51, reason: "value" },
  },
  "delete-kind-unknown": {
    description: "a DELETE of kind 5: it's closed",
    frames: [delta([closed("delete", "0501000000")])],
  },
  "key-state-unknown": {
    description: "a key of state 3: it's closed",
    frames: [page([closed("key", keyBody.replace("0000 00 01", "0300 00 01"))])],
  },
  "prefix-too-long": {
    description: "an IPv4 prefix of 33 bits",
    frames: [],
    encode: [rawPage(`04 20 ${keyBody.replace("0000 00 01", "2000 00 01")} 01 04 21 0a000000`)],
    error: { offset: 50 + 26, reason: "value" },
  },
};

/** Frames of calls that only control reads, or only gateways; the other side has no use for them. */
export const callErrors: Record<string, Fixture> = {
  "leases-count-wrong": {
    description: "five ops are announced, four are there",
    frames: [],
    encode: [leases],
    patch: { offset: 48, bytes: [5], resum: 0 },
    error: { offset: 48, reason: "payload" },
  },
  "leases-too-many": {
    description: "4097 ops",
    frames: [],
    encode: [{ ...leases, payload: Buffer.concat([Buffer.from("0110000000000000", "hex"), Buffer.alloc(4097 * 64)]) }],
    error: { offset: 48, reason: "payload" },
  },
  "leases-no-count": {
    description: "a payload of four bytes",
    frames: [],
    encode: [{ ...leases, payload: Buffer.alloc(4) }],
    error: { offset: 48, reason: "payload" },
  },
  "leases-trailing": {
    description: "a byte behind the last op",
    frames: [],
    encode: [{ ...leases, payload: Buffer.concat([encodeFrame(leases).subarray(48), Buffer.alloc(1)]) }],
    error: { offset: 48, reason: "payload" },
  },
  "leases-second": {
    description: "the second of two frames is broken",
    frames: [leases],
    encode: [leases, leases],
    patch: { offset: leasesBytes + 60, bytes: [0xff] },
    error: { offset: leasesBytes + 12, reason: "checksum" },
  },
  "verdict-unknown": {
    description: "verdict 5: as unknown",
    frames: [
      {
        ...leasesAnswer,
        answers: leasesAnswer.answers.map((answer, index) =>
          index === 0 ? { ...answer, verdict: verdict.unknown } : answer,
        ),
      },
    ],
    encode: [leasesAnswer],
    patch: { offset: 56, bytes: [5], resum: 0 },
  },
  "usage-count-wrong": {
    description: "a thousand entries are announced",
    frames: [],
    encode: [usage],
    patch: { offset: 48, bytes: [0xe8, 3], resum: 0 },
    error: { offset: 48, reason: "payload" },
  },
  "usage-entry-cut": {
    description: "an entry of two counts, of which one is there",
    frames: [],
    encode: [
      {
        ...usage,
        payload: Buffer.from(`01000000 00000000 ${"00".repeat(16)} ${noDigest} 02 0001`.replaceAll(" ", ""), "hex"),
      },
    ],
    error: { offset: 48 + 8 + 35, reason: "field_bounds" },
  },
  "usage-varint-endless": {
    description: "a count of six bytes",
    frames: [],
    encode: [
      {
        ...usage,
        payload: Buffer.from(
          `01000000 00000000 ${"00".repeat(16)} ${noDigest} 01 00 ffffffffff01`.replaceAll(" ", ""),
          "hex",
        ),
      },
    ],
    error: { offset: 48 + 8 + 33 + 6, reason: "field_bounds" },
  },
  "usage-trailing": {
    description: "a byte behind the last entry",
    frames: [],
    encode: [{ ...usage, payload: Buffer.from(`00000000 00000000 00`.replaceAll(" ", ""), "hex") }],
    error: { offset: 56, reason: "payload" },
  },
  "tokens-count-wrong": {
    description: "four asks are announced, three are there",
    frames: [],
    encode: [tokens],
    patch: { offset: 48, bytes: [4], resum: 0 },
    error: { offset: 48, reason: "payload" },
  },
  "tokens-too-many": {
    description: "65 asks",
    frames: [],
    encode: [{ ...tokens, payload: Buffer.concat([Buffer.from("4100000000000000", "hex"), Buffer.alloc(65 * 28)]) }],
    error: { offset: 48, reason: "payload" },
  },
  "tokens-kind-unknown": {
    description: "a caller of kind 3: of none that is known",
    frames: [{ ...tokens, asks: [{ id: subject, consumer: 1, tier: 1 }, ...tokens.asks.slice(1)] }],
    encode: [tokens],
    patch: { offset: 48 + 8 + 24, bytes: [3], resum: 0 },
  },
  "tokens-trailing": {
    description: "a byte behind the last ask",
    frames: [],
    encode: [{ ...tokens, payload: Buffer.alloc(9) }],
    error: { offset: 56, reason: "payload" },
  },
  "tokens-verdict-unknown": {
    description: "verdict 4: as unknown",
    frames: [
      {
        ...tokensAnswer,
        answers: tokensAnswer.answers.map((answer, index) =>
          index === 0 ? { ...answer, verdict: "unknown" as const } : answer,
        ),
      },
    ],
    encode: [tokensAnswer],
    patch: { offset: 48 + 8 + 32, bytes: [4], resum: 0 },
  },
  "recall-short": {
    description: "two counters are announced, one is there",
    frames: [],
    encode: [
      {
        ...stamp,
        type: "recall",
        counters: [],
        payload: Buffer.concat([Buffer.from("0200000000000000", "hex"), Buffer.alloc(28)]),
      },
    ],
    error: { offset: 48, reason: "payload" },
  },
  "usage-answer-payload": {
    description: "an answer to usage with a payload",
    frames: [],
    encode: [{ ...stamp, type: "usageAnswer", lane, payload: Buffer.alloc(1) }],
    error: { offset: 48, reason: "payload" },
  },
};

function u64(value: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes.toString("hex");
}

/** The bytes of a fixture. */
export function fixtureBytes({ frames, encode = frames, patch, cutBytes = 0 }: Fixture): Buffer {
  const bytes = encodeFrames(encode);
  if (patch !== undefined) {
    bytes.set(patch.bytes, patch.offset);
    if (patch.resum !== undefined) {
      const frame = bytes.subarray(patch.resum);
      frame.writeUInt32LE(checksum(frame, frame.subarray(HEADER_BYTES, HEADER_BYTES + frame.readUInt32LE(8))), 12);
    }
  }
  return bytes.subarray(0, bytes.length - cutBytes);
}

/** Keys in the clear for readers that start from a request: well-formed, and of no other use. */
export const testKeys = {
  active: testKey("1"),
  narrow: testKey("2"),
  revoked: testKey("3"),
  expired: testKey("4"),
  suspendedConsumer: testKey("5"),
};

/** An environment for `compileSnapshot`, its keys being `testKeys`. */
export const compiledSpec: EnvironmentSpec = {
  version: 1,
  environment: "default",
  apis: [
    {
      id: "echo",
      hosts: ["*"],
      paths: ["/"],
      methods: [],
      upstream: { service: "echo.demo.svc.cluster.local", port: 8080 },
      auth: { mode: "key" },
      scopes: ["read"],
      failureMode: "closed",
      rateLimitHeaders: true,
      legacyHeaders: "off",
      routes: [{ path: "/search", methods: ["POST"], scopes: ["search"], cost: 5, limits: [] }],
      limits: [],
    },
    {
      id: "public",
      hosts: ["*"],
      paths: ["/public"],
      methods: ["GET"],
      upstream: { service: "echo.demo.svc.cluster.local", port: 8080 },
      auth: { mode: "none" },
      scopes: [],
      failureMode: "closed",
      rateLimitHeaders: true,
      legacyHeaders: "off",
      routes: [],
      limits: [
        {
          name: "per-ip",
          kind: "rate",
          limit: 600,
          windowSeconds: 60,
          anchor: "calendar",
          subject: "ip",
          enforcement: "gateway",
          mode: "enforce",
        },
      ],
    },
  ],
  tiers: [
    {
      id: "bronze",
      scopes: ["read"],
      limits: [
        {
          name: "minute",
          kind: "rate",
          limit: 60,
          windowSeconds: 60,
          anchor: "calendar",
          subject: "key",
          enforcement: "global",
          mode: "enforce",
        },
      ],
    },
    { id: "admin", scopes: ["*"], apis: ["echo"], limits: [] },
  ],
  consumers: [
    { id: "acme", name: "Acme Corp", tier: "bronze", claims: { org: "acme" }, suspended: false },
    { id: "initech", tier: "admin", claims: {}, suspended: true },
  ],
  keys: [
    specKey("acme-1", "acme", testKeys.active),
    {
      ...specKey("acme-2", "acme", testKeys.narrow),
      tier: "admin",
      allowedCidrs: ["10.0.0.0/8", "2001:db8::/32"],
      apis: ["echo"],
      scopes: ["read"],
      expiresAt: "2100-01-01T00:00:00Z",
    },
    { ...specKey("acme-3", "acme", testKeys.revoked), state: "revoked" },
    { ...specKey("acme-4", "acme", testKeys.expired), expiresAt: "2020-01-01T00:00:00Z" },
    specKey("initech-1", "initech", testKeys.suspendedConsumer),
  ],
};

function testKey(random: string): string {
  const body = `tg_default_${random.padStart(26, "0")}`;
  const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  let sum = "";
  for (let rest = crc32(body); sum.length < 6; rest = Math.floor(rest / 62)) sum = alphabet[rest % 62]! + sum;
  return `${body}_${sum}`;
}

function specKey(id: string, consumer: string, key: string): Key {
  return {
    id,
    consumer,
    sha256: createHash("sha256").update(key).digest("hex"),
    state: "active",
    allowedCidrs: [],
    limits: [],
  };
}
