import { crc32 } from "../../control/domain/crc32.ts";

const storedMaxBytes = 0xffff;
/** RFC 1952: deflate, no name, no time, an operating system that isn't told. */
const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);

/**
 * The bytes in gzip's format, in stored blocks. Not compressed, on purpose: what a compressor makes of the same bytes differs between
 * versions of zlib and even between processors, and a digest must not. The module is some 150 KB, fetched once by a gateway.
 */
export function storedGzip(bytes: Uint8Array): Buffer {
  const parts: Uint8Array[] = [header];
  for (let at = 0; at === 0 || at < bytes.length; at += storedMaxBytes) {
    const block = bytes.subarray(at, at + storedMaxBytes);
    const head = Buffer.alloc(5);
    head.writeUInt8(at + block.length === bytes.length ? 1 : 0, 0);
    head.writeUInt16LE(block.length, 1);
    head.writeUInt16LE(block.length ^ 0xffff, 3);
    parts.push(head, block);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(bytes), 0);
  trailer.writeUInt32LE(bytes.length >>> 0, 4);
  return Buffer.concat([...parts, trailer]);
}
