/** The payload of a lane's usage (docs/internals/protocol.md). */
import type { UsageEntry } from "../usage/model.ts";
import { type Fields, Refused } from "./fields.ts";
import { COUNT_BYTES } from "./leasePayload.ts";
import { NO_ROUTE } from "../../protocol/enums.ts";

const ENTRY_LEAST_BYTES = 33;
const VARINT_MOST_BYTES = 5;

export function readEntries(payload: Fields): UsageEntry[] {
  const at = payload.pos;
  if (payload.left < COUNT_BYTES) throw new Refused(at, "payload", "the payload has no count");
  const count = payload.u32();
  payload.u32();
  if (count * ENTRY_LEAST_BYTES > payload.left)
    throw new Refused(at, "payload", `${count} entries in ${payload.left} bytes`);
  const entries = Array.from({ length: count }, () => readEntry(payload));
  if (payload.left > 0) throw new Refused(payload.pos, "payload", `${payload.left} bytes follow the last entry`);
  return entries;
}

/** A frame's bytes with the entries in their place and room for the header. */
export function entriesFrame(headerBytes: number, entries: readonly UsageEntry[]): Buffer {
  const parts = [Buffer.alloc(headerBytes + COUNT_BYTES), ...entries.map(entryBytes)];
  parts[0]!.writeUInt32LE(entries.length, headerBytes);
  return Buffer.concat(parts);
}

function readEntry(payload: Fields): UsageEntry {
  const [minute, api, route, consumer] = [payload.u32(), payload.u32(), payload.u32(), payload.u32()];
  const digest = payload.hex(16);
  const counts = Array.from({ length: payload.u8() }, (): [number, number] => [payload.u8(), readVarint(payload)]);
  return { minute, api, ...(route === NO_ROUTE ? {} : { route }), consumer, digest, counts };
}

function readVarint(payload: Fields): number {
  let value = 0;
  for (let i = 0; i < VARINT_MOST_BYTES; i++) {
    const byte = payload.u8();
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return value;
  }
  throw new Refused(payload.pos, "field_bounds", "a count does not end");
}

function entryBytes({ minute, api, route = NO_ROUTE, consumer, digest, counts }: UsageEntry): Buffer {
  const head = Buffer.alloc(ENTRY_LEAST_BYTES);
  [minute, api, route, consumer].forEach((value, index) => head.writeUInt32LE(value, index * 4));
  head.write(digest, 16, "hex");
  head.writeUInt8(counts.length, 32);
  return Buffer.concat([head, ...counts.map(([metric, count]) => Buffer.from([metric, ...varint(count)]))]);
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) | 0x80, ...varint(Math.floor(value / 0x80))];
}
