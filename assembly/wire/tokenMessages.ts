/**
 * Calls for internal tokens and their answers (docs/internals/protocol.md):
 *
 * ```
 *   ask:     16 id | u32 consumer | u32 tier | u8 kind | u8 flags | u16 scopes' length, scopes
 *   answer:  16 id | u64 refreshAtMs | u64 expiresAtMs | u8 verdict | u8 0 | u16 token's length, token
 * ```
 */
import { count, first, next, text, textBytes } from "./lists";

export const ASKS_MOST: u32 = 64;
export const ASK_BYTES: u32 = 28;
export const ANSWER_BYTES: u32 = 36;
export const SCOPES_MOST_BYTES: u32 = 8192;

const SCOPES_FOLLOW: u32 = 1;

/** Writes an ask, for which there is room of ASK_BYTES + SCOPES_MOST_BYTES. `scopes`: what the caller's are narrowed to, or 0. Its length. */
export function writeAsk(at: usize, a: u64, b: u64, consumer: u32, tier: u32, kind: u32, scopes: usize): u32 {
  store<u64>(at, a);
  store<u64>(at, b, 8);
  store<u32>(at, consumer, 16);
  store<u32>(at, tier, 20);
  store<u8>(at, <u8>kind, 24);
  store<u8>(at, scopes == 0 ? 0 : <u8>SCOPES_FOLLOW, 25);
  const bytes = scopes == 0 ? 0 : joinAll(scopes, at + ASK_BYTES);
  store<u16>(at, <u16>bytes, 26);
  return ASK_BYTES + bytes;
}

/** The texts of a list with blanks between; those that don't fit are left out: fewer scopes are the safe mistake. */
function joinAll(list: usize, to: usize): u32 {
  let bytes: u32 = 0;
  let item = first(list);
  for (let n = count(list); n > 0; n--) {
    const size = textBytes(item);
    if (bytes + size + 1 > SCOPES_MOST_BYTES) return bytes;
    if (bytes > 0) store<u8>(to + bytes++, 0x20);
    memory.copy(to + bytes, text(item), size);
    bytes += size;
    item = next(item);
  }
  return bytes;
}

// @ts-ignore: decorator
@inline
export function answerRefreshMs(at: usize): u64 {
  return load<u64>(at, 16);
}
// @ts-ignore: decorator
@inline
export function answerExpiresMs(at: usize): u64 {
  return load<u64>(at, 24);
}
// @ts-ignore: decorator
@inline
export function answerVerdict(at: usize): u32 {
  return load<u8>(at, 32);
}
// @ts-ignore: decorator
@inline
export function answerTokenBytes(at: usize): u32 {
  return load<u16>(at, 34);
}
// @ts-ignore: decorator
@inline
export function answerToken(at: usize): usize {
  return at + ANSWER_BYTES;
}

/** Whether the token may be a header's value: there is one, of visible ASCII alone. */
export function tokenSound(at: usize): bool {
  const bytes = answerTokenBytes(at);
  const token = answerToken(at);
  for (let i: u32 = 0; i < bytes; i++) if (<u32>load<u8>(token + i) - 0x21 > 0x5d) return false;
  return bytes > 0;
}

/** Whether so many answers lie between `at` and `end`, and nothing else. */
export function answersWhole(at: usize, end: usize, n: u32): bool {
  for (; n > 0; n--) {
    if (end - at < ANSWER_BYTES || end - at - ANSWER_BYTES < answerTokenBytes(at)) return false;
    at += ANSWER_BYTES + answerTokenBytes(at);
  }
  return at == end;
}
