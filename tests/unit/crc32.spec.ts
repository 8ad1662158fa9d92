import { crc32 } from "../../assembly/lib/crc32";
import { at, utf8 } from "./helpers";

function checksum(text: string): u32 {
  const bytes = utf8(text);
  return crc32(at(bytes), bytes.length);
}

describe("crc32", () => {
  it("gives the known checksums", () => {
    expect(checksum("")).toBe(0);
    expect(checksum("a")).toBe(0xe8b7be43);
    expect(checksum("123456789")).toBe(0xcbf43926);
    expect(checksum("The quick brown fox jumps over the lazy dog")).toBe(0x414fa339);
  });

  it("continues from any place", () => {
    const bytes = utf8("The quick brown fox jumps over the lazy dog");
    for (let cut = 0; cut <= bytes.length; cut++) {
      const first = crc32(at(bytes), cut);
      expect(crc32(at(bytes) + cut, bytes.length - cut, first)).toBe(0x414fa339, `cut at ${cut}`);
    }
  });
});
