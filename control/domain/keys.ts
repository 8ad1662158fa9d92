/** Keys and tokens: their form, their digests, their rotation. Randomness and time are parameters. */
import { createHash } from "node:crypto";
import { crc32 } from "./crc32.ts";
import type { Key } from "./model.ts";
import { parseTime, timeText } from "./time.ts";

/** Gives a whole number of 0..limit-1, each equally likely; `crypto.randomInt` is one. */
export type RandomInt = (limit: number) => number;

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const base36 = "0123456789abcdefghijklmnopqrstuvwxyz";
const randomChars = 26;
const shownChars = 4;

/** A new key of an environment, `tg_<env>_<26 random base62>_<6 base62 of the CRC-32 of all before>`: about 154 bits of randomness. */
export function issueKey(environment: string, random: RandomInt): { key: string; prefix: string; sha256: string } {
  const secret = randomText(base62, randomChars, random);
  const body = `tg_${environment}_${secret}`;
  const key = `${body}_${checksum(body)}`;
  return { key, prefix: `tg_${environment}_${secret.slice(0, shownChars)}`, sha256: digestHex(key) };
}

/** A new id for a key, `k_` and 10 random characters. */
export function newKeyId(random: RandomInt): string {
  return `k_${randomText(base36, 10, random)}`;
}

/** A new admin (`tga_`) or gateway (`tgg_`) token, 43 random characters: about 256 bits. */
export function issueToken(kind: "admin" | "gateway", random: RandomInt): { token: string; sha256: string } {
  const token = `${kind === "admin" ? "tga" : "tgg"}_${randomText(base62, 43, random)}`;
  return { token, sha256: digestHex(token) };
}

/** The SHA-256 of a key or a token, as hex. */
export function digestHex(secret: string): string {
  return createHash("sha256").update(secret, "utf8").digest("hex");
}

/** Is it a well-formed key of Tollgate, checksum included? */
export function wellFormedKey(text: string): boolean {
  const match = /^(tg_[a-z0-9-]{1,32}_[0-9A-Za-z]{26})_([0-9A-Za-z]{6})$/.exec(text);
  return match !== null && checksum(match[1]!) === match[2];
}

/** The visible start of a key: of our own form, what `issueKey` shows; of any other form none, since its start may be its secret. */
export function visiblePrefix(key: string): string | undefined {
  return wellFormedKey(key) ? key.slice(0, key.lastIndexOf("_") - randomChars + shownChars) : undefined;
}

/**
 * The key that a rotation replaces: it lives `graceSeconds` more and never past its own expiry; without grace it is revoked at once.
 */
export function retire(key: Key, successorId: string, graceSeconds: number, nowMs: number): Key {
  if (graceSeconds === 0) return { ...key, state: "revoked", rotatedTo: successorId };
  const graceEndMs = nowMs + graceSeconds * 1000;
  const ownEndMs = key.expiresAt === undefined ? Infinity : parseTime(key.expiresAt)!;
  return { ...key, expiresAt: timeText(Math.min(graceEndMs, ownEndMs)), rotatedTo: successorId };
}

/** The key that a rotation makes: the old one's rights and expiry under a new id and digest. */
export function successor(key: Key, made: { id: string; sha256: string; prefix: string }): Key {
  const { rotatedTo: _old, ...rest } = key;
  return { ...rest, ...made };
}

function checksum(body: string): string {
  let value = crc32(Buffer.from(body, "utf8"));
  let text = "";
  for (let digit = 0; digit < 6; digit++) {
    text = base62[value % 62]! + text;
    value = Math.floor(value / 62);
  }
  return text;
}

function randomText(alphabet: string, length: number, random: RandomInt): string {
  let text = "";
  for (let index = 0; index < length; index++) text += alphabet[random(alphabet.length)]!;
  return text;
}
