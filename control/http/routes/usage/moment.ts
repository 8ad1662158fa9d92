import { MomentError, momentMs as parsed } from "../../../domain/moments.ts";
import { ControlError } from "../../../errors.ts";

/** A time of RFC 3339, a date, or how long before now: `30m`, `24h`, `7d`. Throws invalid_request. */
export function momentMs(name: string, text: string, nowMs: number): number {
  try {
    return parsed(text, "before", nowMs);
  } catch (error) {
    throw error instanceof MomentError
      ? new ControlError("invalid_request", `\`${name}\` is \`${text}\`. ${error.message}`)
      : error;
  }
}
