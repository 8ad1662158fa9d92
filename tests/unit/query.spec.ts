import { findQuery, QUERY_ABSENT, QUERY_REPEATED, QUERY_TOO_LONG, removeQuery } from "../../assembly/http/query";
import { at, OUT, rawBytes, utf8, written } from "./helpers";

function find(path: string, name: string = "key", outMax: u32 = 256): i32 {
  const bytes = utf8(path);
  const nameBytes = utf8(name);
  return findQuery(at(bytes), bytes.length, at(nameBytes), nameBytes.length, OUT, outMax);
}

/** The value, or `-` and the reason's number. */
function found(path: string, name: string = "key"): string {
  const length = find(path, name);
  return length < 0 ? length.toString() : written(length);
}

function removed(path: string, name: string = "key"): string {
  const bytes = utf8(path);
  const nameBytes = utf8(name);
  return written(removeQuery(at(bytes), bytes.length, at(nameBytes), nameBytes.length, OUT));
}

describe("a query parameter", () => {
  it("is found anywhere, decoded", () => {
    expect(found("/?key=v")).toBe("v");
    expect(found("/a?x=1&key=v&y=2")).toBe("v");
    expect(found("/a?k%65y=%76")).toBe("v");
    expect(found("/a?%6B%65%79=v")).toBe("v");
    expect(found("/a?key=a+b%20c%2B")).toBe("a b c+");
    expect(found("/a?key=a=b==")).toBe("a=b==");
    expect(found("/a?key=v?w")).toBe("v?w");
    expect(found("/a?key=%zz%4")).toBe("%zz%4", "malformed escapes stay");
    expect(found("/a?key=%")).toBe("%");
    expect(found("/a?my+key=v", "my key")).toBe("v");
    expect(found("/a?clé=v", "clé")).toBe("v");
    expect(found("/a?cl%C3%A9=v", "clé")).toBe("v");
    expect(found("/a?&&key=v&&")).toBe("v");
  });

  it("is absent without a value or under another name", () => {
    const paths: StaticArray<string> = [
      "",
      "?",
      "/",
      "/a",
      "/a?",
      "/a?key",
      "/a?key=",
      "/a?key=&key",
      "/a?Key=v",
      "/a?keys=v",
      "/a?ke=v",
      "/a?xkey=v",
      "/key=v",
      "/a&key=v",
      "/a?x=key=v",
      "/a?x=1;key=v",
      "/a? key=v",
      "/a?=v",
    ];
    for (let i = 0; i < paths.length; i++) expect(find(paths[i])).toBe(QUERY_ABSENT, paths[i]);
  });

  it("may be repeated with one value only", () => {
    expect(found("/a?key=v&key=v")).toBe("v");
    expect(found("/a?key=v&key=%76")).toBe("v");
    expect(found("/a?key=&key=v&key")).toBe("v");
    expect(find("/a?key=v&key=w")).toBe(QUERY_REPEATED);
    expect(find("/a?key=v&key=vv")).toBe(QUERY_REPEATED);
    expect(find("/a?key=vv&key=v")).toBe(QUERY_REPEATED);
    expect(find("/a?key=v&x&k%65y=V")).toBe(QUERY_REPEATED);
  });

  it("has a bound", () => {
    expect(find("/a?key=12345678", "key", 8)).toBe(8);
    expect(find("/a?key=123456789", "key", 8)).toBe(QUERY_TOO_LONG);
    expect(find("/a?key=%31%32%33%34%35%36%37%38", "key", 8)).toBe(8, "counted decoded");
    expect(find("/a?key=1", "key", 0)).toBe(QUERY_TOO_LONG);
    store<u8>(OUT, 0x58, 8);
    find("/a?key=123456789", "key", 8);
    expect(load<u8>(OUT, 8)).toBe(0x58, "nothing is written behind it");
  });
});

describe("removing a query parameter", () => {
  it("leaves the rest as it is", () => {
    expect(removed("/a?key=v")).toBe("/a");
    expect(removed("/a?key=v&x=1")).toBe("/a?x=1");
    expect(removed("/a?x=1&key=v")).toBe("/a?x=1");
    expect(removed("/a?x=1&key=v&y=%zz+%41")).toBe("/a?x=1&y=%zz+%41");
    expect(removed("/a?key=v&x&key=w&y=&key")).toBe("/a?x&y=");
    expect(removed("/a?k%65y=v&x=1")).toBe("/a?x=1");
    expect(removed("/a?key")).toBe("/a");
    expect(removed("/a?key=&key=v&key=v")).toBe("/a");
    expect(removed("/a?key=v&")).toBe("/a");
    expect(removed("/a?&key=v&")).toBe("/a");
    expect(removed("?key=v")).toBe("");
  });

  it("changes nothing where there is none", () => {
    const paths: StaticArray<string> = [
      "",
      "/",
      "/a",
      "/a?",
      "/a?&",
      "/a?&&",
      "/a?x=1",
      "/a?keys=1&Key=2&xkey=3",
      "/a?x=1&",
      "/key=v",
      "/a?x=1&&y",
      "/a?%6bez=1",
    ];
    for (let i = 0; i < paths.length; i++) expect(removed(paths[i])).toBe(paths[i]);
  });

  it("can be done in place", () => {
    const bytes = utf8("/a?x=1&key=v&y=2");
    const name = rawBytes("key");
    const left = removeQuery(at(bytes), bytes.length, at(name), name.length, at(bytes));
    expect(String.UTF8.decodeUnsafe(at(bytes), left)).toBe("/a?x=1&y=2");
  });
});
