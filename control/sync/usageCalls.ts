/** Usage calls: read, handed to who keeps them, answered once they are durable. */
import type { UsageEntry, UsageSink } from "../usage/model.ts";
import type { EnvironmentFeed } from "./feed.ts";
import type { SyncMetrics } from "./metrics.ts";
import type { Grant } from "./tokens.ts";
import { readUsageCall, usageAnswerFrame } from "./usageFrames.ts";

export class UsageCalls {
  readonly #sink: UsageSink;
  readonly #metrics: SyncMetrics;

  constructor(sink: UsageSink, metrics: SyncMetrics) {
    this.#sink = sink;
    this.#metrics = metrics;
  }

  /** The answer's frame. Throws SyncProblem, and what the sink throws: the call is to be sent again then. */
  async answer(body: Buffer, gateway: string, grant: Grant, feed: EnvironmentFeed): Promise<Buffer> {
    const call = readUsageCall(body);
    const entries = (await feed.isCurrent(grant.view, call.epoch)) ? call.entries : call.entries.map(withoutWireIds);
    const outcome = await this.#sink.record(grant.environment, gateway, call.lane, call.seq, entries);
    this.#metrics.usageBatches.inc({ outcome });
    if (outcome === "applied") this.#metrics.usageEntries.inc(entries.length);
    return usageAnswerFrame(call, Date.now());
  }
}

/** Of another epoch, a wire id may stand for something else; a digest is what it always was. */
function withoutWireIds({ minute, digest, counts }: UsageEntry): UsageEntry {
  return { minute, api: 0, consumer: 0, digest, counts };
}
