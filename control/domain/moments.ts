/** Lengths of time and moments as people write them in commands and queries. */
import { latestMs, parseTime, timeText } from "./time.ts";

/** Seconds of each unit, in order of size. A month is 30 days and a year 365, whenever they begin. */
export const unitSeconds = {
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 7 * 86_400,
  mo: 30 * 86_400,
  y: 365 * 86_400,
} as const;

/** What may be written, for messages. */
const lengthForms = "a whole number and a unit: s, m, h, d, w, mo (30 days) or y (365 days), such as 90d or 12h";
const momentForms = "a time such as 2027-01-01T00:00:00Z, a date such as 2027-01-01 (its beginning in UTC)";

/** A hundred years: longer is a slip. */
const maxSeconds = 100 * unitSeconds.y;

/** The text isn't a length, a time or a date that can be taken; the message says what can. */
export class MomentError extends Error {
  override name = "MomentError";
}

/** Seconds of a length such as `90d`; `0` needs no unit. Throws a MomentError, also for more than 100 years. */
export function lengthSeconds(text: string): number {
  const seconds = secondsOf(text);
  if (seconds === undefined) throw new MomentError(`Give ${lengthForms}.`);
  if (seconds > maxSeconds) throw new MomentError("That is more than 100 years: give 100y or less.");
  return seconds;
}

/** Unix milliseconds of an RFC 3339 time, a date, or a length `direction` now. Throws a MomentError. */
export function momentMs(text: string, direction: "from" | "before", nowMs: number): number {
  const ms = fixedMs(text);
  if (ms !== undefined) return ms;
  if (secondsOf(text) === undefined)
    throw new MomentError(`Give ${momentForms}, or, ${direction} now, ${lengthForms}.`);
  const lengthMs = lengthSeconds(text) * 1000;
  if (direction === "before") return Math.max(0, nowMs - lengthMs);
  if (nowMs + lengthMs > latestMs) throw new MomentError("That is after the year 9999.");
  return nowMs + lengthMs;
}

/** Unix milliseconds of an RFC 3339 time or a date. Throws a MomentError. */
export function timeOrDateMs(text: string): number {
  const ms = fixedMs(text);
  if (ms === undefined) throw new MomentError(`Give ${momentForms}.`);
  return ms;
}

/** The moment in the future that a text names, in RFC 3339. Throws a MomentError, also for what has passed or begins now. */
export function futureTime(text: string, nowMs: number): string {
  const ms = momentMs(text, "from", nowMs);
  if (ms <= nowMs)
    throw new MomentError(
      `${timeText(ms)} isn't in the future: what expires then is never valid. Give a later time, or leave it out: then it never expires.`,
    );
  return fixedMs(text) === undefined || isDate(text) ? timeText(ms) : text;
}

function fixedMs(text: string): number | undefined {
  return parseTime(isDate(text) ? `${text}T00:00:00Z` : text);
}

function isDate(text: string): boolean {
  return /^\d{4}-\d\d-\d\d$/.test(text);
}

function secondsOf(text: string): number | undefined {
  if (text === "0") return 0;
  const match = /^(\d+)(s|mo|m|h|d|w|y)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * unitSeconds[match[2] as keyof typeof unitSeconds];
}
