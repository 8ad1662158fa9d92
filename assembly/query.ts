/**
 * Query parameters of a `:path`, split on `&` only. Names and values are read as the URL Standard reads forms: percent-decoded, `+` as a
 * space, a malformed escape as it stands.
 */
import { findByte, hexValue } from "./bytes";

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
 * stays as it is. Gives the bytes written, at most pathLen. `out` may be `path`.
 */
export function removeQuery(path: usize, pathLen: u32, name: usize, nameLen: u32, out: usize): u32 {
  const end = path + pathLen;
  const question = findByte(path, end, 0x3f);
  const pathBytes = <u32>(question - path);
  memory.copy(out, path, pathBytes);
  if (question == end) return pathBytes;

  const query = out + pathBytes;
  let target = query;
  let removed = false;
  let keptPair = false;
  let p = question + 1;
  for (;;) {
    const pieceEnd = findByte(p, end, 0x26);
    if (pieceEnd > p && decodesTo(p, findByte(p, pieceEnd, 0x3d), name, nameLen)) {
      removed = true;
    } else {
      store<u8>(target, target == query ? 0x3f : 0x26);
      ++target;
      memory.copy(target, p, pieceEnd - p);
      target += pieceEnd - p;
      if (pieceEnd > p) keptPair = true;
    }
    if (pieceEnd == end) break;
    p = pieceEnd + 1;
  }
  return removed && !keptPair ? pathBytes : <u32>(target - out);
}

/** The byte that stands at p, decoded: its size (1 or 3) << 8 | the byte. */
@inline function decodedAt(p: usize, end: usize): u32 {
  const c = <u32>load<u8>(p);
  if (c == 0x2b) return 0x120;
  if (c == 0x25 && end - p >= 3) {
    const high = hexValue(load<u8>(p, 1));
    const low = hexValue(load<u8>(p, 2));
    if ((high | low) < 16) return 0x300 | (high << 4) | low;
  }
  return 0x100 | c;
}

/** Whether what stands between p and end decodes to these bytes. */
function decodesTo(p: usize, end: usize, bytes: usize, len: u32): bool {
  const bytesEnd = bytes + len;
  while (p < end) {
    const next = decodedAt(p, end);
    if (bytes == bytesEnd || (next & 0xff) != <u32>load<u8>(bytes)) return false;
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
