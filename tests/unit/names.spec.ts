import { foldEquals, foldStartsWith } from "../../assembly/http/headerNames";
import { at, rawBytes } from "./helpers";

function same(name: string, canon: string): bool {
  const a = rawBytes(name);
  const b = rawBytes(canon);
  return foldEquals(at(a), a.length, at(b), b.length);
}

function begins(name: string, prefix: string): bool {
  const a = rawBytes(name);
  const b = rawBytes(prefix);
  return foldStartsWith(at(a), a.length, at(b), b.length);
}

describe("header names", () => {
  it("are the same in every spelling that a backend confuses", () => {
    const spellings: StaticArray<string> = [
      "x-tollgate-tier",
      "X-Tollgate-Tier",
      "x_tollgate_tier",
      "x.tollgate.tier",
      "X-TOLLGATE_TIER",
      "x!tollgate~tier",
      "x\x80tollgate\xfftier",
    ];
    for (let i = 0; i < spellings.length; i++) expect(same(spellings[i], "x-tollgate-tier")).toBeTruthy(spellings[i]);
  });

  it("are others when a letter, a digit or the length differs", () => {
    const others: StaticArray<string> = [
      "",
      "x-tollgate-tie",
      "x-tollgate-tiers",
      "x-tollgate--tier",
      "y-tollgate-tier",
      "x0tollgate-tier",
      "xtollgate-tier",
    ];
    for (let i = 0; i < others.length; i++) expect(same(others[i], "x-tollgate-tier")).toBeFalsy(others[i]);
  });

  it("fold no other bytes into letters", () => {
    for (let c = 0; c < 256; c++) {
      const expected = c == 0x61 || c == 0x41;
      expect(same(String.fromCharCode(c), "a")).toBe(expected, `byte ${c}`);
    }
  });

  it("begin with a prefix in every spelling", () => {
    expect(begins("X_Tollgate.Anything", "x-tollgate-")).toBeTruthy();
    expect(begins("x-tollgate-", "x-tollgate-")).toBeTruthy();
    expect(begins("x-tollgate", "x-tollgate-")).toBeFalsy();
    expect(begins("x-tollgates-a", "x-tollgate-")).toBeFalsy();
    expect(begins("", "x-")).toBeFalsy();
    expect(begins("a", "")).toBeTruthy();
  });
});
