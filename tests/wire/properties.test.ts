/** Any records survive the wire; damaged bytes are refused, never misread. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cidrText, parseCidr } from "../../control/domain/cidr.ts";
import { EncodeError, RecordWriter } from "../../control/sync/codec.ts";
import { sealFrame } from "../../control/sync/frames.ts";
import { frameFromJson, frameToJson } from "../../control/sync/json.ts";
import { decodeFrames, type DecodedFrame } from "../../control/sync/reader.ts";
import type { WireRecord } from "../../control/sync/generated/records.ts";
import {
  authModeNames as authModes,
  failureModeNames as failureModes,
  keyStateNames as keyStates,
  limitKindNames as limitKinds,
  periodNames as periods,
  subjectNames as subjects,
} from "../../control/sync/generated/records.ts";
import { HEADER_BYTES, MAX_FRAME_BYTES } from "../../control/sync/wire.ts";
import { encodeFrame, encodeFrames, type FrameSpec } from "./encode.ts";

const plain = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
const wireId = fc.integer({ min: 1, max: 0xffffffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const safe = fc.maxSafeNat();
const text = fc.string({ unit: "grapheme", maxLength: 40 }).map((value) => Buffer.from(value).toString());
const short = fc.string({ maxLength: 60 });
const texts = fc.array(text, { maxLength: 5 });
const ids = fc.array(wireId, { maxLength: 5 });
const digest = fc.uint8Array({ minLength: 16, maxLength: 16 });
const cidr = fc
  .oneof(
    plain({ bytes: fc.uint8Array({ minLength: 4, maxLength: 4 }), bits: fc.nat(32) }),
    plain({ bytes: fc.uint8Array({ minLength: 16, maxLength: 16 }), bits: fc.nat(128) }),
  )
  .map(({ bytes, bits }) =>
    cidrText(parseCidr(cidrText({ family: bytes.length === 4 ? 4 : 6, prefixBits: bits, bytes }))!),
  );
/** Leaves members out that are undefined, as the reader does. */
const known = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
const optional = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(of, { nil: undefined });

const api = plain({
  type: fc.constant("api"),
  wireId,
  id: text,
  authMode: fc.constantFrom(...authModes),
  failureMode: fc.constantFrom(...failureModes),
  hosts: texts,
  paths: texts,
  methods: texts,
  scopes: texts,
  routes: fc.array(plain({ path: text, methods: texts, scopes: texts, cost: u32 }), { maxLength: 4 }),
  rateLimitHeaders: fc.constantFrom(undefined, false),
  legacyHeaders: fc.constantFrom(undefined, "tyk", "envoy"),
  cors: optional(
    plain({
      allowOrigins: texts,
      allowMethods: texts,
      allowHeaders: texts,
      exposeHeaders: texts,
      maxAgeSeconds: u32,
      allowCredentials: fc.boolean(),
    }),
  ),
  jwt: optional(
    plain({
      issuers: fc.array(plain({ issuer: text, audiences: texts }), { maxLength: 3 }),
      consumerClaims: texts,
      tierClaim: text,
      scopeClaim: text,
      admitUnknown: fc.boolean(),
    }),
  ),
});
const tier = plain({ type: fc.constant("tier"), wireId, id: text, scopes: texts, apis: optional(ids) });
const claims = fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/), text, { maxKeys: 5, noNullPrototype: true });
const consumer = plain({
  type: fc.constant("consumer"),
  wireId,
  id: short,
  tier: u32,
  suspended: fc.boolean(),
  claims,
  identities: optional(texts),
});
const key = plain({
  type: fc.constant("key"),
  id: short,
  digest,
  consumer: wireId,
  state: fc.constantFrom(...keyStates),
  notBeforeMs: optional(safe),
  expiresAtMs: optional(safe),
  tier: optional(wireId),
  addresses: optional(fc.array(cidr, { maxLength: 4 })),
  apis: optional(ids),
  scopes: optional(texts),
  limited: fc.constantFrom(undefined, true),
});
const limit = plain({
  type: fc.constant("limit"),
  wireId,
  name: short,
  owner: plain({
    ownerKind: fc.constantFrom("api", "tier", "route", "key"),
    owner: u32,
    route: fc.nat(65_535),
    digest,
  }),
  kind: fc.constantFrom(...limitKinds),
  subject: fc.constantFrom(...subjects),
  limit: safe,
  windowSeconds: u32,
  period: fc.constantFrom(...periods),
  gateway: fc.boolean(),
  shadow: fc.boolean(),
  firstUse: fc.boolean(),
  smoothing: optional(plain({ perSecond: u32, burst: u32 })),
}).map(({ owner: { ownerKind, owner, route, digest }, ...rest }) => ({
  ...rest,
  ownerKind,
  owner,
  ...(ownerKind === "route" ? { route } : {}),
  ...(ownerKind === "key" ? { digest } : {}),
}));
const other = plain({
  type: fc.constant("other"),
  code: fc.integer({ min: 128, max: 255 }),
  body: fc.uint8Array({ maxLength: 300 }),
});
const deletion = fc.oneof(
  plain({ type: fc.constant("delete"), kind: fc.constantFrom("api", "tier", "consumer", "limit"), wireId }),
  plain({ type: fc.constant("delete"), kind: fc.constant("key"), digest }),
);
const kept = fc.oneof(api, tier, consumer, key, limit, other).map((record) => known(record) as WireRecord);
const subject = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString("hex"));
const counter = plain({ type: fc.constant("counter"), wireId, generation: u32, subject });
const record = fc.oneof(
  kept,
  deletion.map((value) => value as WireRecord),
  counter.map((value) => value as WireRecord),
);

const u64 = fc.bigInt({ min: 0n, max: 0xffffffffffffffffn });
const stamp = { epoch: u64, version: u64, timeMs: safe };
const op = plain({
  wireId: u32,
  subject,
  actions: fc.nat(255),
  windowStartMs: safe,
  held: safe,
  returned: safe,
  need: safe,
  want: safe,
});
const answer = plain({
  verdict: fc.nat(4),
  generation: u32,
  granted: safe,
  windowStartMs: safe,
  windowEndMs: safe,
  leaseEndMs: safe,
  remaining: safe,
  untilMs: safe,
  share: safe,
  shareUntilMs: safe,
});
const entry = plain({
  minute: u32,
  api: u32,
  route: optional(fc.nat(65_535)),
  consumer: u32,
  digest: subject,
  counts: fc.array(fc.tuple(fc.nat(255), u32), { maxLength: 30 }),
}).map((value) => known(value));
const scope = fc.stringMatching(/^[!#-[\]-~]{1,12}$/);
const ask = plain({
  id: subject,
  kind: fc.constantFrom("key", "token", "peer"),
  consumer: u32,
  tier: u32,
  scopes: optional(fc.array(scope, { maxLength: 4 })),
}).map((value) => known(value));
const token = plain({
  id: subject,
  verdict: fc.constantFrom("unknown", "granted", "off", "tooLarge"),
  refreshAtMs: safe,
  expiresAtMs: safe,
  token: fc.stringMatching(/^[A-Za-z0-9._-]{0,80}$/),
});
const frame = fc
  .oneof(
    plain({ ...stamp, type: fc.constant("heartbeat") }),
    plain({
      ...stamp,
      type: fc.constant("page"),
      index: u32,
      pageCount: u32,
      records: fc.array(kept, { maxLength: 12 }),
    }),
    plain({
      ...stamp,
      type: fc.constant("delta"),
      base: u64,
      more: fc.boolean(),
      records: fc.array(record, { maxLength: 12 }),
    }),
    plain({
      ...stamp,
      type: fc.constant("manifest"),
      current: u64,
      counts: plain({
        pageCount: u32,
        keyCount: u32,
        consumerCount: u32,
        tierCount: u32,
        apiCount: u32,
        limitCount: u32,
        totalBytes: safe,
      }),
    }),
    plain({
      ...stamp,
      type: fc.constant("recall"),
      counters: fc.array(plain({ wireId: u32, subject, windowStartMs: safe }), { maxLength: 12 }),
    }),
    plain({ ...stamp, type: fc.constant("leases"), lane: u64, ops: fc.array(op, { maxLength: 12 }) }),
    plain({ ...stamp, type: fc.constant("leasesAnswer"), lane: u64, answers: fc.array(answer, { maxLength: 12 }) }),
    plain({ ...stamp, type: fc.constant("usage"), lane: u64, entries: fc.array(entry, { maxLength: 12 }) }),
    plain({ ...stamp, type: fc.constant("usageAnswer"), lane: u64 }),
    plain({ ...stamp, type: fc.constant("tokens"), lane: u64, asks: fc.array(ask, { maxLength: 12 }) }),
    plain({ ...stamp, type: fc.constant("tokensAnswer"), lane: u64, answers: fc.array(token, { maxLength: 12 }) }),
  )
  .map((value) => value as FrameSpec);

const withoutBytes = ({ frameBytes: _, ...rest }: DecodedFrame) => rest;

test("what is encoded decodes to the same, and encodes to the same bytes", () => {
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 4 }), (frames) => {
      const bytes = encodeFrames(frames);
      const decoded = decodeFrames(bytes);
      assert.ok(decoded.ok, decoded.ok ? "" : decoded.error.detail);
      assert.deepEqual(decoded.frames.map(withoutBytes), frames);
      assert.ok(encodeFrames(decoded.frames).equals(bytes));
      assert.deepEqual(
        decoded.frames.map((one) => withoutBytes(frameFromJson(JSON.parse(JSON.stringify(frameToJson(one)))))),
        frames,
      );
    }),
    { numRuns: 300 },
  );
});

test("a flipped bit is refused, wherever it is", () => {
  fc.assert(
    fc.property(frame, fc.nat(), (one, place) => {
      const bytes = encodeFrame(one);
      const bit = place % (bytes.length * 8);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const decoded = decodeFrames(bytes);
      assert.ok(!decoded.ok);
      assert.deepEqual(decoded.frames, []);
    }),
    { numRuns: 1000 },
  );
});

test("cut bytes are refused; whole frames before the cut count", () => {
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 3 }), fc.nat(), (frames, place) => {
      const bytes = encodeFrames(frames);
      const length = place % bytes.length;
      const decoded = decodeFrames(bytes.subarray(0, length));
      let whole = 0;
      let end = 0;
      while (whole < frames.length && end + encodeFrame(frames[whole]!).length <= length)
        end += encodeFrame(frames[whole++]!).length;
      assert.equal(decoded.ok, end === length);
      assert.deepEqual(decoded.frames.map(withoutBytes), frames.slice(0, whole));
    }),
    { numRuns: 300 },
  );
});

test("damage under a right checksum gives an error or records, and never throws", () => {
  fc.assert(
    fc.property(
      fc.array(record, { minLength: 1, maxLength: 6 }),
      fc.array(plain({ at: fc.nat(), to: fc.nat(255) }), { minLength: 1, maxLength: 4 }),
      fc.nat(),
      (records, damage, cut) => {
        const spec: FrameSpec = { epoch: 1n, version: 2n, timeMs: 3, type: "delta", base: 1n, more: false, records };
        const payload = encodeFrame(spec).subarray(HEADER_BYTES);
        for (const { at, to } of damage) payload[at % payload.length] = to;
        const decoded = decodeFrames(
          encodeFrame({ ...spec, payload: payload.subarray(0, cut % (payload.length + 1)) }),
        );
        if (!decoded.ok)
          assert.ok(decoded.error.offset >= HEADER_BYTES && decoded.error.offset <= HEADER_BYTES + payload.length);
      },
    ),
    { numRuns: 2000 },
  );
});

test("damage to any frame under a right checksum gives an error or a frame, and never throws", () => {
  fc.assert(
    fc.property(
      frame,
      fc.array(plain({ at: fc.nat(), to: fc.nat(255) }), { minLength: 1, maxLength: 4 }),
      fc.nat(),
      (spec, damage, cut) => {
        const payload = encodeFrame(spec).subarray(HEADER_BYTES);
        for (const { at, to } of damage) if (payload.length > 0) payload[at % payload.length] = to;
        const decoded = decodeFrames(
          encodeFrame({ ...spec, payload: payload.subarray(0, cut % (payload.length + 1)) }),
        );
        if (!decoded.ok)
          assert.ok(decoded.error.offset >= HEADER_BYTES && decoded.error.offset <= HEADER_BYTES + payload.length);
      },
    ),
    { numRuns: 2000 },
  );
});

test("bytes of any kind never throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => void decodeFrames(bytes)),
    { numRuns: 1000 },
  );
});

test("records fill pages in order, each page within 1 MiB and none split", () => {
  const big = fc.array(
    plain({
      type: fc.constant("other" as const),
      code: fc.constant(200),
      body: fc.integer({ min: 0, max: 700_000 }).map((size) => new Uint8Array(size)),
    }),
    { minLength: 1, maxLength: 8 },
  );
  fc.assert(
    fc.property(big, fc.constantFrom(100, 5000, MAX_FRAME_BYTES), (records, firstBytes) => {
      const writer = new RecordWriter(firstBytes);
      for (const one of records) writer.write(one);
      const expectedBytes = writer.frameBytes;
      const pages = writer.finish();
      assert.equal(
        pages.reduce((sum, page) => sum + page.length, 0),
        expectedBytes,
      );
      const read = pages.flatMap((page, index) => {
        assert.ok(page.length <= MAX_FRAME_BYTES);
        const decoded = decodeFrames(
          sealFrame(page, { type: "page", epoch: 1n, version: 1n, timeMs: 0, index, pageCount: pages.length }),
        );
        assert.ok(decoded.ok && decoded.frames[0]?.type === "page");
        return decoded.frames[0].records;
      });
      assert.deepEqual(
        read.map((one) => one.type === "other" && one.body.length),
        records.map((one) => one.body.length),
      );
    }),
    { numRuns: 30 },
  );
});

test("what the format can't hold is refused by name, and the writer goes on", () => {
  const writer = new RecordWriter();
  const base = { type: "key" as const, id: "k", digest: new Uint8Array(32), consumer: 1, state: "active" as const };
  const bad: [WireRecord, RegExp][] = [
    [{ ...base, id: "x".repeat(256) }, /key "x+": bytes of the id: 256/],
    [{ ...base, digest: new Uint8Array(15) }, /key "k": the digest has 15 bytes/],
    [{ ...base, consumer: 0 }, /key "k": 0 is no wire id/],
    [{ ...base, addresses: ["10.0.0.0/33"] }, /"10.0.0.0\/33" is no CIDR/],
    [{ ...base, addresses: Array.from({ length: 256 }, () => "10.0.0.0/8") }, /addresses: 256/],
    [{ ...base, expiresAtMs: 1.5 }, /1.5 is no whole number/],
    [
      { type: "counter", wireId: 1, generation: 2 ** 32, subject: "0".repeat(32) },
      /counter of limit 1: generation: 4294967296/,
    ],
    [{ type: "counter", wireId: 1, generation: 1, subject: "00" }, /counter of limit 1: the digest has 1 bytes/],
    [
      { type: "consumer", wireId: 1, id: "c", tier: 0, suspended: false, claims: { note: "x".repeat(65_536) } },
      /consumer "c": bytes of a string: 65536/,
    ],
    [
      {
        type: "consumer",
        wireId: 1,
        id: "c",
        tier: 0,
        suspended: false,
        claims: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`n${i}`, "x".repeat(65_535)])),
      },
      /consumer "c" takes \d+ bytes, more than one frame holds/,
    ],
  ];
  for (const [one, message] of bad)
    assert.throws(
      () => writer.write(one),
      (error) => error instanceof EncodeError && message.test(error.message),
      String(message),
    );
  writer.write(base);
  const [page] = writer.finish();
  const decoded = decodeFrames(
    sealFrame(page!, { type: "page", epoch: 1n, version: 1n, timeMs: 0, index: 0, pageCount: 1 }),
  );
  assert.ok(decoded.ok && decoded.frames[0]?.type === "page" && decoded.frames[0].records.length === 1);
});
