import assert from "node:assert/strict";
import { pino } from "pino";
import { Registry } from "prom-client";
import { apiRecords, consumerRecord, keyLimitRecords, keyRecord, tierRecords } from "../../control/sync/fromFeed.ts";
import type { WireRecord } from "../../control/sync/generated/records.ts";
import { createSyncServer, type SyncServer, type SyncServerOptions } from "../../control/sync/server.ts";
import type { FeedSource } from "../../control/store/feedSource.ts";
import { decodeFrames } from "../../control/sync/reader.ts";
import { RecordWriter } from "../../control/sync/codec.ts";
import { sealFrame } from "../../control/sync/frames.ts";
import { MemoryCounterStore } from "../../control/counters/memory.ts";
import type { UsageEntry, UsageSink } from "../../control/usage/model.ts";
import { eventually } from "../kit/eventually.ts";
import { apply, Gateway, sorted, type Table } from "./gateway.ts";
import { MemorySource } from "./memorySource.ts";

export interface Cleanup {
  after(fn: () => unknown): void;
}

export interface Sync {
  server: SyncServer;
  url: string;
  registry: Registry;
  gateway(token?: string, id?: string): Gateway;
}

/** Keeps usage in memory; a batch counts once. */
export class MemoryUsage implements UsageSink {
  readonly batches: {
    environment: string;
    gateway: string;
    lane: bigint;
    seq: bigint;
    entries: readonly UsageEntry[];
  }[] = [];
  /** thrown by every call while it is set */
  failure: Error | undefined;

  async record(
    environment: string,
    gateway: string,
    lane: bigint,
    seq: bigint,
    entries: readonly UsageEntry[],
  ): Promise<"applied" | "repeated"> {
    if (this.failure !== undefined) throw this.failure;
    if (this.batches.some((batch) => batch.environment === environment && batch.lane === lane && batch.seq >= seq))
      return "repeated";
    this.batches.push({ environment, gateway, lane, seq, entries });
    return "applied";
  }
}

/** A server on a free port; closed after the test. */
export async function startSync(
  t: Cleanup,
  source: FeedSource,
  options: Partial<SyncServerOptions> = {},
): Promise<Sync> {
  const registry = new Registry();
  const server = createSyncServer({
    source,
    counters: new MemoryCounterStore(),
    usage: new MemoryUsage(),
    logger: pino({ level: "silent" }),
    registry,
    ...options,
  });
  t.after(() => server.close());
  const url = await server.listen({ host: "127.0.0.1", port: 0 });
  return { server, url, registry, gateway: (token = "token", id) => new Gateway(url, token, id) };
}

/** A source with an API, a tier, two consumers and three keys at version 1, and the token "token". */
export function smallSource(): MemorySource {
  const source = new MemorySource();
  source.addToken("token");
  source.commit((writer) => {
    writer.api("echo");
    writer.tier("bronze");
    writer.consumer("acme", { tier: "bronze", claims: { org: "acme" } });
    writer.consumer("initech", { suspended: true });
    writer.key("k1", "acme");
    writer.key("k2", "acme", "revoked");
    writer.key("k3", "initech");
  });
  return source;
}

/** All records as the source has them now, as they come off the wire. */
export async function truth(
  source: FeedSource,
  environment = "default",
  sees: (apiId: string) => boolean = () => true,
): Promise<Table> {
  const table: Table = new Map();
  await source.snapshotRead(environment, async (reader) => {
    const records: WireRecord[] = [
      ...(await reader.apis()).filter(({ api }) => sees(api.id)).flatMap(apiRecords),
      ...(await reader.tiers()).flatMap(tierRecords),
      ...(await reader.consumersPage(0, 1e6)).map(consumerRecord),
      ...(await reader.keysPage(0, 1e6)).flatMap((key) => [keyRecord(key), ...keyLimitRecords(key)]),
    ];
    const writer = new RecordWriter();
    for (const record of records) writer.write(record);
    for (const page of writer.finish()) {
      const decoded = decodeFrames(
        sealFrame(page, { type: "page", epoch: 1n, version: 1n, index: 0, pageCount: 1, timeMs: 0 }),
      );
      assert.ok(decoded.ok && decoded.frames[0]?.type === "page");
      apply(table, decoded.frames[0].records, true);
    }
  });
  return table;
}

/** The gateway has exactly what the source has. */
export async function assertSynced(
  gateway: Gateway,
  source: FeedSource,
  sees?: (apiId: string) => boolean,
): Promise<void> {
  assert.deepEqual(sorted(gateway.table), sorted(await truth(source, "default", sees)));
}

/** Waits until so many polls are parked. */
export async function parked(sync: Sync, count: number): Promise<void> {
  await eventually(
    `${count} polls are parked`,
    async () => (await metric(sync, "tollgate_sync_parked_polls")) === count,
  );
}

/** The value of a metric, summed over its labels; of a histogram, how often something was observed. */
export async function metric(sync: Sync, name: string): Promise<number> {
  const found = await sync.registry.getSingleMetric(name)?.get();
  const values = (found?.values ?? []) as { value: number; metricName?: string }[];
  const own = (value: { metricName?: string }): boolean =>
    value.metricName === undefined || value.metricName === name || value.metricName === `${name}_count`;
  return values.filter(own).reduce((sum, value) => sum + value.value, 0);
}
