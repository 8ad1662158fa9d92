/** Claims: what a client may not say of itself is removed, what the table says of the caller is set. */
import {
  MAP_REQUEST_HEADERS,
  MAP_REQUEST_TRAILERS,
  addHeader,
  headerPairs,
  removeHeader,
  value,
  valueBytes,
} from "../abi/host";
import { Config } from "../config/parse";
import { HeaderPlan, forged, forgedCount } from "../http/headerScan";
import { count, first, hasText, next, text, textBytes } from "../wire/lists";
import { consumerClaims, consumerId, consumerIdBytes, keyId, keyIdBytes, tierId, tierScopes } from "../wire/records";

const NAME_BYTES_MAX: u32 = 256;
const VALUE_BYTES_MAX: u32 = 4096;
const name = memory.data(256);
const joined = memory.data(4096);
const star = memory.data<u8>([0x2a]);

/** Removes the headers that `scan` found to be claims. Repeated ones go with the first. */
export function removeForged(): void {
  for (let i: u32 = 0; i < forgedCount; i++) {
    const one = forged(i);
    removeHeader(MAP_REQUEST_HEADERS, one.at, one.bytes);
  }
}

/** Removes claims from the request's trailers. False when the trailers can't be read: they must not pass then. */
export function removeForgedTrailers(plan: HeaderPlan): bool {
  if (!headerPairs(MAP_REQUEST_TRAILERS)) return false;
  const pairs = value();
  const bytes = valueBytes();
  if (bytes < 4) return bytes == 0;
  const n = load<u32>(pairs);
  if (n > (bytes - 4) >> 3) return false;
  let sizes = pairs + 4;
  let at = sizes + ((<usize>n) << 3);
  const end = pairs + bytes;
  for (let i: u32 = 0; i < n; i++) {
    const size = load<u32>(sizes);
    const whole = <u64>size + <u64>load<u32>(sizes, 4) + 2;
    if (whole > <u64>(end - at)) return false;
    if (plan.isClaim(at, size)) removeHeader(MAP_REQUEST_TRAILERS, at, size);
    at += <usize>whole;
    sizes += 8;
  }
  return true;
}

// @ts-ignore: decorator
@inline
function set(header: StaticArray<u8>, at: usize, bytes: u32): void {
  addHeader(MAP_REQUEST_HEADERS, changetype<usize>(header), header.length, at, bytes);
}

/** Marks a request that was let through without a decision. */
export function setUnchecked(config: Config, code: StaticArray<u8>): void {
  set(config.uncheckedHeader, changetype<usize>(code), code.length);
}

/** Sets who calls: for a refusal, so that the access log can tell whose it was. */
export function setIdentity(config: Config, key: usize, consumer: usize, tier: usize): void {
  set(config.consumerHeader, consumerId(consumer), consumerIdBytes(consumer));
  set(config.tierHeader, text(tierId(tier)), textBytes(tierId(tier)));
  // A caller by token or certificate has no key.
  if (keyIdBytes(key) > 0) set(config.keyIdHeader, keyId(key), keyIdBytes(key));
}

/**
 * Sets the claims of an admitted caller. The forged ones must be gone. Records as in docs/internals/protocol.md; `keyScopes` is the key's own list or 0.
 */
export function setClaims(config: Config, key: usize, consumer: usize, tier: usize, keyScopes: usize): void {
  setIdentity(config, key, consumer, tier);
  const scopes = joinScopes(tierScopes(tier), keyScopes);
  if (scopes > 0) set(config.scopesHeader, joined, scopes);
  const claims = consumerClaims(consumer);
  let claim = first(claims);
  for (let n = count(claims); n > 0; n--) {
    const nameBytes = <u32>load<u8>(claim);
    const item = claim + 1 + nameBytes;
    setClaim(config, claim + 1, nameBytes, text(item), textBytes(item));
    claim = next(item);
  }
}

const CLAIM = memory.data<u8>([0x63, 0x6c, 0x61, 0x69, 0x6d, 0x2d]);

function setClaim(config: Config, claim: usize, claimBytes: u32, at: usize, bytes: u32): void {
  const renames = config.renames;
  for (let i = 0; i < renames.length; i++) {
    const r = unchecked(renames[i]);
    if (<u32>r.claim.length == claimBytes && memory.compare(changetype<usize>(r.claim), claim, claimBytes) == 0) {
      set(r.header, at, bytes);
      return;
    }
  }
  const prefixBytes = <u32>config.claimPrefix.length;
  const size = prefixBytes + 6 + claimBytes;
  if (size > NAME_BYTES_MAX) return;
  memory.copy(name, changetype<usize>(config.claimPrefix), prefixBytes);
  memory.copy(name + prefixBytes, CLAIM, 6);
  memory.copy(name + prefixBytes + 6, claim, claimBytes);
  addHeader(MAP_REQUEST_HEADERS, name, size, at, bytes);
}

/** The caller's scopes with blanks between: the key's that the tier has, or the tier's when the key has no list. Their length. */
function joinScopes(tierScopes: usize, keyScopes: usize): u32 {
  const all = hasText(tierScopes, star, 1);
  const list = keyScopes != 0 ? keyScopes : tierScopes;
  let bytes: u32 = 0;
  let item = first(list);
  for (let n = count(list); n > 0; n--) {
    const size = textBytes(item);
    if (keyScopes == 0 || all || hasText(tierScopes, text(item), size)) {
      if (bytes + size + 1 > VALUE_BYTES_MAX) return bytes;
      if (bytes > 0) store<u8>(joined + bytes++, 0x20);
      memory.copy(joined + bytes, text(item), size);
      bytes += size;
    }
    item = next(item);
  }
  return bytes;
}

/** Whether the list has the scope, or every scope. */
export function hasScope(list: usize, at: usize, bytes: u32): bool {
  return hasText(list, at, bytes) || hasText(list, star, 1);
}
