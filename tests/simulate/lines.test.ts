import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { lineBytesMax, LogError, readLines } from "../../tools/simulate/lines.ts";
import { source } from "./support.ts";

async function all(bytes: Buffer | string, chunkBytes?: number): Promise<{ lines: string[]; overlong: number }> {
  const lines: string[] = [];
  let overlong = 0;
  for await (const batch of readLines(source(bytes, chunkBytes).open())) {
    lines.push(...batch.lines);
    overlong += batch.overlong;
  }
  return { lines, overlong };
}

describe("lines", () => {
  test("of any text are the same however it's cut into chunks, packed or not", async () => {
    const content = fc
      .array(fc.constantFrom("a", "bc", "ü", "日本", "\n", "\n\n", "\r\n", "{", "\u{1f600}"), { maxLength: 60 })
      .map((parts) => parts.join(""));
    await fc.assert(
      fc.asyncProperty(content, fc.integer({ min: 1, max: 20 }), fc.boolean(), async (text, chunkBytes, packed) => {
        const expected = text
          .replace(/\n$/, "")
          .split("\n")
          .map((line) => line.replace(/\r$/, ""));
        assert.deepEqual(await all(packed ? gzipSync(text) : text, chunkBytes), {
          lines: text === "" ? [] : expected,
          overlong: 0,
        });
      }),
    );
  });

  test("of gzip files put together are all there, and a byte order mark isn't", async () => {
    assert.deepEqual((await all(Buffer.concat([gzipSync("\ufeffa\nb\n"), gzipSync("c\n")]), 7)).lines, ["a", "b", "c"]);
  });

  test("that never end are dropped and counted, what follows is read", async () => {
    const long = "x".repeat(lineBytesMax + 10);
    for (const chunkBytes of [1 << 16, 1 << 20, 1 << 24]) {
      const { lines, overlong } = await all(`a\n${long}${long}\nb\n`, chunkBytes);
      assert.deepEqual(
        lines.filter((line) => line.length < 10),
        ["a", "b"],
      );
      // In one chunk there is an end to it.
      assert.equal(overlong + lines.filter((line) => line.length > 10).length, 1);
    }
  });

  test("packed in another way, or badly, are refused with a remedy", async () => {
    await assert.rejects(
      all(Buffer.from("28b52ffd00000000", "hex")),
      (error: Error) => error instanceof LogError && /zstd -dc <log> \| tollgate simulate -/.test(error.message),
    );
    await assert.rejects(all(Buffer.from("425a683931", "hex")), /bzip2/);
    const packed = gzipSync("a\n".repeat(1000));
    await assert.rejects(all(packed.subarray(0, packed.length - 12)), /end in the middle/);
    packed.fill(0x55, 12, 20);
    await assert.rejects(all(packed), /gzip data are broken/);
  });

  test("of less than four bytes are lines too", async () => {
    assert.deepEqual((await all("a")).lines, ["a"]);
    assert.deepEqual((await all("")).lines, []);
  });
});
