/** A whole environment as one manifest and its pages, for a gateway without control. */
import { createHash } from "node:crypto";
import type { EnvironmentSpec, Limit } from "../domain/model.ts";
import { parseTime } from "../domain/time.ts";
import type { FeedApi, FeedKey, FeedLimit, FeedTier } from "../store/feedSource.ts";
import { RecordWriter } from "./codec.ts";
import { manifestFrame, sealFrame, type Stamp } from "./frames.ts";
import { apiRecords, consumerRecord, keyLimitRecords, keyRecord, tierRecords } from "./fromFeed.ts";
import type { WireRecord } from "./generated/records.ts";
import { HEADER_BYTES } from "./wire.ts";

export const MAX_COMPILED_BYTES = 128 * 1024;

/** What can't be compiled, and what to do about it. */
export class CompileError extends Error {
  override name = "CompileError";
}

/**
 * Gives a manifest frame and page frames of version 1, made at time 0, with an epoch from the content: the same spec gives the
 * same bytes. Throws CompileError when the result is over 128 KiB, since it travels inside the plugin's configuration,
 * or when a record names another that isn't there.
 */
export function compileSnapshot(spec: EnvironmentSpec): Buffer {
  const snapshot = recordsOf(spec);
  const writer = new RecordWriter();
  for (const record of snapshot.records) writer.write(record);
  const pages = writer.finish();
  if (pages.length === 0) pages.push(Buffer.alloc(HEADER_BYTES));
  const stamp: Stamp = { epoch: contentEpoch(pages), version: 1n, timeMs: 0 };
  pages.forEach((page, index) => sealFrame(page, { ...stamp, type: "page", index, pageCount: pages.length }));
  const totalBytes = pages.reduce((sum, page) => sum + page.length, 0);
  const manifest = manifestFrame(stamp, {
    pageCount: pages.length,
    totalBytes,
    keyCount: spec.keys.length,
    consumerCount: spec.consumers.length,
    tierCount: spec.tiers.length,
    apiCount: spec.apis.length,
    limitCount: snapshot.limitCount,
  });
  const compiled = Buffer.concat([manifest, ...pages]);
  if (compiled.length > MAX_COMPILED_BYTES) throw new CompileError(tooLarge(compiled.length, spec));
  return compiled;
}

function recordsOf(spec: EnvironmentSpec): { records: WireRecord[]; limitCount: number } {
  const apiIds = numbered(spec.apis);
  const tierIds = numbered(spec.tiers);
  const consumerIds = numbered(spec.consumers);
  let limitCount = 0;
  const limitsOf = (limits: Limit[], routeIndex?: number): FeedLimit[] =>
    limits.map((limit) => ({ wireId: ++limitCount, limit, ...(routeIndex === undefined ? {} : { routeIndex }) }));
  const apis = spec.apis.map(
    (api, i): FeedApi => ({
      wireId: i + 1,
      api,
      limits: [...limitsOf(api.limits), ...api.routes.flatMap((route, index) => limitsOf(route.limits, index))],
    }),
  );
  const tiers = spec.tiers.map(
    (tier, i): FeedTier => ({
      wireId: i + 1,
      tier,
      limits: limitsOf(tier.limits),
      ...(tier.apis === undefined
        ? {}
        : { apiWireIds: tier.apis.map((id) => find(apiIds, id, `tier "${tier.id}"`, "API")) }),
    }),
  );
  const consumers = spec.consumers.map((consumer, i) => {
    const tierWireId =
      consumer.tier === undefined ? 0 : find(tierIds, consumer.tier, `consumer "${consumer.id}"`, "tier");
    return consumerRecord({ wireId: i + 1, tierWireId, consumer });
  });
  const keys = spec.keys.map((key, i): FeedKey => {
    const owner = `key "${key.id}"`;
    const feedKey: FeedKey = {
      rowId: i + 1,
      id: key.id,
      digest: Buffer.from(key.sha256, "hex"),
      consumerWireId: find(consumerIds, key.consumer, owner, "consumer"),
      state: key.state,
      cidrs: key.allowedCidrs,
      limits: limitsOf(key.limits),
    };
    if (key.notBefore !== undefined) feedKey.notBeforeMs = timeOf(key.notBefore, owner);
    if (key.expiresAt !== undefined) feedKey.expiresAtMs = timeOf(key.expiresAt, owner);
    if (key.tier !== undefined) feedKey.tierWireId = find(tierIds, key.tier, owner, "tier");
    if (key.apis !== undefined) feedKey.apiWireIds = key.apis.map((id) => find(apiIds, id, owner, "API"));
    if (key.scopes !== undefined) feedKey.scopes = key.scopes;
    return feedKey;
  });
  const records = [
    ...apis.flatMap(apiRecords),
    ...tiers.flatMap(tierRecords),
    ...consumers,
    ...keys.flatMap((key) => [keyRecord(key), ...keyLimitRecords(key)]),
  ];
  return { records, limitCount };
}

function numbered(items: { id: string }[]): Map<string, number> {
  return new Map(items.map((item, i) => [item.id, i + 1]));
}

function find(ids: Map<string, number>, id: string, owner: string, what: string): number {
  const wireId = ids.get(id);
  if (wireId === undefined)
    throw new CompileError(`${owner} names the ${what} "${id}", which is not there; add it or correct the name`);
  return wireId;
}

function timeOf(text: string, owner: string): number {
  const ms = parseTime(text);
  if (ms === undefined) throw new CompileError(`${owner}: "${text}" is no RFC 3339 time`);
  return ms;
}

/** The headers are still empty here, so the epoch depends on the records alone. */
function contentEpoch(pages: Buffer[]): bigint {
  const hash = createHash("sha256");
  for (const page of pages) hash.update(page.subarray(HEADER_BYTES));
  return hash.digest().readBigUInt64LE(0) || 1n;
}

function tooLarge(bytes: number, spec: EnvironmentSpec): string {
  const over = bytes - MAX_COMPILED_BYTES;
  return (
    `the snapshot of "${spec.environment}" has ${bytes} bytes, ${over} more than the ${MAX_COMPILED_BYTES} that fit into a plugin's configuration ` +
    `(${spec.keys.length} keys, ${spec.consumers.length} consumers, ${spec.apis.length} APIs, ${spec.tiers.length} tiers); ` +
    "remove expired and revoked keys, split the file by gateway, or run the control service and give the plugin `control` in place of `snapshot`"
  );
}
