import { beginCallback } from "../../../assembly/abi/memory";
import { beginPairs, endPairs, pair, pairOf, pairsAt, pairsBytes } from "../../../assembly/lib/pairs";
import { ascii } from "../../../assembly/lib/text";
import { pairsOf } from "./host";

function same(expected: string[]): bool {
  const bytes = pairsOf(expected);
  return pairsBytes == <u32>bytes.length && memory.compare(pairsAt, changetype<usize>(bytes), pairsBytes) == 0;
}

describe("header pairs", () => {
  beforeEach(() => {
    beginCallback();
    beginPairs();
  });

  it("are none to begin with", () => {
    expect(endPairs()).toBeTruthy();
    expect(same([])).toBeTruthy();
    expect(pairsBytes).toBe(4);
  });

  it("are laid out as the ABI has them, in order, repeated names and empty values too", () => {
    pairOf(ascii("a"), ascii("first"));
    pairOf(ascii("www-authenticate"), ascii("x"));
    pairOf(ascii("a"), ascii(""));
    expect(endPairs()).toBeTruthy();
    expect(same(["a", "first", "www-authenticate", "x", "a", ""])).toBeTruthy();
  });

  it("are read when they end, not when they are added", () => {
    const value = ascii("old");
    pair(changetype<usize>(ascii("n")), 1, changetype<usize>(value), 3);
    value[0] = 0x6e;
    expect(endPairs()).toBeTruthy();
    expect(same(["n", "nld"])).toBeTruthy();
  });

  it("beyond the sixteenth are left out", () => {
    const expected: string[] = [];
    for (let i = 0; i < 20; i++) {
      pairOf(ascii("n" + i.toString()), ascii("v"));
      if (i >= 16) continue;
      expected.push("n" + i.toString());
      expected.push("v");
    }
    expect(endPairs()).toBeTruthy();
    expect(same(expected)).toBeTruthy();
  });

  it("that don't fit are refused", () => {
    const large = memory.data(1 << 20);
    pair(large, 1 << 20, large, 1 << 20);
    pair(large, 1 << 20, large, 1 << 20);
    expect(endPairs()).toBeFalsy();
    beginPairs();
    pairOf(ascii("a"), ascii("b"));
    expect(endPairs()).toBeTruthy();
    expect(same(["a", "b"])).toBeTruthy();
  });
});
