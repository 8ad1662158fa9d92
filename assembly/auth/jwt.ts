/**
 * A token's claims, as Envoy's jwt_authn filter has verified them and left them in the request's metadata. No header is read here: what a
 * client writes into one proves nothing.
 *
 * The request's metadata is read whole, as the message envoy.config.core.v3.Metadata: Envoy gives that for the property `metadata` alone.
 * For a claim by itself it would give bytes that don't say whether they were a text, a number or a boolean.
 */
import { property, value, valueBytes } from "../abi/host";
import { afterTexts, count, first, next, text, textBytes } from "../wire/lists";
import { TOKEN_AUDIENCE, TOKEN_ISSUER, TOKEN_MISSING } from "../wire/reasons";
import { jwtAudiences, jwtIssuers } from "../wire/records";
import { ascii } from "../lib/text";
import {
  VALUE_LIST,
  VALUE_NONE,
  VALUE_STRUCT,
  VALUE_TEXT,
  at as valueAt,
  bytes as size,
  kind,
  mapEntry,
  readItem,
  readMember,
} from "./protobufStruct";

/** Nothing is wrong. No reason to refuse has this number. */
export const NO_FAULT: u32 = 0xffffffff;

/** Items of a claim that is a list, beyond which nobody looks. */
const ITEMS_MAX: u32 = 128;
/** Field `filter_metadata` of the message: map<string, Struct>. */
const FILTER_METADATA: u32 = 1;

const METADATA = ascii("metadata");
const JWT_AUTHN = ascii("envoy.filters.http.jwt_authn");
const PAYLOAD = ascii("payload");
const ISS = ascii("iss");
const AUD = ascii("aud");

/** The verified payload, a Struct in what the host returned: valid until the callback ends. */
let payloadAt: usize = 0;
let payloadBytes: u32 = 0;

/** The claim that was read last, or the item of it: what kind of value, and its bytes if it's a text. */
export let claimAt: usize = 0;
export let claimBytes: u32 = 0;
let claimKind: u32 = VALUE_NONE;
/** Where the next item of the last claim that is a list lies. */
let itemAt: usize = 0;
let itemsEnd: usize = 0;
let items: u32 = 0;

/** Finds the payload of the effective context's request. False: no token was verified. */
function openPayload(): bool {
  if (!property(changetype<usize>(METADATA), METADATA.length)) return false;
  if (!mapEntry(value(), valueBytes(), FILTER_METADATA, changetype<usize>(JWT_AUTHN), JWT_AUTHN.length)) return false;
  readMember(valueAt, size, changetype<usize>(PAYLOAD), PAYLOAD.length);
  if (kind != VALUE_STRUCT) return false;
  payloadAt = valueAt;
  payloadBytes = size;
  return true;
}

// @ts-ignore: decorator
@inline
function took(): bool {
  claimKind = kind;
  claimAt = valueAt;
  claimBytes = size;
  return kind != VALUE_NONE;
}

/**
 * Reads a claim of the token that `checkToken` looked at: the one of that very name, or else, where the name has dots, the one that they
 * lead to. False when the token doesn't have it, or it's null. `isText` says whether it can be used.
 */
export function claim(name: usize, bytes: u32): bool {
  readMember(payloadAt, payloadBytes, name, bytes);
  if (kind != VALUE_NONE) return took();
  const end = name + bytes;
  let structAt = payloadAt;
  let structBytes = payloadBytes;
  for (let from = name; ; ) {
    let to = from;
    while (to < end && load<u8>(to) != 0x2e) to++;
    if (from == name && to == end) break;
    readMember(structAt, structBytes, from, <u32>(to - from));
    if (to == end || kind != VALUE_STRUCT) {
      if (to < end) kind = VALUE_NONE;
      break;
    }
    structAt = valueAt;
    structBytes = size;
    from = to + 1;
  }
  return took();
}

/** Whether the last claim is a list; `nextItem` reads its items then. */
export function openItems(): bool {
  if (claimKind != VALUE_LIST) return false;
  itemAt = claimAt;
  itemsEnd = claimAt + claimBytes;
  items = 0;
  return true;
}

/** Reads the next item of the list as the claim. */
export function nextItem(): bool {
  if (itemAt == 0 || items++ == ITEMS_MAX) return false;
  itemAt = readItem(itemAt, itemsEnd);
  if (itemAt == 0) return false;
  took();
  return true;
}

/** Whether what was read is a text: visible characters, and blanks where `blanks` allows them. */
export function isText(blanks: bool): bool {
  if (claimKind != VALUE_TEXT) return false;
  const least: u32 = blanks ? 0x20 : 0x21;
  for (let i: u32 = 0; i < claimBytes; i++) {
    const c = <u32>load<u8>(claimAt + i);
    if (c < least || c == 0x7f) return false;
  }
  return claimBytes > 0;
}

/** Whether what was read is this very text. */
export function isValue(at: usize, bytes: u32): bool {
  return claimKind == VALUE_TEXT && claimBytes == bytes && memory.compare(claimAt, at, bytes) == 0;
}

/** The API's issuer that signed the token: an item of the list, as `checkToken` found it. */
export let issuer: usize = 0;

/** Whether there is a token that is meant for this API: by issuer and audience. NO_FAULT or why not. */
export function checkToken(jwt: usize): u32 {
  issuer = 0;
  if (!openPayload()) return TOKEN_MISSING;
  if (!claim(changetype<usize>(ISS), ISS.length)) return TOKEN_ISSUER;
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
  if (!openItems()) return isOneOf(wanted);
  while (nextItem()) if (isOneOf(wanted)) return true;
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
