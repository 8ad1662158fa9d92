/** The inbox is kept in parts by caller: what a part holds is of few callers, so that little is written when it's counted as a whole. */
import type { UsageEntry } from "./model.ts";

const partMask = 255;

/** Which part an entry belongs to. Only a matter of cost: any entry may be counted in any part. */
function partOf({ digest, consumer }: UsageEntry): number {
  return (Number.parseInt(digest.slice(0, 2), 16) ^ consumer) & partMask;
}

/** The entries by part. */
export function inParts(entries: readonly UsageEntry[]): Map<number, UsageEntry[]> {
  const parts = new Map<number, UsageEntry[]>();
  for (const entry of entries) {
    const part = partOf(entry);
    const there = parts.get(part);
    if (there === undefined) parts.set(part, [entry]);
    else there.push(entry);
  }
  return parts;
}
