import { troubleOf } from "./trouble.ts";

/** Does the error say that the database can't do its work for now, so that the same call may succeed later? */
export function isUnavailable(error: unknown): boolean {
  return troubleOf(error) !== undefined;
}
