import { InvalidArgumentError } from "commander";
import { futureTime, lengthSeconds, momentMs, MomentError, timeOrDateMs } from "../control/domain/moments.ts";
import { timeText } from "../control/domain/time.ts";

/** How a moment is written, for options' descriptions. */
export const momentHelp = "an RFC 3339 time, a date, or a duration from now in s, m, h, d, w, mo or y, such as 90d";

/** A length such as `90d` or `0`, in seconds. */
export function durationSeconds(text: string): number {
  return asArgument(() => lengthSeconds(text));
}

/** A time, a date or a length from now, as an RFC 3339 time. */
export function timeOrLength(text: string, nowMs: number = Date.now()): string {
  return asArgument(() => timeText(momentMs(text, "from", nowMs)));
}

/** The same, when it must be in the future. */
export function expiry(text: string, nowMs: number = Date.now()): string {
  return asArgument(() => futureTime(text, nowMs));
}

/** A time or a date, in Unix milliseconds. */
export function timeOrDate(text: string): number {
  return asArgument(() => timeOrDateMs(text));
}

/** What the reader refuses is a wrong argument of the command line. */
function asArgument<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof MomentError ? new InvalidArgumentError(error.message) : error;
  }
}

/** A whole number from `least` on. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    if (!/^\d{1,9}$/.test(text) || Number(text) < least)
      throw new InvalidArgumentError(`Give a whole number, ${least} or more.`);
    return Number(text);
  };
}

/** `host:port`, `[::1]:port`. */
export function hostAndPort(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65535)
    throw new InvalidArgumentError("Give host:port, such as 127.0.0.1:8080.");
  return { host: (match[1] ?? match[2])!, port };
}

/** Collects an option that may be given several times. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}
