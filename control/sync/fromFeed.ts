/** From the store's view of a record to the records of the wire. */
import type { AuthJwt } from "../domain/model.ts";
import { parsePeriod } from "../domain/period.ts";
import { routeKeys } from "../domain/subjects.ts";
import type { FeedApi, FeedConsumer, FeedKey, FeedLimit, FeedTier } from "../store/feedSource.ts";
import type { ConsumerRecord, KeyRecord, LimitRecord, WireJwt, WireRecord } from "./generated/records.ts";

type Owner = Pick<LimitRecord, "ownerKind" | "owner" | "digest">;

/** The API, then its limits and its routes' limits. */
export function apiRecords({ wireId, api, limits }: FeedApi): WireRecord[] {
  const { id, hosts, paths, methods, scopes, failureMode } = api;
  const keys = routeKeys(api.routes);
  const routes = api.routes.map(({ path, methods, scopes, cost }, index) => ({
    path,
    methods,
    scopes,
    cost,
    key: keys[index]!,
  }));
  return [
    {
      type: "api",
      wireId,
      id,
      authMode: api.auth.mode,
      failureMode,
      hosts,
      paths,
      methods,
      scopes,
      routes,
      ...(api.rateLimitHeaders ? {} : { rateLimitHeaders: false }),
      ...(api.legacyHeaders === "off" ? {} : { legacyHeaders: api.legacyHeaders }),
      ...(api.cors === undefined ? {} : { cors: api.cors }),
      ...(api.auth.jwt === undefined ? {} : { jwt: wireJwt(api.auth.jwt) }),
    },
    ...limits.map((limit) =>
      limitRecord(limit, { ownerKind: limit.routeIndex === undefined ? "api" : "route", owner: wireId }),
    ),
  ];
}

function wireJwt({ issuers, consumerClaims, tierClaim, scopeClaim, unknownConsumers }: AuthJwt): WireJwt {
  return {
    issuers: issuers.map(({ issuer, audiences }) => ({ issuer, audiences })),
    consumerClaims,
    tierClaim: tierClaim ?? "",
    scopeClaim: scopeClaim ?? "",
    admitUnknown: unknownConsumers === "allow",
  };
}

/** The tier, then its limits. It may name APIs that the gateway can't see. */
export function tierRecords({ wireId, tier, apiWireIds, limits }: FeedTier): WireRecord[] {
  return [
    {
      type: "tier",
      wireId,
      id: tier.id,
      scopes: tier.scopes,
      ...(apiWireIds === undefined ? {} : { apis: apiWireIds }),
    },
    ...limits.map((limit) => limitRecord(limit, { ownerKind: "tier", owner: wireId })),
  ];
}

export function consumerRecord({ wireId, tierWireId, consumer }: FeedConsumer): ConsumerRecord {
  return {
    type: "consumer",
    wireId,
    id: consumer.id,
    tier: tierWireId,
    suspended: consumer.suspended,
    claims: consumer.claims,
    ...(consumer.identities === undefined ? {} : { identities: consumer.identities }),
  };
}

export function keyRecord(key: FeedKey): KeyRecord {
  const record: KeyRecord = {
    type: "key",
    id: key.id,
    digest: key.digest,
    consumer: key.consumerWireId,
    state: key.state,
  };
  if (key.notBeforeMs !== undefined) record.notBeforeMs = key.notBeforeMs;
  if (key.expiresAtMs !== undefined) record.expiresAtMs = key.expiresAtMs;
  if (key.tierWireId !== undefined) record.tier = key.tierWireId;
  // no network left would read as "no address at all"
  if (key.cidrs !== undefined && key.cidrs.length > 0) record.addresses = key.cidrs;
  if (key.apiWireIds !== undefined) record.apis = key.apiWireIds;
  if (key.scopes !== undefined) record.scopes = key.scopes;
  if (key.limits !== undefined && key.limits.length > 0) record.limited = true;
  return record;
}

/** The limits that override the tier's for this key. */
export function keyLimitRecords(key: FeedKey): LimitRecord[] {
  return (key.limits ?? []).map((limit) => limitRecord(limit, { ownerKind: "key", owner: 0, digest: key.digest }));
}

function limitRecord({ wireId, routeIndex, limit }: FeedLimit, owner: Owner): LimitRecord {
  const period = limit.period === undefined ? undefined : parsePeriod(limit.period);
  if (limit.period !== undefined && period === undefined)
    throw new RangeError(`limit "${limit.name}": "${limit.period}" is no period`);
  return {
    type: "limit",
    wireId,
    name: limit.name,
    ...owner,
    ...(routeIndex === undefined ? {} : { route: routeIndex }),
    kind: limit.kind,
    subject: limit.subject,
    limit: limit.limit,
    windowSeconds: limit.windowSeconds ?? (period !== undefined && "seconds" in period ? period.seconds : 0),
    period: period !== undefined && "named" in period ? period.named : "none",
    gateway: limit.enforcement === "gateway",
    shadow: limit.mode === "shadow",
    firstUse: limit.anchor === "firstUse",
    ...(limit.smoothing === undefined ? {} : { smoothing: limit.smoothing }),
  };
}
