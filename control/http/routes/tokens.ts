/** What the routes of admin and gateway tokens have in common. */
import { Type } from "@sinclair/typebox";
import type { RandomInt } from "../../domain/keys.ts";
import { DisplayName } from "../../domain/schema.ts";
import { parseTime, timeText } from "../../domain/time.ts";
import type { AdminToken } from "../../store/store.ts";
import { invalidRequest } from "../validation.ts";

export const tokenFields = {
  id: Type.String(),
  name: Type.String(),
  createdAt: Type.String(),
  expiresAt: Type.Union([Type.String(), Type.Null()]),
  lastUsedAt: Type.Union([Type.String(), Type.Null()], { description: "To the minute. null: never used." }),
};

export const ExpiresAt = Type.Optional(
  Type.String({ maxLength: 40, description: "When the token expires: an RFC 3339 time in the future. Absent: never." }),
);
export const TokenName = Type.String({
  ...DisplayName,
  maxLength: 100,
  description: "Display name, 1 to 100 characters, no control characters.",
});
export const Secret = Type.String({ description: "The token. It is shown only once; only its digest is stored." });

/** A token as it is answered: never the token itself. */
export function shownToken(token: AdminToken): object {
  const time = (ms: number | null) => (ms === null ? null : timeText(ms));
  return {
    id: token.id,
    name: token.name,
    createdAt: timeText(token.createdAtMs),
    expiresAt: time(token.expiresAtMs),
    lastUsedAt: time(token.lastUsedAtMs),
  };
}

/** Unix milliseconds of an expiry in the future; null for none. Throws invalid_request. */
export function expiryMs(text: string | undefined, nowMs: number): number | null {
  if (text === undefined) return null;
  const ms = parseTime(text);
  if (ms !== undefined && ms > nowMs) return ms;
  const message =
    ms === undefined ? `\`${text}\` is not a time.` : `\`${text}\` has passed: what expires then is never valid.`;
  throw invalidRequest([
    {
      severity: "error",
      path: ["expiresAt"],
      message,
      remedy: "Give an RFC 3339 time in the future, such as 2030-01-01T00:00:00Z, or leave it out.",
    },
  ]);
}

/** A token's id: `prefix` and 10 random characters. */
export function newTokenId(prefix: "at" | "gt", random: RandomInt): string {
  return `${prefix}_${Array.from({ length: 10 }, () => random(36).toString(36)).join("")}`;
}
