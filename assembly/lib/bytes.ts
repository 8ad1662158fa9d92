/** Small readers of single bytes that several parsers share. */

/** Value of a hexadecimal digit in either case, 255 for any other byte. */
@inline export function hexValue(c: u32): u32 {
  if (c - 0x30 < 10) return c - 0x30;
  const letter = (c | 0x20) - 0x61;
  return letter < 6 ? letter + 10 : 255;
}

/** Space or tab. */
@inline export function isBlank(c: u32): bool {
  return c == 0x20 || c == 0x09;
}

/** Address of the first such byte between p and end, or end. */
@inline export function findByte(p: usize, end: usize, byte: u32): usize {
  while (p < end && <u32>load<u8>(p) != byte) ++p;
  return p;
}

/** Address of the first of two bytes between p and end, or end. */
@inline export function findEither(p: usize, end: usize, one: u32, other: u32): usize {
  while (p < end && <u32>load<u8>(p) != one && <u32>load<u8>(p) != other) ++p;
  return p;
}

/** A letter A to Z as the small one, any other byte as it is. */
@inline export function smallLetter(c: u32): u32 {
  return c - 0x41 < 26 ? c | 0x20 : c;
}

/** The byte that stands at p, decoded as in a query (`+` is a space, a malformed escape stands for itself): its size (1 or 3) << 8 | the byte. */
@inline export function decodedAt(p: usize, end: usize): u32 {
  const c = <u32>load<u8>(p);
  if (c == 0x2b) return 0x120;
  if (c == 0x25 && end - p >= 3) {
    const high = hexValue(load<u8>(p, 1));
    const low = hexValue(load<u8>(p, 2));
    if ((high | low) < 16) return 0x300 | (high << 4) | low;
  }
  return 0x100 | c;
}
