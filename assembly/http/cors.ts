/** Cross-origin rules of an API (Fetch standard): whether a preflight may pass without a key, and the headers of a refusal. */
import { pair } from "../lib/pairs";
import { count, first, next, text, textBytes } from "../wire/lists";
import { askedMethod, method, origin } from "./headerScan";
import { takesMethod, methodBit, methodBits } from "./methods";
import { ascii } from "../lib/text";
import { corsAllowCredentials, corsExposed, corsMethods, corsOrigins } from "../wire/records";

const ALLOW_ORIGIN = ascii("access-control-allow-origin");
const ALLOW_CREDENTIALS = ascii("access-control-allow-credentials");
const EXPOSE_HEADERS = ascii("access-control-expose-headers");
const VARY = ascii("vary");
const ORIGIN = ascii("origin");
const TRUE = ascii("true");
const OPTIONS = ascii("OPTIONS");
const exposed = memory.data(1024);

/** Whether a request has the form of a preflight: OPTIONS with an origin and the method that is asked for. */
export function isPreflight(): bool {
  return (
    method.bytes == 7 &&
    askedMethod.bytes > 0 &&
    origin.bytes > 0 &&
    memory.compare(method.at, changetype<usize>(OPTIONS), 7) == 0
  );
}

/** `*`, the very origin, or `https://*.suffix` for any host below the suffix. */
function originMatches(rule: usize, ruleBytes: u32): bool {
  if (ruleBytes == 1 && load<u8>(rule) == 0x2a) return true;
  let star: u32 = 0;
  while (star < ruleBytes && load<u8>(rule + star) != 0x2a) star++;
  if (star == ruleBytes) return ruleBytes == origin.bytes && memory.compare(rule, origin.at, ruleBytes) == 0;
  const tail = ruleBytes - star - 1;
  if (origin.bytes < star + tail + 1) return false;
  if (memory.compare(rule, origin.at, star) != 0) return false;
  const rest = origin.at + origin.bytes - tail;
  if (memory.compare(rule + star + 1, rest, tail) != 0) return false;
  for (let at = origin.at + star; at < rest; at++) {
    if (!isHostByte(load<u8>(at))) return false;
  }
  return true;
}

/** A byte of a host's name; anything else could end the host earlier than the suffix does. */
function isHostByte(c: u32): bool {
  return (c | 32) - 0x61 < 26 || c - 0x30 < 10 || c == 0x2d || c == 0x2e || c == 0x5f;
}

/** Whether the request's origin is allowed by the rules. */
function originAllowed(cors: usize): bool {
  if (origin.bytes == 0) return false;
  let rule = first(corsOrigins(cors));
  for (let n = count(corsOrigins(cors)); n > 0; n--) {
    if (originMatches(text(rule), textBytes(rule))) return true;
    rule = next(rule);
  }
  return false;
}

/** Whether a request in the form of a preflight asks for what the rules (an API record's CORS part, not 0) allow. */
export function preflightAllowed(cors: usize): bool {
  if (!originAllowed(cors)) return false;
  const methods = corsMethods(cors);
  return takesMethod(
    methodBits(methods),
    methods,
    methodBit(askedMethod.at, askedMethod.bytes),
    askedMethod.at,
    askedMethod.bytes,
  );
}

/** Adds the headers by which a browser shows a refusal to its page. */
export function corsPairs(cors: usize): void {
  if (cors == 0 || !originAllowed(cors)) return;
  const expose = corsExposed(cors);
  pair(changetype<usize>(ALLOW_ORIGIN), ALLOW_ORIGIN.length, origin.at, origin.bytes);
  pair(changetype<usize>(VARY), VARY.length, changetype<usize>(ORIGIN), ORIGIN.length);
  if (corsAllowCredentials(cors))
    pair(changetype<usize>(ALLOW_CREDENTIALS), ALLOW_CREDENTIALS.length, changetype<usize>(TRUE), TRUE.length);
  let bytes: u32 = 0;
  let item = first(expose);
  for (let n = count(expose); n > 0; n--) {
    const size = textBytes(item);
    if (bytes + size + 1 > 1024) break;
    if (bytes > 0) store<u8>(exposed + bytes++, 0x2c);
    memory.copy(exposed + bytes, text(item), size);
    bytes += size;
    item = next(item);
  }
  if (bytes > 0) pair(changetype<usize>(EXPOSE_HEADERS), EXPOSE_HEADERS.length, exposed, bytes);
}
