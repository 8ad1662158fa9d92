import { Text, ascii } from "../../../assembly/lib/text";
import { rawBytes } from "../helpers";
import { textAt } from "./wire";

const text = new Text(64);

function read(): string {
  return textAt(text.start, text.bytes);
}

describe("a text", () => {
  beforeEach(() => {
    text.clear();
  });

  it("is put together in order", () => {
    text
      .add("a=")
      .byte(0x31)
      .array(ascii("&b="))
      .copy(changetype<usize>(ascii("xyz")), 2);
    expect(read()).toBe("a=1&b=xy");
  });

  it("writes whole numbers", () => {
    const numbers: StaticArray<u64> = [
      0,
      1,
      9,
      10,
      99,
      100,
      4294967295,
      4294967296,
      9007199254740991,
      9999999999999999999,
      10000000000000000000,
      u64.MAX_VALUE,
    ];
    for (let i = 0; i < numbers.length; i++) {
      text.clear().num(numbers[i]);
      expect(read()).toBe(numbers[i].toString());
    }
  });

  it("writes 16 hex digits", () => {
    text.hex(0).byte(0x20).hex(0x0123456789abcdef).byte(0x20).hex(u64.MAX_VALUE);
    expect(read()).toBe("0000000000000000 0123456789abcdef ffffffffffffffff");
  });

  it("percent-encodes all but what RFC 3986 calls unreserved", () => {
    const name = rawBytes("router~10.0.0.1~gw_a-B.ns~cluster local/?&=+%#\x00\x7f\x80\xff");
    text.add("").encoded(changetype<usize>(name), 23);
    expect(read()).toBe("router~10.0.0.1~gw_a-B.");
    const one = new StaticArray<u8>(1);
    for (let c: u32 = 0; c < 256; c++) {
      one[0] = <u8>c;
      text.clear().encoded(changetype<usize>(one), 1);
      const plain =
        (c >= 48 && c <= 57) ||
        (c >= 65 && c <= 90) ||
        (c >= 97 && c <= 122) ||
        c == 45 ||
        c == 46 ||
        c == 95 ||
        c == 126;
      const digits = "0123456789ABCDEF";
      expect(read()).toBe(plain ? String.fromCharCode(c) : "%" + digits.charAt(c >> 4) + digits.charAt(c & 15));
    }
  });

  it("is cut off where its room ends", () => {
    const short = new Text(8);
    short.add("0123456789");
    expect(textAt(short.start, short.bytes)).toBe("01234567");
    short
      .clear()
      .add("abcdef")
      .copy(changetype<usize>(ascii("ghijkl")), 6);
    expect(textAt(short.start, short.bytes)).toBe("abcdefgh");
    short
      .copy(changetype<usize>(ascii("more")), 4)
      .byte(0x78)
      .num(7)
      .hex(1);
    expect(textAt(short.start, short.bytes)).toBe("abcdefgh");
    short.clear().hex(0x0123456789abcdef);
    expect(textAt(short.start, short.bytes)).toBe("01234567");
  });

  it("begins anew when cleared", () => {
    text.add("something long").clear().add("x");
    expect(read()).toBe("x");
  });
});

describe("ascii", () => {
  it("gives a byte for each character", () => {
    const bytes = ascii("a-Z\0~");
    expect(bytes.length).toBe(5);
    expect(bytes[0]).toBe(97);
    expect(bytes[3]).toBe(0);
    expect(ascii("").length).toBe(0);
  });
});
