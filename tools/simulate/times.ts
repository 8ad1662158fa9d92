/** Times as access logs write them, in Unix milliseconds; NaN: it's no time. What has no offset is UTC. */

import { FormatError } from "./formatError.ts";

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const iso = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|z|UTC|[+-]\d\d:?(?:\d\d)?)?$/;
const commonLog = /^\[?(\d{1,2})\/([A-Za-z]{3})\/(\d{4}):(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?: ([+-]\d{4}))?\]?$/;
const number = /^\d{1,19}(?:\.\d+)?$/;

export type ReadTime = (text: string) => number;

/** Reads RFC 3339 and its relatives, seconds (also with a fraction), milli-, micro- and nanoseconds since 1970, and Apache's form. */
export function timeReader(): ReadTime {
  let minuteText = "";
  let minuteMs = NaN;
  return (text) => {
    // Most lines are of the same minute as the one before: 2026-11-21T08:46:12.345Z
    const usual =
      text.length === 24 &&
      text.charCodeAt(23) === 0x5a &&
      text.charCodeAt(16) === 0x3a &&
      text.charCodeAt(19) === 0x2e;
    if (usual && minuteText !== "" && text.startsWith(minuteText)) {
      const seconds = digits(text, 17, 19);
      return seconds > 60 ? NaN : minuteMs + Math.min(seconds, 59) * 1000 + digits(text, 20, 23);
    }
    const ms = readAny(text);
    if (usual && !Number.isNaN(ms) && iso.test(text)) {
      minuteText = text.slice(0, 16);
      minuteMs = Math.floor(ms / 60_000) * 60_000;
    }
    return ms;
  };
}

function readAny(text: string): number {
  const parts = iso.exec(text);
  if (parts !== null) {
    const [, year, month, day, hour, minute, second, fraction, offset] = parts;
    return assemble({
      year: year!,
      month: Number(month),
      day: day!,
      hour: hour!,
      minute: minute!,
      second,
      fraction,
      offset,
    });
  }
  if (number.test(text)) return epochMs(text);
  const common = commonLog.exec(text);
  if (common === null) return NaN;
  const [, day, month, year, hour, minute, second, fraction, offset] = common;
  return assemble({
    year: year!,
    month: months.indexOf(month!.toLowerCase()) + 1,
    day: day!,
    hour: hour!,
    minute: minute!,
    second,
    fraction,
    offset,
  });
}

/** By its size: seconds until the year 5138, then milli-, micro-, nanoseconds. */
function epochMs(text: string): number {
  const value = Number(text);
  if (value < 1e11) return Math.floor(value * 1000 + 0.01);
  if (value < 1e14) return Math.floor(value);
  return Math.floor(value < 1e17 ? value / 1000 : value / 1e6);
}

interface Parts {
  year: string;
  /** 1 to 12 */
  month: number;
  day: string;
  hour: string;
  minute: string;
  second: string | undefined;
  fraction: string | undefined;
  offset: string | undefined;
}

function assemble({ year, month, day, hour, minute, second = "0", fraction = "0", offset }: Parts): number {
  const [y, d, h, mi, s] = [year, day, hour, minute, second].map(Number) as [number, number, number, number, number];
  // 60: a leap second
  if (
    month < 1 ||
    month > 12 ||
    d < 1 ||
    d > new Date(Date.UTC(y, month, 0)).getUTCDate() ||
    h > 23 ||
    mi > 59 ||
    s > 60
  )
    return NaN;
  const ms =
    Date.UTC(y, month - 1, d, h, mi, Math.min(s, 59), Number(fraction.slice(0, 3).padEnd(3, "0"))) - offsetMs(offset);
  return ms < 0 ? NaN : ms;
}

function offsetMs(offset: string | undefined): number {
  if (offset === undefined || !/^[+-]/.test(offset)) return 0;
  const plain = offset.slice(1).replace(":", "");
  return (offset.startsWith("-") ? -1 : 1) * (Number(plain.slice(0, 2)) * 60 + Number(plain.slice(2) || 0)) * 60_000;
}

function digits(text: string, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return NaN;
    value = value * 10 + digit;
  }
  return value;
}

/** strftime's specifiers as far as they tell a time, with the pattern of what they print. */
const specifiers: Record<string, string> = {
  Y: "(?<Y>\\d{4})",
  m: "(?<m>\\d\\d)",
  d: "(?<d>\\d\\d)",
  e: " ?(?<e>\\d{1,2})",
  H: "(?<H>\\d\\d)",
  M: "(?<M>\\d\\d)",
  S: "(?<S>\\d\\d)",
  s: "(?<s>\\d{1,12})",
  b: "(?<b>[A-Za-z]{3})",
  h: "(?<b>[A-Za-z]{3})",
  B: "(?<b>[A-Za-z]{3})[A-Za-z]*",
  a: "[A-Za-z]{3}",
  A: "[A-Za-z]+",
  y: "(?<y>\\d\\d)",
  z: "(?<z>[+-]\\d\\d:?\\d\\d|Z)",
  Z: "(?:[A-Za-z]+|[+-]\\d+)",
  f: "(?<f>\\d{1,9})",
  I: "(?<I>\\d\\d)",
  p: "(?<p>[AaPp][Mm])",
  n: "\\n",
  t: "\\t",
  "%": "%",
};
const composed: Record<string, string> = { T: "%H:%M:%S", R: "%H:%M", F: "%Y-%m-%d", D: "%m/%d/%y" };

/**
 * The reader of what Envoy prints for `%START_TIME(format)%`: strftime with `%f`, `%1f` to `%9f`, `%E3S` and `%E*S`. Throws a FormatError
 * that names the specifier when the format can't be read back, or doesn't tell the time.
 */
export function strftimeReader(format: string): ReadTime {
  const spelled = format.replace(/%([TRFD])/g, (_, letter: string) => composed[letter]!);
  const seen = new Set<string>();
  const once = (part: string) =>
    part.replace(/\(\?<(\w)>/g, (group, name: string) => (seen.has(name) ? "(?:" : (seen.add(name), group)));
  type Part = string | undefined;
  const pattern = spelled.replace(
    /%(?:([1-9])?(f)|E([0-9*])([Sf])|([A-Za-z%]))|[^%]|%/g,
    (text, width: Part, f: Part, precise: Part, what: Part, letter: Part) => {
      if (text.length === 1 && text !== "%") return escaped(text);
      if (precise !== undefined) {
        const fraction = precise === "*" ? "(?<f>\\d+)" : precise === "0" ? "" : `(?<f>\\d{${precise}})`;
        return once(
          what === "f" || fraction === ""
            ? `${what === "S" ? "(?<S>\\d\\d)" : ""}${fraction}`
            : `(?<S>\\d\\d)(?:\\.${fraction})?`,
        );
      }
      if (f !== undefined) return once(width === undefined ? specifiers["f"]! : `(?<f>\\d{${width}})`);
      const known = letter === undefined ? undefined : specifiers[letter];
      if (known === undefined) throw new FormatError(`\`${text}\` in START_TIME(${format}) can't be read back`);
      return once(known);
    },
  );
  const has = (...letters: string[]) => letters.some((letter) => seen.has(letter));
  if (!has("s") && !(has("Y", "y") && has("m", "b") && has("d", "e") && has("H", "I") && has("M"))) {
    throw new FormatError(`START_TIME(${format}) doesn't tell date and time`);
  }
  // What stands there a second time was only passed over: a group's name is free once.
  const regex = new RegExp(`^${pattern}$`);
  return (text) => fromGroups(regex.exec(text)?.groups);
}

function fromGroups(groups: Record<string, string | undefined> | undefined): number {
  if (groups === undefined) return NaN;
  const fraction = groups["f"];
  if (groups["s"] !== undefined)
    return Number(groups["s"]) * 1000 + Number((fraction ?? "0").slice(0, 3).padEnd(3, "0"));
  const year = groups["Y"] ?? `${Number(groups["y"]) < 69 ? "20" : "19"}${groups["y"]}`;
  const month = groups["m"] === undefined ? months.indexOf((groups["b"] ?? "").toLowerCase()) + 1 : Number(groups["m"]);
  const hour = groups["H"] ?? String((Number(groups["I"]) % 12) + (/p/i.test(groups["p"] ?? "") ? 12 : 0));
  return assemble({
    year,
    month,
    day: (groups["d"] ?? groups["e"])!,
    hour,
    minute: groups["M"]!,
    second: groups["S"],
    fraction,
    offset: groups["z"],
  });
}

/** Text as a pattern of itself. */
function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
