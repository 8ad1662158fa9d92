/** CRC-32 (IEEE 802.3, as zlib computes it), eight bytes a step ("slicing by 8"). */

/** eight tables of 256 words; table k advances a byte over k further zero bytes */
@lazy @inline const TABLES = memory.data(8192, 16);

/** CRC-32 of len bytes at ptr. Continues: crc32(b, bLen, crc32(a, aLen)) is that of a followed by b. */
export function crc32(ptr: usize, len: u32, seed: u32 = 0): u32 {
  if (!load<u32>(TABLES, 4)) buildTables();
  let crc = ~seed;
  const end = ptr + len;
  // The count decides, not an address that could wrap.
  for (let eights = len >> 3; eights; --eights) {
    const low = crc ^ load<u32>(ptr);
    const high = load<u32>(ptr, 4);
    crc =
      entry(7, low & 0xff) ^
      entry(6, (low >> 8) & 0xff) ^
      entry(5, (low >> 16) & 0xff) ^
      entry(4, low >> 24) ^
      entry(3, high & 0xff) ^
      entry(2, (high >> 8) & 0xff) ^
      entry(1, (high >> 16) & 0xff) ^
      entry(0, high >> 24);
    ptr += 8;
  }
  while (ptr != end) {
    crc = (crc >> 8) ^ entry(0, (crc ^ load<u8>(ptr)) & 0xff);
    ++ptr;
  }
  return ~crc;
}

@inline function entry(table: usize, byte: u32): u32 {
  return load<u32>(TABLES + (table << 10) + ((<usize>byte) << 2));
}

function buildTables(): void {
  for (let byte: u32 = 0; byte < 256; ++byte) {
    let crc = byte;
    for (let bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xedb88320 & -(crc & 1));
    store<u32>(TABLES + ((<usize>byte) << 2), crc);
  }
  for (let table: usize = 1; table < 8; ++table) {
    for (let byte: u32 = 0; byte < 256; ++byte) {
      const before = entry(table - 1, byte);
      store<u32>(TABLES + (table << 10) + ((<usize>byte) << 2), (before >> 8) ^ entry(0, before & 0xff));
    }
  }
}
