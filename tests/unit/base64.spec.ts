import { base64Decode } from "../../assembly/lib/base64";
import { at, OUT, utf8, written } from "./helpers";

function decode(text: string): i32 {
  const bytes = utf8(text);
  return base64Decode(at(bytes), bytes.length, OUT);
}

function decoded(text: string): string {
  return written(decode(text));
}

describe("base64", () => {
  it("decodes RFC 4648's vectors with and without padding", () => {
    expect(decoded("")).toBe("");
    expect(decoded("Zg==")).toBe("f");
    expect(decoded("Zg")).toBe("f");
    expect(decoded("Zm8=")).toBe("fo");
    expect(decoded("Zm8")).toBe("fo");
    expect(decoded("Zm9v")).toBe("foo");
    expect(decoded("Zm9vYmFy")).toBe("foobar");
  });

  it("takes both alphabets", () => {
    expect(decode("+/-_")).toBe(3);
    expect(load<u8>(OUT, 0)).toBe(0xfb);
    expect(load<u8>(OUT, 1)).toBe(0xff);
    expect(load<u8>(OUT, 2)).toBe(0xbf);
  });

  it("decodes in place", () => {
    const bytes = utf8("Zm9vYmFy");
    expect(base64Decode(at(bytes), bytes.length, at(bytes))).toBe(6);
    expect(String.UTF8.decodeUnsafe(at(bytes), 6)).toBe("foobar");
  });

  it("names the first bad byte", () => {
    expect(decode("*m9v")).toBe(-1, "first");
    expect(decode("Zm9v\nYmFy")).toBe(-5, "a line break");
    expect(decode("Zm9vYm y")).toBe(-7, "a blank");
    expect(decode("Zg=")).toBe(-3, "half of the padding");
    expect(decode("Zg==Zg==")).toBe(-3, "padding in the middle");
    expect(decode("Zm9v=")).toBe(-5, "padding where none belongs");
    expect(decode("====")).toBe(-1, "only padding");
    expect(decode("Zm9vY")).toBe(-6, "cut off");
    expect(decode("Zh==")).toBe(-2, "stray bits");
    expect(decode("Zm9=")).toBe(-3, "stray bits");
  });
});
