/**
 * What is safe in a request path. Envoy, this filter and the service behind may each read a path in another way: as it stands,
 * percent-decoded, decoded twice, without `;parameters`, cut at an encoded `?` or `#`, without regard to case. A path that would be another
 * one in such a reading is refused (PATH_INVALID), or marked (PATH_DECODE, PATH_FOLD) so that `matching.ts` matches every reading. Only the
 * part before `?` is judged.
 */
import { findByte, hexValue } from "../lib/bytes";

/** one reader or another would go to another path: refuse the request */
export const PATH_INVALID: u32 = 1;
/** it has an escape or a `;`: match what decodePath makes of it as well */
export const PATH_DECODE: u32 = 2;
/** it has a letter that isn't lower-case, or a byte beyond ASCII: match what foldPath makes of it as well */
export const PATH_FOLD: u32 = 4;

const DOT: u32 = 1;
const SLASH: u32 = 2;
const PERCENT: u32 = 3;
const SEMICOLON: u32 = 4;
const HIGH: u32 = 5;
const QUESTION: u32 = 6;
const UPPER: u32 = 8;

/** class of each byte; 7, which has no name, is never allowed: controls, space, `#`, backslash */
@lazy @inline const CLASS = memory.data<u8>([
  7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 7, 0, 3, 0,
  0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 6, 0, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
  8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
  5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
  5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
  5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
]);

let bytesBeforeQuery: u32 = 0;
let bytesBeforeCut: u32 = 0;

/** Length of the last scanned path without its query. */
@inline export function pathBytes(): u32 {
  return bytesBeforeQuery;
}

/** Judges a `:path` in one pass: PATH_INVALID, or any of PATH_DECODE and PATH_FOLD. Sets pathBytes, whatever the verdict. */
export function scanPath(ptr: usize, len: u32): u32 {
  const end = ptr + len;
  let flags: u32 = 0;
  let p = ptr;
  if (!len || classAt(p) != SLASH) return refuse(ptr, end);
  while (p < end) {
    const kind = classAt(p);
    // A dot matters at the start of a segment only, and that is looked at from the slash before it.
    if (kind <= DOT) {
      ++p;
    } else if (kind == SLASH) {
      ++p;
      if (p < end && classAt(p) - DOT <= SEMICOLON - DOT && isEmptyOrDots(p, end)) return refuse(ptr, end);
    } else if (kind == PERCENT) {
      if (!isSafeEscape(p, end)) return refuse(ptr, end);
      flags |= PATH_DECODE;
      p += 3;
    } else if (kind == UPPER) {
      flags |= PATH_FOLD;
      ++p;
    } else if (kind == SEMICOLON) {
      flags |= PATH_DECODE;
      ++p;
    } else if (kind == HIGH) {
      if (isOverlong(load<u8>(p), decodedAt(p + 1, end))) return refuse(ptr, end);
      flags |= PATH_FOLD;
      ++p;
    } else if (kind == QUESTION) {
      break;
    } else {
      return refuse(ptr, end);
    }
  }
  bytesBeforeQuery = <u32>(p - ptr);
  return flags;
}

/**
 * Writes the path (without query) percent-decoded and with the `;parameters` of every segment dropped, where `%3b` counts as `;`.
 * Returns the bytes written, never more than pathLen. `out` may be `ptr`. A malformed escape is copied as it stands. Sets cutBytes.
 */
export function decodePath(ptr: usize, pathLen: u32, out: usize): u32 {
  const end = ptr + pathLen;
  const start = out;
  let cut: usize = 0;
  let inParameters = false;
  while (ptr < end) {
    let c = <u32>load<u8>(ptr);
    let size: usize = 1;
    if (c == 0x2f) {
      inParameters = false;
    } else if (c == 0x25) {
      const escape = decodedAt(ptr, end);
      if (escape) {
        c = escape & 0xff;
        size = 3;
      }
    }
    if (c == 0x3b) inParameters = true;
    else if ((c == 0x3f || c == 0x23) && cut == 0) cut = out;
    if (!inParameters) store<u8>(out++, <u8>c);
    ptr += size;
  }
  bytesBeforeCut = <u32>((cut == 0 ? out : cut) - start);
  return <u32>(out - start);
}

/** Length of the last decoded path before the first `?` or `#` that was encoded in it: a backend that decodes first ends the path there. */
@inline export function cutBytes(): u32 {
  return bytesBeforeCut;
}

/**
 * Writes the path in lower case, where every character of which some Unicode case mapping makes ASCII letters counts as these (U+212A is `k`,
 * U+017F is `s`, the dotless and the dotted I are `i`, ligatures are their letters): a case-insensitive backend may take it for them. Returns
 * the bytes written, never more than pathLen. `out` may be `ptr`.
 */
export function foldPath(ptr: usize, pathLen: u32, out: usize): u32 {
  const end = ptr + pathLen;
  const start = out;
  while (ptr < end) {
    const c = <u32>load<u8>(ptr);
    if (c < 0x80) {
      store<u8>(out++, <u8>(c - 0x41 < 26 ? c | 0x20 : c));
      ++ptr;
      continue;
    }
    const letters = ptr + 1 < end ? lettersOf(c, load<u8>(ptr + 1), ptr + 2 < end ? load<u8>(ptr + 2) : 0) : 0;
    if (letters == 0) {
      store<u8>(out++, <u8>c);
      ++ptr;
      continue;
    }
    // read before written: `out` may be `ptr`
    ptr += c < 0xe0 ? 2 : 3;
    for (let rest = letters; rest != 0; rest >>= 8) store<u8>(out++, <u8>rest);
  }
  return <u32>(out - start);
}

/** The ASCII letters, lowest byte first, that case mappings make of the character of these UTF-8 bytes (`c` is 0 at the end); 0: none. */
function lettersOf(a: u32, b: u32, c: u32): u32 {
  if (a == 0xc3) return b == 0x9f ? 0x7373 : 0; // U+00DF: ss
  if (a == 0xc4) return b == 0xb0 || b == 0xb1 ? 0x69 : 0; // U+0130, U+0131: i
  if (a == 0xc5) return b == 0xbf ? 0x73 : 0; // U+017F: s
  if (a == 0xe1) return b == 0xba && c == 0x9e ? 0x7373 : 0; // U+1E9E: ss
  if (a == 0xe2) return b == 0x84 && c == 0xaa ? 0x6b : 0; // U+212A: k
  if (a != 0xef || b != 0xac) return 0;
  // U+FB00 to U+FB06
  if (c == 0x80) return 0x6666;
  if (c == 0x81) return 0x6966;
  if (c == 0x82) return 0x6c66;
  if (c == 0x83) return 0x696666;
  if (c == 0x84) return 0x6c6666;
  return c == 0x85 || c == 0x86 ? 0x7473 : 0;
}

@inline function classAt(p: usize): u32 {
  return load<u8>(CLASS + load<u8>(p));
}

function refuse(ptr: usize, end: usize): u32 {
  bytesBeforeQuery = <u32>(findByte(ptr, end, 0x3f) - ptr);
  return PATH_INVALID;
}

/**
 * The byte that stands at p, an escape decoded: its size (1 or 3) << 8 | the byte; 0 at the end of the path and at a malformed escape.
 */
function decodedAt(p: usize, end: usize): u32 {
  if (p >= end) return 0;
  const c = <u32>load<u8>(p);
  if (c == 0x3f) return 0;
  if (c != 0x25) return 0x100 | c;
  if (end - p < 3) return 0;
  const high = hexValue(load<u8>(p, 1));
  const low = hexValue(load<u8>(p, 2));
  return (high | low) > 15 ? 0 : 0x300 | (high << 4) | low;
}

/**
 * Whether the segment at p, decoded and without parameters, is `.`, `..` or empty. An empty last segment is a trailing slash and
 * fine, also as `/;x`.
 */
function isEmptyOrDots(p: usize, end: usize): bool {
  let dots = 0;
  let next = decodedAt(p, end);
  while ((next & 0xff) == 0x2e) {
    if (++dots == 3) return false;
    p += next >> 8;
    next = decodedAt(p, end);
  }
  const c = next & 0xff;
  if (!next) return dots > 0;
  if (c == 0x3b) return dots > 0 || hasNextSegment(p, end);
  // Encoded: for a backend that decodes before it splits, the segment ends here.
  if (c == 0x3f || c == 0x23) return dots > 0;
  return c == 0x2f;
}

function hasNextSegment(p: usize, end: usize): bool {
  const pathEnd = findByte(p, end, 0x3f);
  return findByte(p, pathEnd, 0x2f) < pathEnd;
}

/** Whether the `%` at p begins a well-formed escape of a byte that no reader takes for structure, decoding once or twice. */
function isSafeEscape(p: usize, end: usize): bool {
  const escape = decodedAt(p, end);
  if (!escape) return false;
  const c = escape & 0xff;
  if (c < 0x20 || c == 0x7f || c == 0x2f || c == 0x5c) return false;
  if (c >= 0x80) return !isOverlong(c, decodedAt(p + 3, end));
  return c != 0x25 || !isHarmfulEscape(p + 3, end);
}

/**
 * Whether the two characters at p, decoded, make an escape with the `%` before them that a second decoding would turn into structure:
 * of a separator, a dot, a control, another `%`, or an unreserved character, which nobody has a reason to encode even once.
 */
function isHarmfulEscape(p: usize, end: usize): bool {
  const first = decodedAt(p, end);
  const second = decodedAt(p + (first >> 8), end);
  if (!first || !second) return false;
  const high = hexValue(first & 0xff);
  const low = hexValue(second & 0xff);
  if ((high | low) > 15) return false;
  const c = (high << 4) | low;
  if (c < 0x20 || c == 0x7f || c == 0x23 || c == 0x25 || c == 0x2f || c == 0x3b || c == 0x3f || c == 0x5c) return true;
  return (c | 0x20) - 0x61 < 26 || c - 0x30 < 10 || c == 0x2d || c == 0x2e || c == 0x5f || c == 0x7e;
}

/** Whether a byte and the next (as decodedAt gives it) begin an overlong UTF-8 form, by which `.` and `/` have been smuggled. */
function isOverlong(lead: u32, next: u32): bool {
  const c = next & 0xff;
  if (c - 0x80 >= 0x40) return false;
  if (lead == 0xc0 || lead == 0xc1) return true;
  if (lead == 0xe0) return c < 0xa0;
  if (lead == 0xf0) return c < 0x90;
  if (lead == 0xf8) return c < 0x88;
  return lead == 0xfc && c < 0x84;
}
