/** Room for what the tested functions write. */
export const OUT = memory.data(1 << 17, 16);

/** A text's UTF-8 bytes; `\x80`-like bytes that aren't UTF-8 come from rawBytes. */
export function utf8(text: string): StaticArray<u8> {
  const bytes = new StaticArray<u8>(String.UTF8.byteLength(text));
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, changetype<usize>(bytes));
  return bytes;
}

/** One byte for each character, whose code is at most 255. */
export function rawBytes(text: string): StaticArray<u8> {
  const bytes = new StaticArray<u8>(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = <u8>text.charCodeAt(i);
  return bytes;
}

export function at(bytes: StaticArray<u8>): usize {
  return changetype<usize>(bytes);
}

/** What a function wrote to OUT. */
export function written(bytes: i32): string {
  return String.UTF8.decodeUnsafe(OUT, bytes);
}

export function hex(ptr: usize, bytes: i32): string {
  let text = "";
  for (let i = 0; i < bytes; i++) {
    const byte = load<u8>(ptr + i);
    text += "0123456789abcdef".charAt(byte >> 4) + "0123456789abcdef".charAt(byte & 15);
  }
  return text;
}
