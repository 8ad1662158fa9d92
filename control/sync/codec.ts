/**
 * Writes records into payloads of at most one frame each. A record is written straight into the page, behind the byte
 * that most lengths need; one that turns out not to fit is written again into the next page. Nothing is allocated per record.
 */
import { parseCidr } from "../domain/cidr.ts";
import type { ApiRecord, ConsumerRecord, CounterRecord, DeleteRecord, KeyRecord, LimitRecord, TierRecord, WireCors, WireJwt, WireRecord } from "./records.ts";
import { authModes, deleteKinds, failureModes, HEADER_BYTES, keyStates, legacyHeaders, limitKinds, MAX_FRAME_BYTES, NO_ROUTE, ownerKinds, periods, recordCodes, subjects } from "./wire.ts";

/** A record that the format can't hold: says which and why. */
export class EncodeError extends RangeError {
  override name = "EncodeError";
}

const noDigest = new Uint8Array(16);

export class RecordWriter {
  readonly #done: Buffer[] = [];
  readonly #firstBytes: number;
  #doneBytes = 0;
  #page: Buffer;
  #pos = HEADER_BYTES;

  /** `firstBytes`: the first allocation of each page; it grows up to a whole frame. */
  constructor(firstBytes: number = MAX_FRAME_BYTES) {
    this.#firstBytes = Math.min(MAX_FRAME_BYTES, Math.max(firstBytes, HEADER_BYTES + 64));
    this.#page = Buffer.allocUnsafeSlow(this.#firstBytes);
  }

  /** Bytes of all frames so far, headers included. */
  get frameBytes(): number {
    return this.#doneBytes + (this.#pos > HEADER_BYTES ? this.#pos : 0);
  }

  /** Appends a record. Throws EncodeError, leaving what was written before untouched. */
  write(record: WireRecord): void {
    const code = record.type === "other" ? record.code : recordCodes[record.type];
    for (;;) {
      const page = this.#page;
      const from = this.#pos;
      const end = writeBody(page, from + 2, record);
      const bodyBytes = end - from - 2;
      const shift = bodyBytes < 0x80 ? 0 : bodyBytes < 0x4000 ? 1 : 2;
      // stores past the end of a buffer are dropped, so an overflow shows only here
      if (end + shift <= page.length) {
        if (shift > 0) page.copyWithin(from + 2 + shift, from + 2, end);
        page[from] = code;
        writeVarint(page, from + 1, bodyBytes);
        this.#pos = end + shift;
        return;
      }
      if (page.length < MAX_FRAME_BYTES) this.#grow();
      else if (this.#pos > HEADER_BYTES) this.#turn();
      else throw new EncodeError(`${label(record)} takes ${bodyBytes} bytes, more than one frame holds`);
    }
  }

  /** Gives each page with 48 free bytes in front for its header (`sealFrame`); none when nothing was written. */
  finish(): Buffer[] {
    if (this.#pos > HEADER_BYTES) this.#turn();
    return this.#done;
  }

  #turn(): void {
    this.#doneBytes += this.#pos;
    this.#done.push(this.#pos === this.#page.length ? this.#page : copyOf(this.#page.subarray(0, this.#pos)));
    // a page that was cut short has been copied, so its buffer serves again
    if (this.#pos === this.#page.length) this.#page = Buffer.allocUnsafeSlow(this.#firstBytes);
    this.#pos = HEADER_BYTES;
  }

  #grow(): void {
    const larger = Buffer.allocUnsafeSlow(Math.min(MAX_FRAME_BYTES, this.#page.length * 4));
    this.#page.copy(larger, 0, 0, this.#pos);
    this.#page = larger;
  }
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

function label(record: WireRecord): string {
  if (record.type === "other") return `record of type ${record.code}`;
  if (record.type === "limit") return `limit "${record.name}"`;
  if (record.type === "counter") return `counter of limit ${record.wireId}`;
  if (record.type === "delete") return `deletion of ${record.kind}`;
  return `${record.type} "${record.id}"`;
}

function writeBody(page: Buffer, at: number, record: WireRecord): number {
  switch (record.type) {
    case "key":
      return writeKey(page, at, record);
    case "consumer":
      return writeConsumer(page, at, record);
    case "api":
      return writeApi(page, at, record);
    case "tier":
      return writeTier(page, at, record);
    case "limit":
      return writeLimit(page, at, record);
    case "delete":
      return writeDelete(page, at, record);
    case "counter":
      return writeCounter(page, at, record);
    case "other":
      return bytes(page, at, record.body, record.body.length);
  }
}

function writeApi(page: Buffer, at: number, api: ApiRecord): number {
  let pos = u32(page, at, wireId(api, api.wireId));
  pos = u8(page, pos, authModes.indexOf(api.authMode));
  pos = u8(page, pos, failureModes.indexOf(api.failureMode));
  pos = u16(page, pos, (api.cors === undefined ? 0 : 1) | (api.rateLimitHeaders === false ? 2 : 0) | (legacyHeaders.indexOf(api.legacyHeaders ?? "off") << 2) | (api.jwt === undefined ? 0 : 16));
  pos = str(page, pos, api.id, api);
  pos = strings(page, pos, api.hosts, api);
  pos = strings(page, pos, api.paths, api);
  pos = strings(page, pos, api.methods, api);
  pos = strings(page, pos, api.scopes, api);
  pos = u16(page, pos, bounded(api, "routes", api.routes.length, 0xffff));
  for (const route of api.routes) {
    pos = str(page, pos, route.path, api);
    pos = strings(page, pos, route.methods, api);
    pos = strings(page, pos, route.scopes, api);
    pos = u32(page, pos, bounded(api, "route cost", route.cost, 0xffffffff));
    pos = u32(page, pos, 0);
  }
  if (api.cors !== undefined) pos = writeCors(page, pos, api.cors, api);
  return api.jwt === undefined ? pos : writeJwt(page, pos, api.jwt, api);
}

function writeCors(page: Buffer, at: number, cors: WireCors, api: ApiRecord): number {
  let pos = strings(page, at, cors.allowOrigins, api);
  pos = strings(page, pos, cors.allowMethods, api);
  pos = strings(page, pos, cors.allowHeaders, api);
  pos = strings(page, pos, cors.exposeHeaders, api);
  pos = u32(page, pos, bounded(api, "cors.maxAgeSeconds", cors.maxAgeSeconds, 0xffffffff));
  return u8(page, pos, cors.allowCredentials ? 1 : 0);
}

function writeJwt(page: Buffer, at: number, jwt: WireJwt, api: ApiRecord): number {
  let pos = strings(page, at, jwt.issuers.map(({ issuer }) => issuer), api);
  pos = u16(page, pos, jwt.issuers.length);
  for (const { audiences } of jwt.issuers) pos = strings(page, pos, audiences, api);
  pos = strings(page, pos, jwt.consumerClaims, api);
  pos = str(page, pos, jwt.tierClaim, api);
  pos = str(page, pos, jwt.scopeClaim, api);
  return u8(page, pos, jwt.admitUnknown ? 1 : 0);
}

function writeTier(page: Buffer, at: number, tier: TierRecord): number {
  let pos = u32(page, at, wireId(tier, tier.wireId));
  pos = u32(page, pos, tier.apis === undefined ? 1 : 0);
  pos = str(page, pos, tier.id, tier);
  pos = strings(page, pos, tier.scopes, tier);
  return wireIds(page, pos, tier.apis ?? [], tier);
}

function writeConsumer(page: Buffer, at: number, consumer: ConsumerRecord): number {
  let pos = u32(page, at, wireId(consumer, consumer.wireId));
  pos = u32(page, pos, consumer.tier);
  pos = u16(page, pos, (consumer.suspended ? 1 : 0) | (consumer.identities === undefined ? 0 : 2));
  pos = u8(page, pos, 0);
  pos = shortStr(page, pos, consumer.id, consumer, "id");
  const countAt = pos;
  let count = 0;
  pos += 2;
  for (const name in consumer.claims) {
    pos = shortStr(page, pos, name, consumer, "claim name");
    pos = str(page, pos, consumer.claims[name]!, consumer);
    count++;
  }
  u16(page, countAt, bounded(consumer, "claims", count, 0xffff));
  return consumer.identities === undefined ? pos : strings(page, pos, consumer.identities, consumer);
}

function writeKey(page: Buffer, at: number, key: KeyRecord): number {
  let pos = digest(page, at, key.digest, key);
  pos = u32(page, pos, wireId(key, key.consumer));
  const flagsAt = pos;
  let flags = keyStates.indexOf(key.state);
  pos += 2;
  pos = u8(page, pos, key.algorithm ?? 0);
  pos = shortStr(page, pos, key.id, key, "id");
  if (key.notBeforeMs !== undefined) {
    flags |= 4;
    pos = u64(page, pos, key.notBeforeMs, key);
  }
  if (key.expiresAtMs !== undefined) {
    flags |= 8;
    pos = u64(page, pos, key.expiresAtMs, key);
  }
  if (key.tier !== undefined) {
    flags |= 16;
    pos = u32(page, pos, wireId(key, key.tier));
  }
  if (key.addresses !== undefined) {
    flags |= 32;
    pos = addresses(page, pos, key.addresses, key);
  }
  if (key.apis !== undefined) {
    flags |= 64;
    pos = wireIds(page, pos, key.apis, key);
  }
  if (key.scopes !== undefined) {
    flags |= 128;
    pos = strings(page, pos, key.scopes, key);
  }
  if (key.limited === true) flags |= 256;
  u16(page, flagsAt, flags);
  return pos;
}

function writeCounter(page: Buffer, at: number, counter: CounterRecord): number {
  let pos = u32(page, at, wireId(counter, counter.wireId));
  pos = u32(page, pos, bounded(counter, "generation", counter.generation, 0xffffffff));
  pos = digest(page, pos, Buffer.from(counter.subject, "hex"), counter);
  return u64(page, pos, 0, counter);
}

function writeDelete(page: Buffer, at: number, record: DeleteRecord): number {
  const pos = u8(page, at, deleteKinds[record.kind]);
  return record.kind === "key" ? digest(page, pos, record.digest, record) : u32(page, pos, wireId(record, record.wireId));
}

function writeLimit(page: Buffer, at: number, limit: LimitRecord): number {
  let pos = u32(page, at, wireId(limit, limit.wireId));
  pos = u8(page, pos, ownerKinds[limit.ownerKind]);
  pos = u8(page, pos, limitKinds.indexOf(limit.kind) + 1);
  pos = u8(page, pos, subjects.indexOf(limit.subject) + 1);
  pos = u8(page, pos, (limit.gateway ? 1 : 0) | (limit.shadow ? 2 : 0) | (limit.firstUse ? 4 : 0) | (limit.smoothing === undefined ? 0 : 8));
  pos = u32(page, pos, limit.owner);
  pos = u32(page, pos, limit.route ?? NO_ROUTE);
  pos = u64(page, pos, limit.limit, limit);
  pos = u32(page, pos, bounded(limit, "windowSeconds", limit.windowSeconds, 0xffffffff));
  pos = u8(page, pos, periods.indexOf(limit.period));
  const nameBytes = Buffer.byteLength(limit.name);
  pos = u8(page, pos, bounded(limit, "bytes of the name", nameBytes, 0xff));
  pos = u16(page, pos, 0);
  pos = u32(page, pos, bounded(limit, "smoothing.perSecond", limit.smoothing?.perSecond ?? 0, 0xffffffff));
  pos = u32(page, pos, bounded(limit, "smoothing.burst", limit.smoothing?.burst ?? 0, 0xffffffff));
  pos = digest(page, pos, limit.digest ?? noDigest, limit);
  return text(page, pos, limit.name, nameBytes);
}

function addresses(page: Buffer, at: number, cidrs: string[], owner: WireRecord): number {
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

function strings(page: Buffer, at: number, list: string[], owner: WireRecord): number {
  let pos = u16(page, at, bounded(owner, "items of a list", list.length, 0xffff));
  for (const item of list) pos = str(page, pos, item, owner);
  return pos;
}

function wireIds(page: Buffer, at: number, list: number[], owner: WireRecord): number {
  let pos = u16(page, at, bounded(owner, "items of a list", list.length, 0xffff));
  for (const id of list) pos = u32(page, pos, wireId(owner, id));
  return pos;
}

function str(page: Buffer, at: number, value: string, owner: WireRecord): number {
  const byteCount = utf8Bytes(value);
  return text(page, u16(page, at, bounded(owner, "bytes of a string", byteCount, 0xffff)), value, byteCount);
}

function shortStr(page: Buffer, at: number, value: string, owner: WireRecord, what: string): number {
  const byteCount = utf8Bytes(value);
  return text(page, u8(page, at, bounded(owner, `bytes of the ${what}`, byteCount, 0xff)), value, byteCount);
}

/** Short ASCII, which nearly everything is, costs less in a loop than a call into the runtime. */
function utf8Bytes(value: string): number {
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 127) return Buffer.byteLength(value);
  return value.length;
}

function text(page: Buffer, at: number, value: string, byteCount: number): number {
  if (byteCount === value.length) for (let i = 0; i < byteCount; i++) page[at + i] = value.charCodeAt(i);
  else if (at + byteCount <= page.length) page.write(value, at, "utf8");
  return at + byteCount;
}

function digest(page: Buffer, at: number, value: Uint8Array, owner: WireRecord): number {
  if (value.length < 16) throw new EncodeError(`${label(owner)}: the digest has ${value.length} bytes, fewer than 16`);
  return bytes(page, at, value, 16);
}

function bytes(page: Buffer, at: number, value: Uint8Array, count: number): number {
  for (let i = 0; i < count; i++) page[at + i] = value[i]!;
  return at + count;
}

function writeVarint(page: Buffer, at: number, value: number): void {
  let rest = value;
  let pos = at;
  while (rest >= 0x80) {
    page[pos++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  page[pos] = rest;
}

function bounded(owner: WireRecord, what: string, value: number, max: number): number {
  if (value >= 0 && value <= max && Number.isInteger(value)) return value;
  throw new EncodeError(`${label(owner)}: ${what}: ${value} is not between 0 and ${max}`);
}

function wireId(owner: WireRecord, id: number): number {
  if (id >= 1 && id <= 0xffffffff) return id;
  throw new EncodeError(`${label(owner)}: ${id} is no wire id`);
}

function u8(page: Buffer, at: number, value: number): number {
  page[at] = value;
  return at + 1;
}

function u16(page: Buffer, at: number, value: number): number {
  page[at] = value;
  page[at + 1] = value >>> 8;
  return at + 2;
}

function u32(page: Buffer, at: number, value: number): number {
  page[at] = value;
  page[at + 1] = value >>> 8;
  page[at + 2] = value >>> 16;
  page[at + 3] = value >>> 24;
  return at + 4;
}

function u64(page: Buffer, at: number, value: number, owner: WireRecord): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new EncodeError(`${label(owner)}: ${value} is no whole number from 0 to 2^53 - 1`);
  return u32(page, u32(page, at, value % 0x100000000), Math.floor(value / 0x100000000));
}
