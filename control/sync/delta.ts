/** What changed since a version, encoded from the records as they are now. */
import type { FeedApi, FeedChange, FeedReader, FeedTier } from "../store/feedSource.ts";
import { RecordWriter } from "./codec.ts";
import { sealFrame } from "./frames.ts";
import { apiRecords, consumerRecord, keyLimitRecords, keyRecord, tierRecords } from "./fromFeed.ts";
import { Pace } from "./pace.ts";
import type { DeleteRecord, WireRecord } from "./generated/records.ts";
import type { View } from "./view.ts";
import { HEADER_BYTES } from "./wire.ts";

export interface Delta {
  /** the environment's own epoch */
  epoch: bigint;
  version: bigint;
  /** delta frames, one after another; at least one unless `version` is the base */
  bytes: Buffer;
  records: number;
}

export interface DeltaBounds {
  /** records changed, and bytes of all frames */
  maxRecords: number;
  maxBytes: number;
}

/**
 * Gives the delta from `base` to the reader's version. Undefined when a snapshot is due: the log doesn't reach back to `base`, or the
 * delta is over its bounds.
 */
export async function readDelta(
  reader: FeedReader,
  view: View,
  base: bigint,
  bounds: DeltaBounds,
  nowMs: number,
): Promise<Delta | undefined> {
  const { epoch, version } = reader;
  if (version === base) return { epoch, version, bytes: Buffer.alloc(0), records: 0 };
  const changes = await reader.changesSince(base, bounds.maxRecords);
  if (changes === undefined) return undefined;
  const writer = new RecordWriter(2048);
  const owners = await ownersOf(reader, changes);
  const pace = new Pace(200, 50, 500);
  for (let start = 0; start < changes.length; ) {
    const slice = changes.slice(start, start + pace.size);
    start += slice.length;
    await writeChanges(reader, slice, owners, view, writer);
    if (writer.frameBytes > bounds.maxBytes) return undefined;
    if (start < changes.length) await pace.next();
  }
  const pages = writer.finish();
  if (pages.length === 0) pages.push(Buffer.alloc(HEADER_BYTES));
  const stamp = { type: "delta", epoch: view.epoch(epoch), version, base, timeMs: nowMs } as const;
  pages.forEach((page, index) => sealFrame(page, { ...stamp, more: index < pages.length - 1 }));
  return { epoch, version, bytes: pages.length === 1 ? pages[0]! : Buffer.concat(pages), records: changes.length };
}

interface Owners {
  apis: Map<string, FeedApi>;
  tiers: Map<string, FeedTier>;
}

/** APIs and tiers that changed: one by one, or all at once when it's several, since either costs one reading of all limits. */
async function ownersOf(reader: FeedReader, changes: readonly FeedChange[]): Promise<Owners> {
  const owners: Owners = { apis: new Map(), tiers: new Map() };
  const ids = (kind: "api" | "tier"): string[] =>
    changes.flatMap((change) => (change.kind === kind && !change.deleted ? [change.id] : []));
  const apiIds = ids("api");
  const tierIds = ids("tier");
  const apis = apiIds.length > 2 ? await reader.apis() : await Promise.all(apiIds.map((id) => reader.apiById(id)));
  for (const api of apis) if (api !== undefined) owners.apis.set(api.api.id, api);
  const tiers = tierIds.length > 2 ? await reader.tiers() : await Promise.all(tierIds.map((id) => reader.tierById(id)));
  for (const tier of tiers) if (tier !== undefined) owners.tiers.set(tier.tier.id, tier);
  return owners;
}

async function writeChanges(
  reader: FeedReader,
  changes: readonly FeedChange[],
  owners: Owners,
  view: View,
  writer: RecordWriter,
): Promise<void> {
  const ids = (kind: "consumer" | "key"): string[] =>
    changes.flatMap((change) => (change.kind === kind && !change.deleted ? [change.id] : []));
  const consumerIds = ids("consumer");
  const keyIds = ids("key");
  const consumers = consumerIds.length === 0 ? new Map() : await reader.consumersByIds(consumerIds);
  const keys = keyIds.length === 0 ? new Map() : await reader.keysByIds(keyIds);
  const write = (records: WireRecord[]): void => records.forEach((record) => writer.write(record));
  for (const change of changes) {
    if (change.kind === "api" && !view.sees(change.id)) continue;
    if (change.kind === "counter")
      write([{ type: "counter", wireId: change.wireId, generation: change.generation, subject: change.subject }]);
    else if (change.deleted) write([deletion(change)]);
    else if (change.kind === "api") write(apiRecords(present(owners.apis.get(change.id), change)));
    else if (change.kind === "tier") write(tierRecords(present(owners.tiers.get(change.id), change)));
    else if (change.kind === "consumer") write([consumerRecord(present(consumers.get(change.id), change))]);
    else {
      const key = present(keys.get(change.id), change);
      write([keyRecord(key), ...keyLimitRecords(key)]);
    }
  }
}

function deletion(change: Exclude<FeedChange, { kind: "counter" }>): DeleteRecord {
  return change.kind === "key"
    ? { type: "delete", kind: "key", digest: change.digest }
    : { type: "delete", kind: change.kind, wireId: change.wireId };
}

function present<T>(record: T | undefined, change: FeedChange): T {
  if (record === undefined)
    throw new Error(`the log has ${change.kind} of version ${change.version}, the store has no such record`);
  return record;
}
