/** Frames as JSON, for `tollgate snapshot inspect` and fixtures: digests as hex, epochs as 16 hex digits, versions as decimal strings. */
import { epochText } from "./frames.ts";
import type { DecodedFrame } from "./reader.ts";

/** Gives what JSON.stringify takes; `frameFromJson` is the way back. */
export function frameToJson(frame: DecodedFrame): Record<string, unknown> {
  return plain({ ...frame, epoch: epochText(frame.epoch) }) as Record<string, unknown>;
}

/** Reads what `frameToJson` gave. Trusts its form. */
export function frameFromJson(json: unknown): DecodedFrame {
  const frame = rich(json) as DecodedFrame & { epoch: unknown };
  return { ...frame, epoch: BigInt(`0x${String(frame.epoch)}`) };
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
  return value;
}

const bigintMembers = new Set(["version", "base", "current", "lane"]);
const byteMembers = new Set(["digest", "body"]);

function rich(value: unknown, name = ""): unknown {
  if (typeof value === "string" && bigintMembers.has(name)) return BigInt(value);
  if (typeof value === "string" && byteMembers.has(name)) return new Uint8Array(Buffer.from(value, "hex"));
  // usage has digests as hex everywhere
  if (name === "entries") return value;
  if (Array.isArray(value)) return value.map((item) => rich(item));
  if (typeof value === "object" && value !== null) {
    // claims are names and values of the owner's choosing
    if (name === "claims") return value;
    return Object.fromEntries(Object.entries(value).map(([member, inner]) => [member, rich(inner, member)]));
  }
  return value;
}
