import { matchList, matchPrefix, parseAddress } from "../../assembly/lib/cidr";
import { at, hex, OUT, rawBytes, utf8 } from "./helpers";

/** `4 0a000001`, `6 …` or `0`. */
function parsed(text: string): string {
  const bytes = utf8(text);
  const family = parseAddress(at(bytes), bytes.length, OUT);
  return family ? `${family} ${hex(OUT, family == 4 ? 4 : 16)}` : "0";
}

function listed(list: string, family: i32, address: string): bool {
  const bytes = rawBytes(list);
  const addressBytes = rawBytes(address);
  return matchList(at(bytes), at(bytes) + bytes.length, family, at(addressBytes));
}

const LOOPBACK_6 = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01";

describe("an address", () => {
  it("is IPv4 with and without a port", () => {
    expect(parsed("10.0.0.1:1234")).toBe("4 0a000001");
    expect(parsed("10.0.0.1")).toBe("4 0a000001");
    expect(parsed("255.255.255.255:0")).toBe("4 ffffffff");
    expect(parsed("0.0.0.0")).toBe("4 00000000");
  });

  it("is IPv6 with and without a port or a zone", () => {
    expect(parsed("[::1]:80")).toBe("6 00000000000000000000000000000001");
    expect(parsed("::1")).toBe("6 00000000000000000000000000000001");
    expect(parsed("[::]")).toBe("6 00000000000000000000000000000000");
    expect(parsed("2001:DB8::a:0:0:1")).toBe("6 20010db800000000000a000000000001");
    expect(parsed("1:2:3:4:5:6:7:8")).toBe("6 00010002000300040005000600070008");
    expect(parsed("1:2:3:4:5:6:7::")).toBe("6 00010002000300040005000600070000");
    expect(parsed("::2:3:4:5:6:7:8")).toBe("6 00000002000300040005000600070008");
    expect(parsed("[fe80::1%eth0]:443")).toBe("6 fe800000000000000000000000000001");
    expect(parsed("64:ff9b::192.0.2.33")).toBe("6 0064ff9b0000000000000000c0000221");
  });

  it("is IPv4 when it's mapped into IPv6", () => {
    expect(parsed("[::ffff:10.0.0.1]:1234")).toBe("4 0a000001");
    expect(parsed("::ffff:a00:1")).toBe("4 0a000001");
    expect(parsed("0:0:0:0:0:FFFF:10.0.0.1")).toBe("4 0a000001");
    expect(parsed("::10.0.0.1")).toBe("6 0000000000000000000000000a000001", "compatible isn't mapped");
  });

  it("is none", () => {
    const none: StaticArray<string> = [
      "",
      "1",
      ":",
      "[",
      "[]",
      "[]:1",
      "/run/envoy.sock",
      "envoy_internal_address",
      "1.2.3",
      "1.2.3.4.5",
      "256.1.1.1",
      "01.2.3.4",
      "1.2.3.4:",
      "1.2.3.4:x",
      "1.2.3.4:123456",
      "1..2.3",
      "1.2.3.",
      ".1.2.3",
      "1.2.3.4 ",
      " 1.2.3.4",
      "1.2.3.4/8",
      "[1.2.3.4]:1",
      "[::1",
      "[::1]x",
      "[::1]:",
      ":::",
      "1::2::3",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7:8::",
      "12345::",
      "g::",
      "1:2:3:4:5:6:7:1.2.3.4",
      "::1.2.3",
      "::1.2.3.4:5",
      ":1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:",
      "fe80::1%",
      "1:2:3:4:5:6:7:8:%x",
      "::%",
    ];
    for (let i = 0; i < none.length; i++) expect(parsed(none[i])).toBe("0", none[i]);
    expect(parsed("1".repeat(200))).toBe("0", "long");
  });
});

describe("a prefix", () => {
  it("matches bit by bit", () => {
    const address = rawBytes("\x0a\xff\x80\x01");
    for (let bits: u32 = 0; bits <= 32; bits++) {
      expect(matchPrefix(at(address), at(address), bits)).toBeTruthy(`/${bits}`);
      const flipped = new StaticArray<u8>(4);
      for (let i = 0; i < 4; i++) flipped[i] = address[i];
      if (bits) {
        flipped[(bits - 1) >> 3] ^= <u8>(<u32>0x80 >> ((bits - 1) & 7));
        expect(matchPrefix(at(flipped), at(address), bits)).toBeFalsy(`/${bits}, its last bit flipped`);
        expect(matchPrefix(at(flipped), at(address), bits - 1)).toBeTruthy(`/${bits}, the bit after it flipped`);
      }
    }
  });
});

describe("an address list", () => {
  it("finds the family's own networks", () => {
    const list = "\x03\x04\x08\x0a\0\0\0\x06\x80" + LOOPBACK_6 + "\x04\x20\xc0\0\x02\x01";
    expect(listed(list, 4, "\x0a\x01\x02\x03")).toBeTruthy();
    expect(listed(list, 4, "\xc0\0\x02\x01")).toBeTruthy();
    expect(listed(list, 4, "\xc0\0\x02\x02")).toBeFalsy();
    expect(listed(list, 6, LOOPBACK_6)).toBeTruthy();
    expect(listed(list, 6, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02")).toBeFalsy();
    expect(listed("\x01\x04\0\0\0\0\0", 4, "\x01\x02\x03\x04")).toBeTruthy("/0");
    expect(listed("\x01\x06\0" + LOOPBACK_6, 4, "\x01\x02\x03\x04")).toBeFalsy("the other family's /0");
  });

  it("matches nothing when it's empty, cut off or malformed", () => {
    expect(listed("", 4, "\x0a\0\0\x01")).toBeFalsy("no count");
    expect(listed("\0", 4, "\x0a\0\0\x01")).toBeFalsy("count 0");
    expect(listed("\x02\x04\x08\x0a\0\0", 4, "\x0a\0\0\x01")).toBeFalsy("cut off in the address");
    expect(listed("\x01\x04", 4, "\x0a\0\0\x01")).toBeFalsy("cut off in the head");
    expect(listed("\x01\x04\x21\x0a\0\0\x01", 4, "\x0a\0\0\x01")).toBeFalsy("/33");
    expect(listed("\x01\x05\0\x0a\0\0\x01", 4, "\x0a\0\0\x01")).toBeFalsy("family 5");
    expect(listed("\x01\x04\0\x0a\0\0\x01", 0, "\x0a\0\0\x01")).toBeFalsy("no address");
  });
});
