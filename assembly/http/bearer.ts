/** The value of an Authorization header with the scheme Bearer (RFC 6750, RFC 9110 section 11.4). */
import { isBlank } from "../lib/bytes";

/**
 * Finds the token in an Authorization value: scheme `Bearer` in any case, spaces or tabs, the token without the blanks around it.
 * Gives offset << 32 | length, or 0 when it's another scheme or has no token.
 */
export function bearerToken(ptr: usize, len: u32): u64 {
  let start: u32 = 0;
  while (start < len && isBlank(load<u8>(ptr + start))) ++start;
  if (len - start < 8) return 0;
  // "bear" and "er", once bit 5 has made every letter a small one; no other byte becomes one of these letters but its capital.
  const scheme = ptr + start;
  if ((load<u32>(scheme) | 0x20202020) != 0x72616562 || (load<u16>(scheme, 4) | 0x2020) != 0x7265) return 0;
  start += 6;
  if (!isBlank(load<u8>(ptr + start))) return 0;
  while (start < len && isBlank(load<u8>(ptr + start))) ++start;
  let end = len;
  while (end > start && isBlank(load<u8>(ptr + end - 1))) --end;
  return end > start ? ((<u64>start) << 32) | (end - start) : 0;
}
