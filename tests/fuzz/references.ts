/** The filter's parsers once more, slowly and in another way: what the property tests compare with. Texts are Latin-1, a character a byte. */

const ESCAPE = /%([0-9a-f]{2})/gi;

/** Percent-decodes what is well formed. */
export function unescape(text: string): string {
  return text.replace(ESCAPE, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

export const withoutParameters = (path: string): string => path.replace(/;[^/]*/g, "");
export const pathOf = (target: string): string => target.replace(/\?[^]*$/, "");

const OVERLONG = /[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]|\xf8[\x80-\x87]|\xfc[\x80-\x83]/;
// separators, dots, controls, another `%`, and the unreserved characters
const DOUBLY_ESCAPED = /%(?:[01][0-9a-f]|7f|2[35f]|3[bf]|5c|2[de]|3[0-9]|[46][1-9a-f]|[57][0-9a]|5f|7e)/i;

/** 1: invalid; else 2: a decoded match is needed, and 4: one without regard to case. */
export function judgePath(target: string): number {
  const path = pathOf(target);
  if (!path.startsWith("/") || /[\0-\x20\x7f#\\]/.test(path)) return 1;
  if (/%(?![0-9a-f]{2})/i.test(path) || /%(?:[01][0-9a-f]|7f|2f|5c)/i.test(path)) return 1;
  const decoded = unescape(path);
  if (OVERLONG.test(decoded)) return 1;
  // Only a `%` that an escape made can begin a doubly encoded one: a plain one has been decoded away.
  if (DOUBLY_ESCAPED.test(decoded)) return 1;
  const segments = withoutParameters(decoded).split("/").slice(1);
  // Decoded, a `?` or `#` was encoded: for a backend that decodes before it splits, the segment ends there.
  if (segments.some((segment, i) => /^\.{1,2}(?:[?#]|$)/.test(segment) || (segment === "" && i < segments.length - 1)))
    return 1;
  return (/[%;]/.test(path) ? 2 : 0) | (/[A-Z\x80-\xff]/.test(path.replace(/%[0-9a-f]{2}/gi, "")) ? 4 : 0);
}

const formDecode = (text: string): string => unescape(text.replaceAll("+", " "));

interface Piece {
  raw: string;
  name: string;
  value: string;
}

function queryPieces(target: string): Piece[] {
  const question = target.indexOf("?");
  if (question < 0) return [];
  return target
    .slice(question + 1)
    .split("&")
    .map((raw) => {
      const [name = "", ...rest] = raw.split("=");
      return { raw, name: formDecode(name), value: formDecode(rest.join("=")) };
    });
}

function cookiePieces(header: string): Piece[] {
  const trim = (text: string): string => text.replace(/^[ \t]+|[ \t]+$/g, "");
  return header.split(";").map((raw) => {
    const equals = raw.indexOf("=");
    if (equals < 0) return { raw, name: "", value: "" };
    const value = trim(raw.slice(equals + 1));
    return {
      raw,
      name: trim(raw.slice(0, equals)),
      value: /^"[^]*"$/.exec(value) && value.length > 1 ? value.slice(1, -1) : value,
    };
  });
}

/** The value, or -1 absent, -2 repeated, -3 too long. */
function choose(pieces: Piece[], name: string, max: number): string | number {
  const values = pieces.filter((piece) => piece.name === name && piece.value !== "").map((piece) => piece.value);
  const [first] = values;
  if (first === undefined) return -1;
  if (first.length > max) return -3;
  return values.every((value) => value === first) ? first : -2;
}

export const findQuery = (target: string, name: string, max: number): string | number =>
  choose(queryPieces(target), name, max);
export const findCookie = (header: string, name: string, max: number): string | number =>
  choose(cookiePieces(header), name, max);

export function removeQuery(target: string, name: string): string {
  const pieces = queryPieces(target);
  const kept = pieces.filter((piece) => piece.name !== name || piece.raw === "");
  if (kept.length === pieces.length) return target;
  const path = pathOf(target);
  return kept.every((piece) => piece.raw === "") ? path : `${path}?${kept.map((piece) => piece.raw).join("&")}`;
}

export function removeCookie(header: string, name: string): string {
  const pieces = cookiePieces(header);
  const kept = pieces.filter((piece) => piece.name !== name);
  if (kept.every((piece) => /^[ \t]*$/.test(piece.raw))) return "";
  const text = kept.map((piece) => piece.raw).join(";");
  return kept[0] === pieces[0] ? text : text.replace(/^[ \t]+/, "");
}

export function bearerToken(value: string): string | undefined {
  return /^[ \t]*bearer[ \t]+([^ \t](?:[^]*[^ \t])?)[ \t]*$/i.exec(value)?.[1];
}

export const fold = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => letter.toLowerCase()).replace(/[^a-z0-9]/g, "-");

/** An address as `4 …` or `6 …` in hexadecimal. */
export function addressHex(address: string): string {
  const groups = new URL(`http://[${address.includes(":") ? address : `::ffff:${address}`}]`).hostname
    .slice(1, -1)
    .split("::");
  const [head = [], tail = []] = groups.map((half) => half.split(":").filter((group) => group !== ""));
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => "0");
  const hex = [...head, ...zeros, ...tail].map((group) => group.padStart(4, "0")).join("");
  return hex.startsWith("00000000000000000000ffff") ? `4 ${hex.slice(24)}` : `6 ${hex}`;
}

/** Whether JSON.parse takes it, less what it's laxer in: halves of surrogate pairs. */
export function isJson(bytes: Uint8Array): boolean {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return !hasLoneSurrogate(JSON.parse(text));
  } catch {
    return false;
  }
}

function hasLoneSurrogate(value: unknown): boolean {
  if (typeof value === "string") return /\p{Surrogate}/u.test(value);
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(([name, member]) => /\p{Surrogate}/u.test(name) || hasLoneSurrogate(member));
}
