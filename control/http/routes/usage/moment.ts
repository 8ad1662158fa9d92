import { parseTime } from "../../../domain/time.ts";
import { ControlError } from "../../../errors.ts";

const unitMs: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A time of RFC 3339, or how long before now: `30m`, `24h`, `7d`. Throws invalid_request. */
export function momentMs(name: string, text: string, nowMs: number): number {
  const ago = /^(\d{1,6})([mhd])$/.exec(text);
  const ms = ago === null ? parseTime(text) : Math.max(0, nowMs - Number(ago[1]) * unitMs[ago[2]!]!);
  if (ms !== undefined) return ms;
  throw new ControlError("invalid_request", `\`${name}\` is neither a time such as 2027-01-01T00:00:00Z nor a length such as 24h, 30m or 7d.`);
}
