/** A whole snapshot of an environment at one version, encoded: what a gateway far behind fetches page by page. */
import type { FeedApi, FeedReader, FeedTier } from "../store/feedSource.ts";
import { RecordWriter } from "./codec.ts";
import { manifestFrame, writeHeader, type ManifestCounts } from "./frames.ts";
import { apiRecords, consumerRecord, keyLimitRecords, keyRecord, tierRecords } from "./fromFeed.ts";
import { Pace } from "./pace.ts";
import type { View } from "./view.ts";
import { HEADER_BYTES } from "./wire.ts";

/** The pages that depend on what a group sees. */
interface Head {
  /** with room for a header in front, as all pages here */
  pages: Buffer[];
  counts: ManifestCounts;
}

type Counts = Pick<ManifestCounts, "keyCount" | "consumerCount"> & { keyLimitCount: number };

export class Base {
  /** the environment's own, not a view's */
  readonly epoch: bigint;
  readonly version: bigint;
  readonly madeMs: number;
  /** of consumers and keys: one copy for all groups */
  readonly sharedBytes: number;
  /** when a page was last given out, by the caller's clock */
  usedMs: number;
  readonly #shared: Buffer[];
  readonly #apis: FeedApi[];
  readonly #tiers: FeedTier[];
  readonly #counts: Counts;
  readonly #heads = new Map<string, Head>();

  private constructor(
    reader: FeedReader,
    nowMs: number,
    shared: Buffer[],
    apis: FeedApi[],
    tiers: FeedTier[],
    counts: Counts,
  ) {
    this.epoch = reader.epoch;
    this.version = reader.version;
    this.madeMs = nowMs;
    this.usedMs = nowMs;
    this.#shared = shared;
    this.sharedBytes = shared.reduce((sum, page) => sum + page.length, 0);
    this.#apis = apis;
    this.#tiers = tiers;
    this.#counts = counts;
  }

  /** Reads and encodes everything, giving way to other work every few milliseconds. Throws the signal's reason when aborted. */
  static async read(reader: FeedReader, nowMs: number, signal?: AbortSignal): Promise<Base> {
    const apis = await reader.apis();
    const tiers = await reader.tiers();
    const writer = new RecordWriter();
    const counts: Counts = { keyCount: 0, consumerCount: 0, keyLimitCount: 0 };
    const pace = new Pace(500, 100, 10_000);
    for (let after = 0; ; await pace.next()) {
      signal?.throwIfAborted();
      const consumers = await reader.consumersPage(after, pace.size);
      for (const consumer of consumers) writer.write(consumerRecord(consumer));
      counts.consumerCount += consumers.length;
      if (consumers.length === 0) break;
      after = consumers[consumers.length - 1]!.wireId;
    }
    for (let after = 0; ; await pace.next()) {
      signal?.throwIfAborted();
      const keys = await reader.keysPage(after, pace.size);
      for (const key of keys) {
        writer.write(keyRecord(key));
        if (key.limits === undefined) continue;
        for (const limit of keyLimitRecords(key)) writer.write(limit);
        counts.keyLimitCount += key.limits.length;
      }
      counts.keyCount += keys.length;
      if (keys.length === 0) break;
      after = keys[keys.length - 1]!.rowId;
    }
    return new Base(reader, nowMs, writer.finish(), apis, tiers, counts);
  }

  /** `current`: the version that a gateway must have reached before it decides by this snapshot. */
  manifest(view: View, current: bigint, timeMs: number): Buffer {
    return manifestFrame(
      { epoch: view.epoch(this.epoch), version: this.version, current, timeMs },
      this.#head(view).counts,
    );
  }

  /** Header and payload of a page frame; undefined when there is no such page. */
  page(view: View, index: number): [Buffer, Buffer] | undefined {
    const head = this.#head(view);
    const page = index < head.pages.length ? head.pages[index] : this.#shared[index - head.pages.length];
    if (page === undefined) return undefined;
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    const payload = page.subarray(HEADER_BYTES);
    writeHeader(
      header,
      {
        type: "page",
        epoch: view.epoch(this.epoch),
        version: this.version,
        timeMs: this.madeMs,
        index,
        pageCount: head.counts.pageCount,
      },
      payload,
    );
    return [header, payload];
  }

  #head(view: View): Head {
    let head = this.#heads.get(view.key);
    if (head === undefined) {
      head = this.#encodeHead(view);
      this.#heads.set(view.key, head);
    }
    return head;
  }

  #encodeHead(view: View): Head {
    const writer = new RecordWriter(16 * 1024);
    const apis = this.#apis.filter(({ api }) => view.sees(api.id));
    for (const api of apis) for (const record of apiRecords(api)) writer.write(record);
    for (const tier of this.#tiers) for (const record of tierRecords(tier)) writer.write(record);
    const pages = writer.finish();
    if (pages.length + this.#shared.length === 0) pages.push(Buffer.alloc(HEADER_BYTES));
    const { keyCount, consumerCount, keyLimitCount } = this.#counts;
    const counts: ManifestCounts = {
      pageCount: pages.length + this.#shared.length,
      keyCount,
      consumerCount,
      tierCount: this.#tiers.length,
      apiCount: apis.length,
      limitCount: [...apis, ...this.#tiers].reduce((sum, owner) => sum + owner.limits.length, keyLimitCount),
      totalBytes: pages.reduce((sum, page) => sum + page.length, this.sharedBytes),
    };
    return { pages, counts };
  }
}
