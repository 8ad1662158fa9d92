/**
 * One pass over a request's headers: what the ladder needs, the keys by source, and the headers that a client may not send.
 *
 * Everything found is kept in static places that the next request overwrites; the values lie in the pairs that the host returned and
 * live as long as the callback.
 */
import { bearerToken } from "./bearer";
import { Config } from "../config/parse";
import { findCookie } from "./cookie";
import { hasKeyForm } from "./keyScan";
import { foldEquals, foldStartsWith } from "./headerNames";
import { findQuery } from "./query";
import { ascii } from "../lib/text";
import { SOURCE_BEARER, SOURCE_COOKIE, SOURCE_HEADER, SOURCE_QUERY } from "../wire/enums";

export const SOURCES_MAX: u32 = 8;

export const KEY_BYTES_MAX: u32 = 256;

/** States of a source: nothing there, one key, several different ones, one that is too long. */
export const SOURCE_EMPTY: u32 = 0;
export const SOURCE_ONE: u32 = 1;
export const SOURCE_SEVERAL: u32 = 2;
export const SOURCE_TOO_LONG: u32 = 3;

// @ts-ignore: decorator
@unmanaged
export class Slice {
  at: usize;
  bytes: u32;

  // @ts-ignore: decorator
  @inline
  set(at: usize, bytes: u32): void {
    this.at = at;
    this.bytes = bytes;
  }
}

/** What one source of keys holds: its state, and its key. */
// @ts-ignore: decorator
@unmanaged
export class Held {
  state: u32;
  at: usize;
  bytes: u32;
}

export const path = changetype<Slice>(memory.data(8, 4));
export const method = changetype<Slice>(memory.data(8, 4));
export const host = changetype<Slice>(memory.data(8, 4));
export const origin = changetype<Slice>(memory.data(8, 4));
export const askedMethod = changetype<Slice>(memory.data(8, 4));
export const contentType = changetype<Slice>(memory.data(8, 4));

const held = memory.data(12 * 8, 4);

/** Claim headers, and Cookie lines, that are noted of one request; with more of them it is refused. Envoy itself refuses 100 headers unless told otherwise. */
const HEADERS_MAX: u32 = 1024;
const forgedList = memory.data(1024 * 8, 4);
const cookieList = memory.data(1024 * 8, 4);
const foundRoom = memory.data(8 * 256);
export let forgedCount: u32 = 0;
export let cookieCount: u32 = 0;

// @ts-ignore: decorator
@inline
export function forged(i: u32): Slice {
  return changetype<Slice>(forgedList + ((<usize>i) << 3));
}
// @ts-ignore: decorator
@inline
export function cookie(i: u32): Slice {
  return changetype<Slice>(cookieList + ((<usize>i) << 3));
}
// @ts-ignore: decorator
@inline
export function source(i: u32): Held {
  return changetype<Held>(held + <usize>i * 12);
}

const KIND_SOURCE: u32 = 0;
const KIND_BEARER: u32 = 16;
const KIND_COOKIE: u32 = 32;
const KIND_ORIGIN: u32 = 33;
const KIND_ASKED_METHOD: u32 = 34;
const KIND_CONTENT_TYPE: u32 = 35;
const KIND_CLAIM: u32 = 36;
/** Headers that carry no key by the configuration, in which clients put keys all the same: KIND_SEARCHED + their place in `searched`. */
const KIND_SEARCHED: u32 = 37;

export const AUTHORIZATION = ascii("authorization");
export const searched: StaticArray<StaticArray<u8>> = [AUTHORIZATION, ascii("proxy-authorization"), ascii("referer")];

/**
 * Where a text in the form of a Tollgate key was found: bit i in the header of source i, bits of `STRAY_*`, and STRAY_SEARCHED << i in the
 * header `searched[i]`.
 */
export let strays: u32 = 0;
export const STRAY_QUERY: u32 = 1 << 8;
export const STRAY_COOKIE: u32 = 1 << 9;
export const STRAY_SEARCHED: u32 = 1 << 10;

/** The pairs that were scanned. */
export let pairsAt: usize = 0;

class Wanted {
  constructor(
    public name: StaticArray<u8>,
    public kind: u32,
  ) {}
}

// @ts-ignore: decorator
@inline
function filterBit(first: u32, bytes: u32): u64 {
  return (<u64>1) << ((first * 5 + bytes) & 63);
}

/** A configuration's headers of interest, compiled so that most headers of a request cost one test of a bit. */
export class HeaderPlan {
  private wanted: Array<Wanted> = [];
  private filter: u64 = 0;
  private prefix: StaticArray<u8>;
  private prefixFirst: u32;

  constructor(config: Config) {
    this.prefix = config.claimPrefix;
    this.prefixFirst = config.claimPrefix.length > 0 ? config.claimPrefix[0] : 0;
    for (let i = 0; i < config.sources.length; i++) {
      const from = config.sources[i];
      if (from.kind == SOURCE_HEADER) this.want(from.name, KIND_SOURCE + i);
      else if (from.kind == SOURCE_BEARER) this.want(ascii("authorization"), KIND_BEARER + i);
    }
    this.want(ascii("cookie"), KIND_COOKIE);
    this.want(ascii("origin"), KIND_ORIGIN);
    this.want(ascii("access-control-request-method"), KIND_ASKED_METHOD);
    this.want(ascii("content-type"), KIND_CONTENT_TYPE);
    for (let i = 0; i < config.ownedNames.length; i++) this.want(config.ownedNames[i], KIND_CLAIM);
    for (let i = 0; i < searched.length; i++) this.want(searched[i], KIND_SEARCHED + i);
  }

  private want(name: StaticArray<u8>, kind: u32): void {
    this.wanted.push(new Wanted(name, kind));
    // a claim may come in any spelling, and any byte may stand for its first
    this.filter |= kind == KIND_CLAIM ? this.anySpelling(name) : filterBit(name[0], name.length);
  }

  private anySpelling(name: StaticArray<u8>): u64 {
    let bits: u64 = 0;
    const other = memory.data(1);
    for (let c: u32 = 0; c < 256; c++) {
      store<u8>(other, <u8>c);
      if (foldEquals(other, 1, changetype<usize>(name), 1)) bits |= filterBit(c, name.length);
    }
    return bits;
  }

  /** Whether a client may not send a header of this name. */
  isClaim(name: usize, bytes: u32): bool {
    if (foldStartsWith(name, bytes, changetype<usize>(this.prefix), this.prefix.length)) return true;
    for (let i = 0; i < this.wanted.length; i++) {
      const w = unchecked(this.wanted[i]);
      if (w.kind == KIND_CLAIM && foldEquals(name, bytes, changetype<usize>(w.name), w.name.length)) return true;
    }
    return false;
  }

  /** Whether a request's header of this name may carry a key: a source's, or one in which `scan` has found one. */
  mayCarryKey(name: usize, bytes: u32, config: Config): bool {
    for (let i = 0; i < this.wanted.length; i++) {
      const w = unchecked(this.wanted[i]);
      if (<u32>w.name.length != bytes || memory.compare(name, changetype<usize>(w.name), bytes) != 0) continue;
      if (w.kind < KIND_COOKIE) return true;
      if (w.kind == KIND_COOKIE) return (strays & STRAY_COOKIE) != 0 || hasSource(config, SOURCE_COOKIE);
      if (w.kind >= KIND_SEARCHED && (strays & (STRAY_SEARCHED << (w.kind - KIND_SEARCHED))) != 0) return true;
    }
    return false;
  }

  /** Reads header pairs as the ABI lays them out. False when they're not whole. */
  scan(pairs: usize, pairsBytes: u32, config: Config): bool {
    path.set(0, 0);
    method.set(0, 0);
    host.set(0, 0);
    origin.set(0, 0);
    askedMethod.set(0, 0);
    contentType.set(0, 0);
    memory.fill(held, 0, 12 * SOURCES_MAX);
    forgedCount = 0;
    cookieCount = 0;
    strays = 0;
    pairsAt = pairs;
    if (pairsBytes < 4) return false;
    const n = load<u32>(pairs);
    if (n > (pairsBytes - 4) >> 3) return false;
    let sizes = pairs + 4;
    let at = sizes + ((<usize>n) << 3);
    const end = pairs + pairsBytes;
    const filter = this.filter;
    const prefix = changetype<usize>(this.prefix);
    const prefixBytes = <u32>this.prefix.length;
    for (let i: u32 = 0; i < n; i++) {
      const nameBytes = load<u32>(sizes);
      const bytes = load<u32>(sizes, 4);
      sizes += 8;
      if (<u64>nameBytes + <u64>bytes + 2 > <u64>(end - at)) return false;
      const name = at;
      at += nameBytes + 1;
      const valueAt = at;
      at += bytes + 1;
      if (nameBytes == 0) continue;
      const c = <u32>load<u8>(name);
      if (c == 0x3a) {
        this.pseudo(name, nameBytes, valueAt, bytes);
        continue;
      }
      if (nameBytes >= prefixBytes && foldStartsWith(name, nameBytes, prefix, prefixBytes)) {
        if (!this.noteForged(name, nameBytes)) return false;
        continue;
      }
      if ((filter & filterBit(c, nameBytes)) != 0 && !this.interesting(name, nameBytes, valueAt, bytes)) return false;
    }
    if (hasKeyForm(path.at, path.bytes)) strays |= STRAY_QUERY;
    this.findElsewhere(config);
    return true;
  }

  private pseudo(name: usize, nameBytes: u32, valueAt: usize, bytes: u32): void {
    const c = nameBytes > 1 ? <u32>load<u8>(name, 1) : 0;
    if (c == 0x70 && nameBytes == 5) path.set(valueAt, bytes);
    else if (c == 0x6d && nameBytes == 7) method.set(valueAt, bytes);
    else if (c == 0x61 && nameBytes == 10) host.set(valueAt, bytes);
  }

  private noteForged(name: usize, nameBytes: u32): bool {
    if (forgedCount == HEADERS_MAX) return false;
    forged(forgedCount++).set(name, nameBytes);
    return true;
  }

  private interesting(name: usize, nameBytes: u32, valueAt: usize, bytes: u32): bool {
    for (let i = 0; i < this.wanted.length; i++) {
      const w = unchecked(this.wanted[i]);
      if (<u32>w.name.length != nameBytes) continue;
      const kind = w.kind;
      if (kind == KIND_CLAIM) {
        if (foldEquals(name, nameBytes, changetype<usize>(w.name), nameBytes) && !this.noteForged(name, nameBytes))
          return false;
        continue;
      }
      if (memory.compare(name, changetype<usize>(w.name), nameBytes) != 0) continue;
      if (kind < KIND_BEARER) {
        noteKey(kind, valueAt, bytes);
        if (hasKeyForm(valueAt, bytes)) strays |= 1 << kind;
      } else if (kind < KIND_COOKIE) {
        const token = bearerToken(valueAt, bytes);
        if (token != 0) noteKey(kind - KIND_BEARER, valueAt + <usize>(token >> 32), <u32>token);
      } else if (kind == KIND_COOKIE) {
        if (cookieCount == HEADERS_MAX) return false;
        cookie(cookieCount++).set(valueAt, bytes);
        if (hasKeyForm(valueAt, bytes)) strays |= STRAY_COOKIE;
      } else if (kind >= KIND_SEARCHED) {
        if (hasKeyForm(valueAt, bytes)) strays |= STRAY_SEARCHED << (kind - KIND_SEARCHED);
      } else if (kind == KIND_ORIGIN) origin.set(valueAt, bytes);
      else if (kind == KIND_ASKED_METHOD) askedMethod.set(valueAt, bytes);
      else contentType.set(valueAt, bytes);
    }
    return true;
  }

  /** Keys in the query and in cookies, which are searched only when configured and there. */
  private findElsewhere(config: Config): void {
    const sources = config.sources;
    for (let i = 0; i < sources.length; i++) {
      const from = unchecked(sources[i]);
      const name = changetype<usize>(from.name);
      const room = foundRoom + ((<usize>i) << 8);
      if (from.kind == SOURCE_QUERY) {
        noteFound(i, room, findQuery(path.at, path.bytes, name, from.name.length, room, KEY_BYTES_MAX));
      } else if (from.kind == SOURCE_COOKIE) {
        // A key found in an earlier cookie header moves aside, so that a later one can be compared with it.
        for (let c: u32 = 0; c < cookieCount; c++) {
          const place = source(i).state == SOURCE_EMPTY ? room : otherRoom;
          noteFound(i, place, findCookie(cookie(c).at, cookie(c).bytes, name, from.name.length, place, KEY_BYTES_MAX));
        }
      }
    }
  }
}

export function hasSource(config: Config, kind: i32): bool {
  for (let i = 0; i < config.sources.length; i++) if (unchecked(config.sources[i]).kind == kind) return true;
  return false;
}

const otherRoom = memory.data(256);

/** Enters a key that a header carries; surrounding blanks don't count, an empty value is none. */
function noteKey(i: u32, at: usize, bytes: u32): void {
  while (bytes > 0 && isBlank(load<u8>(at))) {
    at++;
    bytes--;
  }
  while (bytes > 0 && isBlank(load<u8>(at + bytes - 1))) bytes--;
  if (bytes == 0) return;
  const one = source(i);
  if (one.state == SOURCE_EMPTY) {
    one.state = bytes > KEY_BYTES_MAX ? SOURCE_TOO_LONG : SOURCE_ONE;
    one.at = at;
    one.bytes = bytes;
  } else if (one.bytes != bytes || memory.compare(one.at, at, bytes) != 0) one.state = SOURCE_SEVERAL;
}

/** Enters the result of a search in the query or a cookie. */
function noteFound(i: u32, at: usize, found: i32): void {
  if (found > 0) noteKey(i, at, found);
  else if (found == -2) source(i).state = SOURCE_SEVERAL;
  else if (found == -3) source(i).state = source(i).state == SOURCE_EMPTY ? SOURCE_TOO_LONG : SOURCE_SEVERAL;
}

// @ts-ignore: decorator
@inline
function isBlank(c: u8): bool {
  return c == 32 || c == 9;
}
