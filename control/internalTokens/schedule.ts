/** Which key signs, and which are published: a key is published before it signs, and until all that it signed is over. */
import type { SigningKey } from "./store.ts";

/** No token lives longer: the schema's bound of `lifetimeSeconds`. */
export const lifetimeMostMs = 3_600_000;
/** Clocks of services may be behind. */
const skewMs = 60_000;

/** The key that signs now: of those whose time has come the latest. */
export function signer(keys: readonly SigningKey[], nowMs: number): SigningKey | undefined {
  let latest: SigningKey | undefined;
  for (const key of keys)
    if (key.signsFromMs <= nowMs && (latest === undefined || key.signsFromMs >= latest.signsFromMs)) latest = key;
  return latest;
}

/** When a key stops to verify; undefined: no successor's time is known. */
export function endsAtMs(key: SigningKey, keys: readonly SigningKey[]): number | undefined {
  const successors = keys
    .filter((other) => other.kid !== key.kid && other.signsFromMs > key.signsFromMs)
    .map(({ signsFromMs }) => signsFromMs);
  return successors.length === 0 ? undefined : Math.min(...successors) + lifetimeMostMs + skewMs;
}

/** The keys by which a token of now may have been signed, or will soon be. */
export function published(keys: readonly SigningKey[], nowMs: number): SigningKey[] {
  return keys.filter((key) => (endsAtMs(key, keys) ?? Infinity) > nowMs);
}

/** A key that is published and doesn't sign yet. */
export function coming(keys: readonly SigningKey[], nowMs: number): SigningKey | undefined {
  return keys.find(({ signsFromMs }) => signsFromMs > nowMs);
}
