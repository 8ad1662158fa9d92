/**
 * The filter's reader of the wire, and what a request reads of the records it accepts, as a module of its own for
 * tests/wire/assembly.test.ts.
 */
import "../../assembly/abi/abort";
import { matchList } from "../../assembly/lib/cidr";
import { hasScope, setClaims } from "../../assembly/request/identityHeaders";
import { Config, parseConfig } from "../../assembly/config/parse";
import { Manifest, manifestOf } from "../../assembly/wire/frame";
import { askedMethod, origin } from "../../assembly/http/headerScan";
export {
  FRAME_BROKEN,
  FRAME_GOOD,
  FRAME_NEWER,
  checkFrame,
  frameBase,
  frameBytes,
  frameEpoch,
  frameHasMore,
  frameType,
  frameVersion,
  pageCount,
  pageIndex,
} from "../../assembly/wire/frame";
export {
  answerEndMs,
  answerGeneration,
  answerGranted,
  answerLeaseEndMs,
  answerRemaining,
  answerShare,
  answerShareUntilMs,
  answerStartMs,
  answerUntilMs,
  answerVerdict,
} from "../../assembly/wire/leaseMessages";
export {
  answerExpiresMs as tokenExpiresMs,
  answerRefreshMs as tokenRefreshMs,
  answerToken as tokenText,
  answerTokenBytes as tokenBytes,
  answerVerdict as tokenVerdict,
  answersWhole as tokensWhole,
} from "../../assembly/wire/tokenMessages";
import { corsPairs, preflightAllowed } from "../../assembly/http/cors";
import { addresses, addressesEnd, openKey, ownApis, ownScopes } from "../../assembly/wire/keyFields";
import { afterTexts, hasId, next } from "../../assembly/wire/lists";
import { apiCors as corsOf, apiScopes } from "../../assembly/wire/records";
export {
  addresses,
  addressesEnd,
  expiresAtMs,
  notBeforeMs,
  openKey,
  ownApis,
  ownScopes,
  ownTier,
} from "../../assembly/wire/keyFields";
export { afterAddresses, afterIds, afterTexts, count, first, next, text, textBytes } from "../../assembly/wire/lists";
export { readRecord, recordBody, recordEnd, recordType } from "../../assembly/wire/recordHead";
export {
  apiCors,
  apiId,
  apiJwt,
  apiScopes,
  consumerIdentities,
  jwtAdmitsUnknown,
  jwtAudiences,
  jwtConsumerClaims,
  jwtIssuers,
  jwtScopeClaim,
  jwtTierClaim,
  keyConsumer,
  keyFlags,
  keyId,
  keyIdBytes,
  routeMethods,
  routePath,
  routeScopes,
} from "../../assembly/wire/records";
import { beginPairs } from "../../assembly/lib/pairs";
import { methodBit } from "../../assembly/http/methods";
import { NAMES_ALL } from "../../assembly/snapshot/callerNames";
import { loadStandalone } from "../../assembly/snapshot/standalone";
import { APPLY_MORE, Table, applyCursor } from "../../assembly/snapshot/table";
import { ascii } from "../../assembly/lib/text";

export { hasUnknown } from "../../assembly/wire/validate";
export { matchedApi, matchedRoute, matchedRouteIndex } from "../../assembly/snapshot/router";
export {
  APPLIED,
  APPLY_FULL,
  RECORDS_BROKEN,
  RECORDS_GOOD,
  RECORDS_NEWER,
  checkRecords,
} from "../../assembly/snapshot/table";

/** What a manifest counts: pages, keys, consumers, tiers, APIs, limits, and the bytes of all pages. */
export function manifestCount(frame: usize, which: u32): u64 {
  const manifest = manifestOf(frame);
  switch (which) {
    case 0:
      return manifest.pageCount;
    case 1:
      return manifest.keyCount;
    case 2:
      return manifest.consumerCount;
    case 3:
      return manifest.tierCount;
    case 4:
      return manifest.apiCount;
    case 5:
      return manifest.limitCount;
    default:
      return manifest.totalBytes;
  }
}

// ---- a table -------------------------------------------------------------------------------------------------------------------------

let table: Table = new Table();
const counts = changetype<Manifest>(memory.data(40, 8));

/** Begins an empty table with room for some records of each kind; the one before is given up. */
export function beginTable(): bool {
  table.free();
  table = new Table();
  __collect();
  const reserved = table.reserve(counts, 64, NAMES_ALL);
  while (!table.clear()) {}
  return reserved;
}

/** Applies validated records, which stay where they lie. */
export function apply(at: usize, end: usize): i32 {
  let result = APPLY_MORE;
  while (result == APPLY_MORE) {
    result = table.apply(at, end);
    at = applyCursor;
  }
  return result;
}

export function refreshRouter(): bool {
  return table.refreshRouter();
}

export function key(digest: usize): usize {
  return table.keys.get(digest);
}
export function consumer(id: u32): usize {
  return table.consumers.get(id);
}
export function tier(id: u32): usize {
  return table.tiers.get(id);
}
export function api(id: u32): usize {
  return table.apis.get(id);
}
export function limit(id: u32): usize {
  return table.limits.get(id);
}

export function match(host: usize, hostBytes: u32, path: usize, pathBytes: u32, method: usize, methodBytes: u32): u32 {
  return table.router.match(host, hostBytes, path, pathBytes, methodBit(method, methodBytes), method, methodBytes);
}

export function allowedMethods(out: usize, max: u32): u32 {
  return table.router.allowedMethods(out, max);
}

/** Loads a compiled snapshot as a plugin's configuration does; whether it was accepted. */
export function acceptsStandalone(at: usize, bytes: u32): bool {
  const snapshot = new StaticArray<u8>(bytes);
  memory.copy(changetype<usize>(snapshot), at, bytes);
  const loaded = loadStandalone(snapshot);
  if (loaded != null) {
    table.free();
    table = loaded;
  }
  __collect();
  return loaded != null;
}

// ---- what a request does with records --------------------------------------------------------------------------------------------------

const CONFIG = ascii('{"environment":"default","snapshot":"AA==","claims":{"names":{"claim-org":"x-org"}}}');
const config: Config = parseConfig(changetype<usize>(CONFIG), CONFIG.length)!;
const SCOPE = ascii("read");
const METHOD = ascii("PATCH");
const ORIGIN = ascii("https://shop.example.com");
const ADDRESS = memory.data(16);

/** Asks an API what it requires and allows. */
export function useApi(api: usize, tier: usize): void {
  hasScope(apiScopes(api), changetype<usize>(SCOPE), SCOPE.length);
  const cors = corsOf(api);
  if (cors != 0) {
    origin.set(changetype<usize>(ORIGIN), ORIGIN.length);
    askedMethod.set(changetype<usize>(METHOD), METHOD.length);
    preflightAllowed(cors);
    beginPairs();
    corsPairs(cors);
  }
  if (tier == 0) return;
  hasId(afterTexts(next(tier + 8)), load<u32>(api));
}

/** Asks a key what it narrows, and sets the claims of its caller. */
export function useKey(key: usize, consumer: usize, tier: usize): void {
  openKey(key);
  if (addresses != 0) {
    matchList(addresses, addressesEnd, 4, ADDRESS);
    matchList(addresses, addressesEnd, 6, ADDRESS);
  }
  if (ownApis != 0) hasId(ownApis, 7);
  if (ownScopes != 0) hasScope(ownScopes, changetype<usize>(SCOPE), SCOPE.length);
  setClaims(config, key, consumer, tier, ownScopes);
}
