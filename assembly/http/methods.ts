/** Request methods: a bit for each standard one, and lists of methods as records hold them. */
import { count, first, hasText, next, text, textBytes } from "../wire/lists";

export const ANY_METHOD: u32 = 0xffffffff;
const GET_BIT: u32 = 1;
const HEAD_BIT: u32 = 2;
const HEAD = memory.data<u8>([0x48, 0x45, 0x41, 0x44]);

/** The bit of a standard method, 0 for any other. */
export function methodBit(at: usize, bytes: u32): u32 {
  if (bytes == 3) {
    const m = <u32>load<u16>(at) | ((<u32>load<u8>(at, 2)) << 16);
    if (m == 0x544547) return GET_BIT;
    if (m == 0x545550) return 8;
    return 0;
  }
  if (bytes == 4) {
    const m = load<u32>(at);
    if (m == 0x44414548) return HEAD_BIT;
    if (m == 0x54534f50) return 4;
    return 0;
  }
  if (bytes == 5) {
    if (load<u32>(at) == 0x43544150 && load<u8>(at, 4) == 0x48) return 32;
    if (load<u32>(at) == 0x43415254 && load<u8>(at, 4) == 0x45) return 128;
    return 0;
  }
  if (bytes == 6) return load<u32>(at) == 0x454c4544 && load<u16>(at, 4) == 0x4554 ? 16 : 0;
  if (bytes == 7) {
    if (load<u32>(at) == 0x4954504f && load<u32>(at, 3) == 0x534e4f49) return 64;
    if (load<u32>(at) == 0x4e4e4f43 && load<u32>(at, 3) == 0x5443454e) return 256;
  }
  return 0;
}

/**
 * Whether a method has a byte that case mapping could change: a lower-case letter, or one beyond ASCII. Methods are case-sensitive (RFC 9110,
 * 9.1) and all upper-case; common backends take `post` for POST all the same, so such a method never means one thing.
 */
export function isFoldable(at: usize, bytes: u32): bool {
  for (let i: u32 = 0; i < bytes; i++) {
    const c = <u32>load<u8>(at + i);
    if (c - 0x61 < 26 || c >= 0x80) return true;
  }
  return false;
}

/** The bits of a list of methods; an empty list takes any; GET includes HEAD (RFC 9110, 9.3.2). */
export function methodBits(list: usize): u32 {
  let n = count(list);
  if (n == 0) return ANY_METHOD;
  let bits: u32 = 0;
  for (let item = first(list); n > 0; n--) {
    const bit = methodBit(text(item), textBytes(item));
    bits |= bit == GET_BIT ? GET_BIT | HEAD_BIT : bit;
    item = next(item);
  }
  return bits;
}

/** Whether a list of methods with these bits takes the method. */
export function takesMethod(bits: u32, list: usize, bit: u32, method: usize, methodBytes: u32): bool {
  if (bits == ANY_METHOD) return true;
  if (bit != 0) return (bits & bit) != 0;
  let item = first(list);
  for (let n = count(list); n > 0; n--) {
    if (textBytes(item) == methodBytes && memory.compare(text(item), method, methodBytes) == 0) return true;
    item = next(item);
  }
  return false;
}

/** Adds a list's methods to those that `out` holds `n` bytes of, HEAD after GET, as far as `max` bytes are enough; the bytes there are then. */
export function writeMethods(list: usize, out: usize, n: u32, max: u32): u32 {
  let item = first(list);
  for (let c = count(list); c > 0; c--) {
    const bytes = textBytes(item);
    if (n + bytes + 8 > max) return n;
    if (n > 0) {
      store<u16>(out + n, 0x202c);
      n += 2;
    }
    memory.copy(out + n, text(item), bytes);
    n += bytes;
    if (methodBit(text(item), bytes) == GET_BIT && !hasText(list, HEAD, 4)) {
      store<u32>(out + n, 0x4548202c);
      store<u16>(out + n, 0x4441, 4);
      n += 6;
    }
    item = next(item);
  }
  return n;
}
