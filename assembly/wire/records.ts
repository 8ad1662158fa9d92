/**
 * Records of the wire (docs/internals/protocol.md). They are validated once, when they are read, and from then on used where they lie: the request
 * path walks the bytes without checks. The offsets below are the wire's.
 */
export const API: u32 = 1;
export const TIER: u32 = 2;
export const CONSUMER: u32 = 3;
export const KEY: u32 = 4;
export const DELETE: u32 = 5;
export const LIMIT: u32 = 6;
/** Not a state but news: a counter was reset, or granted extra. Only deltas bring it. */
export const COUNTER: u32 = 7;
/** Types from here on may be skipped by who doesn't know them. */
export const SKIPPABLE: u32 = 128;

export const DIGEST_BYTES: u32 = 16;

export const AUTH_KEYLESS: u32 = 0;
export const AUTH_KEY: u32 = 1;
export const AUTH_JWT: u32 = 2;
export const AUTH_KEY_OR_JWT: u32 = 3;
/** A key and a token, of the same consumer. */
export const AUTH_BOTH: u32 = 4;
/** The certificate of the caller's connection. */
export const AUTH_PEER: u32 = 5;

/** More segments than any path that a person writes; the router's stack is sized by it. */
export const PATH_SEGMENTS_MAX: u32 = 48;

export const KEY_STATE: u32 = 3;
export const KEY_SUSPENDED: u32 = 1;
export const KEY_REVOKED: u32 = 2;
export const KEY_HAS_NOT_BEFORE: u32 = 4;
export const KEY_HAS_EXPIRES: u32 = 8;
export const KEY_HAS_TIER: u32 = 16;
export const KEY_HAS_ADDRESSES: u32 = 32;
export const KEY_HAS_APIS: u32 = 64;
export const KEY_HAS_SCOPES: u32 = 128;
export const KEY_HAS_LIMITS: u32 = 256;

/** `readRecord` leaves the record's type, body and end here. */
export let recordType: u32 = 0;
export let recordBody: usize = 0;
export let recordEnd: usize = 0;

/** Reads a record's head at `at`. Whether it lies whole before `end`. */
export function readRecord(at: usize, end: usize): bool {
  if (at >= end) return false;
  recordType = load<u8>(at++);
  let bytes: u32 = 0;
  let shift: u32 = 0;
  while (true) {
    if (at >= end) return false;
    const b = <u32>load<u8>(at++);
    // the fifth byte is the last one, and has four bits left
    if (shift == 28 && b > 15) return false;
    bytes |= (b & 127) << shift;
    if (b < 128) break;
    shift += 7;
  }
  if (<usize>bytes > end - at) return false;
  recordBody = at;
  recordEnd = at + bytes;
  return true;
}

// ---- walking lists of strings: u16 count, each u16 length + bytes --------------------------------------------------------------------

// @ts-ignore: decorator
@inline
export function count(list: usize): u32 { return load<u16>(list); }
// @ts-ignore: decorator
@inline
export function first(list: usize): usize { return list + 2; }
// @ts-ignore: decorator
@inline
export function textBytes(item: usize): u32 { return load<u16>(item); }
// @ts-ignore: decorator
@inline
export function text(item: usize): usize { return item + 2; }
// @ts-ignore: decorator
@inline
export function next(item: usize): usize { return item + 2 + load<u16>(item); }

/** What follows a list of strings. */
export function afterTexts(list: usize): usize {
  let item = first(list);
  for (let n = count(list); n > 0; n--) item = next(item);
  return item;
}

/** Whether the list has the text. */
export function hasText(list: usize, at: usize, bytes: u32): bool {
  let item = first(list);
  for (let n = count(list); n > 0; n--) {
    if (textBytes(item) == bytes && memory.compare(text(item), at, bytes) == 0) return true;
    item = next(item);
  }
  return false;
}

/** Whether the list of u32 has the id. */
export function hasId(list: usize, id: u32): bool {
  let item = first(list);
  for (let n = count(list); n > 0; n--) {
    if (load<u32>(item) == id) return true;
    item += 4;
  }
  return false;
}

// @ts-ignore: decorator
@inline
export function afterIds(list: usize): usize { return first(list) + (<usize>count(list) << 2); }

// ---- CONSUMER ------------------------------------------------------------------------------------------------------------------------

export const CONSUMER_HAS_IDENTITIES: u32 = 2;

// @ts-ignore: decorator
@inline
export function consumerId(consumer: usize): usize { return consumer + 12; }
// @ts-ignore: decorator
@inline
export function consumerIdBytes(consumer: usize): u32 { return load<u8>(consumer, 11); }

/** The list of a consumer's identities, or 0. */
export function consumerIdentities(consumer: usize): usize {
  if ((load<u16>(consumer, 8) & CONSUMER_HAS_IDENTITIES) == 0) return 0;
  let claim = consumerId(consumer) + consumerIdBytes(consumer);
  let n = <u32>load<u16>(claim);
  claim += 2;
  for (; n > 0; n--) claim = next(claim + 1 + load<u8>(claim));
  return claim;
}

// ---- KEY -----------------------------------------------------------------------------------------------------------------------------

// @ts-ignore: decorator
@inline
export function keyConsumer(key: usize): u32 { return load<u32>(key, 16); }
// @ts-ignore: decorator
@inline
export function keyFlags(key: usize): u32 { return load<u16>(key, 20); }
// @ts-ignore: decorator
@inline
export function keyIdBytes(key: usize): u32 { return load<u8>(key, 23); }
// @ts-ignore: decorator
@inline
export function keyId(key: usize): usize { return key + 24; }
// @ts-ignore: decorator
@inline
export function keyFields(key: usize): usize { return key + 24 + load<u8>(key, 23); }

export function afterAddresses(list: usize): usize {
  let at = list + 1;
  for (let n = <u32>load<u8>(list); n > 0; n--) at += load<u8>(at) == 4 ? 6 : 18;
  return at;
}

// ---- validation ----------------------------------------------------------------------------------------------------------------------

/** The place in the body that is being validated and its end; a failed step makes `at` pass the end for good. */
let at: usize = 0;
let end: usize = 0;
let good: bool = false;

function skip(bytes: u32): void {
  if (!good || <usize>bytes > end - at) good = false;
  else at += bytes;
}

function skipText(): void {
  if (!good || end - at < 2) good = false;
  else skip(2 + <u32>load<u16>(at));
}

function skipTexts(): void {
  if (!good || end - at < 2) { good = false; return; }
  let n = <u32>load<u16>(at);
  at += 2;
  while (good && n > 0) { skipText(); n--; }
}

function skipIds(): void {
  if (!good || end - at < 2) good = false;
  else skip(2 + (<u32>load<u16>(at) << 2));
}

/** A path as the router needs it: it begins with `/`, does not end with one (but for the root), and has few enough segments. */
function checkPath(): void {
  const from = at;
  skipText();
  if (!good) return;
  const bytes = textBytes(from);
  if (bytes == 0 || load<u8>(text(from)) != 0x2f || (bytes > 1 && load<u8>(text(from) + bytes - 1) == 0x2f)) { good = false; return; }
  let segments: u32 = 0;
  for (let i: u32 = 0; i < bytes; i++) if (load<u8>(text(from) + i) == 0x2f) segments++;
  if (segments > PATH_SEGMENTS_MAX) good = false;
}

function checkApi(): void {
  const flags = load<u16>(at, 6);
  if (load<u8>(at, 5) > 2) { good = false; return; }
  skip(8);
  skipText();
  skipTexts();
  if (!good || end - at < 2) { good = false; return; }
  let n = <u32>load<u16>(at);
  at += 2;
  while (good && n > 0) { checkPath(); n--; }
  skipTexts();
  skipTexts();
  if (!good || end - at < 2) { good = false; return; }
  n = <u32>load<u16>(at);
  at += 2;
  while (good && n > 0) { checkPath(); skipTexts(); skipTexts(); skip(8); n--; }
  if (flags & 1) { skipTexts(); skipTexts(); skipTexts(); skipTexts(); skip(5); }
  if (flags & 16) checkJwt();
}

function checkJwt(): void {
  const issuers = at;
  skipTexts();
  if (!good || end - at < 2 || load<u16>(at) != load<u16>(issuers)) { good = false; return; }
  let n = <u32>load<u16>(at);
  at += 2;
  while (good && n > 0) { skipTexts(); n--; }
  skipTexts();
  skipText();
  skipText();
  skip(1);
}

function checkConsumer(): void {
  const idBytes = <u32>load<u8>(at, 11);
  const identities = (load<u16>(at, 8) & CONSUMER_HAS_IDENTITIES) != 0;
  skip(12);
  skip(idBytes);
  if (!good || end - at < 2) { good = false; return; }
  let n = <u32>load<u16>(at);
  at += 2;
  while (good && n > 0) {
    if (at >= end) { good = false; return; }
    skip(1 + <u32>load<u8>(at));
    skipText();
    n--;
  }
  if (identities) skipTexts();
}

function checkKey(): void {
  const flags = keyFlags(at);
  if ((flags & KEY_STATE) > KEY_REVOKED) { good = false; return; }
  const idBytes = keyIdBytes(at);
  skip(24);
  skip(idBytes);
  if (flags & KEY_HAS_NOT_BEFORE) skip(8);
  if (flags & KEY_HAS_EXPIRES) skip(8);
  if (flags & KEY_HAS_TIER) skip(4);
  if (flags & KEY_HAS_ADDRESSES) {
    if (!good || at >= end) { good = false; return; }
    let n = <u32>load<u8>(at++);
    while (good && n > 0) {
      if (end - at < 2) { good = false; return; }
      const family = load<u8>(at);
      const bits = <u32>load<u8>(at, 1);
      if (!(family == 4 && bits <= 32) && !(family == 6 && bits <= 128)) { good = false; return; }
      skip(family == 4 ? 6 : 18);
      n--;
    }
  }
  if (flags & KEY_HAS_APIS) skipIds();
  if (flags & KEY_HAS_SCOPES) skipTexts();
}

/** A limit as the request path needs it: it counts something known, in windows that have a length. */
function checkLimit(body: usize): void {
  skip(56);
  skip(load<u8>(body, 29));
  const subject = load<u8>(body, 6);
  const period = load<u8>(body, 28);
  if (subject == 0 || subject > 5 || period > 3 || (period == 0 && load<u32>(body, 24) == 0)) good = false;
}

const LEAST_BYTES = memory.data<u8>([0, 8, 8, 14, 24, 5, 56, 32]);

/** Whether a body of a known type may be walked without checks. An unknown type is not for this function. */
export function validRecord(type: u32, body: usize, bodyEnd: usize): bool {
  if (type < API || type > COUNTER || bodyEnd - body < <usize>load<u8>(LEAST_BYTES + type)) return false;
  // where the wire id is: 0 means none, so no record may have it, and no key may name it as its consumer
  if (type != DELETE && load<u32>(type == KEY ? body + DIGEST_BYTES : body) == 0) return false;
  at = body;
  end = bodyEnd;
  good = true;
  if (type == API) checkApi();
  else if (type == TIER) { skip(8); skipText(); skipTexts(); skipIds(); }
  else if (type == CONSUMER) checkConsumer();
  else if (type == KEY) checkKey();
  else if (type == LIMIT) checkLimit(body);
  else if (type == COUNTER) skip(32);
  else {
    const kind = <u32>load<u8>(body);
    skip(kind == KEY ? 1 + DIGEST_BYTES : 5);
    if (kind == DELETE || kind < API || kind > LIMIT || (kind != KEY && load<u32>(body, 1) == 0)) good = false;
  }
  return good;
}
