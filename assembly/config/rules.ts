/** What a configuration's names and values may look like. */
import { foldEquals, foldStartsWith } from "../http/headerNames";
import { ascii } from "../lib/text";
import { MESSAGE_HEADERS } from "../wire/enums";

/** header and cookie names, parameters, prefixes: longer ones are mistakes */
export const NAME_MAX_BYTES: i32 = 128;
const ENVIRONMENT_MAX_BYTES: i32 = 32;

/** Whether it's a field name of RFC 9110 (a token) of at most NAME_MAX_BYTES; pseudo headers such as `:path` are none. */
export function isToken(bytes: StaticArray<u8>): bool {
  if (!bytes.length || bytes.length > NAME_MAX_BYTES) return false;
  for (let i = 0; i < bytes.length; i++) {
    if (!isTokenByte(bytes[i])) return false;
  }
  return true;
}

const URL_MAX_BYTES: i32 = 200;
const HTTP = ascii("http://");
const HTTPS = ascii("https://");

/** Whether it begins as an http or https URL and can stand in a JSON text as it is. */
export function isUrlBase(bytes: StaticArray<u8>): bool {
  if (bytes.length <= HTTPS.length || bytes.length > URL_MAX_BYTES) return false;
  const at = changetype<usize>(bytes);
  if (
    memory.compare(at, changetype<usize>(HTTP), HTTP.length) != 0 &&
    memory.compare(at, changetype<usize>(HTTPS), HTTPS.length) != 0
  )
    return false;
  for (let i = 0; i < bytes.length; i++) {
    const c = <u32>bytes[i];
    if (c <= 0x20 || c > 0x7e || c == 0x22 || c == 0x5c) return false;
  }
  return true;
}

/** `[a-z0-9-]{1,32}`, as in keys. */
export function isEnvironment(bytes: StaticArray<u8>): bool {
  return bytes.length <= ENVIRONMENT_MAX_BYTES && isClaimName(bytes);
}

/** `[a-z0-9-]+`, as in a consumer's claims. */
export function isClaimName(bytes: StaticArray<u8>): bool {
  if (!bytes.length || bytes.length > NAME_MAX_BYTES) return false;
  for (let i = 0; i < bytes.length; i++) {
    const c = <u32>bytes[i];
    if (c - 0x61 >= 26 && c - 0x30 >= 10 && c != 0x2d) return false;
  }
  return true;
}

/** `[A-Za-z_][A-Za-z0-9_]*`, as a shell names variables. */
export function isVariable(bytes: StaticArray<u8>): bool {
  if (!bytes.length || bytes.length > NAME_MAX_BYTES || <u32>bytes[0] - 0x30 < 10) return false;
  for (let i = 0; i < bytes.length; i++) {
    const c = <u32>bytes[i];
    if ((c | 0x20) - 0x61 >= 26 && c - 0x30 >= 10 && c != 0x5f) return false;
  }
  return true;
}

/** Visible ASCII without blanks: what can stand in a cluster's name or an authority. */
export function isVisible(bytes: StaticArray<u8>): bool {
  for (let i = 0; i < bytes.length; i++) {
    if (<u32>bytes[i] - 0x21 >= 0x5e) return false;
  }
  return true;
}

/** A prefix that marks claims and takes no header of the message with it: a token of letters or digits first and `-` last. */
export function isClaimPrefix(bytes: StaticArray<u8>): bool {
  if (bytes.length < 2 || !isToken(bytes) || bytes[bytes.length - 1] != 0x2d) return false;
  const first = <u32>bytes[0];
  return first - 0x61 < 26 || first - 0x30 < 10;
}

export function isMessageHeader(name: StaticArray<u8>): bool {
  for (let i = 0; i < MESSAGE_HEADERS.length; i++) {
    if (sameHeader(name, ascii(MESSAGE_HEADERS[i]))) return true;
  }
  return false;
}

/** The first header of the message (or `authorization`) that the prefix would strip, empty when there is none. */
export function headerUnderPrefix(prefix: StaticArray<u8>): string {
  if (startsWithFolded(ascii("authorization"), prefix)) return "authorization";
  for (let i = 0; i < MESSAGE_HEADERS.length; i++) {
    if (startsWithFolded(ascii(MESSAGE_HEADERS[i]), prefix)) return MESSAGE_HEADERS[i];
  }
  return "";
}

/** Whether a backend could take the two names for the same header. */
export function sameHeader(a: StaticArray<u8>, b: StaticArray<u8>): bool {
  return foldEquals(changetype<usize>(a), a.length, changetype<usize>(b), b.length);
}

export function startsWithFolded(name: StaticArray<u8>, prefix: StaticArray<u8>): bool {
  return foldStartsWith(changetype<usize>(name), name.length, changetype<usize>(prefix), prefix.length);
}

export function sameBytes(a: StaticArray<u8>, b: StaticArray<u8>): bool {
  return a.length == b.length && !memory.compare(changetype<usize>(a), changetype<usize>(b), a.length);
}

/** Makes ASCII capitals small, in place. */
export function lowerCase(bytes: StaticArray<u8>): StaticArray<u8> {
  for (let i = 0; i < bytes.length; i++) {
    if (<u32>bytes[i] - 0x41 < 26) bytes[i] |= 0x20;
  }
  return bytes;
}

function isTokenByte(c: u32): bool {
  if ((c | 0x20) - 0x61 < 26 || c - 0x30 < 10) return true;
  switch (c) {
    case 0x21: // !
    case 0x23: // #
    case 0x24: // $
    case 0x25: // %
    case 0x26: // &
    case 0x27: // '
    case 0x2a: // *
    case 0x2b: // +
    case 0x2d: // -
    case 0x2e: // .
    case 0x5e: // ^
    case 0x5f: // _
    case 0x60: // `
    case 0x7c: // |
    case 0x7e: // ~
      return true;
    default:
      return false;
  }
}
