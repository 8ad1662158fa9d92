/** Base64 (RFC 4648), the standard and the URL alphabet alike. */

/**
 * Decodes len bytes at ptr to out, which has room for len / 4 * 3 + 2 bytes and may be ptr. Padding is optional, but right where there is
 * any; blanks, line breaks and stray bits in the last digit are refused. Gives the bytes written, or -1 - (offset of the first bad byte),
 * where the offset is len when the text is cut off.
 */
export function base64Decode(ptr: usize, len: u32, out: usize): i32 {
  const start = out;
  let digits = len;
  if (len && !(len & 3) && load<u8>(ptr + len - 1) == 0x3d) digits -= load<u8>(ptr + len - 2) == 0x3d ? 2 : 1;
  let bits: u32 = 0;
  for (let i: u32 = 0; i < digits; ++i) {
    const value = digitValue(load<u8>(ptr + i));
    if (value > 63) return -1 - <i32>i;
    bits = (bits << 6) | value;
    if ((i & 3) == 3) {
      store<u8>(out, <u8>(bits >> 16), 0);
      store<u8>(out, <u8>(bits >> 8), 1);
      store<u8>(out, <u8>bits, 2);
      out += 3;
    }
  }
  switch (digits & 3) {
    case 1:
      return -1 - <i32>len;
    case 2:
      if (bits & 0xf) return -(<i32>digits);
      store<u8>(out++, <u8>(bits >> 4));
      break;
    case 3:
      if (bits & 0x3) return -(<i32>digits);
      store<u8>(out, <u8>(bits >> 10), 0);
      store<u8>(out, <u8>(bits >> 2), 1);
      out += 2;
      break;
  }
  return <i32>(out - start);
}

/** Value of a digit of either alphabet, 255 for any other byte. */
@inline function digitValue(c: u32): u32 {
  if (c - 0x41 < 26) return c - 0x41;
  if (c - 0x61 < 26) return c - 0x61 + 26;
  if (c - 0x30 < 10) return c - 0x30 + 52;
  if (c == 0x2b || c == 0x2d) return 62;
  if (c == 0x2f || c == 0x5f) return 63;
  return 255;
}
