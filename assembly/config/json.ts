/**
 * A strict pull reader of JSON (RFC 8259) over UTF-8 bytes, for the plugin's configuration. The first error stays, with its line and
 * column, and every later call gives its failing value. assemblyscript-json is no choice: it throws on bad input, which is a trap.
 */
import { hexValue } from "../lib/bytes";
import { utf8SequenceBytes, writeUtf8 } from "../lib/utf8";

export const enum JsonKind {
  /** no value begins here; the error is set */
  Invalid,
  Null,
  Boolean,
  Number,
  String,
  Array,
  Object,
}

/** arrays and objects within each other; more than any configuration needs, few enough for the stack */
export const JSON_MAX_DEPTH: i32 = 32;

export class JsonReader {
  /** `line 3, column 7: expected ','`, or empty */
  error: string = "";
  /** set by readNumber when it's a whole number in the range of i64, also when written as `2000.0` or `2e3` */
  isInteger: bool = false;
  integer: i64 = 0;

  private start: usize;
  private end: usize;
  private p: usize;
  private depth: i32 = 0;
  /** no member or item of the innermost array or object was read yet */
  private first: bool = false;

  constructor(ptr: usize, len: u32) {
    this.start = ptr;
    this.p = ptr;
    this.end = ptr + len;
  }

  get failed(): bool {
    return this.error.length > 0;
  }

  /** Whether nothing but blanks is left; says what it expected otherwise only when `required`. */
  atEnd(required: bool): bool {
    if (this.failed) return false;
    this.skipBlanks();
    if (this.p == this.end) return true;
    if (required) this.fail("expected the end");
    return false;
  }

  /** What the next value is, without reading it. */
  kind(): JsonKind {
    if (this.failed) return JsonKind.Invalid;
    const c = this.nextByte();
    if (c == 0x22) return JsonKind.String;
    if (c == 0x7b) return JsonKind.Object;
    if (c == 0x5b) return JsonKind.Array;
    if (c == 0x74 || c == 0x66) return JsonKind.Boolean;
    if (c == 0x6e) return JsonKind.Null;
    if (c == 0x2d || isDigit(c)) return JsonKind.Number;
    this.fail("expected a value");
    return JsonKind.Invalid;
  }

  enterObject(): bool {
    return this.enter(0x7b, "expected '{'");
  }

  /** Goes on to the next member and gives its name; null after the last one, which leaves the object, and on an error. */
  nextMember(): StaticArray<u8> | null {
    if (!this.nextPart(0x7d, "expected ',' or '}'", "expected a member's name")) return null;
    if (this.nextByte() != 0x22) {
      this.fail("expected a member's name");
      return null;
    }
    const name = this.readString();
    if (!name) return null;
    if (this.nextByte() != 0x3a) {
      this.fail("expected ':'");
      return null;
    }
    this.p++;
    return name;
  }

  enterArray(): bool {
    return this.enter(0x5b, "expected '['");
  }

  /** Goes on to the next item; false after the last one, which leaves the array, and on an error. */
  nextItem(): bool {
    return this.nextPart(0x5d, "expected ',' or ']'", "expected a value");
  }

  /** Reads a string, decoded to UTF-8; null on an error. */
  readString(): StaticArray<u8> | null {
    if (this.failed) return null;
    if (this.nextByte() != 0x22) {
      this.fail("expected a string");
      return null;
    }
    const opening = this.p++;
    const decoded = new StaticArray<u8>(this.rawStringBytes());
    const start = changetype<usize>(decoded);
    let out = start;
    for (;;) {
      const c = this.byte();
      if (c == 0x22) break;
      if (c == 0x5c) {
        const code = this.readEscape();
        if (code < 0) return null;
        out = writeUtf8(<u32>code, out);
      } else if (c < 0x20) {
        // byte() gives -1 at the end of the text
        if (c < 0) {
          this.p = opening;
          this.fail("a string without its closing '\"'");
        } else {
          this.fail("a control character in a string");
        }
        return null;
      } else {
        const size = utf8SequenceBytes(this.p, this.end);
        if (!size) {
          this.fail("not UTF-8");
          return null;
        }
        memory.copy(out, this.p, size);
        out += size;
        this.p += size;
      }
    }
    this.p++;
    const bytes = <i32>(out - start);
    return bytes == decoded.length ? decoded : decoded.slice<StaticArray<u8>>(0, bytes);
  }

  /** Reads `true` (1) or `false` (0); -1 on an error. */
  readBoolean(): i32 {
    if (this.kind() == JsonKind.Boolean) {
      if (this.readWord("true")) return 1;
      if (this.readWord("false")) return 0;
    }
    this.fail("expected true or false");
    return -1;
  }

  /** Reads a number and sets isInteger and integer; false on an error. */
  readNumber(): bool {
    if (this.failed) return false;
    const negative = this.nextByte() == 0x2d;
    if (negative) this.p++;
    if (!isDigit(this.byte())) return this.fail("expected a digit");

    // digits * 10^scale, without trailing zeros, so that 2000.0, 2e3 and 20000e-1 come out the same
    let digits: u64 = 0;
    let scale: i64 = 0;
    let tooLarge = false;
    let zeros: i64 = 0;
    let inFraction = false;
    const leadingZero = this.byte() == 0x30;
    for (let count = 0; ; count++) {
      let c = this.byte();
      if (c == 0x2e && !inFraction) {
        inFraction = true;
        this.p++;
        c = this.byte();
        if (!isDigit(c)) return this.fail("expected a digit");
      } else if (!isDigit(c)) {
        break;
      } else if (leadingZero && count && !inFraction) {
        return this.fail("a number with a leading zero");
      }
      this.p++;
      if (inFraction) scale--;
      zeros++;
      if (c != 0x30) {
        for (; zeros && !tooLarge; zeros--) {
          tooLarge = digits > <u64>i64.MAX_VALUE / 10;
          digits *= 10;
        }
        zeros = 0;
        digits += c - 0x30;
        tooLarge = tooLarge || digits > <u64>i64.MAX_VALUE;
      }
    }
    if ((this.byte() | 0x20) == 0x65) {
      this.p++;
      const sign = this.byte();
      if (sign == 0x2b || sign == 0x2d) this.p++;
      if (!isDigit(this.byte())) return this.fail("expected a digit");
      let exponent: i64 = 0;
      for (; isDigit(this.byte()); this.p++) exponent = min<i64>(exponent * 10 + (this.byte() - 0x30), 1 << 40);
      scale += sign == 0x2d ? -exponent : exponent;
    }
    scale += zeros;
    if (!digits) scale = 0;
    for (; scale > 0 && !tooLarge; scale--) {
      tooLarge = digits > <u64>i64.MAX_VALUE / 10;
      digits *= 10;
    }
    this.isInteger = scale == 0 && !tooLarge;
    this.integer = this.isInteger ? (negative ? -(<i64>digits) : <i64>digits) : 0;
    return true;
  }

  /** Reads a value of any kind and forgets it; false on an error. */
  skip(): bool {
    switch (this.kind()) {
      case JsonKind.Null:
        return this.readWord("null") || this.fail("expected null");
      case JsonKind.Boolean:
        return this.readBoolean() >= 0;
      case JsonKind.Number:
        return this.readNumber();
      case JsonKind.String:
        return this.readString() != null;
      case JsonKind.Array:
        this.enterArray();
        while (this.nextItem()) this.skip();
        return !this.failed;
      case JsonKind.Object:
        this.enterObject();
        while (this.nextMember()) this.skip();
        return !this.failed;
      default:
        return false;
    }
  }

  /** Keeps the first error, at the place reached. */
  private fail(reason: string): bool {
    if (this.failed) return false;
    let line = 1;
    let column = 1;
    for (let p = this.start; p < this.p; p++) {
      const c = load<u8>(p);
      if (c == 0x0a) {
        line++;
        column = 1;
      } else if ((c & 0xc0) != 0x80) {
        column++;
      }
    }
    this.error = `line ${line}, column ${column}: ${reason}`;
    return false;
  }

  private enter(opening: i32, reason: string): bool {
    if (this.failed) return false;
    if (this.nextByte() != opening) return this.fail(reason);
    if (this.depth == JSON_MAX_DEPTH) return this.fail(`more than ${JSON_MAX_DEPTH} levels`);
    this.depth++;
    this.p++;
    this.first = true;
    return true;
  }

  private nextPart(closing: i32, expected: string, expectedAfterComma: string): bool {
    if (this.failed) return false;
    const c = this.nextByte();
    const wasFirst = this.first;
    this.first = false;
    if (c == closing) {
      this.p++;
      this.depth--;
      return false;
    }
    if (wasFirst) return true;
    if (c != 0x2c) return this.fail(expected);
    this.p++;
    return this.nextByte() == closing ? this.fail(expectedAfterComma) : true;
  }

  /** The byte at the place reached, -1 at the end. */
  @inline
  private byte(): i32 {
    return this.p < this.end ? <i32>load<u8>(this.p) : -1;
  }

  private nextByte(): i32 {
    this.skipBlanks();
    return this.byte();
  }

  private skipBlanks(): void {
    for (let c = this.byte(); c == 0x20 || c == 0x09 || c == 0x0a || c == 0x0d; c = this.byte()) this.p++;
  }

  private readWord(word: string): bool {
    const length = <usize>word.length;
    if (this.end - this.p < length) return false;
    for (let i = 0; i < word.length; i++) {
      if (<i32>load<u8>(this.p + i) != word.charCodeAt(i)) return false;
    }
    this.p += length;
    return true;
  }

  /** Bytes up to the closing quote, which a decoded string never exceeds. */
  private rawStringBytes(): i32 {
    let p = this.p;
    while (p < this.end && load<u8>(p) != 0x22) p += load<u8>(p) == 0x5c ? 2 : 1;
    return <i32>(min(p, this.end) - this.p);
  }

  /** Reads an escape from its backslash on, a surrogate pair as one; gives the code point, -1 on an error. */
  private readEscape(): i32 {
    const begin = this.p++;
    const c = this.byte();
    if (c != 0x75) {
      const code = simpleEscape(c);
      if (code < 0) this.fail("not an escape");
      else this.p++;
      return code;
    }
    const unit = this.readHexUnit();
    if (unit < 0xd800 || unit > 0xdfff) return unit;
    if (unit < 0xdc00 && this.byte() == 0x5c) {
      this.p++;
      if (this.byte() == 0x75) {
        const second = this.readHexUnit();
        if (second < 0) return -1;
        if (second >= 0xdc00 && second < 0xe000) return 0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00);
      }
    }
    this.p = begin;
    this.fail("half of a surrogate pair");
    return -1;
  }

  /** Reads `u` and four hexadecimal digits; -1 on an error. */
  private readHexUnit(): i32 {
    this.p++;
    let unit: u32 = 0;
    for (let i = 0; i < 4; i++) {
      const digit = hexValue(this.byte());
      if (digit > 15) {
        this.fail("expected a hexadecimal digit");
        return -1;
      }
      unit = (unit << 4) | digit;
      this.p++;
    }
    return <i32>unit;
  }
}

@inline
function isDigit(c: i32): bool {
  return <u32>c - 0x30 < 10;
}

function simpleEscape(c: i32): i32 {
  switch (c) {
    case 0x22:
    case 0x5c:
    case 0x2f:
      return c;
    case 0x62:
      return 0x08;
    case 0x66:
      return 0x0c;
    case 0x6e:
      return 0x0a;
    case 0x72:
      return 0x0d;
    case 0x74:
      return 0x09;
    default:
      return -1;
  }
}
