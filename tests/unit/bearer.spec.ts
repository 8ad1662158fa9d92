import { bearerToken } from "../../assembly/http/bearer";
import { at, utf8 } from "./helpers";

/** The token, or `-`. */
function token(value: string): string {
  const bytes = utf8(value);
  const found = bearerToken(at(bytes), bytes.length);
  return found ? String.UTF8.decodeUnsafe(at(bytes) + <usize>(found >> 32), <usize>(found & 0xffffffff)) : "-";
}

describe("an Authorization value", () => {
  it("holds a Bearer token in any spelling of the scheme", () => {
    expect(token("Bearer tg_x")).toBe("tg_x");
    expect(token("bearer tg_x")).toBe("tg_x");
    expect(token("BEARER tg_x")).toBe("tg_x");
    expect(token("bEaReR \t tg_x \t ")).toBe("tg_x");
    expect(token("Bearer\ttg_x")).toBe("tg_x");
    expect(token("  Bearer t")).toBe("t");
    expect(token("Bearer a, Bearer b")).toBe("a, Bearer b", "joined values are one unknown key");
  });

  it("holds none", () => {
    const none: StaticArray<string> = [
      "",
      " ",
      "Bearer",
      "Bearer ",
      "Bearer \t ",
      "Bearer: x",
      "Bearerx y",
      "Bearer\u00a0x",
      "Basic dXNlcjpwYXNz",
      "earer tg_x",
      "tg_x",
      "B%45arer x",
      "Rearer tg_x",
    ];
    for (let i = 0; i < none.length; i++) expect(token(none[i])).toBe("-", none[i]);
  });
});
