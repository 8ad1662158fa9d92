/**
 * What a worker knows of one environment: the records where they arrived, and indexes into them.
 *
 * A full snapshot is loaded into a new table aside, in slices; deltas are applied in place after the whole frame was validated. A table
 * that can't take a delta (an index is full or lacking, or much of its memory is outdated records) says so and is built anew.
 */
import { allocBlock, freeBlock } from "../lib/blocks";
import { Manifest } from "../wire/frame";
import { DigestIndex, IdIndex } from "./recordIndex";
import { API, CONSUMER, COUNTER, DELETE, KEY, LIMIT, SKIPPABLE, TIER } from "../wire/enums";
import { readRecord, recordBody, recordEnd, recordType } from "../wire/recordHead";
import { closeUnknown, validRecord } from "../wire/validate";
import { Names, namesNeeded } from "./callerNames";
import { OwnerIndex } from "./limitOwners";
import { Router } from "./router";
import { consumerWireId, deleteKind, deleteWhat, limitId, tierWireId } from "../wire/records";

const APPEND_BYTES: u32 = 256 << 10;
/** Records that deltas made outdated may take this much, and a quarter of the snapshot's own size. */
const OUTDATED_BYTES: u64 = 8 << 20;
/** Records applied between two looks at the clock. */
const BATCH: u32 = 256;

export const APPLIED: i32 = 0;
/** There is more to apply: go on from `applyCursor`. */
export const APPLY_MORE: i32 = 1;
/** The table has no room: build another one. */
export const APPLY_FULL: i32 = 2;

export const RECORDS_GOOD: i32 = 0;
export const RECORDS_BROKEN: i32 = 1;
/** A record of a type that this build doesn't know and may not skip. */
export const RECORDS_NEWER: i32 = 2;

/** Where `apply` stopped. */
export let applyCursor: usize = 0;

/** Validates all records between `at` and `end`. `deletes`: there may be some, as in a delta; a page has none. */
export function checkRecords(at: usize, end: usize, deletes: bool): i32 {
  while (at < end) {
    if (!readRecord(at, end)) return RECORDS_BROKEN;
    at = recordEnd;
    if (recordType >= SKIPPABLE) continue;
    if (recordType == 0 || recordType > COUNTER) return RECORDS_NEWER;
    if (
      ((recordType == DELETE || recordType == COUNTER) && !deletes) ||
      !validRecord(recordType, recordBody, recordEnd)
    )
      return RECORDS_BROKEN;
  }
  return RECORDS_GOOD;
}

function limitsMost(manifest: Manifest, extra: u32): u32 {
  return manifest.limitCount * 2 + 1024 + (extra >> 2);
}

export class Table {
  keys: DigestIndex = new DigestIndex();
  consumers: IdIndex = new IdIndex();
  tiers: IdIndex = new IdIndex();
  apis: IdIndex = new IdIndex();
  limits: IdIndex = new IdIndex();
  limitOwners: OwnerIndex = new OwnerIndex();
  router: Router = new Router();
  names: Names = new Names();
  /** names that an API needs and this table doesn't have: it has to be built anew with them */
  lacks: u32 = 0;

  /** Identity and progress, kept by who loads it. */
  epoch: u64 = 0;
  version: u64 = 0;

  private regions: Array<usize> = [];
  private appendAt: usize = 0;
  private appendLeft: u32 = 0;
  private snapshotBytes: u64 = 0;
  private appendedBytes: u64 = 0;
  private apisChanged: bool = true;
  private clearing: i32 = 0;

  /** Takes memory for the indexes of a snapshot, of these names too, with room for `extra` more records each of keys and consumers. */
  reserve(manifest: Manifest, extra: u32, names: u32 = 0): bool {
    this.snapshotBytes = manifest.totalBytes;
    return (
      this.keys.reserve(manifest.keyCount + (manifest.keyCount >> 4) + extra) &&
      this.consumers.reserve(manifest.consumerCount + (manifest.consumerCount >> 4) + extra) &&
      this.tiers.reserve(manifest.tierCount * 2 + 256) &&
      this.apis.reserve(manifest.apiCount * 2 + 256) &&
      this.limits.reserve(limitsMost(manifest, extra)) &&
      this.limitOwners.reserve(limitsMost(manifest, extra)) &&
      this.names.reserve(manifest, extra, names)
    );
  }

  /** Clears a part of the reserved indexes; true when all are clear. */
  clear(): bool {
    switch (this.clearing) {
      case 0:
        if (this.keys.clear()) this.clearing = 1;
        return false;
      case 1:
        if (this.consumers.clear()) this.clearing = 2;
        return false;
      case 2:
        if (this.tiers.clear()) this.clearing = 3;
        return false;
      case 3:
        if (this.apis.clear()) this.clearing = 4;
        return false;
      case 4:
        if (this.limits.clear()) this.clearing = 5;
        return false;
      default:
        return this.names.clear();
    }
  }

  /** Memory for a whole page that stays with the table; 0 when there is none. `discard` gives it back if it was the last one. */
  region(bytes: u32): usize {
    const at = allocBlock(bytes);
    if (at != 0) this.regions.push(at);
    return at;
  }

  discard(region: usize): void {
    if (this.regions.length > 0 && this.regions[this.regions.length - 1] == region) {
      this.regions.pop();
      freeBlock(region);
    }
  }

  /** Copies records to where they may stay; 0 when there is no memory or too much of it is outdated. */
  append(from: usize, bytes: u32): usize {
    if (this.appendedBytes + bytes > OUTDATED_BYTES + (this.snapshotBytes >> 2)) return 0;
    if (bytes > this.appendLeft) {
      const size = bytes > APPEND_BYTES ? bytes : APPEND_BYTES;
      const at = this.region(size);
      if (at == 0) return 0;
      this.appendAt = at;
      this.appendLeft = size;
    }
    const at = this.appendAt;
    memory.copy(at, from, bytes);
    this.appendAt += bytes;
    this.appendLeft -= bytes;
    this.appendedBytes += bytes;
    return at;
  }

  /**
   * Applies validated records between `at` and `end`, the table's own memory, until `BATCH` are done. Gives APPLIED, APPLY_MORE or APPLY_FULL.
   */
  apply(at: usize, end: usize): i32 {
    for (let n: u32 = 0; at < end; n++) {
      if (n == BATCH) {
        applyCursor = at;
        return APPLY_MORE;
      }
      readRecord(at, end);
      at = recordEnd;
      closeUnknown(recordType, recordBody);
      if (!this.take(recordType, recordBody)) return APPLY_FULL;
    }
    applyCursor = end;
    return APPLIED;
  }

  private take(type: u32, body: usize): bool {
    switch (type) {
      case KEY:
        return this.keys.put(body);
      case CONSUMER:
        return this.names.putConsumer(body, this.consumers.get(consumerWireId(body))) && this.consumers.put(body);
      case TIER:
        return this.names.putTier(body, this.tiers.get(tierWireId(body))) && this.tiers.put(body);
      case LIMIT:
        return this.limitOwners.put(body, this.limits.get(limitId(body))) && this.limits.put(body);
      case API:
        this.apisChanged = true;
        return this.hasNames(body) && this.apis.put(body);
      case DELETE:
        this.remove(deleteKind(body), deleteWhat(body));
        return true;
      default:
        return true;
    }
  }

  private remove(kind: u32, what: usize): void {
    switch (kind) {
      case KEY:
        this.keys.remove(what);
        break;
      case CONSUMER:
        this.removeConsumer(load<u32>(what));
        break;
      case TIER:
        this.removeTier(load<u32>(what));
        break;
      case LIMIT:
        this.removeLimit(load<u32>(what));
        break;
      case API:
        this.apisChanged = true;
        this.apis.remove(load<u32>(what));
        break;
    }
  }

  private hasNames(api: usize): bool {
    this.lacks |= namesNeeded(api) & ~this.names.kinds;
    return this.lacks == 0;
  }

  private removeConsumer(id: u32): void {
    const record = this.consumers.get(id);
    if (record == 0) return;
    this.names.removeConsumer(record);
    this.consumers.remove(id);
  }

  private removeTier(id: u32): void {
    const record = this.tiers.get(id);
    if (record == 0) return;
    this.names.removeTier(record);
    this.tiers.remove(id);
  }

  private removeLimit(id: u32): void {
    const record = this.limits.get(id);
    if (record == 0) return;
    this.limitOwners.remove(record);
    this.limits.remove(id);
  }

  /** Makes the router fit the APIs after records were applied. False when memory is short; the old router stays. */
  refreshRouter(): bool {
    if (!this.apisChanged) return true;
    const router = new Router();
    if (!router.build(this.apis)) return false;
    this.router.free();
    this.router = router;
    this.apisChanged = false;
    return true;
  }

  free(): void {
    this.keys.free();
    this.consumers.free();
    this.tiers.free();
    this.apis.free();
    this.limits.free();
    this.limitOwners.free();
    this.router.free();
    this.names.free();
    for (let i = 0; i < this.regions.length; i++) freeBlock(this.regions[i]);
    this.regions = [];
  }
}
