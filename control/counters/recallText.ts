/** Recalls as replicas tell them to each other. */
import type { Recall } from "./model.ts";

type Packed = [environment: string, gateway: string, wireId: number, subject: string, windowStartMs: number];

/** Texts of at most so many bytes each; a recall alone may be longer than that. */
export function packRecalls(sender: string, recalls: readonly Recall[], bytesMax: number): string[] {
  const texts: string[] = [];
  let packed: Packed[] = [];
  let bytes = 0;
  const finish = () => {
    if (packed.length > 0) texts.push(JSON.stringify([sender, ...packed]));
    packed = [];
    bytes = sender.length + 4;
  };
  finish();
  for (const { environment, gateway, wireId, subject, windowStartMs } of recalls) {
    const one: Packed = [environment, gateway, wireId, subject, windowStartMs];
    const size = Buffer.byteLength(JSON.stringify(one)) + 1;
    if (bytes + size > bytesMax) finish();
    packed.push(one);
    bytes += size;
  }
  finish();
  return texts;
}

/** None for what this sender told itself, and for what isn't such a text. */
export function unpackRecalls(receiver: string, text: string): Recall[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return [];
  }
  if (!Array.isArray(parsed) || parsed[0] === receiver) return [];
  return (parsed.slice(1) as Packed[]).map(([environment, gateway, wireId, subject, windowStartMs]) => ({
    environment,
    gateway,
    wireId,
    subject,
    windowStartMs,
  }));
}
