/**
 * A token's claims, as Envoy's jwt_authn filter has verified them and left them in the request's metadata. No header is read here: what a
 * client writes into one proves nothing.
 */
import { property, value, valueBytes } from "../abi/host";
import { afterTexts, count, first, next, text, textBytes } from "../wire/lists";
import { TOKEN_AUDIENCE, TOKEN_ISSUER, TOKEN_MISSING } from "../wire/reasons";
import { jwtAudiences, jwtIssuers } from "../wire/records";
import { ascii } from "../text";

/** Nothing is wrong. No reason to refuse has this number. */
export const NO_FAULT: u32 = 0xffffffff;

/** Longer names can't be asked for; control sets a lower bound. */
const CLAIM_BYTES_MAX: u32 = 256;
/** Items of a claim that is a list, beyond which nobody looks. */
const ITEMS_MAX: u32 = 128;

const PAYLOAD = ascii("metadata\0filter_metadata\0envoy.filters.http.jwt_authn\0payload");
const ISS = ascii("iss");
const AUD = ascii("aud");
const path = makePath();
const claimAt: usize = path + PAYLOAD.length + 1;

function makePath(): usize {
  const at = memory.data(512);
  memory.copy(at, changetype<usize>(PAYLOAD), PAYLOAD.length);
  store<u8>(at + PAYLOAD.length, 0);
  return at;
}

/** Where the last claim that was asked for ends in `path`. */
let claimEnd: usize = claimAt;

/**
 * Reads a claim into `value()`: the one of that very name, or else, where the name has dots, the one that they lead to. What isn't a text
 * comes with control characters among its bytes.
 */
export function claim(name: usize, bytes: u32): bool {
  if (bytes > CLAIM_BYTES_MAX) return false;
  memory.copy(claimAt, name, bytes);
  claimEnd = claimAt + bytes;
  if (read()) return true;
  let dots = false;
  for (let at = claimAt; at < claimEnd; at++) {
    if (load<u8>(at) == 0x2e) {
      store<u8>(at, 0);
      dots = true;
    }
  }
  return dots && read();
}

// @ts-ignore: decorator
@inline
function read(): bool {
  return property(path, <u32>(claimEnd - path));
}

/** Reads the n-th item of the last claim, which is a list. */
export function claimItem(n: u32): bool {
  if (n >= ITEMS_MAX) return false;
  let at = claimEnd;
  store<u8>(at++, 0);
  if (n >= 100) store<u8>(at++, <u8>(0x30 + n / 100));
  if (n >= 10) store<u8>(at++, <u8>(0x30 + (n / 10) % 10));
  store<u8>(at++, <u8>(0x30 + n % 10));
  return property(path, <u32>(at - path));
}

/** Whether what was read is a text: visible characters, and blanks where `blanks` allows them. */
export function isText(blanks: bool): bool {
  const least: u32 = blanks ? 0x20 : 0x21;
  const at = value();
  const bytes = valueBytes();
  for (let i: u32 = 0; i < bytes; i++) {
    const c = <u32>load<u8>(at + i);
    if (c < least || c == 0x7f) return false;
  }
  return bytes > 0;
}

// @ts-ignore: decorator
@inline
function isValue(at: usize, bytes: u32): bool {
  return valueBytes() == bytes && memory.compare(value(), at, bytes) == 0;
}

/** The API's issuer that signed the token: an item of the list, as `checkToken` found it. */
export let issuer: usize = 0;

/** Whether there is a token that is meant for this API: by issuer and audience. NO_FAULT or why not. */
export function checkToken(jwt: usize): u32 {
  issuer = 0;
  if (!claim(changetype<usize>(ISS), ISS.length)) {
    return property(changetype<usize>(PAYLOAD), PAYLOAD.length) ? TOKEN_ISSUER : TOKEN_MISSING;
  }
  const issuers = jwtIssuers(jwt);
  let item = first(issuers);
  let audiences = first(jwtAudiences(jwt));
  for (let n = count(issuers); n > 0; n--) {
    if (isValue(text(item), textBytes(item))) {
      issuer = item;
      return hasAudience(audiences) ? NO_FAULT : TOKEN_AUDIENCE;
    }
    item = next(item);
    audiences = afterTexts(audiences);
  }
  return TOKEN_ISSUER;
}

/** Whether the token is for one of the audiences; an empty list is for any. */
function hasAudience(wanted: usize): bool {
  if (count(wanted) == 0) return true;
  if (!claim(changetype<usize>(AUD), AUD.length)) return false;
  if (isText(true)) return isOneOf(wanted);
  for (let n: u32 = 0; claimItem(n); n++) {
    if (isOneOf(wanted)) return true;
  }
  return false;
}

function isOneOf(list: usize): bool {
  let item = first(list);
  for (let n = count(list); n > 0; n--) {
    if (isValue(text(item), textBytes(item))) return true;
    item = next(item);
  }
  return false;
}
