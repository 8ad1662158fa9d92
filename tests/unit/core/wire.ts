/** Records and frames for the tests, put together byte by byte. */
import { crc32 } from "../../../assembly/lib/crc32";
import { API, AUTH_KEY, CONSUMER, DELETE, KEY, LIMIT, TIER } from "../../../assembly/wire/enums";

/** Writes to memory of its own, which grows and is never given back. */
export class Writer {
  start: usize;
  at: usize;
  private roomEnd: usize;

  constructor(capacity: u32 = 256) {
    this.start = heap.alloc(capacity);
    this.at = this.start;
    this.roomEnd = this.start + capacity;
  }

  get bytes(): u32 {
    return <u32>(this.at - this.start);
  }

  /** Room for that many bytes, which are then written; where it is. */
  take(bytes: u32): usize {
    const used = this.at - this.start;
    if (<usize>bytes > this.roomEnd - this.at) {
      const capacity = (used + bytes) * 2;
      const start = heap.alloc(capacity);
      memory.copy(start, this.start, used);
      heap.free(this.start);
      this.start = start;
      this.roomEnd = start + capacity;
    }
    const at = this.start + used;
    this.at = at + bytes;
    return at;
  }

  u8(value: u32): Writer {
    store<u8>(this.take(1), <u8>value);
    return this;
  }
  u16(value: u32): Writer {
    store<u16>(this.take(2), <u16>value);
    return this;
  }
  u32(value: u32): Writer {
    store<u32>(this.take(4), value);
    return this;
  }
  u64(value: u64): Writer {
    store<u64>(this.take(8), value);
    return this;
  }

  raw(from: usize, bytes: u32): Writer {
    memory.copy(this.take(bytes), from, bytes);
    return this;
  }

  /** UTF-8 without a length. */
  chars(text: string): Writer {
    const at = this.take(String.UTF8.byteLength(text));
    String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, at);
    return this;
  }

  short(text: string): Writer {
    return this.u8(String.UTF8.byteLength(text)).chars(text);
  }
  str(text: string): Writer {
    return this.u16(String.UTF8.byteLength(text)).chars(text);
  }

  strs(list: string[]): Writer {
    this.u16(list.length);
    for (let i = 0; i < list.length; i++) this.str(list[i]);
    return this;
  }

  ids(list: u32[]): Writer {
    this.u16(list.length);
    for (let i = 0; i < list.length; i++) this.u32(list[i]);
    return this;
  }

  varint(value: u32): Writer {
    while (value > 127) {
      this.u8((value & 127) | 128);
      value >>= 7;
    }
    return this.u8(value);
  }

  /** A record with another writer's bytes as its body. */
  record(type: u32, body: Writer): Writer {
    return this.u8(type).varint(body.bytes).raw(body.start, body.bytes);
  }
}

export class RouteSpec {
  constructor(
    public path: string,
    public methods: string[] = [],
    public scopes: string[] = [],
    public cost: u32 = 1,
  ) {}
}

export class CorsSpec {
  methods: string[] = [];
  expose: string[] = [];
  credentials: bool = false;
  constructor(public origins: string[]) {}
}

export class ApiSpec {
  mode: u32 = AUTH_KEY;
  hosts: string[] = ["*"];
  paths: string[] = ["/"];
  methods: string[] = [];
  scopes: string[] = [];
  routes: RouteSpec[] = [];
  cors: CorsSpec | null = null;

  constructor(
    public wireId: u32,
    public id: string = "",
  ) {
    if (id.length == 0) this.id = "api-" + wireId.toString();
  }

  body(): Writer {
    const w = new Writer();
    const cors = this.cors;
    w.u32(this.wireId)
      .u8(this.mode)
      .u8(0)
      .u16(cors == null ? 0 : 1)
      .str(this.id);
    w.strs(this.hosts).strs(this.paths).strs(this.methods).strs(this.scopes).u16(this.routes.length);
    for (let i = 0; i < this.routes.length; i++) {
      const route = this.routes[i];
      w.str(route.path).strs(route.methods).strs(route.scopes).u32(route.cost).u32(0);
    }
    if (cors != null)
      w.strs(cors.origins)
        .strs(cors.methods)
        .strs(["x-api-key"])
        .strs(cors.expose)
        .u32(600)
        .u8(cors.credentials ? 1 : 0);
    return w;
  }
}

/** Without `apis` the tier has every API. */
export function tierBody(wireId: u32, id: string, scopes: string[], apis: u32[] | null = null): Writer {
  return new Writer()
    .u32(wireId)
    .u32(apis == null ? 1 : 0)
    .str(id)
    .strs(scopes)
    .ids(apis == null ? new Array<u32>(0) : apis);
}

/** `claims`: name, value, name, value, … */
export function consumerBody(
  wireId: u32,
  id: string,
  tier: u32,
  claims: string[] = [],
  suspended: bool = false,
): Writer {
  const w = new Writer()
    .u32(wireId)
    .u32(tier)
    .u16(suspended ? 1 : 0)
    .u8(0)
    .short(id)
    .u16(claims.length / 2);
  for (let i = 0; i < claims.length; i += 2) w.short(claims[i]).str(claims[i + 1]);
  return w;
}

/** An active key; what `fields` holds follows the id, as `flags` says. */
export function keyBody(
  digest: usize,
  id: string,
  consumer: u32,
  flags: u32 = 0,
  fields: Writer | null = null,
): Writer {
  const w = new Writer().raw(digest, 16).u32(consumer).u16(flags).u8(0).short(id);
  if (fields != null) w.raw(fields.start, fields.bytes);
  return w;
}

/** A digest that is all of one number: u32 after u32. */
export function digestOf(n: u32): usize {
  return new Writer(16)
    .u32(n * 0x9e3779b1)
    .u32(n)
    .u32(~n)
    .u32(n << 7).start;
}

export function limitBody(wireId: u32, name: string): Writer {
  const w = new Writer()
    .u32(wireId)
    .u8(2)
    .u8(1)
    .u8(1)
    .u8(0)
    .u32(1)
    .u32(0xffffffff)
    .u64(60)
    .u32(60)
    .u8(0)
    .u8(name.length)
    .u16(0)
    .u32(0)
    .u32(0)
    .u64(0)
    .u64(0);
  return w.chars(name);
}

export function deleteBody(kind: u32, wireId: u32): Writer {
  return new Writer().u8(kind).u32(wireId);
}

export function deleteKeyBody(digest: usize): Writer {
  return new Writer().u8(KEY).raw(digest, 16);
}

/** A page's or delta's payload. */
export class Payload extends Writer {
  get end(): usize {
    return this.at;
  }

  api(api: ApiSpec): Payload {
    this.record(API, api.body());
    return this;
  }
  tier(wireId: u32, id: string, scopes: string[], apis: u32[] | null = null): Payload {
    this.record(TIER, tierBody(wireId, id, scopes, apis));
    return this;
  }
  consumer(wireId: u32, id: string, tier: u32): Payload {
    this.record(CONSUMER, consumerBody(wireId, id, tier));
    return this;
  }
  key(n: u32, id: string, consumer: u32): Payload {
    this.record(KEY, keyBody(digestOf(n), id, consumer));
    return this;
  }
  limit(wireId: u32, name: string): Payload {
    this.record(LIMIT, limitBody(wireId, name));
    return this;
  }
  remove(kind: u32, wireId: u32): Payload {
    this.record(DELETE, deleteBody(kind, wireId));
    return this;
  }
  removeKey(n: u32): Payload {
    this.record(DELETE, deleteKeyBody(digestOf(n)));
    return this;
  }
}

/** Appends a frame with a right checksum. */
export function frame(
  out: Writer,
  type: u32,
  flags: u32,
  epoch: u64,
  version: u64,
  base: u64,
  payload: Writer,
): Writer {
  const before = out.bytes;
  out
    .u32(0x31574754)
    .u16(1)
    .u8(type)
    .u8(flags)
    .u32(payload.bytes)
    .u32(0)
    .u64(epoch)
    .u64(version)
    .u64(base)
    .u64(0)
    .raw(payload.start, payload.bytes);
  sealFrame(out.start + before);
  return out;
}

/** Makes the checksum of a frame right again. */
export function sealFrame(at: usize): void {
  store<u32>(at, crc32(at + 16, 32 + load<u32>(at, 8), crc32(at, 12)), 12);
}

export function manifest(
  out: Writer,
  epoch: u64,
  version: u64,
  pages: u32,
  keys: u32,
  consumers: u32,
  tiers: u32,
  apis: u32,
  limits: u32,
  totalBytes: u64,
): Writer {
  return frame(
    out,
    1,
    0,
    epoch,
    version,
    version,
    new Writer().u32(pages).u32(keys).u32(consumers).u32(tiers).u32(apis).u32(limits).u64(totalBytes).u64(0),
  );
}

export function page(out: Writer, epoch: u64, version: u64, index: u32, count: u32, payload: Writer): Writer {
  return frame(out, 2, 0, epoch, version, <u64>index | ((<u64>count) << 32), payload);
}

/** A record's bytes as a text. */
export function textAt(at: usize, bytes: u32): string {
  return String.UTF8.decodeUnsafe(at, bytes);
}

/** Flips a bit, counted from `at` on. */
export function flipBit(at: usize, bit: u32): void {
  const place = at + (bit >> 3);
  store<u8>(place, <u8>(<u32>load<u8>(place) ^ ((<u32>1) << (bit & 7))));
}
