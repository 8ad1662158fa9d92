/** Reads the fields of payloads and records, within their bounds. */

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

const hexPairs = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads fields one after another within bounds. */
export class Fields {
  readonly #view: DataView;

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
    if (count > this.left) throw new Refused(this.pos, "field_bounds", `a field of ${count} bytes, ${this.left} are left`);
    const at = this.pos;
    this.pos += count;
    return at;
  }
}
