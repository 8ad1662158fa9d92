/** The internal token of a request's caller: from the worker's cache, or asked for. */
import { MAP_REQUEST_HEADERS, addHeader } from "../abi/host";
import { monotonicNs } from "../abi/wasi";
import { Config } from "../config/model";
import { SCOPES_MOST_BYTES } from "../wire/tokenMessages";
import { CALLER_KEY, CALLER_PEER, CALLER_TOKEN } from "../wire/enums";
import { expiresAtMs } from "../wire/keyFields";
import { afterClaims, afterTexts } from "../wire/lists";
import { consumerClaims, consumerWireId, keyId, keyIdBytes, tierApis, tierId } from "../wire/records";
import { sha256 } from "../lib/sha256";
import { Table } from "../snapshot/table";
import { ANSWER_NONE, ANSWER_OFF, ANSWER_TOKEN, ASKED, TokenEntry } from "../tokens/cache";
import { TokenCalls } from "../tokens/calls";

/** `setToken` sets it; or there is none for such a caller, and the request goes on without. */
export const TOKEN_READY: u32 = 0;
/** Control is being asked. */
export const TOKEN_COMING: u32 = 1;
/** There is none, and none will come soon. */
export const TOKEN_REFUSED: u32 = 2;

/** What tells a caller without a key apart: 16 digest, u32 tier, its scopes as a list. */
const identity = memory.data(8216, 8);
const digest = memory.data(32, 8);

/** After `findToken`: the caller by which tokens are kept, and the time at which it was looked for. */
export let tokenIdA: u64 = 0;
export let tokenIdB: u64 = 0;
export let soughtNs: u64 = 0;
let found: TokenEntry | null = null;

/**
 * Looks for the token of an identified caller, whose records these are, and asks control for it where there is none, or a new one is due.
 * `scopes`: what the caller's are narrowed to, or 0; `peer`: it was identified by its certificate.
 */
export function findToken(
  calls: TokenCalls,
  table: Table,
  key: usize,
  consumer: usize,
  tier: usize,
  tierId: u32,
  scopes: usize,
  peer: bool,
): u32 {
  found = null;
  const wireId = consumerWireId(consumer);
  // Control can't vouch for whom it has no record of.
  if (wireId == 0) return TOKEN_READY;
  const hasKey = keyIdBytes(key) > 0;
  if (!identify(key, hasKey, tierId, scopes)) return TOKEN_REFUSED;
  const now = monotonicNs();
  soughtNs = now;
  let entry = calls.cache.find(tokenIdA, tokenIdB);
  if (entry == null) entry = calls.cache.add(tokenIdA, tokenIdB, now);
  if (entry == null) return TOKEN_REFUSED;
  entry.usedNs = now;
  if (!compare(entry, table, key, consumer, tier, scopes)) return TOKEN_COMING;
  const usable = entry.answer == ANSWER_TOKEN && now < entry.endNs;
  if (usable) found = entry;
  let coming = (entry.flags & ASKED) != 0;
  if (!coming && now >= entry.retryNs && (!usable || now >= entry.refreshNs)) {
    coming = calls.ask(
      entry,
      wireId,
      tierId,
      hasKey ? CALLER_KEY : peer ? CALLER_PEER : CALLER_TOKEN,
      hasKey ? 0 : scopes,
    );
    if (!usable && !coming) return TOKEN_COMING;
  }
  if (usable || entry.answer == ANSWER_OFF) return TOKEN_READY;
  return coming ? TOKEN_COMING : TOKEN_REFUSED;
}

/** Sets the header to what `findToken` has found for the same request. */
export function setToken(config: Config): void {
  const entry = found;
  if (entry == null) return;
  addHeader(
    MAP_REQUEST_HEADERS,
    changetype<usize>(config.tokenHeader),
    config.tokenHeader.length,
    <usize>entry.room,
    entry.bytes,
  );
}

/** Of a key its digest; of another caller a digest of what its token would say. */
function identify(key: usize, hasKey: bool, tierId: u32, scopes: usize): bool {
  if (hasKey) {
    tokenIdA = load<u64>(key);
    tokenIdB = load<u64>(key, 8);
    return true;
  }
  const scopesBytes: usize = scopes == 0 ? 0 : afterTexts(scopes) - scopes;
  if (scopesBytes > SCOPES_MOST_BYTES) return false;
  memory.copy(identity, key, 16);
  store<u32>(identity, tierId, 16);
  memory.copy(identity + 20, scopes, scopesBytes);
  sha256(identity, 20 + <u32>scopesBytes, digest);
  tokenIdA = load<u64>(digest);
  tokenIdB = load<u64>(digest, 8);
  return true;
}

/** Whether the entry is of the records as they are now; it is made so, unless control is just being asked for the ones before. */
function compare(entry: TokenEntry, table: Table, key: usize, consumer: usize, tier: usize, scopes: usize): bool {
  if (entry.version == table.version && entry.print != 0) return true;
  const print = printOf(key, consumer, tier, scopes);
  if (entry.print != print) {
    if (entry.flags & ASKED) return false;
    entry.print = print;
    entry.answer = ANSWER_NONE;
    entry.retryNs = 0;
  }
  entry.version = table.version;
  return true;
}

/** FNV-1a of all that a token tells. Never 0. */
function printOf(key: usize, consumer: usize, tier: usize, scopes: usize): u64 {
  let hash: u64 = 0xcbf29ce484222325;
  hash = mix(hash, keyId(key), keyIdBytes(key));
  hash = (hash ^ expiresAtMs) * 0x100000001b3;
  if (scopes != 0) hash = mix(hash, scopes, afterTexts(scopes) - scopes);
  hash = mix(hash, consumer, afterClaims(consumerClaims(consumer)) - consumer);
  hash = mix(hash, tierId(tier), tierApis(tier) - tierId(tier));
  return hash | 1;
}

function mix(hash: u64, at: usize, bytes: usize): u64 {
  for (const end = at + bytes; at < end; at++) hash = (hash ^ <u64>load<u8>(at)) * 0x100000001b3;
  return hash;
}
