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
