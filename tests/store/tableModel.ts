/** A gateway's table, as simple as can be: what it holds after a snapshot, and after following changes. */
import assert from "node:assert/strict";
import type {
  FeedApi,
  FeedChange,
  FeedConsumer,
  FeedKey,
  FeedLimit,
  FeedReader,
  FeedTier,
} from "../../control/store/feedSource.ts";

export class TableModel {
  version: bigint | undefined;
  private readonly records = new Map<string, object>();

  /** Takes a whole snapshot. */
  async load(reader: FeedReader): Promise<void> {
    this.records.clear();
    for (const row of await reader.apis()) this.putApi(row);
    for (const row of await reader.tiers()) this.putTier(row);
    for (const row of await reader.consumersPage(0, 10_000)) this.putConsumer(row);
    for (const row of await reader.keysPage(0, 10_000)) this.putKey(row);
    this.version = reader.version;
  }

  /** Takes what changed since the version that it has; a snapshot when that isn't told. */
  async follow(reader: FeedReader): Promise<void> {
    const changes = this.version === undefined ? undefined : await reader.changesSince(this.version, 1000);
    if (changes === undefined) return this.load(reader);
    for (const change of changes) await this.take(change, reader);
    this.version = reader.version;
  }

  content(): [string, object][] {
    return [...this.records].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  private async take(change: FeedChange, reader: FeedReader): Promise<void> {
    if (change.kind === "limit") {
      this.records.delete(`limit ${change.wireId}`);
    } else if (change.kind === "counter") {
      // news: a table has no place for it
    } else if (change.deleted) {
      this.records.delete(change.kind === "key" ? keyName(change.digest) : `${change.kind} ${change.wireId}`);
    } else if (change.kind === "api") {
      this.putApi((await reader.apiById(change.id))!);
    } else if (change.kind === "tier") {
      this.putTier((await reader.tierById(change.id))!);
    } else if (change.kind === "consumer") {
      this.putConsumer((await reader.consumerById(change.id))!);
    } else {
      this.putKey((await reader.keyById(change.id))!);
    }
  }

  private putApi(row: FeedApi): void {
    this.records.set(`api ${row.wireId}`, row.api);
    this.putLimits(row.limits);
  }

  private putTier(row: FeedTier): void {
    for (const wireId of row.apiWireIds ?? []) this.mustHave(`api ${wireId}`);
    this.records.set(`tier ${row.wireId}`, row.tier);
    this.putLimits(row.limits);
  }

  private putConsumer(row: FeedConsumer): void {
    if (row.tierWireId !== 0) this.mustHave(`tier ${row.tierWireId}`);
    this.records.set(`consumer ${row.wireId}`, row.consumer);
  }

  private putKey(row: FeedKey): void {
    this.mustHave(`consumer ${row.consumerWireId}`);
    for (const wireId of row.apiWireIds ?? []) this.mustHave(`api ${wireId}`);
    const { rowId: _rowId, digest, limits = [], ...record } = row;
    this.records.set(keyName(digest), record);
    this.putLimits(limits);
  }

  private putLimits(limits: readonly FeedLimit[]): void {
    for (const { wireId, ...record } of limits) this.records.set(`limit ${wireId}`, record);
  }

  private mustHave(name: string): void {
    assert.ok(this.records.has(name), `${name} comes before what refers to it`);
  }
}

function keyName(digest: Buffer): string {
  return `key ${digest.toString("hex")}`;
}
