/** The ladder: each request is decided here, from top to bottom, by what the worker has in memory. */
import { decideHeldBy } from "./concealed";
import { MAP_REQUEST_HEADERS, headerPairs, property, value, valueBytes } from "../abi/host";
import { matchList, parseAddress } from "../lib/cidr";
import { hasScope, removeForged, setClaims, setIdentity, setUnchecked } from "./identityHeaders";
import { isPreflight, preflightAllowed } from "../http/cors";
import { codeOf, deny } from "./deny";
import { hold } from "./snapshotWaiters";
import { NO_FAULT, callerByPeer, callerByToken, callerConsumer, callerKey, setCaller, tokenOf } from "../auth/caller";
import { callerByKey, keySource } from "../auth/apiKey";
import { askedMethod, host, method, path } from "../http/headerScan";
import {
  AUTH_JWT,
  AUTH_KEY_AND_JWT,
  AUTH_LAST,
  AUTH_MTLS,
  AUTH_NONE,
  FAILURE_CLOSED,
  FAILURE_LOCAL,
  FAILURE_OPEN,
  NO_ROUTE,
  USAGE_LOCAL,
  USAGE_OBSERVED,
  USAGE_OVERSHOOT,
  USAGE_REFUSED,
} from "../wire/enums";
import { addresses, addressesEnd, ownApis, ownScopes, ownTier } from "../wire/keyFields";
import { count, first, hasId, next, text, textBytes } from "../wire/lists";
import {
  API_NOT_ALLOWED,
  AUTH_MODE_UNSUPPORTED,
  CONSUMER_SUSPENDED,
  HEADERS_UNREADABLE,
  HOST_INVALID,
  IP_NOT_ALLOWED,
  KEY_MISSING,
  LIMIT_UNAVAILABLE,
  METHOD_INVALID,
  METHOD_NOT_ALLOWED,
  NOT_CONFIGURED,
  NOT_READY,
  PATH_AMBIGUOUS,
  PATH_INVALID,
  QUOTA_EXCEEDED,
  RATE_LIMITED,
  RECORD_UNSUPPORTED,
  SCOPE_MISSING,
  SNAPSHOT_STALE,
  TIER_MISSING,
  TOKEN_UNAVAILABLE,
  UNKNOWN_API,
} from "../wire/reasons";
import {
  API_NO_RATE_LIMIT_HEADERS,
  AUTH_CLOSED,
  CONSUMER_CLOSED,
  CONSUMER_IS_SUSPENDED,
  KEY_HAS_LIMITS,
  TIER_CLOSED,
  TIER_EVERY_API,
  apiAuthMode,
  apiCors,
  apiFailureMode,
  apiFlags,
  apiJwt,
  apiLegacyHeaders,
  apiScopes,
  apiWireId,
  consumerFlags,
  consumerTier,
  keyConsumer,
  keyFlags,
  routeCost,
  routeScopes,
  tierApis,
  tierFlags,
  tierScopes,
} from "../wire/records";
import { METHOD_INVALID as METHOD_UNFIT, PATH_REFUSED, findPlace, readTarget } from "../snapshot/matching";
import { Root } from "../plugin/instance";
import { denyLimited } from "./denyLimited";
import {
  DRY,
  TAKEN,
  UNSUPPORTED,
  VIOLATED,
  decidedNs,
  dry,
  limitCount,
  shadowDebt,
  shadowed,
  shadowedRate,
  takeLimits,
  takeShares,
  takeSome,
  violatedRate,
} from "./consumeLimits";
import { noteHeaders } from "./rateLimitHeaders";
import { wait } from "./limitWaiters";
import {
  AMBIGUOUS,
  API_FOUND,
  HOST_REFUSED,
  METHOD_REFUSED,
  NO_API,
  matchedApi,
  matchedRoute,
  matchedRouteIndex,
} from "../snapshot/router";
import { STRIP_ALL, STRIP_BLIND, STRIP_KEYED, STRIP_KNOWN, stripKeys, stripUnread } from "./stripKeys";
import { noteRequest } from "./responses";
import { Table } from "../snapshot/table";
import { TOKEN_COMING, TOKEN_READY, findToken, setToken } from "./internalToken";
import { waitForToken } from "./tokenWaiters";
import { ADMITTED, KEYLESS, LOCAL_SHARE, OVERSHOOT, PASSED, PREFLIGHT, UNCHECKED } from "../telemetry";

/** What the host does with the stream: go on, or wait (for a resumption, or because it was answered). */
export const CONTINUE: i32 = 0;
export const PAUSE: i32 = 1;
/** Not for the host: the ladder goes on. */
const GO_ON: i32 = 2;

const address = memory.data(16);
const SOURCE_ADDRESS = memory.data<u8>([
  0x73, 0x6f, 0x75, 0x72, 0x63, 0x65, 0, 0x61, 0x64, 0x64, 0x72, 0x65, 0x73, 0x73,
]);

/** Whom the request belongs to, as far as it's known by now: wire ids and the key's record, 0 = unknown. */
let theApi: u32 = 0;
let theRoute: u32 = NO_ROUTE;
let theConsumer: u32 = 0;
let theKey: usize = 0;
let theContext: u32 = 0;
/** The records of the caller whose limits are looked at, 0: nobody's. */
let callerAt: usize = 0;
let callerTierAt: usize = 0;

/**
 * Decides the request of the effective context. `mayHold`: it may wait for the first snapshot. `deadlineNs`: it has waited for allowance
 * already, and may until then; 0 = it has not.
 */
export function decide(root: Root, context: u32, mayHold: bool, deadlineNs: u64): i32 {
  const config = root.config;
  theApi = 0;
  theRoute = NO_ROUTE;
  theConsumer = 0;
  theKey = 0;
  theContext = context;
  callerAt = 0;
  if (!headerPairs(MAP_REQUEST_HEADERS) || !root.plan.scan(value(), valueBytes(), config)) return refuseUnread(root);
  removeForged();
  if (config.empty) return refuse(root, NOT_CONFIGURED, 0, STRIP_BLIND, -1);
  const table = root.table;
  if (table == null) return withoutTable(root, context, mayHold);

  // ---- API
  readTarget(table.router, !config.pathCaseSensitive, host.at, host.bytes, path.at, path.bytes);
  let found = NO_API;
  let preflight = isPreflight();
  let askedApi: usize = 0;
  if (preflight) {
    found = findPlace(askedMethod.at, askedMethod.bytes);
    if (found == AMBIGUOUS) return refuse(root, PATH_AMBIGUOUS, 0, STRIP_KNOWN, -1);
    if (found == API_FOUND && apiCors(matchedApi) != 0) askedApi = matchedApi;
    preflight = askedApi != 0 && preflightAllowed(apiCors(askedApi));
  }
  if (!preflight) found = findPlace(method.at, method.bytes);
  // Routes send a preflight to the API whose method it asks for, whatever its origin: it mustn't go there by the rules of one that takes OPTIONS.
  if (!preflight && askedApi != 0 && found == API_FOUND && matchedApi != askedApi)
    return refuse(root, PATH_AMBIGUOUS, 0, STRIP_KNOWN, -1);
  if (found > METHOD_REFUSED) return refuse(root, unfit(found), 0, STRIP_KNOWN, -1);
  if (found == METHOD_REFUSED) return refuse(root, METHOD_NOT_ALLOWED, 0, STRIP_KNOWN, -1);
  if (found == NO_API) {
    if (!config.unknownApiAllow) return refuse(root, UNKNOWN_API, 0, STRIP_KNOWN, -1);
    return pass(root, PASSED, table);
  }
  if (preflight) return pass(root, PREFLIGHT, table);
  const api = matchedApi;
  const route = matchedRoute;
  theApi = apiWireId(api);
  if (route != 0) theRoute = matchedRouteIndex;
  const mode = apiAuthMode(api);
  if (mode == AUTH_NONE) {
    const limited = limit(root, table, api, route, 0, deadlineNs, STRIP_KNOWN, -1);
    return limited == GO_ON ? pass(root, KEYLESS, table) : limited;
  }
  const cors = apiCors(api);

  // ---- caller: by key, token or certificate
  const jwt: usize = mode >= AUTH_JWT && mode <= AUTH_KEY_AND_JWT ? apiJwt(api) : 0;
  if (mode > AUTH_LAST || ((mode == AUTH_JWT || mode == AUTH_KEY_AND_JWT) && jwt == 0)) {
    return refuse(root, mode == AUTH_CLOSED ? RECORD_UNSUPPORTED : AUTH_MODE_UNSUPPORTED, cors, STRIP_KEYED, -1);
  }
  const winner = mode == AUTH_JWT || mode == AUTH_MTLS ? -1 : keySource(config, table, jwt != 0);
  let fault = KEY_MISSING;
  setCaller(0, 0);
  if (winner >= 0) fault = callerByKey(config, table, winner);
  else if (mode == AUTH_MTLS) fault = callerByPeer(table, config.peerAtWaypoint);
  else if (jwt != 0 && mode != AUTH_KEY_AND_JWT) fault = callerByToken(table, jwt);
  const key = callerKey;
  const consumer = callerConsumer;
  theKey = key;
  if (key != 0) theConsumer = keyConsumer(key);
  if (fault == NO_FAULT && mode == AUTH_KEY_AND_JWT) fault = tokenOf(consumer, jwt);
  if (fault != NO_FAULT) return refuse(root, fault, cors, STRIP_KEYED, winner);
  if (consumerFlags(consumer) & CONSUMER_IS_SUSPENDED) {
    return refuse(
      root,
      (consumerFlags(consumer) & CONSUMER_CLOSED) == CONSUMER_CLOSED ? RECORD_UNSUPPORTED : CONSUMER_SUSPENDED,
      cors,
      STRIP_KEYED,
      winner,
    );
  }

  // ---- tier: API, scopes; address
  const tierId = ownTier != 0 ? ownTier : consumerTier(consumer);
  const tier: usize = tierId == 0 ? 0 : table.tiers.get(tierId);
  if (tier == 0) return refuse(root, TIER_MISSING, cors, STRIP_KEYED, winner);
  if ((tierFlags(tier) & TIER_EVERY_API) == 0 && !hasId(tierApis(tier), theApi)) {
    return refuse(
      root,
      tierFlags(tier) & TIER_CLOSED ? RECORD_UNSUPPORTED : API_NOT_ALLOWED,
      cors,
      STRIP_KEYED,
      winner,
    );
  }
  if (ownApis != 0 && !hasId(ownApis, theApi)) return refuse(root, API_NOT_ALLOWED, cors, STRIP_KEYED, winner);
  const scopes = tierScopes(tier);
  if (!scopesAllowed(apiScopes(api), scopes) || (route != 0 && !scopesAllowed(routeScopes(route), scopes))) {
    return refuse(root, SCOPE_MISSING, cors, STRIP_KEYED, winner);
  }
  if (addresses != 0 && !addressAllowed()) return refuse(root, IP_NOT_ALLOWED, cors, STRIP_KEYED, winner);

  // ---- internal token, ahead of the limits: a request that waits for it has taken nothing yet
  if (config.tokenHeader.length > 0) {
    const fetched = internalToken(root, table, api, tier, tierId, mode == AUTH_MTLS, deadlineNs, winner);
    if (fetched != GO_ON) return fetched;
  }

  // ---- limits
  callerAt = consumer;
  callerTierAt = tier;
  const limited = limit(root, table, api, route, tierId, deadlineNs, STRIP_KEYED, winner);
  if (limited != GO_ON) return limited;

  // ---- claims
  if (!config.observeKeepsKey) stripKeys(config, STRIP_KEYED, winner, table);
  setClaims(config, key, consumer, tier, ownScopes);
  if (config.tokenHeader.length > 0) setToken(config);
  root.meter.count(ADMITTED);
  return CONTINUE;
}

/** GO_ON: the caller's token is here, or the request may go on without; else what `decide` gives. */
function internalToken(
  root: Root,
  table: Table,
  api: usize,
  tier: usize,
  tierId: u32,
  peer: bool,
  deadlineNs: u64,
  winner: i32,
): i32 {
  const runtime = root.runtime;
  if (runtime == null) return GO_ON;
  const config = root.config;
  const found = findToken(runtime.tokens, table, theKey, callerConsumer, tier, tierId, ownScopes, peer);
  if (found == TOKEN_READY) return GO_ON;
  if (config.observe) {
    root.meter.observed(TOKEN_UNAVAILABLE, 1);
    return GO_ON;
  }
  if (found == TOKEN_COMING && waitForToken(root, theContext, deadlineNs)) return PAUSE;
  if (apiFailureMode(api) == FAILURE_CLOSED) return refuse(root, TOKEN_UNAVAILABLE, apiCors(api), STRIP_KEYED, winner);
  setUnchecked(config, codeOf(TOKEN_UNAVAILABLE));
  return GO_ON;
}

/**
 * Takes what the request costs from its limits. GO_ON: it may pass, and its response is prepared; else what `decide` gives.
 */
function limit(
  root: Root,
  table: Table,
  api: usize,
  route: usize,
  tier: u32,
  deadlineNs: u64,
  how: i32,
  winner: i32,
): i32 {
  const runtime = root.runtime;
  if (runtime == null) return GO_ON;
  const config = root.config;
  const failureMode = apiFailureMode(api);
  const price = route == 0 ? 1 : routeCost(route);
  const ownLimits = theKey != 0 && (keyFlags(theKey) & KEY_HAS_LIMITS) != 0;
  const result = takeLimits(
    runtime.counters,
    table,
    root.standalone != null,
    tier,
    theConsumer,
    theApi,
    route == 0 ? -1 : <i32>theRoute,
    route,
    theKey,
    ownLimits,
    price,
    failureMode == FAILURE_LOCAL,
    config.observe,
  );
  let extra: u32 = 0;
  if (result == VIOLATED) {
    noteLimits(api);
    return refuseLimited(root, apiCors(api), how, winner);
  }
  if (result == UNSUPPORTED) return refuse(root, RECORD_UNSUPPORTED, apiCors(api), how, winner);
  if (result != TAKEN) {
    const counter = dry;
    if (
      result == DRY &&
      counter != null &&
      (deadlineNs == 0 || decidedNs < deadlineNs) &&
      !awayTooLong(runtime.leaseSession.failingSinceNs, config.limitWaitTimeoutMs) &&
      wait(root, theContext, counter, runtime.counters.era, price, deadlineNs, decidedNs)
    )
      return PAUSE;
    if (failureMode == FAILURE_OPEN) {
      takeSome(runtime.counters);
      extra = USAGE_OVERSHOOT;
      root.meter.count(OVERSHOOT);
      setUnchecked(config, codeOf(LIMIT_UNAVAILABLE));
    } else if (failureMode == FAILURE_LOCAL && result == DRY && takeShares(runtime.counters)) {
      extra = USAGE_LOCAL;
      root.meter.count(LOCAL_SHARE);
    } else return refuse(root, LIMIT_UNAVAILABLE, apiCors(api), how, winner);
  }
  if (limitCount > 0 && !config.observe) noteLimits(api);
  const would: u32 = shadowed ? 1 + <u32>shadowDebt : 0;
  if (would > 0) root.meter.observed(shadowedRate ? RATE_LIMITED : QUOTA_EXCEEDED, would);
  if (!runtime.state.isLocal) {
    if (would > 0) runtime.usage.shadowed(theApi, theRoute, theConsumer, theKey, would);
    const cell = runtime.usage.admit(theApi, theRoute, theConsumer, theKey, price, extra);
    noteRequest(
      theContext,
      root.id,
      config.responseSamplesPerSecond,
      cell,
      theApi,
      theRoute,
      theConsumer,
      theKey,
      runtime.counters.era,
      limitCount > 0 ? decidedNs : 0,
    );
  }
  return GO_ON;
}

/** Nobody waits for a control that has been away for longer than one may wait. */
function awayTooLong(failingSinceNs: u64, holdMs: u32): bool {
  return failingSinceNs != 0 && decidedNs - failingSinceNs > <u64>holdMs * 1_000_000;
}

function noteLimits(api: usize): void {
  noteHeaders(theContext, (apiFlags(api) & API_NO_RATE_LIMIT_HEADERS) == 0, apiLegacyHeaders(api));
}

/** 429: names the limits that are spent, and says when to come again. */
function refuseLimited(root: Root, cors: usize, how: i32, winner: i32): i32 {
  const reason = violatedRate ? RATE_LIMITED : QUOTA_EXCEEDED;
  stripKeys(root.config, STRIP_ALL, winner, null);
  if (callerAt != 0) setIdentity(root.config, theKey, callerAt, callerTierAt);
  root.meter.refused(reason);
  countRefused(root, USAGE_REFUSED + reason);
  denyLimited(reason, cors, theContext);
  return PAUSE;
}

function countRefused(root: Root, metric: u32): void {
  const runtime = root.runtime;
  if (runtime != null && !runtime.state.isLocal) runtime.usage.refuse(theApi, theRoute, theConsumer, theKey, metric);
}

/** Why a request that different readers would read in different ways is refused. */
function unfit(found: u32): u32 {
  if (found == PATH_REFUSED) return PATH_INVALID;
  if (found == HOST_REFUSED) return HOST_INVALID;
  return found == METHOD_UNFIT ? METHOD_INVALID : PATH_AMBIGUOUS;
}

/** Whether the caller has all scopes of a list: its tier has them, and its key doesn't leave them out. */
function scopesAllowed(required: usize, tierScopes: usize): bool {
  let scope = first(required);
  for (let n = count(required); n > 0; n--) {
    const bytes = textBytes(scope);
    if (!hasScope(tierScopes, text(scope), bytes)) return false;
    if (ownScopes != 0 && !hasScope(ownScopes, text(scope), bytes)) return false;
    scope = next(scope);
  }
  return true;
}

function addressAllowed(): bool {
  if (!property(SOURCE_ADDRESS, 14)) return false;
  const family = parseAddress(value(), valueBytes(), address);
  return family != 0 && matchList(addresses, addressesEnd, family, address);
}

/** Lets a request go on without a caller. */
function pass(root: Root, what: u32, table: Table): i32 {
  if (!root.config.observeKeepsKey) stripKeys(root.config, STRIP_KNOWN, -1, table);
  root.meter.count(what);
  return CONTINUE;
}

/** No snapshot: the request waits for it, or the plugin's failure mode decides. */
function withoutTable(root: Root, context: u32, mayHold: bool): i32 {
  const config = root.config;
  if (mayHold && hold(root, context)) return PAUSE;
  const reason = root.stale ? SNAPSHOT_STALE : NOT_READY;
  if (!config.failOpen) return refuse(root, reason, 0, STRIP_BLIND, -1);
  if (!config.observeKeepsKey) stripKeys(config, STRIP_BLIND, -1, null);
  setUnchecked(config, codeOf(reason));
  root.meter.count(UNCHECKED);
  return CONTINUE;
}

/** Answers in the upstream's place; in observe mode only counts, and takes out of the request what would pass on (`how`). */
function refuse(root: Root, reason: u32, cors: usize, how: i32, winner: i32): i32 {
  const config = root.config;
  if (config.observe) {
    root.meter.observed(reason, 1);
    countRefused(root, USAGE_OBSERVED + reason);
    if (!config.observeKeepsKey) stripKeys(config, how, winner, root.table);
    return CONTINUE;
  }
  stripKeys(config, STRIP_ALL, winner, null);
  root.meter.refused(reason);
  countRefused(root, USAGE_REFUSED + reason);
  const table = root.table;
  deny(reason, root.bearer, cors, table == null ? null : table.router, config.problemTypeBase);
  return PAUSE;
}

/** Headers that can't be read whole can't be cleaned either: such a request goes nowhere, whatever the mode. */
function refuseUnread(root: Root): i32 {
  stripUnread(root.config);
  root.meter.refused(HEADERS_UNREADABLE);
  deny(HEADERS_UNREADABLE, root.bearer, 0, null, root.config.problemTypeBase);
  return PAUSE;
}

decideHeldBy(
  (root: Root, context: u32, mayHold: bool, deadlineNs: u64): bool =>
    decide(root, context, mayHold, deadlineNs) == CONTINUE,
  refuseUnread,
);
