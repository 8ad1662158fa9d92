/** A KEY record's optional fields, which follow its id in the order of its flags (docs/internals/protocol.md). */
import {
  KEY_HAS_ADDRESSES, KEY_HAS_APIS, KEY_HAS_EXPIRES, KEY_HAS_NOT_BEFORE, KEY_HAS_SCOPES, KEY_HAS_TIER, afterAddresses, afterIds, keyFields,
  keyFlags,
} from "./records";

/** Unix milliseconds; 0: not limited. */
export let notBeforeMs: u64 = 0;
export let expiresAtMs: u64 = 0;
/** A tier's wire id, or 0. */
export let ownTier: u32 = 0;
/** Lists in the record, or 0. */
export let addresses: usize = 0;
export let addressesEnd: usize = 0;
export let ownApis: usize = 0;
export let ownScopes: usize = 0;

/** As `openKey`, for a caller without a key: a tier's wire id in place of the consumer's own, or 0; scopes that narrow the tier's, or 0. */
export function openCaller(tier: u32, scopes: usize): void {
  notBeforeMs = 0;
  expiresAtMs = 0;
  ownTier = tier;
  addresses = 0;
  ownApis = 0;
  ownScopes = scopes;
}

/** Reads the optional fields of a validated record into this module's variables. */
export function openKey(key: usize): void {
  const flags = keyFlags(key);
  notBeforeMs = 0;
  expiresAtMs = 0;
  ownTier = 0;
  addresses = 0;
  ownApis = 0;
  ownScopes = 0;
  if ((flags & ~3) == 0) return;
  let at = keyFields(key);
  if (flags & KEY_HAS_NOT_BEFORE) { notBeforeMs = load<u64>(at); at += 8; }
  if (flags & KEY_HAS_EXPIRES) { expiresAtMs = load<u64>(at); at += 8; }
  if (flags & KEY_HAS_TIER) { ownTier = load<u32>(at); at += 4; }
  if (flags & KEY_HAS_ADDRESSES) { addresses = at; at = afterAddresses(at); addressesEnd = at; }
  if (flags & KEY_HAS_APIS) { ownApis = at; at = afterIds(at); }
  if (flags & KEY_HAS_SCOPES) ownScopes = at;
}
