import {
  checkKeyForm,
  keyEnvironmentBytes,
  KEY_FOREIGN,
  KEY_MALFORMED,
  KEY_WELL_FORMED,
} from "../../assembly/auth/keyFormat";
import { at, utf8 } from "./helpers";

const GOOD = "tg_default_0123456789ABCDEFGHIJabcdef_1Vl1sg";

function form(key: string): i32 {
  const bytes = utf8(key);
  return checkKeyForm(at(bytes), bytes.length);
}

function environmentBytes(key: string): u32 {
  const bytes = utf8(key);
  return keyEnvironmentBytes(at(bytes), bytes.length);
}

describe("a key's form", () => {
  it("is well formed with the right checksum", () => {
    expect(form(GOOD)).toBe(KEY_WELL_FORMED);
    expect(form("tg_a_zzzzzzzzzzzzzzzzzzzzzzzzzz_2ttSr5")).toBe(KEY_WELL_FORMED);
    expect(form("tg_eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee_00000000000000000000000000_0Qyz9y")).toBe(
      KEY_WELL_FORMED,
      "32 bytes of environment",
    );
    expect(form("tg_default_00000000000000000000001880_0003Z9")).toBe(KEY_WELL_FORMED, "a checksum padded with zeros");
  });

  it("tells where the environment ends", () => {
    expect(environmentBytes(GOOD)).toBe(7);
    expect(environmentBytes("tg_a_zzzzzzzzzzzzzzzzzzzzzzzzzz_2ttSr5")).toBe(1);
  });

  it("is foreign when it doesn't begin with tg_", () => {
    const foreign: StaticArray<string> = [
      "",
      "t",
      "tg",
      "tg-default",
      "TG_default",
      "sk_live_1",
      " " + GOOD,
      "2f1c9b7e-4a66-4c1a-9d0e-1a2b3c4d5e6f",
    ];
    for (let i = 0; i < foreign.length; i++) expect(form(foreign[i])).toBe(KEY_FOREIGN, foreign[i]);
  });

  it("is malformed after any single byte was changed or lost", () => {
    for (let i = 3; i < GOOD.length; i++) {
      const other = GOOD.charAt(i) == "x" ? "y" : "x";
      expect(form(GOOD.substring(0, i) + other + GOOD.substring(i + 1))).toBe(KEY_MALFORMED, `byte ${i} changed`);
      expect(form(GOOD.substring(0, i) + GOOD.substring(i + 1))).toBe(KEY_MALFORMED, `byte ${i} lost`);
      expect(form(GOOD.substring(0, i))).toBe(KEY_MALFORMED, `cut at ${i}`);
    }
  });

  it("is malformed with the right checksum and a wrong form", () => {
    const malformed: StaticArray<string> = [
      "tg_eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee_00000000000000000000000000_0eqdPV",
      "tg_Default_0123456789ABCDEFGHIJabcdef_0TWAWa",
      "tg_x_y_0123456789ABCDEFGHIJabcdef_1lxWNU",
      "tg__0123456789ABCDEFGHIJabcdef_4K7xgC",
      "tg_pr-1_0123456789ABCDEFGHIJabcde_3qe0I7",
      "tg_pr-1_0123456789ABCDEFGHIJabcde-_0FvPFg",
    ];
    for (let i = 0; i < malformed.length; i++) expect(form(malformed[i])).toBe(KEY_MALFORMED, malformed[i]);
  });

  it("takes no checksum that only agrees modulo 2^32", () => {
    expect(form("tg_default_0123456789ABCDEFGHIJabcdef_6CQH4k")).toBe(KEY_MALFORMED);
  });
});
