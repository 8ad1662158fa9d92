/** Lane calls: read, decided in groups by the counter store, answered. */
import type { LaneCall, Recall } from "../counters/model.ts";
import { LeaseQueue } from "../counters/queue.ts";
import { CountersUnavailable, type CounterStore } from "../counters/store.ts";
import type { FeedSource } from "../store/feedSource.ts";
import type { EnvironmentFeed } from "./feed.ts";
import { leasesAnswerFrame, readLeasesCall } from "./leaseFrames.ts";
import { LimitShapes } from "./limitShapes.ts";
import type { SyncMetrics } from "./metrics.ts";
import { SyncProblem } from "./problems.ts";
import type { Grant } from "./tokens.ts";
import type { View } from "./view.ts";

export class Leases {
  readonly #source: FeedSource;
  readonly #metrics: SyncMetrics;
  readonly #queue: LeaseQueue;
  readonly #shapes = new Map<string, LimitShapes>();
  readonly #views = new WeakMap<LaneCall, View>();

  constructor(store: CounterStore, source: FeedSource, metrics: SyncMetrics, recalled: (recalls: Recall[]) => void) {
    this.#source = source;
    this.#metrics = metrics;
    const limits = (environment: string, wireId: number, call: LaneCall) => this.#shapes.get(environment)?.get(wireId, this.#views.get(call)!);
    this.#queue = new LeaseQueue(store, limits, recalled);
  }

  /** The answer's frame. Throws SyncProblem. */
  async answer(body: Uint8Array, gateway: string, grant: Grant, feed: EnvironmentFeed): Promise<Buffer> {
    const startedMs = performance.now();
    const { epoch, seq, lane, ops } = readLeasesCall(body);
    if (epoch !== feed.epochFor(grant.view)) {
      await feed.recheck();
      if (epoch !== feed.epochFor(grant.view)) throw new SyncProblem("epoch_changed", "wire ids of that epoch mean nothing any more: load the snapshot and begin a new lane");
    }
    await this.#shapesOf(grant.environment).reach(feed.state?.version ?? 0n);
    const call: LaneCall = { environment: grant.environment, gateway, lane, seq, ops };
    this.#views.set(call, grant.view);
    const decided = await this.#queue.submit(call).catch((error: unknown) => {
      throw error instanceof CountersUnavailable ? new SyncProblem("not_ready", "the counter store doesn't answer; send the call again as it was", { cause: error }) : error;
    });
    if (decided.kind === "outdated") throw new SyncProblem("call_outdated", `lane ${lane.toString(16)} has had a later call than ${seq} answered`);
    for (const { verdict } of decided.answers) this.#metrics.leases.inc({ verdict: verdictNames[verdict]! });
    this.#metrics.leaseSeconds.observe((performance.now() - startedMs) / 1000);
    return leasesAnswerFrame({ epoch, seq, lane }, decided.timeMs, decided.answers);
  }

  /** Resolves when every call that was begun is answered. */
  async drain(): Promise<void> {
    await this.#queue.drain();
  }

  #shapesOf(environment: string): LimitShapes {
    let shapes = this.#shapes.get(environment);
    if (shapes === undefined) this.#shapes.set(environment, (shapes = new LimitShapes(this.#source, environment)));
    return shapes;
  }
}

const verdictNames = ["noted", "granted", "wait", "spent", "unknown"] as const;
