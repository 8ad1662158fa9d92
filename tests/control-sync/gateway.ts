/** A gateway as the wire's document describes it: follows the sync calls and keeps a table of records. */
import assert from "node:assert/strict";
import { decodeFrames, type DecodedFrame } from "../../control/sync/reader.ts";
import type { RecalledCounter } from "../../control/sync/recallPayload.ts";
import type { CounterRecord, WireRecord } from "../../control/sync/generated/records.ts";
import { epochText } from "../../control/sync/frames.ts";

export interface HttpAnswer {
  status: number;
  headers: Headers;
  bytes: Buffer;
}

export type Table = Map<string, WireRecord>;

/** A record's place in a table. */
function placeOf(record: WireRecord): string {
  if (record.type === "other" || record.type === "closed") throw new Error("an unknown record");
  if (record.type === "key" || (record.type === "delete" && record.kind === "key"))
    return `key ${Buffer.from(record.digest).toString("hex", 0, 16)}`;
  return `${record.type === "delete" ? record.kind : record.type} ${record.wireId}`;
}

/** Applies records in their order; a record appears once in a snapshot. */
export function apply(table: Table, records: readonly WireRecord[], snapshot: boolean): void {
  for (const record of records) {
    const place = placeOf(record);
    if (snapshot) assert.ok(!table.has(place), `${place} is repeated`);
    if (record.type === "delete") table.delete(place);
    else table.set(place, record);
  }
}

export class Gateway {
  epoch = 0n;
  version = 0n;
  table: Table = new Map();
  /** kinds of answers so far */
  readonly answers: string[] = [];
  /** counters that were to be returned, so far */
  readonly recalled: RecalledCounter[] = [];
  /** news of counters, so far */
  readonly news: CounterRecord[] = [];
  readonly #url: string;
  readonly #token: string;
  readonly #id: string;

  constructor(url: string, token: string, id = "node~1") {
    this.#url = url;
    this.#token = token;
    this.#id = id;
  }

  /** A call with this gateway's identity; `more` replaces parameters. */
  async call(path: string, more: Record<string, string> = {}, signal?: AbortSignal): Promise<HttpAnswer> {
    const query = new URLSearchParams({
      environment: "default",
      gateway: this.#id,
      epoch: epochText(this.epoch),
      version: this.version.toString(),
      ...more,
    });
    const response = await fetch(`${this.#url}/sync/v1/${path}?${query}`, {
      headers: { authorization: `Bearer ${this.#token}` },
      ...(signal === undefined ? {} : { signal }),
    });
    return { status: response.status, headers: response.headers, bytes: Buffer.from(await response.arrayBuffer()) };
  }

  /** One watch and what follows from it: a delta is applied, a snapshot loaded. Gives the kind of the answer. */
  async watch(waitMs = 0, applied = this.version): Promise<DecodedFrame["type"]> {
    const answer = await this.call("watch", { waitMs: String(waitMs), applied: String(applied), workers: "1" });
    assert.equal(answer.status, 200, answer.bytes.toString());
    const kind = await this.take(answer.bytes);
    this.answers.push(kind);
    return kind;
  }

  /** Takes the frames of a watch's answer. */
  async take(bytes: Buffer): Promise<DecodedFrame["type"]> {
    const frames = framesOf(bytes);
    const first = frames[0]!;
    if (first.type === "manifest") await this.#load(first);
    else if (first.type === "delta") this.#applyDelta(frames);
    else if (first.type === "recall") this.recalled.push(...first.counters);
    else assert.equal(first.type, "heartbeat");
    return first.type;
  }

  /** Watches until it has the version. */
  async reach(version: bigint): Promise<void> {
    for (let calls = 0; this.version < version; calls++) {
      assert.ok(calls < 50, `still at ${this.version} after ${calls} calls`);
      await this.watch(10_000);
    }
  }

  /** Fetches a snapshot's pages. */
  async pages(manifest: DecodedFrame & { type: "manifest" }): Promise<HttpAnswer[]> {
    const { epoch, version } = manifest;
    const answers: HttpAnswer[] = [];
    for (let index = 0; index < manifest.counts.pageCount; index++)
      answers.push(await this.call(`pages/${index}`, { epoch: epochText(epoch), version: version.toString() }));
    return answers;
  }

  async #load(manifest: DecodedFrame & { type: "manifest" }): Promise<void> {
    const { counts } = manifest;
    if (manifest.epoch === this.epoch) assert.ok(manifest.version > this.version, "a snapshot leads on");
    const table: Table = new Map();
    let totalBytes = 0;
    for (const [index, answer] of (await this.pages(manifest)).entries()) {
      assert.equal(answer.status, 200, answer.bytes.toString());
      totalBytes += answer.bytes.length;
      const [page, ...more] = framesOf(answer.bytes);
      assert.ok(page?.type === "page" && more.length === 0);
      assert.deepEqual(
        [page.epoch, page.version, page.index, page.pageCount],
        [manifest.epoch, manifest.version, index, counts.pageCount],
      );
      apply(table, page.records, true);
    }
    const count = (type: string) => [...table.values()].filter((record) => record.type === type).length;
    assert.deepEqual(counts, {
      pageCount: counts.pageCount,
      keyCount: count("key"),
      consumerCount: count("consumer"),
      tierCount: count("tier"),
      apiCount: count("api"),
      limitCount: count("limit"),
      totalBytes,
    });
    [this.table, this.epoch, this.version] = [table, manifest.epoch, manifest.version];
  }

  #applyDelta(frames: DecodedFrame[]): void {
    const version = frames[0]!.version;
    for (const [i, frame] of frames.entries()) {
      assert.ok(frame.type === "delta");
      assert.deepEqual(
        [frame.epoch, frame.base, frame.version, frame.more],
        [this.epoch, this.version, version, i < frames.length - 1],
      );
      const news = frame.records.filter((record) => record.type === "counter");
      this.news.push(...news);
      apply(
        this.table,
        frame.records.filter((record) => record.type !== "counter"),
        false,
      );
    }
    assert.ok(version > this.version);
    this.version = version;
  }
}

export function framesOf(bytes: Buffer): DecodedFrame[] {
  const decoded = decodeFrames(bytes);
  assert.ok(
    decoded.ok,
    decoded.ok ? "" : `${decoded.error.reason} at ${decoded.error.offset}: ${decoded.error.detail}`,
  );
  return decoded.frames;
}

/** Its records in an order of their own, to compare tables by. */
export function sorted(table: Table): [string, WireRecord][] {
  return [...table].sort(([a], [b]) => (a < b ? -1 : 1));
}
