import { InvalidArgumentError } from "commander";
import { parseTime, timeText } from "../domain/time.ts";

const unitSeconds: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `90d`, `12h`, `30m`, `45s` or `0` in seconds. */
export function durationSeconds(text: string): number {
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  if (match === null && text !== "0") throw new InvalidArgumentError("Give a length such as 90d, 12h, 30m, 45s or 0.");
  return match === null ? 0 : Number(match[1]) * unitSeconds[match[2]!]!;
}

/** An RFC 3339 time, or a length from now such as `90d`, as an RFC 3339 time. */
export function timeOrLength(text: string, nowMs: number = Date.now()): string {
  if (/^\d+[smhd]$/.test(text)) return timeText(nowMs + durationSeconds(text) * 1000);
  if (parseTime(text) === undefined) throw new InvalidArgumentError("Give a time such as 2027-01-01T00:00:00Z, or a length from now such as 90d.");
  return text;
}

/** A whole number from `least` on. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    if (!/^\d{1,9}$/.test(text) || Number(text) < least) throw new InvalidArgumentError(`Give a whole number, ${least} or more.`);
    return Number(text);
  };
}

/** `host:port`, `[::1]:port`. */
export function hostAndPort(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65535) throw new InvalidArgumentError("Give host:port, such as 127.0.0.1:8080.");
  return { host: (match[1] ?? match[2])!, port };
}

/** Collects an option that may be given several times. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}
