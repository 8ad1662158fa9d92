/** Pairs of a Cookie header's value (RFC 6265 section 4.2.1), read as servers read them: split on `;`, blanks around names and values. */
import { findByte, isBlank, smallLetter } from "../lib/bytes";
import { hasKeyForm } from "./keyScan";

/** no such cookie, or none with a value */
export const COOKIE_ABSENT: i32 = -1;
/** several with differing values */
export const COOKIE_REPEATED: i32 = -2;
/** the value has more than outMax bytes */
export const COOKIE_TOO_LONG: i32 = -3;

/**
 * Writes the value of the cookie `name`, without the double quotes that may be around it, to out, which has room for outMax bytes, and
 * gives its length, or one of the constants above. Identical repeats are one; an empty value counts as absent.
 */
export function findCookie(header: usize, len: u32, name: usize, nameLen: u32, out: usize, outMax: u32): i32 {
  const end = header + len;
  let found = COOKIE_ABSENT;
  for (let p = header; p < end; ) {
    const pairEnd = findByte(p, end, 0x3b);
    const equals = findByte(p, pairEnd, 0x3d);
    if (equals < pairEnd && isNamed(p, equals, name, nameLen)) {
      let value = skipBlanks(equals + 1, pairEnd);
      let valueEnd = trimBlanks(value, pairEnd);
      if (valueEnd - value >= 2 && load<u8>(value) == 0x22 && load<u8>(valueEnd - 1) == 0x22) {
        ++value;
        --valueEnd;
      }
      const valueLen = <u32>(valueEnd - value);
      if (valueLen) {
        if (found == COOKIE_ABSENT) {
          if (valueLen > outMax) return COOKIE_TOO_LONG;
          memory.copy(out, value, valueLen);
          found = valueLen;
        } else if (valueLen != <u32>found || memory.compare(value, out, valueLen)) {
          return COOKIE_REPEATED;
        }
      }
    }
    p = pairEnd + 1;
  }
  return found;
}

/**
 * Writes the header's value without any cookie `name`; the other pairs and what stands between them stay as they are. Gives the bytes
 * written, at most len, or 0 when no pair is left. `out` may be `header`. `anyCase`: names in any case count too.
 */
export function removeCookie(
  header: usize,
  len: u32,
  name: usize,
  nameLen: u32,
  out: usize,
  anyCase: bool = false,
): u32 {
  return removePairs(header, len, name, nameLen, out, anyCase);
}

/** The same without any pair that holds a text in the form of a Tollgate key. */
export function removeCookieKeys(header: usize, len: u32, out: usize): u32 {
  return removePairs(header, len, 0, 0, out, false);
}

/** `name` 0: pairs that hold a key. */
function removePairs(header: usize, len: u32, name: usize, nameLen: u32, out: usize, anyCase: bool): u32 {
  const end = header + len;
  let target = out;
  let keptPieces = 0;
  let keptPair = false;
  for (let p = header; ; ) {
    const pairEnd = findByte(p, end, 0x3b);
    const equals = findByte(p, pairEnd, 0x3d);
    if (
      name == 0 ? !hasKeyForm(p, <u32>(pairEnd - p)) : equals == pairEnd || !isNamed(p, equals, name, nameLen, anyCase)
    ) {
      // The first pair that is left must not begin with the blank that stood between it and a removed one.
      if (keptPieces) store<u8>(target++, 0x3b);
      else if (p != header) p = skipBlanks(p, pairEnd);
      if (skipBlanks(p, pairEnd) < pairEnd) keptPair = true;
      memory.copy(target, p, pairEnd - p);
      target += pairEnd - p;
      ++keptPieces;
    }
    if (pairEnd == end) break;
    p = pairEnd + 1;
  }
  return keptPair ? <u32>(target - out) : 0;
}

function isNamed(p: usize, equals: usize, name: usize, nameLen: u32, anyCase: bool = false): bool {
  const start = skipBlanks(p, equals);
  if (trimBlanks(start, equals) - start != <usize>nameLen) return false;
  if (!anyCase) return !memory.compare(start, name, nameLen);
  for (let i: u32 = 0; i < nameLen; i++)
    if (smallLetter(load<u8>(start + i)) != smallLetter(load<u8>(name + i))) return false;
  return true;
}

@inline function skipBlanks(p: usize, end: usize): usize {
  while (p < end && isBlank(load<u8>(p))) ++p;
  return p;
}

@inline function trimBlanks(start: usize, end: usize): usize {
  while (end > start && isBlank(load<u8>(end - 1))) --end;
  return end;
}
