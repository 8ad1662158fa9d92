/**
 * Callers without a key: by token, or by the certificate of their connection. Limits, usage and claims need a key's record and a consumer's;
 * for such a caller they are put together here, laid out as on the wire (docs/internals/protocol.md), and are overwritten by the next one.
 */
import { property, value, valueBytes } from "../abi/host";
import { scratch } from "../abi/memory";
import { openCaller } from "../wire/keyFields";
import { count, first, next, text, textBytes } from "../wire/lists";
import { PEER_MISSING, TIER_MISSING, TOKEN_CONSUMER_MISMATCH, UNKNOWN_CONSUMER, UNKNOWN_PEER } from "../wire/reasons";
import {
  consumerId,
  consumerIdBytes,
  jwtAdmitsUnknown,
  jwtConsumerClaims,
  jwtScopeClaim,
  jwtTierClaim,
} from "../wire/records";
import { sha256 } from "../lib/sha256";
import { Table } from "../snapshot/table";
import { ascii } from "../lib/text";
import { NO_FAULT, checkToken, claim, claimAt, claimBytes, isText, isValue, issuer, nextItem, openItems } from "./jwt";

export { NO_FAULT } from "./jwt";

const ID_BYTES_MAX: u32 = 255;
const SUBJECT_BYTES_MAX: u32 = 2048;
const SCOPES_BYTES: u32 = 8192;

/** A KEY record without an id, and a CONSUMER record without claims. */
const keyRoom = memory.data(24, 8);
const consumerRoom = memory.data(12 + 255 + 2, 8);
const digest = memory.data(32, 8);
const subject = memory.data(2048);
const JWT = ascii("jwt");
const PEER = ascii("peer");
const PEER_OF_CONNECTION = ascii("connection\0uri_san_peer_certificate");
const PEER_OF_WAYPOINT = ascii("filter_state\0io.istio.peer_principal");

/** A key's record or what stands for one: its digest is what limits and usage count by. */
export let callerKey: usize = 0;
/** The consumer's record. */
export let callerConsumer: usize = 0;

/** Notes who calls: a key's record and a consumer's. */
// @ts-ignore: decorator
@inline
export function setCaller(key: usize, consumer: usize): void {
  callerKey = key;
  callerConsumer = consumer;
}

/** Finds the caller by the token of an API. NO_FAULT, or why there is none. */
export function callerByToken(table: Table, jwt: usize): u32 {
  const fault = checkToken(jwt);
  if (fault != NO_FAULT) return fault;
  if (!consumerClaim(jwt) || claimBytes > ID_BYTES_MAX || !isText(false)) return UNKNOWN_CONSUMER;
  const id = claimAt;
  const bytes = claimBytes;
  const wireId = table.names.consumers.get(id, bytes);
  if (wireId != 0) callerConsumer = table.consumers.get(wireId);
  else if (jwtAdmitsUnknown(jwt) && isAscii(id, bytes)) callerConsumer = unknownConsumer(id, bytes);
  else return UNKNOWN_CONSUMER;
  if (callerConsumer == 0 || !noteSubject(JWT, text(issuer), textBytes(issuer), id, bytes)) return UNKNOWN_CONSUMER;
  return openToken(table, jwt);
}

/** What goes into a header must be. */
function isAscii(at: usize, bytes: u32): bool {
  for (let i: u32 = 0; i < bytes; i++) if (load<u8>(at + i) > 0x7e) return false;
  return true;
}

/** Whether the token is of the consumer that the key has named. NO_FAULT, or what is wrong. */
export function tokenOf(consumer: usize, jwt: usize): u32 {
  const fault = checkToken(jwt);
  if (fault != NO_FAULT) return fault;
  const same = consumerClaim(jwt) && isValue(consumerId(consumer), consumerIdBytes(consumer));
  return same ? NO_FAULT : TOKEN_CONSUMER_MISMATCH;
}

/** Finds the caller by its certificate, as Envoy has validated it. NO_FAULT, or why there is none. */
export function callerByPeer(table: Table, waypoint: bool): u32 {
  const from = waypoint ? PEER_OF_WAYPOINT : PEER_OF_CONNECTION;
  if (!property(changetype<usize>(from), from.length) || valueBytes() == 0) return PEER_MISSING;
  const wireId = table.names.identities.get(value(), valueBytes());
  if (wireId == 0) return UNKNOWN_PEER;
  callerConsumer = table.consumers.get(wireId);
  if (callerConsumer == 0 || !noteSubject(PEER, value(), valueBytes(), 0, 0)) return UNKNOWN_PEER;
  openCaller(0, 0);
  return NO_FAULT;
}

/** Reads the first of the claims that the token has, whatever its value; an empty text counts as none. */
function consumerClaim(jwt: usize): bool {
  const claims = jwtConsumerClaims(jwt);
  let item = first(claims);
  for (let n = count(claims); n > 0; n--) {
    if (claim(text(item), textBytes(item)) && !isValue(0, 0)) return true;
    item = next(item);
  }
  return false;
}

/** Tier and scopes that the token itself brings. */
function openToken(table: Table, jwt: usize): u32 {
  const tierClaim = jwtTierClaim(jwt);
  let tier: u32 = 0;
  if (textBytes(tierClaim) > 0 && claim(text(tierClaim), textBytes(tierClaim))) {
    tier = isText(true) ? table.names.tiers.get(claimAt, claimBytes) : 0;
    if (tier == 0) return TIER_MISSING;
  }
  const scopeClaim = jwtScopeClaim(jwt);
  let scopes: usize = 0;
  if (textBytes(scopeClaim) > 0) {
    scopes = scopesOf(scopeClaim);
    if (scopes == 0) scopes = NO_SCOPES;
  }
  openCaller(tier, scopes);
  return NO_FAULT;
}

const NO_SCOPES = memory.data(2);

/** The scopes of a claim as a list of texts; 0 when it has none. What doesn't fit is left out: fewer scopes are the safe mistake. */
function scopesOf(name: usize): usize {
  if (!claim(text(name), textBytes(name))) return 0;
  const list = scratch(SCOPES_BYTES);
  if (list == 0) return 0;
  store<u16>(list, 0);
  listEnd = list + 2;
  if (openItems()) {
    while (nextItem()) if (isText(false)) addScope(list, claimAt, claimBytes);
  } else if (isText(true)) {
    let at = claimAt;
    const end = at + claimBytes;
    while (at < end) {
      let to = at;
      while (to < end && load<u8>(to) != 0x20) to++;
      if (to > at) addScope(list, at, <u32>(to - at));
      at = to + 1;
    }
  }
  return list;
}

let listEnd: usize = 0;

function addScope(list: usize, at: usize, bytes: u32): void {
  if (<usize>bytes + 2 > list + SCOPES_BYTES - listEnd) return;
  store<u16>(listEnd, <u16>bytes);
  memory.copy(listEnd + 2, at, bytes);
  listEnd += 2 + bytes;
  store<u16>(list, load<u16>(list) + 1);
}

/** The record of a consumer that has none: no wire id, no tier, no claims. */
function unknownConsumer(id: usize, bytes: u32): usize {
  memory.fill(consumerRoom, 0, 12);
  store<u8>(consumerRoom, <u8>bytes, 11);
  memory.copy(consumerRoom + 12, id, bytes);
  store<u16>(consumerRoom + 12 + bytes, 0);
  return consumerRoom;
}

/** Makes the record that stands for a key: its digest is that of `kind` NUL `a`, and of NUL `b` where there is one. */
function noteSubject(kind: StaticArray<u8>, a: usize, aBytes: u32, b: usize, bBytes: u32): bool {
  const bytes = <u32>kind.length + 1 + aBytes + (bBytes > 0 ? bBytes + 1 : 0);
  if (bytes > SUBJECT_BYTES_MAX) return false;
  memory.copy(subject, changetype<usize>(kind), kind.length);
  let at = subject + kind.length;
  store<u8>(at++, 0);
  memory.copy(at, a, aBytes);
  at += aBytes;
  if (bBytes > 0) {
    store<u8>(at++, 0);
    memory.copy(at, b, bBytes);
  }
  sha256(subject, bytes, digest);
  memory.copy(keyRoom, digest, 16);
  store<u32>(keyRoom, load<u32>(callerConsumer), 16);
  store<u32>(keyRoom, 0, 20);
  callerKey = keyRoom;
  return true;
}
