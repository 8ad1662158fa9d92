/**
 * The form of Tollgate's own keys, `tg_<environment>_<26 random base62>_<6 base62 CRC-32>`: a copying mistake is refused before any
 * lookup. The CRC-32 is of everything before the last `_`, most significant digit first, padded with `0`.
 */
import { crc32 } from "../lib/crc32";

/** it doesn't begin with `tg_`: a key imported from elsewhere, of any form */
export const KEY_FOREIGN: i32 = 0;
export const KEY_WELL_FORMED: i32 = 1;
/** it begins with `tg_`, yet its form or its checksum is wrong */
export const KEY_MALFORMED: i32 = 2;

const ENVIRONMENT_OFFSET: u32 = 3;
const ENVIRONMENT_MAX: u32 = 32;
const RANDOM_DIGITS: u32 = 26;
const CHECK_DIGITS: u32 = 6;
/** all but the environment: `tg_`, `_`, the random part, `_`, the checksum */
const FIXED_BYTES: u32 = ENVIRONMENT_OFFSET + 1 + RANDOM_DIGITS + 1 + CHECK_DIGITS;

/** Tells which kind of key the len bytes at ptr are: KEY_FOREIGN, KEY_WELL_FORMED or KEY_MALFORMED. */
export function checkKeyForm(ptr: usize, len: u32): i32 {
  if (len < 3 || load<u16>(ptr) != 0x6774 || load<u8>(ptr, 2) != 0x5f) return KEY_FOREIGN;
  if (len <= FIXED_BYTES || len > FIXED_BYTES + ENVIRONMENT_MAX) return KEY_MALFORMED;

  const random = ptr + ENVIRONMENT_OFFSET + keyEnvironmentBytes(ptr, len) + 1;
  const check = random + RANDOM_DIGITS + 1;
  if (load<u8>(random - 1) != 0x5f || load<u8>(check - 1) != 0x5f) return KEY_MALFORMED;
  for (let p = ptr + ENVIRONMENT_OFFSET; p < random - 1; ++p) {
    const c = <u32>load<u8>(p);
    if (c - 0x61 >= 26 && c - 0x30 >= 10 && c != 0x2d) return KEY_MALFORMED;
  }
  for (let p = random; p < check - 1; ++p) {
    if (base62Value(load<u8>(p)) > 61) return KEY_MALFORMED;
  }
  let stated: u64 = 0;
  for (let p = check; p < check + CHECK_DIGITS; ++p) {
    const digit = base62Value(load<u8>(p));
    if (digit > 61) return KEY_MALFORMED;
    stated = stated * 62 + digit;
  }
  return stated == <u64>crc32(ptr, <u32>(check - 1 - ptr)) ? KEY_WELL_FORMED : KEY_MALFORMED;
}

/** Length of the environment's name in a well-formed key of len bytes; it starts at ptr + 3. */
@inline export function keyEnvironmentBytes(_ptr: usize, len: u32): u32 {
  return len - FIXED_BYTES;
}

/** Value of a base62 digit (0-9, A-Z, a-z in that order), 255 for any other byte. */
@inline function base62Value(c: u32): u32 {
  if (c - 0x30 < 10) return c - 0x30;
  if (c - 0x41 < 26) return c - 0x41 + 10;
  if (c - 0x61 < 26) return c - 0x61 + 36;
  return 255;
}
