import { JsonKind, JsonReader, JSON_MAX_DEPTH } from "../../assembly/config/json";
import { at, rawBytes, utf8 } from "./helpers";

/** Reads one value and the end after it; gives the error, empty when it's JSON. Characters are bytes. */
function errorOf(text: string): string {
  const bytes = rawBytes(text);
  const json = new JsonReader(at(bytes), bytes.length);
  if (json.skip()) json.atEnd(true);
  return json.error;
}

function stringOf(text: string): string {
  const bytes = utf8(text);
  const value = new JsonReader(at(bytes), bytes.length).readString();
  return value ? String.UTF8.decodeUnsafe(at(value), value.length) : "(error)";
}

/** The whole number, or what else it is. */
function numberOf(text: string): string {
  const bytes = rawBytes(text);
  const json = new JsonReader(at(bytes), bytes.length);
  if (!json.readNumber()) return json.error;
  if (!json.atEnd(true)) return json.error;
  return json.isInteger ? json.integer.toString() : "not whole";
}

describe("JSON", () => {
  it("is every kind of value", () => {
    const texts: StaticArray<string> = [
      "null",
      "true",
      "false",
      "0",
      "-0",
      "1.5e-3",
      '""',
      "[]",
      "{}",
      " [ 1 , 2 ] ",
      '{"a":{"b":[{}]},"c":null}',
      "\t\r\n[\n]\n",
      "[[],[]]",
    ];
    for (let i = 0; i < texts.length; i++) expect(errorOf(texts[i])).toBe("", texts[i]);
  });

  it("says where it's wrong and what was expected", () => {
    expect(errorOf("")).toBe("line 1, column 1: expected a value");
    expect(errorOf('{\n"a": 1\n"b": 2}')).toBe("line 3, column 1: expected ',' or '}'");
    expect(errorOf('{"a" 1}')).toBe("line 1, column 6: expected ':'");
    expect(errorOf("{a:1}")).toBe("line 1, column 2: expected a member's name");
    expect(errorOf("{'a':1}")).toBe("line 1, column 2: expected a member's name");
    expect(errorOf('{"a":1,}')).toBe("line 1, column 8: expected a member's name");
    expect(errorOf("{,}")).toBe("line 1, column 2: expected a member's name");
    expect(errorOf("[1 2]")).toBe("line 1, column 4: expected ',' or ']'");
    expect(errorOf("[1,]")).toBe("line 1, column 4: expected a value");
    expect(errorOf("[,]")).toBe("line 1, column 2: expected a value");
    expect(errorOf("[1}")).toBe("line 1, column 3: expected ',' or ']'");
    expect(errorOf('{"a":}')).toBe("line 1, column 6: expected a value");
    expect(errorOf("1 2")).toBe("line 1, column 3: expected the end");
    expect(errorOf("{} // c")).toBe("line 1, column 4: expected the end");
    expect(errorOf("nul")).toBe("line 1, column 1: expected null");
    expect(errorOf("True")).toBe("line 1, column 1: expected a value");
    expect(errorOf("tru")).toBe("line 1, column 1: expected true or false");
    expect(errorOf("truely")).toBe("line 1, column 5: expected the end");
    expect(errorOf("NaN")).toBe("line 1, column 1: expected a value");
    expect(errorOf("\xef\xbb\xbf{}")).toBe("line 1, column 1: expected a value", "a byte order mark");
    expect(errorOf("[\xa0]")).toBe("line 1, column 2: expected a value");
    expect(errorOf('["\xc3\xa9\xc3\xa9" x]')).toBe("line 1, column 7: expected ',' or ']'", "columns count characters");
  });

  it("is refused wherever it's cut off", () => {
    const text = '{"a": [1, -2.5e+3, "b\\u00e9\\n", true, null], "c": {"d": false}}';
    expect(errorOf(text)).toBe("");
    for (let length = 0; length < text.length; length++) {
      expect(errorOf(text.substring(0, length)).length).toBeGreaterThan(0, text.substring(0, length));
    }
  });

  it("has a bounded depth", () => {
    expect(errorOf("[".repeat(JSON_MAX_DEPTH) + "]".repeat(JSON_MAX_DEPTH))).toBe("");
    expect(errorOf("[".repeat(JSON_MAX_DEPTH + 1))).toBe("line 1, column 33: more than 32 levels");
    expect(errorOf("[".repeat(100000))).toBe("line 1, column 33: more than 32 levels");
    expect(errorOf('{"a":'.repeat(1000))).toBe("line 1, column 161: more than 32 levels");
    expect(errorOf("[" + "[],".repeat(1000) + "[]]")).toBe("", "width isn't depth");
  });
});

describe("a JSON string", () => {
  it("is decoded", () => {
    expect(stringOf('"abc"')).toBe("abc");
    expect(stringOf('"\\"\\\\\\/\\b\\f\\n\\r\\t"')).toBe('"\\/\b\f\n\r\t');
    expect(stringOf('"\\u0041\\u00e9\\u20AC\\ud83d\\ude00"')).toBe("Aé€😀");
    expect(stringOf('"é€😀"')).toBe("é€😀");
    expect(stringOf('"\\u0000"').length).toBe(1);
    expect(stringOf('"\\ud7ff\\ue000\\uffff"')).toBe("\ud7ff\ue000\uffff");
    expect(stringOf('"\\udbff\\udfff"')).toBe("\u{10ffff}");
  });

  it("is refused", () => {
    expect(errorOf('"abc')).toBe("line 1, column 1: a string without its closing '\"'");
    expect(errorOf('["abc\\"')).toBe("line 1, column 2: a string without its closing '\"'");
    expect(errorOf('"\\')).toBe("line 1, column 3: not an escape");
    expect(errorOf('"\\x41"')).toBe("line 1, column 3: not an escape");
    expect(errorOf('"\\u12g4"')).toBe("line 1, column 6: expected a hexadecimal digit");
    expect(errorOf('"\\u12"')).toBe("line 1, column 6: expected a hexadecimal digit");
    expect(errorOf('"a\nb"')).toBe("line 1, column 3: a control character in a string");
    expect(errorOf('"\0"')).toBe("line 1, column 2: a control character in a string");
    expect(errorOf('"\\ud800"')).toBe("line 1, column 2: half of a surrogate pair");
    expect(errorOf('"\\udc00\\ud800"')).toBe("line 1, column 2: half of a surrogate pair");
    expect(errorOf('"\\ud800\\ud800"')).toBe("line 1, column 2: half of a surrogate pair");
    expect(errorOf('"\\ud800x"')).toBe("line 1, column 2: half of a surrogate pair");
    expect(errorOf('"\\ud800\\n"')).toBe("line 1, column 2: half of a surrogate pair");
    expect(errorOf('"\\ud800\\u12"')).toBe("line 1, column 12: expected a hexadecimal digit");
  });

  it("is refused when it isn't UTF-8", () => {
    const bad: StaticArray<string> = [
      "\x80",
      "\xbf",
      "\xc0\xae",
      "\xc1\xbf",
      "\xc3",
      "\xc3(",
      "\xe0\x80\xae",
      "\xe2\x82",
      "\xe2\x82(",
      "\xed\xa0\x80",
      "\xed\xbf\xbf",
      "\xf0\x80\x80\xae",
      "\xf0\x9f\x98",
      "\xf4\x90\x80\x80",
      "\xf5\x80\x80\x80",
      "\xf8\x88\x80\x80\x80",
      "\xfe",
      "\xff",
    ];
    for (let i = 0; i < bad.length; i++)
      expect(errorOf(`"${bad[i]}"`)).toBe("line 1, column 2: not UTF-8", `case ${i}`);
    const good: StaticArray<string> = [
      "\xc2\x80",
      "\xdf\xbf",
      "\xe0\xa0\x80",
      "\xed\x9f\xbf",
      "\xee\x80\x80",
      "\xef\xbf\xbf",
      "\xf0\x90\x80\x80",
      "\xf4\x8f\xbf\xbf",
    ];
    for (let i = 0; i < good.length; i++) expect(errorOf(`"${good[i]}"`)).toBe("", `good case ${i}`);
  });
});

describe("a JSON number", () => {
  it("is whole however it's written", () => {
    expect(numberOf("0")).toBe("0");
    expect(numberOf("-0")).toBe("0");
    expect(numberOf("-0.0e5")).toBe("0");
    expect(numberOf("2000")).toBe("2000");
    expect(numberOf("2000.0")).toBe("2000");
    expect(numberOf("2e3")).toBe("2000");
    expect(numberOf("2E+3")).toBe("2000");
    expect(numberOf("20000e-1")).toBe("2000");
    expect(numberOf("0.0002e7")).toBe("2000");
    expect(numberOf("-2000.000")).toBe("-2000");
    expect(numberOf("0e999999999999999999999")).toBe("0");
    expect(numberOf("9223372036854775807")).toBe("9223372036854775807");
    expect(numberOf("-9223372036854775807")).toBe("-9223372036854775807");
    expect(numberOf("1e18")).toBe("1000000000000000000");
  });

  it("is not whole, or out of range", () => {
    const others: StaticArray<string> = [
      "0.5",
      "1.5",
      "2000.001",
      "1e-1",
      "15e-1",
      "9223372036854775808",
      "1e19",
      "1e400",
      "1e999999999999999999999",
      "1e-999999999999999999999",
      "99999999999999999999999999",
      "123456789012345678901234567890e-10",
      "0.00000000000000000000000001",
    ];
    for (let i = 0; i < others.length; i++) expect(numberOf(others[i])).toBe("not whole", others[i]);
  });

  it("is refused", () => {
    expect(numberOf("-")).toBe("line 1, column 2: expected a digit");
    expect(numberOf("+1")).toBe("line 1, column 1: expected a digit");
    expect(numberOf(".5")).toBe("line 1, column 1: expected a digit");
    expect(numberOf("5.")).toBe("line 1, column 3: expected a digit");
    expect(numberOf("5.e1")).toBe("line 1, column 3: expected a digit");
    expect(numberOf("1e")).toBe("line 1, column 3: expected a digit");
    expect(numberOf("1e+")).toBe("line 1, column 4: expected a digit");
    expect(numberOf("01")).toBe("line 1, column 2: a number with a leading zero");
    expect(numberOf("-00")).toBe("line 1, column 3: a number with a leading zero");
    expect(numberOf("0x10")).toBe("line 1, column 2: expected the end");
    expect(numberOf("1.2.3")).toBe("line 1, column 4: expected the end");
    expect(numberOf("1_000")).toBe("line 1, column 2: expected the end");
  });
});

describe("a reader of JSON", () => {
  it("gives names, kinds and items in order", () => {
    const bytes = utf8('{"a": [1, true], "\\u0062": "x"}');
    const json = new JsonReader(at(bytes), bytes.length);
    expect(json.kind()).toBe(JsonKind.Object);
    expect(json.enterObject()).toBeTruthy();
    expect(json.nextMember()!.length).toBe(1);
    expect(json.kind()).toBe(JsonKind.Array);
    expect(json.enterArray()).toBeTruthy();
    expect(json.nextItem()).toBeTruthy();
    expect(json.readNumber()).toBeTruthy();
    expect(json.integer).toBe(1);
    expect(json.nextItem()).toBeTruthy();
    expect(json.readBoolean()).toBe(1);
    expect(json.nextItem()).toBeFalsy();
    expect(json.nextMember()![0]).toBe(0x62);
    expect(json.readString()!.length).toBe(1);
    expect(json.nextMember() == null).toBeTruthy();
    expect(json.atEnd(true)).toBeTruthy();
    expect(json.error).toBe("");
  });

  it("keeps the first error and reads no further", () => {
    const bytes = utf8("[1 true]");
    const json = new JsonReader(at(bytes), bytes.length);
    json.enterArray();
    json.nextItem();
    json.readNumber();
    expect(json.nextItem()).toBeFalsy();
    const first = json.error;
    expect(json.kind()).toBe(JsonKind.Invalid);
    expect(json.readBoolean()).toBe(-1);
    expect(json.readString() == null).toBeTruthy();
    expect(json.readNumber()).toBeFalsy();
    expect(json.skip()).toBeFalsy();
    expect(json.enterObject()).toBeFalsy();
    expect(json.atEnd(true)).toBeFalsy();
    expect(json.error).toBe(first);
  });
});
