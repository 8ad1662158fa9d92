/** Makes keys, replaces them, and says what is public of them. */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from "jose";
import type { ChangeContext } from "../store/store.ts";
import { coming, published } from "./schedule.ts";
import type { IdentityStore, SigningKey } from "./store.ts";

export const algorithm = "ES256";

/** A new key, named by its RFC 7638 thumbprint. */
async function makeSigningKey(nowMs: number, signsFromMs: number): Promise<SigningKey> {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = await exportJWK(privateKey);
  return { kid: await calculateJwkThumbprint(jwk), jwk, createdAtMs: nowMs, signsFromMs };
}

/** The public half, as a JWK set has it. */
export function publicJwk({ kid, jwk: { kty, crv, x, y } }: SigningKey): JWK {
  return { kty, crv, x, y, kid, use: "sig", alg: algorithm } as JWK;
}

/** The first key of an environment that has none yet: it signs at once, since nobody has seen an older set. Gives all. */
export async function ensureSigningKey(
  store: IdentityStore,
  environment: string,
  nowMs: number,
): Promise<SigningKey[]> {
  const made = await makeSigningKey(nowMs, nowMs);
  return (await store.changeSigningKeys(environment, (keys) => (keys.length > 0 ? keys : [made]))) ?? [];
}

export interface Rotation {
  /** so long the new key is published before it signs */
  publishMs: number;
  /** the others are no longer published from now on, and the new one signs at once: for a key that has leaked */
  withdraw: boolean;
}

/**
 * Adds a key that will take over, and forgets those that are over. `pending`: a key that was added before doesn't sign yet; nothing is
 * changed then. `undefined`: no such environment.
 */
export async function rotateSigningKeys(
  store: IdentityStore,
  environment: string,
  { publishMs, withdraw }: Rotation,
  context: ChangeContext,
): Promise<{ keys: SigningKey[]; pending?: SigningKey } | undefined> {
  const { nowMs } = context;
  const known = await store.identity(environment);
  if (known === undefined) return undefined;
  const pending = coming(known.keys, nowMs);
  if (pending !== undefined && !withdraw) return { keys: known.keys, pending };
  const made = await makeSigningKey(nowMs, withdraw ? nowMs : nowMs + publishMs);
  let raced: SigningKey | undefined;
  const edit = (keys: SigningKey[]): SigningKey[] => {
    if (withdraw) return [made];
    raced = coming(keys, nowMs);
    // The first key of all has nobody to wait for.
    if (keys.length === 0) return [{ ...made, signsFromMs: nowMs }];
    return raced === undefined ? published([...keys, made], nowMs) : keys;
  };
  const keys = await store.changeSigningKeys(environment, edit, {
    context,
    action: withdraw ? "withdraw" : "rotate",
    id: made.kid,
  });
  if (keys === undefined) return undefined;
  return raced === undefined ? { keys } : { keys, pending: raced };
}
