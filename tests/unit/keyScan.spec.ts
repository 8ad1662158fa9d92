import { hasKeyForm } from "../../assembly/http/keyScan";
import { removeQuery, removeQueryKeys } from "../../assembly/http/query";
import { removeCookie, removeCookieKeys } from "../../assembly/http/cookie";

const KEY = "tg_live-1_0123456789ABCDEFGHIJabcdef_Zz90aA";

function has(text: string): bool {
  const at = heap.alloc(text.length + 1);
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, at);
  return hasKeyForm(at, text.length);
}

function edited(text: string, how: i32, name: string = ""): string {
  const at = heap.alloc(text.length + 1);
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, at);
  const named = heap.alloc(name.length + 1);
  String.UTF8.encodeUnsafe(changetype<usize>(name), name.length, named);
  let bytes: u32 = 0;
  if (how == 0) bytes = removeQueryKeys(at, text.length, at);
  else if (how == 1) bytes = removeQuery(at, text.length, named, name.length, at, true);
  else if (how == 2) bytes = removeCookieKeys(at, text.length, at);
  else bytes = removeCookie(at, text.length, named, name.length, at, true);
  return String.UTF8.decodeUnsafe(at, bytes);
}

describe("a key inside of a text", () => {
  it("is found at every place", () => {
    for (let before = 0; before < 20; before++) {
      for (let after = 0; after < 10; after++) expect(has("_".repeat(before) + KEY + "%".repeat(after))).toBeTruthy();
    }
  });

  it("is found with any of its characters encoded", () => {
    for (let i = 0; i < KEY.length; i++) {
      const c = KEY.charCodeAt(i);
      const encoded = "%" + (c < 16 ? "0" : "") + c.toString(16);
      expect(has("a=" + KEY.substring(0, i) + encoded + KEY.substring(i + 1) + "&b")).toBeTruthy();
      expect(has(KEY.substring(0, i) + encoded.toUpperCase() + KEY.substring(i + 1))).toBeTruthy();
    }
  });

  it("is none when a part is missing or another character stands in it", () => {
    for (let i = 0; i < KEY.length; i++) expect(has(KEY.substring(0, i) + "!" + KEY.substring(i + 1))).toBeFalsy();
    for (let n = 0; n < KEY.length; n++) expect(has(KEY.substring(0, n))).toBeFalsy();
    expect(has("tg__0123456789ABCDEFGHIJabcdef_Zz90aA_and_more")).toBeFalsy();
    expect(has("tg_" + "e".repeat(33) + "_0123456789ABCDEFGHIJabcdef_Zz90aA")).toBeFalsy();
    expect(has("tg_" + "e".repeat(32) + "_0123456789ABCDEFGHIJabcdef_Zz90aA")).toBeTruthy();
  });
});

describe("what holds a key", () => {
  it("goes from a query, and leaves the other parameters with their separators", () => {
    expect(edited("/a?x=1;k=" + KEY + "&y=2;z", 0)).toBe("/a?x=1&y=2;z");
    expect(edited("/a?" + KEY, 0)).toBe("/a");
    expect(edited("/" + KEY + "?a;b&c", 0)).toBe("/" + KEY + "?a;b&c");
    expect(edited("/" + KEY, 0)).toBe("/" + KEY);
  });

  it("goes from cookies", () => {
    expect(edited('a=1; k="' + KEY + '"; b', 2)).toBe("a=1; b");
    expect(edited(KEY, 2)).toBe("");
  });

  it("or is called as a source in another case, or after a semicolon", () => {
    expect(edited("/a?x=1;API%5fKEY=v&y;Api_Key&api_keys=1", 1, "api_key")).toBe("/a?x=1&y&api_keys=1");
    expect(edited("a=1; API_KEY=v; api-key=w", 3, "api_key")).toBe("a=1; api-key=w");
  });
});
