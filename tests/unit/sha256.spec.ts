import { sha256 } from "../../assembly/lib/sha256";
import { DIGESTS } from "./fixtures/sha256Lengths";
import { at, hex, OUT, utf8 } from "./helpers";

function digestOf(text: string): string {
  const bytes = utf8(text);
  sha256(at(bytes), bytes.length, OUT);
  return hex(OUT, 32);
}

describe("sha256", () => {
  it("gives the digests of FIPS 180-4's examples", () => {
    expect(digestOf("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(digestOf("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(digestOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).toBe(
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    );
    expect(
      digestOf(
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
      ),
    ).toBe("cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    expect(digestOf("a".repeat(1000000))).toBe("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  });

  it("agrees with node:crypto at every length around the blocks' borders", () => {
    const message = new StaticArray<u8>(130);
    for (let i = 0; i < message.length; i++) message[i] = <u8>(7 * i + 3);
    for (let length = 0; length <= 130; length++) {
      sha256(at(message), length, OUT);
      expect(hex(OUT, 32)).toBe(DIGESTS[length], `${length} bytes`);
    }
  });

  it("takes a message at any address, also where the digest goes", () => {
    const message = new StaticArray<u8>(130);
    for (let i = 0; i < message.length; i++) message[i] = <u8>(7 * i + 3);
    memory.copy(OUT + 1, at(message), 40);
    sha256(OUT + 1, 40, OUT);
    expect(hex(OUT, 32)).toBe(DIGESTS[40]);
  });
});
