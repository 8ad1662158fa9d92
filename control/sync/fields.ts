/** Reads the fields of payloads and records, within their bounds. */
import { cidrText } from "../domain/cidr.ts";

export type DecodeReason =
  /** fewer bytes than the header, or the header's payload, needs */
  | "truncated"
  | "magic"
  /** a newer format: the reader keeps what it has */
  | "format"
  /** a frame over 1 MiB */
  | "frame_bytes"
  | "checksum"
  | "frame_type"
  /** the manifest's payload, or a heartbeat that has one */
  | "payload"
  /** a record that reaches past the payload, or whose length is no varint */
  | "record_bounds"
  /** an unknown type below 128: a newer format */
  | "record_type"
  /** a field that reaches past its record */
  | "field_bounds"
  /** a value that the format doesn't allow */
  | "value";

/** Why bytes are refused, and where. `decodeFrames` catches it: nobody else sees it. */
export class Refused extends Error {
  constructor(
    readonly offset: number,
    readonly reason: DecodeReason,
    detail: string,
  ) {
    super(detail);
  }
}

/** What follows can't be told: the body has a value on which its form depends, and which isn't known. */
class Unreadable extends Error {}

const hexPairs = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads fields one after another within bounds. */
export class Fields {
  readonly #view: DataView;
  /** a value was read that this version doesn't know */
  unknown = false;

  constructor(
    readonly bytes: Uint8Array,
    public pos: number,
    readonly end: number,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get left(): number {
    return this.end - this.pos;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  bigU64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  /** A u64 as a number; beyond 2^53 - 1 it's as good as that. */
  amount(): number {
    const value = Number(this.bigU64());
    return Number.isSafeInteger(value) ? value : Number.MAX_SAFE_INTEGER;
  }

  /** A u64 that must be a safe integer. */
  u64(): number {
    const value = Number(this.bigU64());
    if (!Number.isSafeInteger(value)) throw new Refused(this.pos - 8, "value", "a number over 2^53 - 1");
    return value;
  }

  wireId(): number {
    const id = this.u32();
    if (id === 0) throw new Refused(this.pos - 4, "value", "wire id 0");
    return id;
  }

  flag(what: string): boolean {
    return this.oneOf([false, true], 0, what);
  }

  /** An enum's value. */
  choice<T>(values: readonly T[], first: number): T {
    return this.pick(this.u8() - first, values);
  }

  /** The value at a place; the first one, and `unknown` from then on, where there is none. */
  pick<T>(place: number, values: readonly T[]): T {
    if (place < 0 || place >= values.length) this.unknown = true;
    return values[place] ?? values[0]!;
  }

  /** The name that has the code in a table. */
  code<T extends string>(table: Readonly<Record<T, number>>): T {
    const names = Object.keys(table) as T[];
    const code = this.u8();
    return this.pick(
      names.findIndex((name) => table[name] === code),
      names,
    );
  }

  /** Flags, of which those in `known` may be set. */
  flags(value: number, known: number): number {
    if ((value & ~known) !== 0) this.unknown = true;
    return value;
  }

  only(value: number, known: readonly number[]): void {
    if (!known.includes(value)) this.unknown = true;
  }

  /** Gives up on the rest of a body whose form can't be told. */
  stop(): never {
    throw new Unreadable();
  }

  refuse(at: number, detail: string): never {
    throw new Refused(at, "value", detail);
  }

  /** Reads a record's body; one with a value that this version doesn't know is closed, as the filter closes it. */
  closing<T, Of extends string>(of: Of, read: (body: Fields) => T): T | { type: "closed"; of: Of; body: Uint8Array } {
    const from = this.pos;
    try {
      const record = read(this);
      if (!this.unknown) return record;
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
    }
    return { type: "closed", of, body: new Uint8Array(this.bytes.subarray(from, this.end)) };
  }

  oneOf<T>(values: readonly T[], first: number, what: string): T {
    const code = this.u8();
    const value = values[code - first];
    if (value === undefined) throw new Refused(this.pos - 1, "value", `${what} ${code}`);
    return value;
  }

  raw(count: number): Uint8Array {
    const at = this.#take(count);
    return new Uint8Array(this.bytes.subarray(at, at + count));
  }

  hex(count: number): string {
    const at = this.#take(count);
    let text = "";
    for (let i = at; i < at + count; i++) text += hexPairs[this.bytes[i]!];
    return text;
  }

  skip(count: number): void {
    this.#take(count);
  }

  text(count: number): string {
    const at = this.#take(count);
    try {
      return utf8.decode(this.bytes.subarray(at, at + count));
    } catch {
      throw new Refused(at, "value", "a string that isn't UTF-8");
    }
  }

  str(): string {
    return this.text(this.u16());
  }

  shortStr(): string {
    return this.text(this.u8());
  }

  list<T>(read: (fields: Fields) => T): T[] {
    const items: T[] = [];
    for (let count = this.u16(); count > 0; count--) items.push(read(this));
    return items;
  }

  strings(): string[] {
    return this.list((fields) => fields.str());
  }

  wireIds(): number[] {
    return this.list((fields) => fields.wireId());
  }

  #take(count: number): number {
    if (count > this.left)
      throw new Refused(this.pos, "field_bounds", `a field of ${count} bytes, ${this.left} are left`);
    const at = this.pos;
    this.pos += count;
    return at;
  }
}

/** Names and values. */
export function readClaims(fields: Fields): Record<string, string> {
  return Object.fromEntries(fields.list((claim) => [claim.shortStr(), claim.str()] as const));
}

/** A list of strings, and a list of as many lists. */
export function readColumns<T>(fields: Fields, row: (first: string, second: string[]) => T): T[] {
  const first = fields.strings();
  const at = fields.pos;
  const second = fields.list((list) => list.strings());
  if (second.length !== first.length)
    throw new Refused(at, "value", `a list of ${first.length}, but one of ${second.length} beside it`);
  return first.map((item, index) => row(item, second[index]!));
}

/** Networks as CIDRs. One of a family that isn't known stops the reader. */
export function readAddresses(fields: Fields): string[] {
  return Array.from({ length: fields.u8() }, () => readAddress(fields));
}

function readAddress(fields: Fields): string {
  const at = fields.pos;
  const family = fields.u8();
  const prefixBits = fields.u8();
  if (family !== 4 && family !== 6) return fields.stop();
  const bytes = fields.raw(family === 4 ? 4 : 16);
  if (prefixBits > bytes.length * 8) throw new Refused(at, "value", `a prefix of ${prefixBits} bits`);
  if (bytes.some((byte, i) => (byte & (0xff >> Math.min(8, Math.max(0, prefixBits - i * 8)))) !== 0))
    throw new Refused(at, "value", "host bits are set");
  return cidrText({ family, prefixBits, bytes });
}
