/**
 * Writes fields of records into a page; each gives the place behind what it wrote. Stores past the end of a buffer are dropped, so an overflow
 * shows only in that place. Throws EncodeError for what the format can't hold.
 */
import { parseCidr } from "../domain/cidr.ts";

/** A record that the format can't hold: says which and why. */
export class EncodeError extends RangeError {
  override name = "EncodeError";
}

/** What a record is called in errors. */
interface Labelled {
  type: string;
  id?: string;
  name?: string;
  wireId?: number;
  kind?: string;
  code?: number;
  of?: string;
}

export function label({ type, id, name, wireId, kind, code, of }: Labelled): string {
  switch (type) {
    case "other":
      return `record of type ${code}`;
    case "closed":
      return `closed record of type ${of}`;
    case "limit":
      return `limit "${name}"`;
    case "counter":
      return `counter of limit ${wireId}`;
    case "delete":
      return `deletion of ${kind}`;
    default:
      return `${type} "${id}"`;
  }
}

export const noDigest = new Uint8Array(16);

/** Names and values, u16 count in front. */
export function claims(page: Buffer, at: number, values: Readonly<Record<string, string>>, owner: Labelled): number {
  let pos = at + 2;
  let count = 0;
  for (const name in values) {
    pos = shortStr(page, pos, name, owner, "claim name");
    pos = str(page, pos, values[name]!, owner);
    count++;
  }
  u16(page, at, bounded(owner, "claims", count, 0xffff));
  return pos;
}

export function zeros(page: Buffer, at: number, count: number): number {
  for (let i = 0; i < count; i++) page[at + i] = 0;
  return at + count;
}

export function addresses(page: Buffer, at: number, cidrs: string[], owner: Labelled): number {
  let pos = u8(page, at, bounded(owner, "addresses", cidrs.length, 0xff));
  for (const cidr of cidrs) {
    const parsed = parseCidr(cidr);
    if (parsed === undefined) throw new EncodeError(`${label(owner)}: "${cidr}" is no CIDR`);
    pos = u8(page, pos, parsed.family);
    pos = u8(page, pos, parsed.prefixBits);
    for (const byte of parsed.bytes) pos = u8(page, pos, byte);
  }
  return pos;
}

export function strings(page: Buffer, at: number, list: string[], owner: Labelled): number {
  let pos = u16(page, at, bounded(owner, "items of a list", list.length, 0xffff));
  for (const item of list) pos = str(page, pos, item, owner);
  return pos;
}

export function wireIds(page: Buffer, at: number, list: number[], owner: Labelled): number {
  let pos = u16(page, at, bounded(owner, "items of a list", list.length, 0xffff));
  for (const id of list) pos = u32(page, pos, wireId(owner, id));
  return pos;
}

export function str(page: Buffer, at: number, value: string, owner: Labelled): number {
  const byteCount = utf8Bytes(value);
  return text(page, u16(page, at, bounded(owner, "bytes of a string", byteCount, 0xffff)), value, byteCount);
}

export function shortStr(page: Buffer, at: number, value: string, owner: Labelled, what: string): number {
  const byteCount = utf8Bytes(value);
  return text(page, u8(page, at, bounded(owner, `bytes of the ${what}`, byteCount, 0xff)), value, byteCount);
}

/** Short ASCII, which nearly everything is, costs less in a loop than a call into the runtime. */
function utf8Bytes(value: string): number {
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 127) return Buffer.byteLength(value);
  return value.length;
}

export function text(page: Buffer, at: number, value: string, byteCount: number): number {
  if (byteCount === value.length) for (let i = 0; i < byteCount; i++) page[at + i] = value.charCodeAt(i);
  else if (at + byteCount <= page.length) page.write(value, at, "utf8");
  return at + byteCount;
}

export function digest(page: Buffer, at: number, value: Uint8Array, owner: Labelled): number {
  if (value.length < 16) throw new EncodeError(`${label(owner)}: the digest has ${value.length} bytes, fewer than 16`);
  return bytes(page, at, value, 16);
}

export function bytes(page: Buffer, at: number, value: Uint8Array, count: number): number {
  for (let i = 0; i < count; i++) page[at + i] = value[i]!;
  return at + count;
}

export function bounded(owner: Labelled, what: string, value: number, max: number): number {
  if (value >= 0 && value <= max && Number.isInteger(value)) return value;
  throw new EncodeError(`${label(owner)}: ${what}: ${value} is not between 0 and ${max}`);
}

export function wireId(owner: Labelled, id: number): number {
  if (id >= 1 && id <= 0xffffffff) return id;
  throw new EncodeError(`${label(owner)}: ${id} is no wire id`);
}

export function u8(page: Buffer, at: number, value: number): number {
  page[at] = value;
  return at + 1;
}

export function u16(page: Buffer, at: number, value: number): number {
  page[at] = value;
  page[at + 1] = value >>> 8;
  return at + 2;
}

export function u32(page: Buffer, at: number, value: number): number {
  page[at] = value;
  page[at + 1] = value >>> 8;
  page[at + 2] = value >>> 16;
  page[at + 3] = value >>> 24;
  return at + 4;
}

export function u64(page: Buffer, at: number, value: number, owner: Labelled): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new EncodeError(`${label(owner)}: ${value} is no whole number from 0 to 2^53 - 1`);
  return u32(page, u32(page, at, value % 0x100000000), Math.floor(value / 0x100000000));
}
