import {
  cutBytes,
  decodePath,
  foldPath,
  pathBytes,
  PATH_DECODE,
  PATH_FOLD,
  PATH_INVALID,
  scanPath,
} from "../../assembly/http/pathSafety";
import { at, OUT, rawBytes, written } from "./helpers";

function scanned(path: string): u32 {
  const bytes = rawBytes(path);
  return scanPath(at(bytes), bytes.length);
}

function decoded(path: string): string {
  const bytes = rawBytes(path);
  return written(decodePath(at(bytes), bytes.length, OUT));
}

function cutOf(path: string): string {
  const bytes = rawBytes(path);
  decodePath(at(bytes), bytes.length, OUT);
  return written(cutBytes());
}

function folded(path: string): string {
  const bytes = rawBytes(path);
  return written(foldPath(at(bytes), bytes.length, OUT));
}

function expectAll(paths: StaticArray<string>, verdict: u32): void {
  for (let i = 0; i < paths.length; i++) expect(scanned(paths[i])).toBe(verdict, paths[i]);
}

describe("a path", () => {
  it("is plain", () => {
    expectAll(
      [
        "/",
        "/a",
        "/a/b/c",
        "/a/",
        "/...",
        "/a/.well-known/x",
        "/.hidden",
        "/..a",
        "/a..",
        "/a/..b/c",
        "/a.b/c.tar.gz",
        "/~me/x-y_z!$&'()*+,=:@",
        "/a?b=/../..//%2e%00\\#",
        "/a?",
        "/?/../",
        "/?A",
        '/a[1]{x}|^`<>"',
      ],
      0,
    );
  });

  it("needs a second, folded match", () => {
    expectAll(["/A", "/Z", "/admin/Users", "/a/..B", "/X?y", "/\xc3\xa9/\xe2\x82\xac", "/admi\xc5\x84"], PATH_FOLD);
    expectAll(["/A;x", "/A%20", "/%20Z"], PATH_FOLD | PATH_DECODE);
  });

  it("needs a second, decoded match", () => {
    expectAll(
      [
        "/%61dmin",
        "/a%20b",
        "/a;x",
        "/a;x=1/b",
        "/a;/b",
        "/a%3bx/b",
        "/a%3B",
        "/;x",
        "/a/;x",
        "/;?/a",
        "/100%25",
        "/100%25/a",
        "/%25zz",
        "/%25x0",
        "/a%2520b",
        "/%c3%a9",
        "/a%3fb",
        "/a%23b",
        "/a;..",
        "/a;x=../b",
        "/%2e%2e%2e",
        "/.%2e.",
        "/a%2e",
        "/%7e",
      ],
      PATH_DECODE,
    );
  });

  it("must begin with a slash", () => {
    expectAll(["", "*", "a", "?", "http://a/b", "%2fa", " /a", "\\a", ";/a"], PATH_INVALID);
  });

  it("has no dot segments in any spelling", () => {
    expectAll(
      [
        "/.",
        "/..",
        "/./a",
        "/../a",
        "/a/.",
        "/a/..",
        "/a/./b",
        "/a/../b",
        "/public/../a",
        "/..?x",
        "/%2e",
        "/%2E/a",
        "/%2e%2e/a",
        "/.%2e/a",
        "/%2e./a",
        "/a/%2E%2e",
        "/..;/a",
        "/..;x=y/a",
        "/a/..;x",
        "/.;/a",
        "/%2e%2e;x/a",
        "/..%3bx/a",
        "/.%2E%3B/a",
        "/..;;;/a",
        "/a/..;?q",
      ],
      PATH_INVALID,
    );
  });

  it("has no empty segments", () => {
    expectAll(
      ["//", "//a", "/a//b", "/a//", "/a///", "/;/a", "/a/;x/b", "/a/;x;y/b", "/%3b/a", "/%3bx=1/a", "/a/;//"],
      PATH_INVALID,
    );
  });

  it("has no other separators", () => {
    expectAll(
      ["/a\\b", "/a\\..\\b", "/a%5cb", "/a%5Cb", "/a%2fb", "/a%2Fb", "/..%2fa", "/..%5ca", "/a;x%2f..", "/%2f"],
      PATH_INVALID,
    );
  });

  it("has no controls, blanks or fragments", () => {
    expectAll(
      [
        "/\0",
        "/a\tb",
        "/a b",
        "/a\r\nb",
        "/a\x7f",
        "/a%00",
        "/a%00.html",
        "/%0a",
        "/%0D%0a",
        "/%1f",
        "/%7f",
        "/%7F",
        "/a#b",
        "/#",
        "/a#?b",
      ],
      PATH_INVALID,
    );
  });

  it("has no malformed escapes", () => {
    expectAll(
      ["/%", "/a%", "/a%2", "/a%?20", "/a%2?0", "/%zz", "/%2g", "/%g2", "/%u002e", "/% 20", "/%%32e", "/%-1"],
      PATH_INVALID,
    );
  });

  it("has nothing doubly encoded that a second decoding would turn into structure", () => {
    expectAll(
      [
        "/%252e",
        "/%252e%252e/a",
        "/%252E",
        "/%252f",
        "/%252F",
        "/%255c",
        "/%255C",
        "/%2500",
        "/%250a",
        "/%257f",
        "/%253b",
        "/%253B",
        "/%2525",
        "/%25252e",
        "/%25%32%65",
        "/%252%65",
        "/%25%32e",
        "/%2561dmin",
        "/%2541",
        "/%2530",
        "/%255f",
        "/%257e",
        "/a/b%252f..",
      ],
      PATH_INVALID,
    );
  });

  it("has no overlong UTF-8", () => {
    expectAll(
      [
        "/%c0%ae%c0%ae/a",
        "/%c0%af",
        "/%C1%9c",
        "/%e0%80%ae",
        "/%f0%80%80%ae",
        "/%f8%80%80%80%ae",
        "/%fc%80%80%80%80%ae",
        "/\xc0\xae",
        "/\xe0\x80\xae",
        "/%c0\xae",
        "/\xc0%ae",
      ],
      PATH_INVALID,
    );
    expectAll(["/%c0", "/%c0x", "/%e0x", "/%e0%a0%80", "/%f0%90%80%80"], PATH_DECODE);
  });

  it("refuses every byte and every escape that it should, and no other", () => {
    for (let c = 0; c < 256; c++) {
      const letter = String.fromCharCode(c);
      let expected: u32 = c <= 0x20 || c == 0x7f || letter == "#" || letter == "\\" || letter == "%" ? PATH_INVALID : 0;
      if ((c >= 0x41 && c <= 0x5a) || c >= 0x80) expected = PATH_FOLD;
      if (letter == ";") expected = PATH_DECODE;
      expect(scanned(`/a${letter}b`)).toBe(expected, `byte ${c}`);

      const digits = "0123456789abcdef".charAt(c >> 4) + "0123456789abcdef".charAt(c & 15);
      const invalid = c < 0x20 || c == 0x7f || letter == "/" || letter == "\\";
      expect(scanned(`/a%${digits}b`)).toBe(invalid ? PATH_INVALID : PATH_DECODE, `escape ${digits}`);
    }
  });

  it("ends before the query, whatever the verdict", () => {
    const paths: StaticArray<string> = [
      "/abc?d",
      "/abc",
      "/abc?",
      "/%zz?a?b",
      "abc?/",
      "?",
      "",
      "//?",
      "/a%2?",
      "/a;b?c",
    ];
    for (let i = 0; i < paths.length; i++) {
      scanned(paths[i]);
      const question = paths[i].indexOf("?");
      expect(pathBytes()).toBe(question < 0 ? paths[i].length : question, paths[i]);
    }
  });
});

describe("an encoded ? or #", () => {
  it("ends a segment of dots", () => {
    expectAll(
      ["/public/..%3fx", "/public/..%23", "/public/.%3Fx", "/public/%2e%2e%23x/y", "/a/.%3f/b", "/..%3f"],
      PATH_INVALID,
    );
    expectAll(["/public/...%3fx", "/public/a..%23", "/%3fx", "/a/%23"], PATH_DECODE);
  });

  it("isn't encoded twice", () => expectAll(["/a%253fb", "/a%2523b"], PATH_INVALID));

  it("is where the decoded path may be cut", () => {
    expect(cutOf("/a/b")).toBe("/a/b");
    expect(cutOf("/admin%3fx")).toBe("/admin");
    expect(cutOf("/admin%23x%3fy")).toBe("/admin");
    expect(cutOf("/%61dmin%3F/x")).toBe("/admin");
    expect(cutOf("/a;p%3f/b%23c")).toBe("/a");
    expect(cutOf("/%3f")).toBe("/");
    expect(cutOf("/a%3b%23/b")).toBe("/a");
  });
});

describe("a folded path", () => {
  it("is in lower case, and has the letters that case mappings make of others", () => {
    expect(folded("/Admin/USERS/x-1_Z%4A")).toBe("/admin/users/x-1_z%4a");
    expect(folded("/@[`{")).toBe("/@[`{");
    expect(folded("/\xe2\x84\xaaey/u\xc5\xbfers/adm\xc4\xb1n/\xc4\xb0d")).toBe("/key/users/admin/id");
    expect(folded("/\xc3\x9f\xe1\xba\x9e")).toBe("/ssss");
    expect(folded("/\xef\xac\x80\xef\xac\x81\xef\xac\x82\xef\xac\x83\xef\xac\x84\xef\xac\x85\xef\xac\x86")).toBe(
      "/fffiflffifflstst",
    );
  });

  it("keeps every other byte, cut sequences as well", () => {
    const kept: StaticArray<string> = [
      "/\xc3\xa9",
      "/\xe2\x82\xac",
      "/\xe2\x84\xab",
      "/\xe2\x84",
      "/\xe2",
      "/\xc5",
      "/\xef\xac",
      "/\xef\xac\x87",
      "/\xc4a",
      "/\xff\x80",
    ];
    for (let i = 0; i < kept.length; i++) {
      const bytes = rawBytes(kept[i]);
      expect(foldPath(at(bytes), bytes.length, OUT)).toBe(bytes.length, kept[i]);
      expect(memory.compare(at(bytes), OUT, bytes.length)).toBe(0, kept[i]);
    }
  });

  it("may take the place of the path", () => {
    const bytes = rawBytes("/A\xef\xac\x83B\xe2\x84\xaaC");
    const n = foldPath(at(bytes), bytes.length, at(bytes));
    expect(String.UTF8.decodeUnsafe(at(bytes), n)).toBe("/affibkc");
  });
});

describe("a decoded path", () => {
  it("has no escapes and no parameters", () => {
    expect(decoded("/a/b")).toBe("/a/b");
    expect(decoded("/%61%2Fb")).toBe("/a/b");
    expect(decoded("/a;x=1;y/b;z")).toBe("/a/b");
    expect(decoded("/a%3bx=%31/b")).toBe("/a/b");
    expect(decoded("/;x")).toBe("/");
    expect(decoded("/%c3%a9")).toBe("/é");
    expect(decoded("/%252e")).toBe("/%2e", "once only");
    expect(decoded("")).toBe("");
  });

  it("keeps malformed escapes", () => {
    expect(decoded("/%")).toBe("/%");
    expect(decoded("/%4")).toBe("/%4");
    expect(decoded("/%4g%zz%%41")).toBe("/%4g%zz%A");
  });

  it("can be written over the path", () => {
    const bytes = rawBytes("/%61;b/%63");
    expect(decodePath(at(bytes), bytes.length, at(bytes))).toBe(4);
    expect(String.UTF8.decodeUnsafe(at(bytes), 4)).toBe("/a/c");
  });
});
