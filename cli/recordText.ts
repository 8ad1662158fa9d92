import { stringify } from "yaml";

/** One record for people, as YAML. */
export function recordText(value: unknown): string {
  return stringify(value, { lineWidth: 0, version: "1.2" });
}
