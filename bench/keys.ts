/** Keys for the benchmarks: well-formed, and the same in every run, so that a filled database can be used again. */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { environment, rotation } from "./workload.ts";

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** The key number `index` of an environment: `tg_<environment>_<26 base62>_<6 base62 of the CRC32>`. Not secret, not random. */
export function benchKey(environment: string, index: number): string {
  const seed = createHash("sha256").update(`bench ${environment} ${index}`).digest();
  let body = `tg_${environment}_`;
  for (let i = 0; i < 26; i++) body += alphabet[seed[i]! % 62];
  return `${body}_${checksum(body)}`;
}

/** The same key with a wrong checksum: refused by its form. */
export function malformedKey(environment: string, index: number): string {
  const key = benchKey(environment, index);
  return key.slice(0, -1) + (key.endsWith("0") ? "1" : "0");
}

/** One key, always the same. */
export const hot: readonly string[] = [benchKey(environment, 0)];

/** `size` keys out of the first `keyCount`. */
export function rotating(keyCount: number, size: number): string[] {
  return rotation(keyCount, size).map((index) => benchKey(environment, index));
}

export function allKeys(count: number): string[] {
  return Array.from({ length: count }, (_, index) => benchKey(environment, index));
}

export function sha256Hex(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

function checksum(body: string): string {
  let rest = crc32(body);
  let text = "";
  for (let i = 0; i < 6; i++) {
    text = alphabet[rest % 62]! + text;
    rest = Math.floor(rest / 62);
  }
  return text;
}
