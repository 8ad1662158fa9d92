import { parseTime } from "../../control/domain/time.ts";
import type { EnvironmentSpec, Limit } from "../../control/domain/model.ts";
import type { LimitShape } from "../../control/counters/model.ts";
import type { FeedKey, FeedLimit } from "../../control/store/feedSource.ts";
import { apiRecords, consumerRecord, keyLimitRecords, keyRecord, tierRecords } from "../../control/sync/fromFeed.ts";
import { shapeOf } from "../../control/counters/limitShape.ts";
import type { DeleteRecord, WireRecord } from "../../control/sync/generated/records.ts";

/** Gives out wire ids as control does: one a record for as long as the epoch lasts, never used again. */
export class WireIds {
  readonly #ids = new Map<string, number>();

  of(kind: string, id: string): number {
    const name = `${kind} ${id}`;
    let wireId = this.#ids.get(name);
    if (wireId === undefined) this.#ids.set(name, (wireId = this.#ids.size + 1));
    return wireId;
  }
}

/** The limits that control counts, by wire id. */
export function shapesOf(spec: EnvironmentSpec, ids: WireIds): Map<number, LimitShape> {
  const shapes = new Map<number, LimitShape>();
  const add = (owner: string, limits: Limit[]): void => {
    for (const limit of limits) {
      const wireId = limitId(ids, owner, limit.name);
      if (limit.enforcement === "global") shapes.set(wireId, shapeOf({ wireId, limit }));
    }
  };
  for (const api of spec.apis) {
    add(`api ${api.id}`, api.limits);
    api.routes.forEach((route, index) => add(`api ${api.id} ${index}`, route.limits));
  }
  for (const tier of spec.tiers) add(`tier ${tier.id}`, tier.limits);
  for (const key of spec.keys) add(`key ${key.id}`, key.limits);
  return shapes;
}

/** `owner` as in "tier bronze", "api echo", "api echo 0" (its first route) or "key acme-1". */
export function limitId(ids: WireIds, owner: string, name: string): number {
  return ids.of("limit", `${owner} ${name}`);
}

/** Every record of an environment by what names it, in the order in which a table takes them. */
export function recordsOf(spec: EnvironmentSpec, ids: WireIds): Map<string, WireRecord> {
  const limitsOf = (owner: string, limits: Limit[], routeIndex?: number): FeedLimit[] =>
    limits.map((limit) => ({
      wireId: limitId(ids, owner, limit.name),
      limit,
      ...(routeIndex === undefined ? {} : { routeIndex }),
    }));
  const records = [
    ...spec.apis.flatMap((api) => {
      const routeLimits = api.routes.flatMap((route, index) => limitsOf(`api ${api.id} ${index}`, route.limits, index));
      return apiRecords({
        wireId: ids.of("api", api.id),
        api,
        limits: [...limitsOf(`api ${api.id}`, api.limits), ...routeLimits],
      });
    }),
    ...spec.tiers.flatMap((tier) =>
      tierRecords({
        wireId: ids.of("tier", tier.id),
        tier,
        limits: limitsOf(`tier ${tier.id}`, tier.limits),
        ...(tier.apis === undefined ? {} : { apiWireIds: tier.apis.map((id) => ids.of("api", id)) }),
      }),
    ),
    ...spec.consumers.map((consumer) =>
      consumerRecord({
        wireId: ids.of("consumer", consumer.id),
        tierWireId: consumer.tier === undefined ? 0 : ids.of("tier", consumer.tier),
        consumer,
      }),
    ),
    ...spec.keys.flatMap((key) => {
      const feedKey: FeedKey = {
        rowId: 0,
        id: key.id,
        digest: Buffer.from(key.sha256, "hex"),
        consumerWireId: ids.of("consumer", key.consumer),
        state: key.state,
        cidrs: key.allowedCidrs,
        limits: limitsOf(`key ${key.id}`, key.limits),
        ...(key.notBefore === undefined ? {} : { notBeforeMs: parseTime(key.notBefore)! }),
        ...(key.expiresAt === undefined ? {} : { expiresAtMs: parseTime(key.expiresAt)! }),
        ...(key.tier === undefined ? {} : { tierWireId: ids.of("tier", key.tier) }),
        ...(key.apis === undefined ? {} : { apiWireIds: key.apis.map((id) => ids.of("api", id)) }),
        ...(key.scopes === undefined ? {} : { scopes: key.scopes }),
      };
      return [keyRecord(feedKey), ...keyLimitRecords(feedKey)];
    }),
  ];
  return new Map(records.map((record) => [nameOf(record), record]));
}

/** What makes `after` of `before`: new and changed records in order, then deletions, dependants first. */
export function difference(
  before: ReadonlyMap<string, WireRecord>,
  after: ReadonlyMap<string, WireRecord>,
): WireRecord[] {
  const changed = [...after].filter(([name, record]) => !same(before.get(name), record)).map(([, record]) => record);
  const gone = [...before]
    .filter(([name]) => !after.has(name))
    .map(([, record]) => deletionOf(record))
    .reverse();
  return [...changed, ...gone];
}

function same(a: WireRecord | undefined, b: WireRecord): boolean {
  return a !== undefined && JSON.stringify(a, plain) === JSON.stringify(b, plain);
}

function plain(_name: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
}

function nameOf(record: WireRecord): string {
  if (record.type === "key") return `key ${Buffer.from(record.digest).toString("hex")}`;
  return "wireId" in record ? `${record.type} ${record.wireId}` : record.type;
}

function deletionOf(record: WireRecord): DeleteRecord {
  if (record.type === "key") return { type: "delete", kind: "key", digest: record.digest };
  if (record.type === "delete" || record.type === "counter" || record.type === "other" || record.type === "closed")
    throw new TypeError("an environment has no such record");
  return { type: "delete", kind: record.type, wireId: record.wireId };
}
