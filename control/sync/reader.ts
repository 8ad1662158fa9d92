/** Reads frames and what is in them: calls of gateways, and all else for tests and tools. Bad bytes give an error with its place; nothing throws. */
import { cidrText } from "../domain/cidr.ts";
import type { LeaseAnswer, LeaseOp } from "../counters/model.ts";
import type { UsageEntry } from "../usage/model.ts";
import { type DecodeReason, Fields, Refused } from "./fields.ts";
import { checksum, type ManifestCounts } from "./frames.ts";
import { readAnswers, readOps } from "./leasePayload.ts";
import { type RecalledCounter, readRecalls } from "./recallPayload.ts";
import type { ApiRecord, ConsumerRecord, CounterRecord, DeleteRecord, KeyRecord, LimitRecord, TierRecord, WireCors, WireJwt, WireRecord, WireRoute } from "./records.ts";
import { authModes, deleteKinds, failureModes, FLAG_MORE, FORMAT, frameCodes, HEADER_BYTES, keyStates, legacyHeaders, limitKinds, MAGIC, MANIFEST_BYTES, MAX_FRAME_BYTES, nameOf, NO_ROUTE, ownerKinds, periods, recordCodes, subjects } from "./wire.ts";
import { readTokenAnswers, readTokenAsks, type WireTokenAnswer, type WireTokenAsk } from "./tokenPayload.ts";
import { readEntries } from "./usagePayload.ts";

export type DecodedFrame = { epoch: bigint; version: bigint; timeMs: number; frameBytes: number } & (
  | { type: "manifest"; current: bigint; counts: ManifestCounts }
  | { type: "page"; index: number; pageCount: number; records: WireRecord[] }
  | { type: "delta"; base: bigint; more: boolean; records: WireRecord[] }
  | { type: "heartbeat" }
  | { type: "recall"; counters: RecalledCounter[] }
  /** calls of lanes and their answers; `version` is the call's number */
  | { type: "leases"; lane: bigint; ops: LeaseOp[] }
  | { type: "leasesAnswer"; lane: bigint; answers: LeaseAnswer[] }
  | { type: "usage"; lane: bigint; entries: UsageEntry[] }
  | { type: "usageAnswer"; lane: bigint }
  | { type: "tokens"; lane: bigint; asks: WireTokenAsk[] }
  | { type: "tokensAnswer"; lane: bigint; answers: WireTokenAnswer[] }
);

export type { DecodeReason } from "./fields.ts";

export interface DecodeError {
  /** in the bytes given */
  offset: number;
  reason: DecodeReason;
  detail: string;
}

/** All frames, or those before the error and the error. */
export type Decoded = { ok: true; frames: DecodedFrame[] } | { ok: false; frames: DecodedFrame[]; error: DecodeError };

/** Decodes frames that follow one another. Strict: unknown values and trailing bytes are errors; unknown types from 128 on aren't. */
export function decodeFrames(bytes: Uint8Array): Decoded {
  const frames: DecodedFrame[] = [];
  let offset = 0;
  try {
    while (offset < bytes.length) {
      const frame = decodeFrame(bytes, offset);
      frames.push(frame);
      offset += frame.frameBytes;
    }
    return { ok: true, frames };
  } catch (error) {
    if (error instanceof Refused) return { ok: false, frames, error: { offset: error.offset, reason: error.reason, detail: error.message } };
    throw error;
  }
}

function decodeFrame(bytes: Uint8Array, start: number): DecodedFrame {
  const left = bytes.length - start;
  if (left < HEADER_BYTES) throw new Refused(start, "truncated", `${left} bytes left, a header has ${HEADER_BYTES}`);
  const head = new Fields(bytes, start, start + HEADER_BYTES);
  if (head.u32() !== MAGIC) throw new Refused(start, "magic", "no frame begins here");
  const format = head.u16();
  if (format !== FORMAT) throw new Refused(start + 4, "format", `format ${format}; this reader knows ${FORMAT}`);
  const typeCode = head.u8();
  const flags = head.u8();
  const payloadBytes = head.u32();
  const frameBytes = HEADER_BYTES + payloadBytes;
  if (frameBytes > MAX_FRAME_BYTES) throw new Refused(start + 8, "frame_bytes", `a frame of ${frameBytes} bytes, at most ${MAX_FRAME_BYTES}`);
  if (frameBytes > left) throw new Refused(start + 8, "truncated", `a frame of ${frameBytes} bytes, ${left} are left`);
  const payloadStart = start + HEADER_BYTES;
  const end = start + frameBytes;
  const expected = head.u32();
  const actual = checksum(bytes.subarray(start, payloadStart), bytes.subarray(payloadStart, end));
  if (actual !== expected) throw new Refused(start + 12, "checksum", `checksum ${hex32(expected)}, the bytes give ${hex32(actual)}`);
  const epoch = head.bigU64();
  const version = head.bigU64();
  const base = head.bigU64();
  const stamp = { epoch, version, timeMs: head.u64(), frameBytes };
  const type = nameOf(frameCodes, typeCode);
  if (type === undefined) throw new Refused(start + 6, "frame_type", `frame type ${typeCode}`);
  const payload = new Fields(bytes, payloadStart, end);
  switch (type) {
    case "manifest":
      return { ...stamp, type, current: base, counts: readManifest(payload, payloadBytes) };
    case "page":
      return { ...stamp, type, index: Number(base & 0xffffffffn), pageCount: Number(base >> 32n), records: readRecords(payload, false) };
    case "delta":
      return { ...stamp, type, base, more: (flags & FLAG_MORE) !== 0, records: readRecords(payload, true) };
    case "heartbeat":
      if (payloadBytes > 0) throw new Refused(payloadStart, "payload", "a heartbeat has none");
      return { ...stamp, type };
    case "recall":
      return { ...stamp, type, counters: readRecalls(payload) };
    case "leases":
      return { ...stamp, type, lane: base, ops: readOps(payload) };
    case "leasesAnswer":
      return { ...stamp, type, lane: base, answers: readAnswers(payload) };
    case "usage":
      return { ...stamp, type, lane: base, entries: readEntries(payload) };
    case "usageAnswer":
      if (payloadBytes > 0) throw new Refused(payloadStart, "payload", "an answer to usage has none");
      return { ...stamp, type, lane: base };
    case "tokens":
      return { ...stamp, type, lane: base, asks: readTokenAsks(payload) };
    case "tokensAnswer":
      return { ...stamp, type, lane: base, answers: readTokenAnswers(payload) };
  }
}

function readManifest(fields: Fields, payloadBytes: number): ManifestCounts {
  if (payloadBytes < MANIFEST_BYTES) throw new Refused(fields.pos, "payload", `${payloadBytes} bytes, a manifest has ${MANIFEST_BYTES}`);
  const [pageCount, keyCount, consumerCount, tierCount, apiCount, limitCount] = [fields.u32(), fields.u32(), fields.u32(), fields.u32(), fields.u32(), fields.u32()];
  return { pageCount, keyCount, consumerCount, tierCount, apiCount, limitCount, totalBytes: fields.u64() };
}

function readRecords(payload: Fields, deletesAllowed: boolean): WireRecord[] {
  const records: WireRecord[] = [];
  while (payload.left > 0) {
    const at = payload.pos;
    const code = payload.bytes[payload.pos++]!;
    const bodyBytes = readVarint(payload, at);
    if (bodyBytes > payload.left) throw new Refused(at, "record_bounds", `a record of ${bodyBytes} bytes, ${payload.left} are left`);
    const body = new Fields(payload.bytes, payload.pos, payload.pos + bodyBytes);
    payload.pos += bodyBytes;
    const record = readRecord(code, body, at);
    if ((record.type === "delete" || record.type === "counter") && !deletesAllowed) throw new Refused(at, "value", `a ${record.type.toUpperCase()} in a snapshot`);
    records.push(record);
  }
  return records;
}

function readVarint(fields: Fields, recordAt: number): number {
  let value = 0;
  for (let i = 0; i < 5 && fields.left > 0; i++) {
    const byte = fields.bytes[fields.pos++]!;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return value;
  }
  throw new Refused(recordAt, "record_bounds", "the record's length does not end");
}

function readRecord(code: number, body: Fields, at: number): WireRecord {
  const type = nameOf(recordCodes, code);
  switch (type) {
    case "api":
      return readApi(body);
    case "tier":
      return readTier(body);
    case "consumer":
      return readConsumer(body);
    case "key":
      return readKey(body);
    case "delete":
      return readDelete(body);
    case "limit":
      return readLimit(body);
    case "counter":
      return readCounter(body);
    case undefined:
      if (code < 128) throw new Refused(at, "record_type", `record type ${code}, of a newer format`);
      return { type: "other", code, body: body.raw(body.left) };
  }
}

function readApi(body: Fields): ApiRecord {
  const wireId = body.wireId();
  const authMode = body.oneOf(authModes, 0, "auth mode");
  const failureMode = body.oneOf(failureModes, 0, "failure mode");
  const flagsAt = body.pos;
  const flags = body.u16();
  const legacy = legacyHeaders[(flags >> 2) & 3];
  if (legacy === undefined) throw new Refused(flagsAt, "value", "legacy headers of kind 3");
  const api: ApiRecord = { type: "api", wireId, id: body.str(), authMode, failureMode, hosts: body.strings(), paths: body.strings(), methods: body.strings(), scopes: body.strings(), routes: body.list(readRoute) };
  if ((flags & 1) !== 0) api.cors = readCors(body);
  if ((flags & 16) !== 0) api.jwt = readJwt(body);
  if ((flags & 2) !== 0) api.rateLimitHeaders = false;
  if (legacy !== "off") api.legacyHeaders = legacy;
  return api;
}

function readRoute(body: Fields): WireRoute {
  const route = { path: body.str(), methods: body.strings(), scopes: body.strings(), cost: body.u32() };
  body.u32();
  return route;
}

function readJwt(body: Fields): WireJwt {
  const issuers = body.strings();
  const at = body.pos;
  const audiences = body.list((fields) => fields.strings());
  if (audiences.length !== issuers.length) throw new Refused(at, "value", `${issuers.length} issuers, but audiences of ${audiences.length}`);
  return {
    issuers: issuers.map((issuer, index) => ({ issuer, audiences: audiences[index]! })),
    consumerClaims: body.strings(),
    tierClaim: body.str(),
    scopeClaim: body.str(),
    admitUnknown: (body.u8() & 1) !== 0,
  };
}

function readCors(body: Fields): WireCors {
  return { allowOrigins: body.strings(), allowMethods: body.strings(), allowHeaders: body.strings(), exposeHeaders: body.strings(), maxAgeSeconds: body.u32(), allowCredentials: body.flag("allowCredentials") };
}

function readTier(body: Fields): TierRecord {
  const wireId = body.wireId();
  const every = (body.u32() & 1) !== 0;
  const tier: TierRecord = { type: "tier", wireId, id: body.str(), scopes: body.strings() };
  const at = body.pos;
  const apis = body.wireIds();
  if (every && apis.length > 0) throw new Refused(at, "value", "every API allowed, and yet a list");
  return every ? tier : { ...tier, apis };
}

function readConsumer(body: Fields): ConsumerRecord {
  const wireId = body.wireId();
  const tier = body.u32();
  const flags = body.u16();
  const suspended = (flags & 1) !== 0;
  body.u8();
  const id = body.shortStr();
  const claims: [string, string][] = [];
  for (let count = body.u16(); count > 0; count--) claims.push([body.shortStr(), body.str()]);
  const consumer: ConsumerRecord = { type: "consumer", wireId, id, tier, suspended, claims: Object.fromEntries(claims) };
  if ((flags & 2) !== 0) consumer.identities = body.strings();
  return consumer;
}

function readKey(body: Fields): KeyRecord {
  const digest = body.raw(16);
  const consumer = body.wireId();
  const at = body.pos;
  const flags = body.u16();
  const state = keyStates[flags & 3];
  if (state === undefined) throw new Refused(at, "value", "key state 3");
  const algorithm = body.u8();
  const key: KeyRecord = { type: "key", id: body.shortStr(), digest, consumer, state };
  if (algorithm !== 0) key.algorithm = algorithm;
  if ((flags & 4) !== 0) key.notBeforeMs = body.u64();
  if ((flags & 8) !== 0) key.expiresAtMs = body.u64();
  if ((flags & 16) !== 0) key.tier = body.wireId();
  if ((flags & 32) !== 0) key.addresses = Array.from({ length: body.u8() }, () => readAddress(body));
  if ((flags & 64) !== 0) key.apis = body.wireIds();
  if ((flags & 128) !== 0) key.scopes = body.strings();
  if ((flags & 256) !== 0) key.limited = true;
  return key;
}

function readAddress(body: Fields): string {
  const at = body.pos;
  const family = body.u8();
  if (family !== 4 && family !== 6) throw new Refused(at, "value", `address family ${family}`);
  const prefixBits = body.u8();
  const bytes = body.raw(family === 4 ? 4 : 16);
  if (prefixBits > bytes.length * 8) throw new Refused(at, "value", `a prefix of ${prefixBits} bits`);
  if (bytes.some((byte, i) => (byte & (0xff >> Math.min(8, Math.max(0, prefixBits - i * 8)))) !== 0)) throw new Refused(at, "value", "host bits are set");
  return cidrText({ family, prefixBits, bytes });
}

function readCounter(body: Fields): CounterRecord {
  const record: CounterRecord = { type: "counter", wireId: body.wireId(), generation: body.u32(), subject: body.hex(16) };
  body.bigU64();
  return record;
}

function readDelete(body: Fields): DeleteRecord {
  const at = body.pos;
  const code = body.u8();
  const kind = nameOf(deleteKinds, code);
  if (kind === undefined) throw new Refused(at, "value", `DELETE of kind ${code}`);
  return kind === "key" ? { type: "delete", kind, digest: body.raw(16) } : { type: "delete", kind, wireId: body.wireId() };
}

function readLimit(body: Fields): LimitRecord {
  const wireId = body.wireId();
  const at = body.pos;
  const ownerCode = body.u8();
  const ownerKind = nameOf(ownerKinds, ownerCode);
  if (ownerKind === undefined) throw new Refused(at, "value", `owner of kind ${ownerCode}`);
  const kind = body.oneOf(limitKinds, 1, "limit kind");
  const subject = body.oneOf(subjects, 1, "subject");
  const flags = body.u8();
  const owner = body.u32();
  const route = body.u32();
  const limit = body.u64();
  const windowSeconds = body.u32();
  const period = body.oneOf(periods, 0, "period");
  const nameBytes = body.u8();
  body.u16();
  const smoothing = { perSecond: body.u32(), burst: body.u32() };
  const digest = body.raw(16);
  const record: LimitRecord = { type: "limit", wireId, name: body.text(nameBytes), ownerKind, owner, kind, subject, limit, windowSeconds, period, gateway: (flags & 1) !== 0, shadow: (flags & 2) !== 0, firstUse: (flags & 4) !== 0 };
  if ((ownerKind === "route") !== (route !== NO_ROUTE)) throw new Refused(at, "value", "a route's limit names the route, and no other does");
  if (route !== NO_ROUTE) record.route = route;
  if (ownerKind === "key") record.digest = digest;
  if ((flags & 8) !== 0) record.smoothing = smoothing;
  return record;
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, "0");
}
