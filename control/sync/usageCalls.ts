/** Usage calls: read, judged by what their token's group sees, handed to who keeps them, answered once they are durable. */
import type { UsageSink } from "../usage/model.ts";
import type { Catalogs } from "./catalogs.ts";
import type { EnvironmentFeed } from "./feed.ts";
import { gatewayName } from "../store/gatewayName.ts";
import type { SyncMetrics } from "./metrics.ts";
import { SyncProblem } from "./problems.ts";
import { gatewayKey } from "./recalls.ts";
import type { Refusals } from "./refusals.ts";
import type { Grant } from "./tokens.ts";
import { readUsageCall, usageAnswerFrame } from "./usageFrames.ts";
import { UsageScope } from "./usageScope.ts";

export class UsageCalls {
  readonly #sink: UsageSink;
  readonly #catalogs: Catalogs;
  readonly #metrics: SyncMetrics;
  readonly #refusals: Refusals;
  readonly #scope = new UsageScope();

  constructor(sink: UsageSink, catalogs: Catalogs, metrics: SyncMetrics, refusals: Refusals) {
    this.#sink = sink;
    this.#catalogs = catalogs;
    this.#metrics = metrics;
    this.#refusals = refusals;
  }

  /**
   * The answer's frame. Entries that are refused are left out; a batch that has no others is refused whole. Throws SyncProblem, and what the
   * sink throws: the call is to be sent again then.
   */
  async answer(body: Buffer, gateway: string, grant: Grant, feed: EnvironmentFeed): Promise<Buffer> {
    const call = readUsageCall(body);
    const { environment, group, view } = grant;
    const current = await feed.isCurrent(view, call.epoch);
    const catalog = this.#catalogs.of(environment);
    await catalog.reach(feed.state?.version ?? 0n);
    const { taken, refused, cost } = this.#scope.entries(
      catalog,
      current,
      view,
      gatewayKey(environment, gatewayName(group, gateway)),
      call.entries,
    );
    this.#refusals.note("usage", grant, gateway, { ...refused });
    if (taken.length === 0 && call.entries.length > 0) {
      const of = Object.entries(refused).flatMap(([reason, count]) =>
        count === 0 ? [] : [`${count} for its ${reason}`],
      );
      throw new SyncProblem(
        "usage_refused",
        `no entry of the batch can be taken (${of.join(", ")}): docs/internals/protocol.md says which are`,
      );
    }
    const outcome = await this.#sink.record(environment, gateway, call.lane, call.seq, taken);
    this.#metrics.usageBatches.inc({ outcome });
    if (outcome === "applied") {
      this.#metrics.usageEntries.inc(taken.length);
      if (cost > 0) this.#metrics.reportedCost.inc({ environment, group }, cost);
    }
    return usageAnswerFrame(call, Date.now());
  }
}
