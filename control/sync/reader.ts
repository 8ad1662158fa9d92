/** Reads frames and what is in them: calls of gateways, and all else for tests and tools. Bad bytes give an error with its place; nothing throws. */
import type { LeaseAnswer, LeaseOp } from "../counters/model.ts";
import type { UsageEntry } from "../usage/model.ts";
import { type DecodeReason, Fields, Refused } from "./fields.ts";
import { checksum, type ManifestCounts } from "./frames.ts";
import { readAnswers, readOps } from "./leasePayload.ts";
import { type RecalledCounter, readRecalls } from "./recallPayload.ts";
import { readBody, type WireRecord } from "./generated/records.ts";
import { FLAG_MORE, FORMAT, frameCodes, HEADER_BYTES, MAGIC, MANIFEST_BYTES, MAX_FRAME_BYTES, nameOf } from "./wire.ts";
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

/** Decodes frames that follow one another. Records with unknown values are given as closed; unknown types from 128 on as they are. */
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
    if (error instanceof Refused)
      return { ok: false, frames, error: { offset: error.offset, reason: error.reason, detail: error.message } };
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
  if (frameBytes > MAX_FRAME_BYTES)
    throw new Refused(start + 8, "frame_bytes", `a frame of ${frameBytes} bytes, at most ${MAX_FRAME_BYTES}`);
  if (frameBytes > left) throw new Refused(start + 8, "truncated", `a frame of ${frameBytes} bytes, ${left} are left`);
  const payloadStart = start + HEADER_BYTES;
  const end = start + frameBytes;
  const expected = head.u32();
  const actual = checksum(bytes.subarray(start, payloadStart), bytes.subarray(payloadStart, end));
  if (actual !== expected)
    throw new Refused(start + 12, "checksum", `checksum ${hex32(expected)}, the bytes give ${hex32(actual)}`);
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
      return {
        ...stamp,
        type,
        index: Number(base & 0xffffffffn),
        pageCount: Number(base >> 32n),
        records: readRecords(payload, false),
      };
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
  if (payloadBytes < MANIFEST_BYTES)
    throw new Refused(fields.pos, "payload", `${payloadBytes} bytes, a manifest has ${MANIFEST_BYTES}`);
  const [pageCount, keyCount, consumerCount, tierCount, apiCount, limitCount] = [
    fields.u32(),
    fields.u32(),
    fields.u32(),
    fields.u32(),
    fields.u32(),
    fields.u32(),
  ];
  return { pageCount, keyCount, consumerCount, tierCount, apiCount, limitCount, totalBytes: fields.u64() };
}

function readRecords(payload: Fields, deletesAllowed: boolean): WireRecord[] {
  const records: WireRecord[] = [];
  while (payload.left > 0) {
    const at = payload.pos;
    const code = payload.bytes[payload.pos++]!;
    const bodyBytes = readVarint(payload, at);
    if (bodyBytes > payload.left)
      throw new Refused(at, "record_bounds", `a record of ${bodyBytes} bytes, ${payload.left} are left`);
    const body = new Fields(payload.bytes, payload.pos, payload.pos + bodyBytes);
    payload.pos += bodyBytes;
    const record = readBody(code, body);
    if (record === undefined) throw new Refused(at, "record_type", `record type ${code}, of a newer format`);
    if ((record.type === "delete" || record.type === "counter") && !deletesAllowed)
      throw new Refused(at, "value", `a ${record.type.toUpperCase()} in a snapshot`);
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

function hex32(value: number): string {
  return value.toString(16).padStart(8, "0");
}
