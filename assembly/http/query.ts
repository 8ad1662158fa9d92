/**
 * Query parameters of a `:path`, split on `&` only. Names and values are read as the URL Standard reads forms: percent-decoded, `+` as a
 * space, a malformed escape as it stands.
 */
import { decodedAt, findByte, findEither, smallLetter } from "../lib/bytes";
import { hasKeyForm } from "./keyScan";

/** no such parameter, or none with a value */
export const QUERY_ABSENT: i32 = -1;
/** several with differing values */
export const QUERY_REPEATED: i32 = -2;
/** the value has more than outMax bytes */
export const QUERY_TOO_LONG: i32 = -3;

/**
 * Writes the decoded value of the parameter `name` to out, which has room for outMax bytes, and gives its length, or one of the
 * constants above. Identical repeats are one; a parameter with an empty value counts as absent.
 */
export function findQuery(path: usize, pathLen: u32, name: usize, nameLen: u32, out: usize, outMax: u32): i32 {
  const end = path + pathLen;
  let found = QUERY_ABSENT;
  for (let p = findByte(path, end, 0x3f) + 1; p < end; ) {
    const pieceEnd = findByte(p, end, 0x26);
    const value = findByte(p, pieceEnd, 0x3d) + 1;
    if (value < pieceEnd && decodesTo(p, value - 1, name, nameLen)) {
      if (found == QUERY_ABSENT) {
        found = decode(value, pieceEnd, out, outMax);
        if (found == QUERY_TOO_LONG) return found;
      } else if (!decodesTo(value, pieceEnd, out, found)) {
        return QUERY_REPEATED;
      }
    }
    p = pieceEnd + 1;
  }
  return found;
}

/**
 * Writes the path without any parameter `name`, with or without a value, and without the `&` or `?` that it would leave behind; all else
 * stays as it is. Gives the bytes written, at most pathLen. `out` may be `path`. `loose`: names in any case, and parameters that `;`
 * separates, count too.
 */
export function removeQuery(
  path: usize,
  pathLen: u32,
  name: usize,
  nameLen: u32,
  out: usize,
  loose: bool = false,
): u32 {
  return removeParameters(path, pathLen, name, nameLen, out, loose);
}

/** The same without any parameter that holds a text in the form of a Tollgate key; parameters end at `&` and at `;`. */
export function removeQueryKeys(path: usize, pathLen: u32, out: usize): u32 {
  return removeParameters(path, pathLen, 0, 0, out, true);
}

/** `name` 0: parameters that hold a key. */
function removeParameters(path: usize, pathLen: u32, name: usize, nameLen: u32, out: usize, loose: bool): u32 {
  const end = path + pathLen;
  const question = findByte(path, end, 0x3f);
  const pathBytes = <u32>(question - path);
  memory.copy(out, path, pathBytes);
  if (question == end) return pathBytes;

  const query = out + pathBytes;
  let target = query;
  let removed = false;
  let keptPair = false;
  let separator: u32 = 0x26;
  let p = question + 1;
  for (;;) {
    const pieceEnd = loose ? findEither(p, end, 0x26, 0x3b) : findByte(p, end, 0x26);
    const following = pieceEnd == end ? 0 : <u32>load<u8>(pieceEnd);
    if (
      name == 0
        ? hasKeyForm(p, <u32>(pieceEnd - p))
        : pieceEnd > p && decodesTo(p, findByte(p, pieceEnd, 0x3d), name, nameLen, loose)
    ) {
      removed = true;
    } else {
      store<u8>(target, target == query ? 0x3f : <u8>separator);
      ++target;
      memory.copy(target, p, pieceEnd - p);
      target += pieceEnd - p;
      if (pieceEnd > p) keptPair = true;
    }
    if (pieceEnd == end) break;
    separator = following;
    p = pieceEnd + 1;
  }
  return removed && !keptPair ? pathBytes : <u32>(target - out);
}

/** Whether what stands between p and end decodes to these bytes; with `anyCase`, to them in any case. */
function decodesTo(p: usize, end: usize, bytes: usize, len: u32, anyCase: bool = false): bool {
  const bytesEnd = bytes + len;
  while (p < end) {
    const next = decodedAt(p, end);
    if (bytes == bytesEnd) return false;
    const c = next & 0xff;
    const wanted = <u32>load<u8>(bytes);
    if (c != wanted && !(anyCase && smallLetter(c) == smallLetter(wanted))) return false;
    p += next >> 8;
    ++bytes;
  }
  return bytes == bytesEnd;
}

function decode(p: usize, end: usize, out: usize, outMax: u32): i32 {
  let written: u32 = 0;
  while (p < end) {
    if (written == outMax) return QUERY_TOO_LONG;
    const next = decodedAt(p, end);
    store<u8>(out + written, <u8>next);
    p += next >> 8;
    ++written;
  }
  return <i32>written;
}
