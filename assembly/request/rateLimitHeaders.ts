/**
 * RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10) and their older relatives. They are put together when a request is
 * decided and wait for its response in the stream's slot.
 *
 * ```
 *   in the slot, at HEADERS_AT:  u16 policy bytes | u16 limit bytes | u32 legacy style | u64 limit | u64 remaining | u64 reset | the policies, the limits
 * ```
 */
import { MAP_RESPONSE_HEADERS, addHeader, replaceHeader } from "../abi/host";
import { pair } from "../lib/pairs";
import { HEADERS_AT, HEADERS_BYTES, findSlot, freeSlot, takeSlot } from "./streamSlots";
import { ascii } from "../lib/text";
import { applicable } from "../snapshot/applicableLimits";
import { isShadow, limitAmount, limitName, nameBytes } from "../wire/records";
import { counterOf, decidedNs, limitCount, remainingOf, resetSecondsOf, windowSecondsOf } from "./consumeLimits";

const HEAD: u32 = 32;
/** The longest that one limit adds: a name of 63 bytes and numbers. */
const ITEM_MOST: u32 = 130;

export const LEGACY_OFF: u32 = 0;
export const LEGACY_TYK: u32 = 1;
export const LEGACY_ENVOY: u32 = 2;

const RATE_LIMIT = ascii("ratelimit");
const RATE_LIMIT_POLICY = ascii("ratelimit-policy");
const LEGACY_LIMIT = ascii("x-ratelimit-limit");
const LEGACY_REMAINING = ascii("x-ratelimit-remaining");
const LEGACY_RESET = ascii("x-ratelimit-reset");
const numbers = memory.data(3 * 24);

/** Writes a decimal number at `at`; gives where it ends. */
function writeNumber(at: usize, n: u64): usize {
  let digits: usize = 1;
  for (let rest = n; rest >= 10; rest /= 10) digits++;
  let to = at + digits;
  do {
    store<u8>(--to, <u8>(0x30 + (n % 10)));
    n /= 10;
  } while (n > 0);
  return at + digits;
}

function writeParameter(at: usize, name: u32, n: u64): usize {
  store<u8>(at, 0x3b);
  store<u8>(at, <u8>name, 1);
  store<u8>(at, 0x3d, 2);
  return writeNumber(at + 3, n);
}

/** A limit's name as a structured-fields string (RFC 9651): names have no byte that would need an escape. */
function writeName(at: usize, limit: usize): usize {
  const bytes = nameBytes(limit);
  store<u8>(at, 0x22);
  memory.copy(at + 1, limitName(limit), bytes);
  store<u8>(at + 1 + bytes, 0x22);
  return at + bytes + 2;
}

/** Of a counter whose window isn't known there is nothing to tell yet; of one that only watches, never. */
function isShown(n: u32): bool {
  const c = counterOf(n);
  return c != null && c.endNs > decidedNs && !isShadow(applicable(n));
}

/** Notes what the response to `context` shows of the limits that were just decided. `ietf`: RateLimit and RateLimit-Policy. */
export function noteHeaders(context: u32, ietf: bool, legacy: u32): void {
  const slot = takeSlot(context) + HEADERS_AT;
  store<u64>(slot, 0);
  if (limitCount == 0) return;
  if (ietf) {
    const from = slot + HEAD;
    const end = slot + HEADERS_BYTES;
    let at = from;
    // what doesn't fit is left out of both, so that each limit shown has its policy
    let fits: u32 = 0;
    for (; fits < limitCount; fits++) {
      if (!isShown(fits)) continue;
      if (at + ITEM_MOST > from + (end - from) / 2) break;
      if (at > from) {
        store<u16>(at, 0x202c);
        at += 2;
      }
      const limit = applicable(fits);
      at = writeName(at, limit);
      at = writeParameter(at, 0x71, limitAmount(limit));
      const seconds = windowSecondsOf(fits);
      if (seconds > 0) at = writeParameter(at, 0x77, seconds);
    }
    store<u16>(slot, <u16>(at - from));
    const second = at;
    for (let i: u32 = 0; i < fits; i++) {
      if (!isShown(i)) continue;
      if (at > second) {
        store<u16>(at, 0x202c);
        at += 2;
      }
      at = writeName(at, applicable(i));
      at = writeParameter(at, 0x72, remainingOf(i));
      at = writeParameter(at, 0x74, resetSecondsOf(i));
    }
    store<u16>(slot, <u16>(at - second), 2);
  }
  if (legacy != LEGACY_OFF) noteLegacy(slot, legacy);
}

/** The older headers speak of one limit: the one of which least is left. */
function noteLegacy(slot: usize, legacy: u32): void {
  let least: u64 = u64.MAX_VALUE;
  for (let i: u32 = 0; i < limitCount; i++) {
    const c = counterOf(i);
    if (c == null || !isShown(i) || remainingOf(i) >= least) continue;
    least = remainingOf(i);
    store<u32>(slot, legacy, 4);
    store<u64>(slot, limitAmount(applicable(i)), 8);
    store<u64>(slot, least, 16);
    store<u64>(slot, legacy == LEGACY_TYK ? (c.endMs + 999) / 1000 : resetSecondsOf(i), 24);
  }
}

/** Adds what was noted in the stream's slot to its response. */
export function addNoted(streamSlot: usize): void {
  const slot = streamSlot + HEADERS_AT;
  const policies = <u32>load<u16>(slot);
  if (policies > 0) {
    addHeader(
      MAP_RESPONSE_HEADERS,
      changetype<usize>(RATE_LIMIT_POLICY),
      RATE_LIMIT_POLICY.length,
      slot + HEAD,
      policies,
    );
    addHeader(
      MAP_RESPONSE_HEADERS,
      changetype<usize>(RATE_LIMIT),
      RATE_LIMIT.length,
      slot + HEAD + policies,
      load<u16>(slot, 2),
    );
  }
  if (load<u32>(slot, 4) == LEGACY_OFF) return;
  for (let i: u32 = 0; i < 3; i++) {
    const bytes = <u32>(writeNumber(numbers, load<u64>(slot + 8 + ((<usize>i) << 3))) - numbers);
    const name = i == 0 ? LEGACY_LIMIT : i == 1 ? LEGACY_REMAINING : LEGACY_RESET;
    replaceHeader(MAP_RESPONSE_HEADERS, changetype<usize>(name), name.length, numbers, bytes);
  }
}

/** Adds the same to the pairs of a refusal. The bytes stay until the slot is used again; nothing is left for the response to add. */
export function pairNoted(context: u32): void {
  const streamSlot = findSlot(context);
  if (streamSlot == 0) return;
  freeSlot(streamSlot);
  const slot = streamSlot + HEADERS_AT;
  const policies = <u32>load<u16>(slot);
  if (policies > 0) {
    pair(changetype<usize>(RATE_LIMIT_POLICY), RATE_LIMIT_POLICY.length, slot + HEAD, policies);
    pair(changetype<usize>(RATE_LIMIT), RATE_LIMIT.length, slot + HEAD + policies, load<u16>(slot, 2));
  }
  if (load<u32>(slot, 4) == LEGACY_OFF) return;
  for (let i: u32 = 0; i < 3; i++) {
    const at = numbers + <usize>i * 24;
    const bytes = <u32>(writeNumber(at, load<u64>(slot + 8 + ((<usize>i) << 3))) - at);
    const name = i == 0 ? LEGACY_LIMIT : i == 1 ? LEGACY_REMAINING : LEGACY_RESET;
    pair(changetype<usize>(name), name.length, at, bytes);
  }
}
