/**
 * What is safe in a request path, as the filter judges it (`assembly/path.ts`, which says why): a path that would be another one in some
 * reader's eyes is refused, or read in a second way as well. Texts are bytes, one character each (Latin-1).
 */

export interface RequestPath {
  /** as it stands, without its query */
  path: string;
  /** where it has an escape or a `;`: percent-decoded and without parameters, as a backend may read it */
  decoded: string | undefined;
}

const DOT = 1;
const SLASH = 2;
const PERCENT = 3;
const SEMICOLON = 4;
const HIGH = 5;
const QUESTION = 6;
const NEVER = 7;

/** Class of each byte; 0: harmless. */
const classes = new Uint8Array(256).fill(HIGH, 0x80).fill(NEVER, 0, 0x21);
for (const [text, kind] of [[".", DOT], ["/", SLASH], ["%", PERCENT], [";", SEMICOLON], ["?", QUESTION], ["#\\\x7f", NEVER]] as const) {
  for (const character of text) classes[character.charCodeAt(0)] = kind;
}

/** Text whose characters are bytes: UTF-8 of what isn't so already. */
export function byteText(text: string): string {
  return /^[\0-\x7f]*$/.test(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

/** Reads a request's target (path and query). `undefined`: the filter refuses it, `path_invalid`. */
export function readPath(target: string): RequestPath | undefined {
  const end = target.length;
  if (end === 0 || (end === 1 && target !== "/")) return { path: target, decoded: undefined };
  if (classAt(target, 0) !== SLASH) return undefined;
  let decode = false;
  let at = 0;
  while (at < end) {
    const kind = classAt(target, at);
    if (kind <= DOT) at++;
    else if (kind === SLASH) {
      at++;
      if (at < end && isEmptyOrDots(target, at)) return undefined;
    } else if (kind === PERCENT) {
      if (!isSafeEscape(target, at)) return undefined;
      decode = true;
      at += 3;
    } else if (kind === SEMICOLON) {
      decode = true;
      at++;
    } else if (kind === HIGH) {
      if (isOverlong(target.charCodeAt(at), decodedAt(target, at + 1))) return undefined;
      at++;
    } else if (kind === QUESTION) break;
    else return undefined;
  }
  const path = at === end ? target : target.slice(0, at);
  return { path, decoded: decode ? decodePath(path) : undefined };
}

/** The path percent-decoded and with every segment's `;parameters` dropped, where `%3b` counts as `;`. */
export function decodePath(path: string): string {
  let out = "";
  let inParameters = false;
  let at = 0;
  while (at < path.length) {
    let code = path.charCodeAt(at);
    let size = 1;
    if (code === 0x2f) inParameters = false;
    else if (code === 0x25) {
      const escape = decodedAt(path, at);
      if (escape !== 0) {
        code = escape & 0xff;
        size = 3;
      }
    }
    if (code === 0x3b) inParameters = true;
    if (!inParameters) out += String.fromCharCode(code);
    at += size;
  }
  return out;
}

function classAt(text: string, at: number): number {
  return classes[text.charCodeAt(at)]!;
}

/** The byte at a place, an escape decoded: its size (1 or 3) << 8 | the byte; 0 at the end of the path and at a malformed escape. */
function decodedAt(text: string, at: number): number {
  if (at >= text.length) return 0;
  const code = text.charCodeAt(at);
  if (code === 0x3f) return 0;
  if (code !== 0x25) return 0x100 | code;
  const value = hexPair(text.charCodeAt(at + 1), text.charCodeAt(at + 2));
  return value < 0 ? 0 : 0x300 | value;
}

/** Whether the segment at a place, decoded and without parameters, is `.`, `..`, or empty though not the last. */
function isEmptyOrDots(text: string, from: number): boolean {
  let at = from;
  let dots = 0;
  let next = decodedAt(text, at);
  while ((next & 0xff) === 0x2e) {
    if (++dots === 3) return false;
    at += next >> 8;
    next = decodedAt(text, at);
  }
  if (next === 0) return dots > 0;
  const code = next & 0xff;
  if (code === 0x3b) return dots > 0 || hasNextSegment(text, at);
  return code === 0x2f;
}

function hasNextSegment(text: string, at: number): boolean {
  const slash = text.indexOf("/", at);
  const question = text.indexOf("?", at);
  return slash >= 0 && (question < 0 || slash < question);
}

/** Whether the `%` begins a well-formed escape of a byte that no reader takes for structure, decoding once or twice. */
function isSafeEscape(text: string, at: number): boolean {
  const escape = decodedAt(text, at);
  if (escape === 0) return false;
  const code = escape & 0xff;
  if (code < 0x20 || code === 0x7f || code === 0x2f || code === 0x5c) return false;
  if (code >= 0x80) return !isOverlong(code, decodedAt(text, at + 3));
  return code !== 0x25 || !isHarmfulEscape(text, at + 3);
}

/** Whether the two characters at a place, decoded, make with the `%` before them an escape that a second decoding turns into structure. */
function isHarmfulEscape(text: string, at: number): boolean {
  const first = decodedAt(text, at);
  const second = decodedAt(text, at + (first >> 8));
  if (first === 0 || second === 0) return false;
  const code = hexPair(first & 0xff, second & 0xff);
  if (code < 0) return false;
  if (code < 0x20 || code === 0x7f || code === 0x25 || code === 0x2f || code === 0x3b || code === 0x5c) return true;
  return /[A-Za-z0-9._~-]/.test(String.fromCharCode(code));
}

/** Whether a byte and the next (as decodedAt gives it) begin an overlong UTF-8 form. */
function isOverlong(lead: number, next: number): boolean {
  const code = next & 0xff;
  if (code < 0x80 || code >= 0xc0) return false;
  if (lead === 0xc0 || lead === 0xc1) return true;
  if (lead === 0xe0) return code < 0xa0;
  if (lead === 0xf0) return code < 0x90;
  if (lead === 0xf8) return code < 0x88;
  return lead === 0xfc && code < 0x84;
}

/** The byte of two hex digits; -1 when one isn't. */
function hexPair(high: number, low: number): number {
  const h = hexValue(high);
  const l = hexValue(low);
  return h < 0 || l < 0 ? -1 : h * 16 + l;
}

function hexValue(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
