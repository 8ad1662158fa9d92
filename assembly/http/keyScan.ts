/**
 * Finds Tollgate keys inside of longer texts, by their form alone (`keyFormat.ts`): without the checksum, so that a key with a copying
 * mistake is found as well, and percent-decoded, as it may stand in a query or a cookie.
 */
import { decodedAt } from "../lib/bytes";

const RANDOM_DIGITS: u32 = 26;
const CHECK_DIGITS: u32 = 6;
const ENVIRONMENT_MAX: u32 = 32;
/** `tg_`, an environment of one letter, `_`, the random part, `_`, the checksum */
const LEAST_BYTES: u32 = 38;

const UNDERSCORES: u64 = 0x5f5f5f5f5f5f5f5f;
const PERCENTS: u64 = 0x2525252525252525;

/** Not 0 when one of the eight bytes is 0. */
// @ts-ignore: decorator
@inline
function zeros(w: u64): u64 {
  return (w - 0x0101010101010101) & ~w & 0x8080808080808080;
}

/** Whether a text holds anything that has the form of a Tollgate key. */
export function hasKeyForm(at: usize, bytes: u32): bool {
  if (bytes < LEAST_BYTES) return false;
  const end = at + bytes;
  let p = at;
  for (; end - p >= 8; p += 8) {
    const w = load<u64>(p);
    if ((zeros(w ^ UNDERSCORES) | zeros(w ^ PERCENTS)) == 0) continue;
    for (let q = p; q < p + 8; q++) if (beginsAround(at, q, end)) return true;
  }
  for (; p < end; p++) if (beginsAround(at, p, end)) return true;
  return false;
}

/** Whether a key begins so that its first `_`, or an escape of its first three characters, stands at `q`. */
function beginsAround(start: usize, q: usize, end: usize): bool {
  const raw = <u32>load<u8>(q);
  if (raw != 0x5f && raw != 0x25) return false;
  const c = decodedAt(q, end) & 0xff;
  if (c == 0x74) return raw == 0x25 && isKeyForm(q, end);
  if (c == 0x67) return q > start && isKeyForm(q - 1, end);
  return c == 0x5f && q - start >= 2 && isKeyForm(q - 2, end);
}

function isKeyForm(p: usize, end: usize): bool {
  if (!(p = skip(p, end, 0x74)) || !(p = skip(p, end, 0x67)) || !(p = skip(p, end, 0x5f))) return false;
  let environment: u32 = 0;
  while (p < end) {
    const next = decodedAt(p, end);
    const c = next & 0xff;
    if (c - 0x61 >= 26 && c - 0x30 >= 10 && c != 0x2d) break;
    if (++environment > ENVIRONMENT_MAX) return false;
    p += next >> 8;
  }
  if (
    environment == 0 ||
    !(p = skip(p, end, 0x5f)) ||
    !(p = skipDigits(p, end, RANDOM_DIGITS)) ||
    !(p = skip(p, end, 0x5f))
  )
    return false;
  return skipDigits(p, end, CHECK_DIGITS) != 0;
}

/** The address after a character, 0 when another one stands there. */
function skip(p: usize, end: usize, wanted: u32): usize {
  if (p >= end) return 0;
  const next = decodedAt(p, end);
  return (next & 0xff) == wanted ? p + (next >> 8) : 0;
}

/** The address after that many base62 digits, 0 when there are fewer. */
function skipDigits(p: usize, end: usize, digits: u32): usize {
  for (; digits > 0; digits--) {
    if (p >= end) return 0;
    const next = decodedAt(p, end);
    const c = next & 0xff;
    if (c - 0x30 >= 10 && (c | 32) - 0x61 >= 26) return 0;
    p += next >> 8;
  }
  return p;
}
