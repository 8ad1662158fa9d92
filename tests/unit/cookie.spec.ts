import { COOKIE_ABSENT, COOKIE_REPEATED, COOKIE_TOO_LONG, findCookie, removeCookie } from "../../assembly/http/cookie";
import { at, OUT, utf8, written } from "./helpers";

function find(header: string, outMax: u32 = 256): i32 {
  const bytes = utf8(header);
  const name = utf8("key");
  return findCookie(at(bytes), bytes.length, at(name), name.length, OUT, outMax);
}

function found(header: string): string {
  const length = find(header);
  return length < 0 ? length.toString() : written(length);
}

function removed(header: string): string {
  const bytes = utf8(header);
  const name = utf8("key");
  return written(removeCookie(at(bytes), bytes.length, at(name), name.length, OUT));
}

describe("a cookie", () => {
  it("is found anywhere", () => {
    expect(found("key=v")).toBe("v");
    expect(found("a=1; key=v; b=2")).toBe("v");
    expect(found("a=1;key=v;b=2")).toBe("v");
    expect(found("a=1 ;\t key = v \t; b=2")).toBe("v");
    expect(found('key="v"')).toBe("v");
    expect(found('key = "v w" ')).toBe("v w");
    expect(found("key=a=b")).toBe("a=b");
    expect(found("key=%76")).toBe("%76", "cookies have no escapes");
    expect(found('key="')).toBe('"');
    expect(found('key="v')).toBe('"v');
    expect(found("; ;key=v;;")).toBe("v");
    expect(found('a="; key=v; b="')).toBe("v", "quotes hold no semicolon");
  });

  it("is absent without a value or under another name", () => {
    const headers: StaticArray<string> = [
      "",
      ";",
      "=",
      "key",
      "key=",
      "key= ",
      'key=""',
      "Key=v",
      "keys=v",
      "xkey=v",
      "a=key=v",
      "=v",
      "k ey=v",
      "a=1, key=v",
    ];
    for (let i = 0; i < headers.length; i++) expect(find(headers[i])).toBe(COOKIE_ABSENT, headers[i]);
  });

  it("may be repeated with one value only", () => {
    expect(found('key=v; key="v"; key=')).toBe("v");
    expect(find("key=v; key=w")).toBe(COOKIE_REPEATED);
    expect(find("key=v; key=vv")).toBe(COOKIE_REPEATED);
    expect(find("key=; key=vv; a=1; key=v")).toBe(COOKIE_REPEATED);
  });

  it("has a bound", () => {
    expect(find("key=12345678", 8)).toBe(8);
    expect(find('key="12345678"', 8)).toBe(8);
    expect(find("key=123456789", 8)).toBe(COOKIE_TOO_LONG);
  });
});

describe("removing a cookie", () => {
  it("leaves the rest as it is", () => {
    expect(removed("key=v")).toBe("");
    expect(removed("key=v; a=1")).toBe("a=1");
    expect(removed("a=1; key=v")).toBe("a=1");
    expect(removed("a=1; key=v; b=2")).toBe("a=1; b=2");
    expect(removed("a=1;key=v;b=2")).toBe("a=1;b=2");
    expect(removed('key=v; key="w"; a="1";key=')).toBe('a="1"');
    expect(removed(" key = v ")).toBe("");
    expect(removed("key=v;")).toBe("");
    expect(removed("; key=v; ")).toBe("");
  });

  it("changes nothing where there is none", () => {
    const headers: StaticArray<string> = ["", "a=1", "a=1; b=2", "keys=1; Key=2; key", "a=1;", "; a=1", " a=1 ;  b"];
    for (let i = 0; i < headers.length; i++) expect(removed(headers[i])).toBe(headers[i]);
  });

  it("can be done in place, where what is kept moves over itself", () => {
    const bytes = utf8("key=v;w     ");
    const name = utf8("key");
    const left = removeCookie(at(bytes), bytes.length, at(name), name.length, at(bytes));
    expect(String.UTF8.decodeUnsafe(at(bytes), left)).toBe("w     ");
  });
});
