/** One internal token: what it says, and its signature. */
import { createPrivateKey, type JsonWebKey, type KeyObject, randomUUID, sign } from "node:crypto";
import type { InternalToken } from "../domain/model.ts";
import { parseTime } from "../domain/time.ts";
import { algorithm } from "./signingKeys.ts";
import type { Caller, SigningKey } from "./store.ts";

/** What fits into a header beside what else a request carries. */
const tokenMostBytes = 8192;
/** Tokens are fetched anew once so much of their life is over, spread so that those issued together aren't asked for together. */
const refreshFrom = 0.55;
const refreshSpread = 0.2;

export interface Issued {
  token: string;
  refreshAtMs: number;
  expiresAtMs: number;
}

/** by kid: importing costs more than signing */
const imported = new Map<string, KeyObject>();
const importedMost = 64;

/** Whether the caller's key and consumer are in force. */
export function inForce({ key, consumer }: Caller, nowMs: number): boolean {
  if (consumer.suspended) return false;
  if (key === undefined) return true;
  const notBefore = key.notBefore === undefined ? 0 : parseTime(key.notBefore)!;
  return key.state === "active" && nowMs >= notBefore && nowMs < keyEndMs(key);
}

function keyEndMs(key: { expiresAt?: string }): number {
  return key.expiresAt === undefined ? Infinity : parseTime(key.expiresAt)!;
}

/** The scopes that the filter sends as a claim: the key's that the tier has, or the tier's. `narrowed`: in place of the key's. */
export function scopesOf({ key, tier }: Caller, narrowed?: readonly string[]): string[] {
  const own = key?.scopes ?? narrowed;
  return own === undefined
    ? tier.scopes
    : own.filter((scope) => tier.scopes.includes("*") || tier.scopes.includes(scope));
}

/** Signs a caller's token. `undefined`: it would be too large for a header. `spread`: 0 to 1, when in its span it's renewed. */
export function issue(
  environment: string,
  settings: InternalToken,
  signedBy: SigningKey,
  caller: Caller,
  scopes: readonly string[],
  nowMs: number,
  spread = Math.random(),
): Issued | undefined {
  const { key, consumer, tier } = caller;
  const issuedAt = Math.floor(nowMs / 1000);
  const expiresAt = Math.min(
    issuedAt + settings.lifetimeSeconds,
    key === undefined ? Infinity : Math.floor(keyEndMs(key) / 1000),
  );
  const token = signed(signedBy, {
    iss: settings.issuer,
    aud: settings.audiences,
    sub: consumer.id,
    iat: issuedAt,
    exp: expiresAt,
    jti: randomUUID(),
    tier: tier.id,
    scope: scopes.join(" "),
    ...(key === undefined ? {} : { key_id: key.id }),
    env: environment,
    ...(Object.keys(consumer.claims).length === 0 ? {} : { claims: consumer.claims }),
  });
  if (token.length > tokenMostBytes) return undefined;
  const expiresAtMs = expiresAt * 1000;
  return {
    token,
    expiresAtMs,
    refreshAtMs: Math.floor(nowMs + (expiresAtMs - nowMs) * (refreshFrom + refreshSpread * spread)),
  };
}

/** A JWS in its compact form (RFC 7515). Node's own signing, in place: a fifth of what WebCrypto takes for it, and there are thousands a second. */
function signed(key: SigningKey, payload: object): string {
  const text = `${base64url({ alg: algorithm, kid: key.kid, typ: "JWT" })}.${base64url(payload)}`;
  return `${text}.${sign("sha256", Buffer.from(text), { key: privateKey(key), dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function privateKey({ kid, jwk }: SigningKey): KeyObject {
  let key = imported.get(kid);
  if (key === undefined) {
    if (imported.size >= importedMost) imported.clear();
    imported.set(kid, (key = createPrivateKey({ key: jwk as JsonWebKey, format: "jwk" })));
  }
  return key;
}
