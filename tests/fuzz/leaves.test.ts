import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { isIP } from "node:net";
import { posix } from "node:path";
import { before, describe, test } from "node:test";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { compileLeaves, Leaves } from "./leaves.ts";
import * as reference from "./references.ts";
import { runs } from "../kit/long.ts";

let leaves: Leaves;
let configLeaves: Leaves;

before(async () => {
  const module = await compileLeaves();
  leaves = Leaves.instantiate(module);
  // Reading a configuration allocates, and the heap reaches to the memory's end, where the other parsers' inputs are.
  configLeaves = Leaves.instantiate(module);
});

const anyBytes = fc.uint8Array({ maxLength: 300 });

/** Latin-1 texts of these parts, between them any byte now and then. */
function textOf(...parts: string[]): fc.Arbitrary<string> {
  const part = fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...parts) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)) },
  );
  return fc.array(part, { maxLength: 24 }).map((some) => some.join(""));
}

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
const some = { numRuns: runs(3000, 30_000) };

describe("digests and checksums", () => {
  test("SHA-256 is node:crypto's", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
        const { written } = leaves.writing(32, (out) => (leaves.wasm.sha256(leaves.put(bytes), bytes.length, out), 32));
        assert.equal(written.toString("hex"), createHash("sha256").update(bytes).digest("hex"));
      }),
    );
  });

  test("CRC-32 is zlib's, in one piece and in two", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat(), (bytes, cut) => {
        cut %= bytes.length;
        const ptr = leaves.put(bytes);
        assert.equal(leaves.wasm.crc32(ptr, bytes.length, 0) >>> 0, crc32(bytes));
        const first = leaves.wasm.crc32(ptr, cut, 0);
        assert.equal(leaves.wasm.crc32(ptr + cut, bytes.length - cut, first) >>> 0, crc32(bytes));
      }),
    );
  });
});

describe("keys", () => {
  const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  const base62 = (length: number): fc.Arbitrary<string> =>
    fc.string({ unit: fc.constantFrom(...DIGITS), minLength: length, maxLength: length });
  const environment = fc.string({ unit: fc.constantFrom(..."abcxyz0189-"), minLength: 1, maxLength: 32 });

  function withChecksum(head: string): string {
    let rest = crc32(head);
    let text = "";
    for (let i = 0; i < 6; i++) {
      text = DIGITS.charAt(rest % 62) + text;
      rest = Math.floor(rest / 62);
    }
    return `${head}_${text}`;
  }

  const form = (text: string): number => leaves.wasm.checkKeyForm(leaves.put(latin1(text)), text.length);

  test("are well formed with their checksum, and no longer after any change", () => {
    fc.assert(
      fc.property(environment, base62(26), fc.nat(), fc.integer({ min: 0, max: 255 }), (name, random, place, byte) => {
        const key = withChecksum(`tg_${name}_${random}`);
        assert.equal(form(key), 1);
        assert.equal(leaves.wasm.keyEnvironmentBytes(leaves.put(latin1(key)), key.length), name.length);
        place = 3 + (place % (key.length - 3));
        const changed = key.slice(0, place) + String.fromCharCode(byte) + key.slice(place + 1);
        assert.equal(form(changed), changed === key ? 1 : 2);
        assert.equal(form(key.slice(0, place)), 2);
      }),
      some,
    );
  });

  test("of any bytes are foreign, or malformed", () => {
    fc.assert(
      fc.property(textOf("tg_", "_", "a", "0", "tg_a_00000000000000000000000000_000000"), (text) => {
        const expected = !text.startsWith("tg_")
          ? 0
          : /^tg_[a-z0-9-]{1,32}_[0-9A-Za-z]{26}_/.test(text) && withChecksum(text.slice(0, -7)) === text
            ? 1
            : 2;
        assert.equal(form(text), expected);
      }),
      some,
    );
  });
});

describe("base64", () => {
  const decode = (text: string): { result: number; written: Buffer } =>
    leaves.writing(Math.floor((text.length * 3) / 4) + 2, (out) =>
      leaves.wasm.base64Decode(leaves.put(latin1(text)), text.length, out),
    );

  test("is decoded in both alphabets, with and without padding", () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const standard = Buffer.from(bytes).toString("base64");
        for (const text of [standard, standard.replace(/=+$/, ""), Buffer.from(bytes).toString("base64url")]) {
          assert.deepEqual(decode(text).written, Buffer.from(bytes));
        }
      }),
    );
  });

  test("of any text is refused where it's no encoder's", () => {
    fc.assert(
      fc.property(textOf("A", "Q", "z", "9", "+", "/", "-", "_", "=", "=="), (text) => {
        const { result, written } = decode(text);
        const digits = text.length % 4 === 0 ? text.replace(/={1,2}$/, "") : text;
        const canonical =
          Buffer.from(digits, "base64url").toString("base64url") === digits.replaceAll("+", "-").replaceAll("/", "_");
        assert.equal(result >= 0, canonical);
        if (canonical) assert.deepEqual(written, Buffer.from(digits, "base64url"));
        else assert.ok(-1 - result <= text.length);
      }),
      some,
    );
  });
});

describe("addresses", () => {
  const parse = (text: string): string => {
    const { result, written } = leaves.writing(16, (out) =>
      leaves.wasm.parseAddress(leaves.put(latin1(text)), text.length, out) ? 16 : 0,
    );
    if (!result) return "0";
    const family = leaves.wasm.parseAddress(leaves.put(latin1(text)), text.length, leaves.out);
    return `${family} ${written.toString("hex", 0, family === 4 ? 4 : 16)}`;
  };
  const port = fc.constantFrom("", ":0", ":1234", ":65535");

  test("of every form are read", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV6(), port, (v4, v6, suffix) => {
        assert.equal(parse(v4 + suffix), reference.addressHex(v4));
        assert.equal(parse(`[::ffff:${v4}]${suffix}`), reference.addressHex(v4));
        assert.equal(parse(v6), reference.addressHex(v6));
        assert.equal(parse(`[${v6}]${suffix}`), reference.addressHex(v6));
      }),
    );
  });

  test("are those of node:net, and no other text", () => {
    fc.assert(
      fc.property(textOf("1", "255", "0", ".", ":", "::", "ffff", "a", "[", "]", "1.2.3.4", "1:2:3:4"), (text) => {
        const bare = /^\[([^\][]*)\](?::\d{1,5})?$/.exec(text)?.[1] ?? text.replace(/^([\d.]*):\d{1,5}$/, "$1");
        // node:net bounds the letters of a zone, parseAddress only passes over it
        fc.pre(!text.includes("%"));
        const isAddress = isIP(bare) !== 0 && !(text.startsWith("[") && isIP(bare) === 4);
        assert.equal(parse(text), isAddress ? reference.addressHex(bare) : "0");
      }),
      some,
    );
  });

  test("are matched with lists bit by bit", () => {
    const rule = fc.record({
      family: fc.constantFrom(4, 6),
      bits: fc.nat({ max: 128 }),
      bytes: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    });
    const near = fc.record({ family: fc.constantFrom(4, 6), flip: fc.nat({ max: 127 }), of: fc.nat({ max: 4 }) });
    const bitsOf = (bytes: Uint8Array): string =>
      Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 5 }), near, (rules, { family, flip, of }) => {
        const usable = rules.map((one) => ({ ...one, bits: Math.min(one.bits, one.family === 4 ? 32 : 128) }));
        const items = usable.map((one) => [one.family, one.bits, ...one.bytes.subarray(0, one.family === 4 ? 4 : 16)]);
        const list = Buffer.from([rules.length, ...items.flat()]);
        const address = Buffer.from(usable[of % usable.length]!.bytes);
        address[flip >> 3]! ^= 0x80 >> (flip & 7);
        const expected = usable.some(
          (one) => one.family === family && bitsOf(one.bytes).slice(0, one.bits) === bitsOf(address).slice(0, one.bits),
        );
        const ptr = leaves.put(list);
        assert.equal(leaves.wasm.matchList(ptr, ptr + list.length, family, leaves.putName(address)) !== 0, expected);
      }),
      some,
    );
  });

  test("and any bytes as a list never trap", () => {
    fc.assert(
      fc.property(anyBytes, fc.constantFrom(0, 4, 6), (bytes, family) => {
        const ptr = leaves.put(bytes);
        leaves.wasm.matchList(ptr, ptr + bytes.length, family, leaves.putName(Buffer.alloc(16)));
      }),
      some,
    );
  });
});

describe("paths", () => {
  const tricky = textOf(
    "/",
    "/",
    "/",
    "a",
    "b.c",
    ".",
    "..",
    ";",
    ";x=1",
    "%2e",
    "%2E",
    "%2f",
    "%5C",
    "%3b",
    "%25",
    "%252e",
    "%61",
    "%20",
    "%",
    "2",
    "e",
    "f",
    "\\",
    "?",
    "#",
    "%c3%a9",
    "%c0%ae",
    "%3f",
    "%23",
    "%253F",
    "A",
    "\xc3\xa9",
    "\xe0\x80",
    "%00",
    "%7f",
    " ",
  ).map((text) => `/${text}`);
  const gentle = textOf("/a", "/b", "/..a", "/.b", "/%61", "/a;x", "/a;..", "%2e", "%20", "%25", "c", ".", "?").map(
    (text) => `/${text}`,
  );

  const scan = (text: string): number => leaves.wasm.scanPath(leaves.put(latin1(text)), text.length);
  const decode = (path: string): string =>
    leaves
      .writing(path.length, (out) => leaves.wasm.decodePath(leaves.put(latin1(path)), path.length, out))
      .written.toString("latin1");

  test("are judged and decoded as the reference does", () => {
    fc.assert(
      fc.property(fc.oneof(tricky, gentle, textOf("/", "a", "?", "%")), (text) => {
        assert.equal(scan(text), reference.judgePath(text));
        const path = reference.pathOf(text);
        assert.equal(leaves.wasm.pathBytes(), path.length);
        const escapesKept = path.replace(/%3b/gi, ";");
        assert.equal(decode(path), reference.unescape(reference.withoutParameters(escapesKept)));
      }),
      { numRuns: runs(10_000, 100_000) },
    );
  });

  test("that pass are the same for every reader behind", () => {
    fc.assert(
      fc.property(fc.oneof(tricky, gentle), (text) => {
        const verdict = scan(text);
        if (verdict === 1) return;
        const path = reference.pathOf(text);
        const decoded = decode(path);
        const normalize = (read: string): string => posix.normalize(read.replaceAll("\\", "/"));
        if ((verdict & 2) === 0) assert.equal(decoded, path);
        assert.equal(normalize(path), path);
        assert.equal(normalize(decoded), decoded);
        const twice = reference.unescape(decoded);
        assert.equal(normalize(twice), twice);
        assert.equal(twice.split("/").length, decoded.split("/").length);
        assert.equal(reference.withoutParameters(twice), twice);
        // ... and a URL parser, which knows %2e, finds nothing to resolve.
        assert.equal(new URL(`http://h${path}`).pathname.split("/").length, path.split("/").length);
      }),
      { numRuns: runs(10_000, 100_000) },
    );
  });
});

describe("query parameters", () => {
  const names = fc.constantFrom("key", "k", "my key", "a%b", "cl\xc3\xa9");
  const targets = textOf(
    "?",
    "?",
    "&",
    "&",
    "=",
    "=",
    "key",
    "k%65y",
    "%6b%65%79",
    "k",
    "my+key",
    "my%20key",
    "a%25b",
    "a%b",
    "x",
    "%",
    "%7",
    "+",
    "v",
    "w",
    "/a",
    "cl%C3%A9",
    "cl\xc3\xa9",
  ).map((text) => `/a?${text}`);

  test("are found as the reference finds them", () => {
    fc.assert(
      fc.property(
        fc.oneof(targets, textOf("?", "&", "=", "k")),
        names,
        fc.constantFrom(2, 8, 256),
        (target, name, max) => {
          const expected = reference.findQuery(target, name, max);
          const path = leaves.put(latin1(target));
          const namePtr = leaves.putName(latin1(name));
          const { result, written } = leaves.writing(max, (out) =>
            leaves.wasm.findQuery(path, target.length, namePtr, name.length, out, max),
          );
          assert.equal(result < 0 ? result : written.toString("latin1"), expected);
        },
      ),
      { numRuns: runs(10_000, 100_000) },
    );
  });

  test("are found as URLSearchParams finds them", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom("key", "k", "x y", "é"), fc.string({ unit: "grapheme", maxLength: 8 }))),
        (pairs) => {
          const parameters = new URLSearchParams(pairs);
          const target = Buffer.from(`/a?${parameters.toString()}`);
          const values = parameters.getAll("key").filter((value) => value !== "");
          const path = leaves.put(target);
          const { result, written } = leaves.writing(256, (out) =>
            leaves.wasm.findQuery(path, target.length, leaves.putName(latin1("key")), 3, out, 256),
          );
          if (values.length === 0) assert.equal(result, -1);
          else if (new Set(values).size > 1) assert.equal(result, -2);
          else assert.equal(written.toString(), values[0]);
        },
      ),
    );
  });

  test("are removed, and nothing else", () => {
    fc.assert(
      fc.property(targets, names, (target, name) => {
        const path = leaves.put(latin1(target));
        const namePtr = leaves.putName(latin1(name));
        const { written } = leaves.writing(target.length, (out) =>
          leaves.wasm.removeQuery(path, target.length, namePtr, name.length, out),
        );
        const expected = reference.removeQuery(target, name);
        assert.equal(written.toString("latin1"), expected);
        assert.equal(reference.findQuery(expected, name, 256), -1);
        const left = leaves.wasm.removeQuery(path, target.length, namePtr, name.length, path);
        assert.equal(leaves.read(path, left).toString("latin1"), expected, "in place");
      }),
      { numRuns: runs(10_000, 100_000) },
    );
  });
});

describe("cookies", () => {
  const headers = textOf(";", ";", "; ", "=", "=", "key", "key=", '"', " ", "\t", "v", "w", "a=1", 'key="v"');

  test("are found and removed as the reference does", () => {
    fc.assert(
      fc.property(headers, fc.constantFrom("key", "a", "k"), fc.constantFrom(2, 256), (header, name, max) => {
        const ptr = leaves.put(latin1(header));
        const namePtr = leaves.putName(latin1(name));
        const found = leaves.writing(max, (out) =>
          leaves.wasm.findCookie(ptr, header.length, namePtr, name.length, out, max),
        );
        assert.equal(
          found.result < 0 ? found.result : found.written.toString("latin1"),
          reference.findCookie(header, name, max),
        );

        const removed = leaves.writing(header.length, (out) =>
          leaves.wasm.removeCookie(ptr, header.length, namePtr, name.length, out),
        );
        const expected = reference.removeCookie(header, name);
        assert.equal(removed.written.toString("latin1"), expected);
        assert.equal(reference.findCookie(expected, name, 256), -1);
        const left = leaves.wasm.removeCookie(ptr, header.length, namePtr, name.length, ptr);
        assert.equal(leaves.read(ptr, left).toString("latin1"), expected, "in place");
      }),
      { numRuns: runs(10_000, 100_000) },
    );
  });
});

describe("header values and names", () => {
  test("hold Bearer tokens as the grammar says", () => {
    fc.assert(
      fc.property(textOf("Bearer", "bearer ", "BEARER\t", " ", "\t", "tg_x", "Basic ", "b"), (value) => {
        const ptr = leaves.put(latin1(value));
        const found = BigInt.asUintN(64, leaves.wasm.bearerToken(ptr, value.length));
        const token =
          found === 0n
            ? undefined
            : leaves.read(ptr + Number(found >> 32n), Number(found & 0xffffffffn)).toString("latin1");
        assert.equal(token, reference.bearerToken(value));
      }),
      some,
    );
  });

  test("are folded alike", () => {
    const name = textOf("x", "X", "-", "_", ".", "tier", "Tier", "0");
    fc.assert(
      fc.property(name, name, (a, b) => {
        const ptr = leaves.put(latin1(a));
        const other = leaves.putName(latin1(b));
        assert.equal(
          leaves.wasm.foldEquals(ptr, a.length, other, b.length) !== 0,
          reference.fold(a) === reference.fold(b),
        );
        assert.equal(
          leaves.wasm.foldStartsWith(ptr, a.length, other, b.length) !== 0,
          reference.fold(a).startsWith(reference.fold(b)),
        );
      }),
      some,
    );
  });
});

describe("JSON and configurations", () => {
  const damage = fc.record({
    place: fc.nat(),
    kind: fc.constantFrom("set", "drop", "double", "cut"),
    letter: fc.constantFrom(...'"\\{}[]:,0-.e u\n\x00\x80\xc0\xff'),
  });

  /** A text with a few bytes changed, dropped or doubled, or its end cut off. */
  const damaged = (texts: fc.Arbitrary<string>): fc.Arbitrary<Uint8Array> =>
    fc.tuple(texts, fc.array(damage, { maxLength: 3 })).map(([text, damages]) => {
      let bytes = [...Buffer.from(text)];
      for (const { place, kind, letter } of damages) {
        const at = bytes.length === 0 ? 0 : place % bytes.length;
        if (kind === "cut") bytes = bytes.slice(0, at);
        else if (kind === "drop") bytes.splice(at, 1);
        else if (kind === "double") bytes.splice(at, 0, ...bytes.slice(at, at + 1));
        else bytes.splice(at, 1, letter.charCodeAt(0));
      }
      return Uint8Array.from(bytes);
    });

  // The heap may be where the memory ends now, so these inputs stand in the scratch block.
  const call = (check: (ptr: number, len: number) => number, bytes: Uint8Array): boolean =>
    check(configLeaves.putName(bytes), bytes.length) !== 0;

  test("is JSON what JSON.parse takes", () => {
    const parts = textOf(
      "{",
      "}",
      "[",
      "]",
      '"a"',
      ":",
      ",",
      "1",
      "-0.5e3",
      "true",
      "null",
      " ",
      '"\\u00e9"',
      '"\\ud83d\\ude00"',
      '"\\ud800"',
    );
    const texts = fc.oneof(fc.json({ maxDepth: 6 }), parts);
    fc.assert(
      fc.property(damaged(texts), (bytes) => {
        assert.equal(call(configLeaves.wasm.isJson, bytes), reference.isJson(bytes));
      }),
      { numRuns: runs(10_000, 100_000) },
    );
  });

  test("never trap on a damaged configuration, and refuse what isn't JSON", () => {
    const whole = JSON.stringify({
      control: { cluster: "c", authority: "a", tokenEnv: "T", timeoutMs: 5000, waitMs: 25000 },
      environment: "default",
      keySources: [{ header: "x-api-key" }, { bearer: true }, { query: "api_key" }, { cookie: "é" }],
      unknownApi: "deny",
      claims: { prefix: "x-c-", names: { consumer: "x-d", "claim-org": "x-org" } },
      failureMode: "open",
      mode: "observe",
      observe: { key: "keep" },
      snapshotWaitTimeoutMs: 1,
      maxSnapshotAgeSeconds: 2.0,
    }).replace("é", "api_key");
    const standalone = JSON.stringify({ environment: "a", snapshot: "AAEC", keySources: [{ query: "k" }] });
    assert.ok(call(configLeaves.wasm.isConfig, Buffer.from(whole)));
    assert.ok(call(configLeaves.wasm.isConfig, Buffer.from(standalone)));
    fc.assert(
      fc.property(fc.oneof(damaged(fc.constantFrom(whole, standalone)), anyBytes), (bytes) => {
        const accepted = call(configLeaves.wasm.isConfig, bytes);
        const blank = /^[ \t\r\n]*$/.test(Buffer.from(bytes).toString("latin1"));
        if (accepted && !blank) assert.ok(reference.isJson(bytes));
      }),
      { numRuns: runs(10_000, 100_000) },
    );
  });
});
