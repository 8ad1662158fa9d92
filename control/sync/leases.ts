/** Lane calls: read, decided in groups by the counter store, answered. */
import { namesOf } from "../../protocol/define.ts";
import { leaseVerdict } from "../../protocol/enums.ts";
import type { CallAnswer, LaneCall, Recall } from "../counters/model.ts";
import { LeaseQueue } from "../counters/queue.ts";
import { CountersUnavailable, type CounterStore } from "../counters/store.ts";
import type { FeedSource } from "../store/feedSource.ts";
import type { EnvironmentFeed } from "./feed.ts";
import { leasesAnswerFrame, type LeasesCall, readLeasesCall } from "./leaseFrames.ts";
import { LimitShapes } from "./limitShapes.ts";
import type { SyncMetrics } from "./metrics.ts";
import { SyncProblem } from "./problems.ts";
import type { Grant } from "./tokens.ts";
import type { View } from "./view.ts";

/** A call that is being decided. */
interface Deciding {
  body: Buffer;
  decided: Promise<CallAnswer>;
}

const verdictNames = namesOf(leaseVerdict);

export class Leases {
  readonly #source: FeedSource;
  readonly #metrics: SyncMetrics;
  readonly #queue: LeaseQueue;
  readonly #shapes = new Map<string, LimitShapes>();
  readonly #views = new WeakMap<LaneCall, View>();
  /** by environment, lane and number */
  readonly #deciding = new Map<string, Deciding>();

  constructor(store: CounterStore, source: FeedSource, metrics: SyncMetrics, recalled: (recalls: Recall[]) => void) {
    this.#source = source;
    this.#metrics = metrics;
    const limits = (environment: string, wireId: number, call: LaneCall) => this.#shapes.get(environment)?.get(wireId, this.#views.get(call)!);
    this.#queue = new LeaseQueue(measured(store, metrics), limits, recalled);
  }

  /** The answer's frame. Throws SyncProblem. */
  async answer(body: Buffer, gateway: string, grant: Grant, feed: EnvironmentFeed): Promise<Buffer> {
    const startedMs = performance.now();
    const call = readLeasesCall(body);
    if (!(await feed.isCurrent(grant.view, call.epoch))) throw new SyncProblem("epoch_changed", "wire ids of that epoch mean nothing any more: load the snapshot and begin a new lane");
    await this.#shapesOf(grant.environment).reach(feed.state?.version ?? 0n);
    const decided = await this.#decide(call, body, gateway, grant);
    if (decided.kind === "outdated") throw new SyncProblem("call_outdated", `lane ${call.lane.toString(16)} has had a later call than ${call.seq} answered`);
    for (const { verdict } of decided.answers) this.#metrics.leases.inc({ verdict: verdictNames[verdict]! });
    this.#metrics.leaseSeconds.observe((performance.now() - startedMs) / 1000);
    return leasesAnswerFrame(call, decided.timeMs, decided.answers);
  }

  /** Resolves when every call that was begun is answered. */
  async drain(): Promise<void> {
    await this.#queue.drain();
  }

  /** A call that is sent again while it is being decided waits for the same decision: under load, resends mustn't add to it. */
  async #decide({ seq, lane, ops }: LeasesCall, body: Buffer, gateway: string, grant: Grant): Promise<CallAnswer> {
    const name = `${grant.environment} ${lane} ${seq}`;
    const same = this.#deciding.get(name);
    if (same?.body.equals(body) === true) return same.decided;
    const call: LaneCall = { environment: grant.environment, gateway, lane, seq, ops };
    this.#views.set(call, grant.view);
    const deciding: Deciding = { body, decided: this.#queue.submit(call).catch(rethrow) };
    this.#deciding.set(name, deciding);
    return deciding.decided.finally(() => {
      if (this.#deciding.get(name) === deciding) this.#deciding.delete(name);
    });
  }

  #shapesOf(environment: string): LimitShapes {
    let shapes = this.#shapes.get(environment);
    if (shapes === undefined) this.#shapes.set(environment, (shapes = new LimitShapes(this.#source, environment)));
    return shapes;
  }
}

function rethrow(error: unknown): never {
  throw error instanceof CountersUnavailable ? new SyncProblem("not_ready", "the counter store doesn't answer; send the call again as it was", { cause: error }) : error;
}

/** The part of a store that decides, with a look at the clock around it. */
function measured(store: CounterStore, metrics: SyncMetrics): Pick<CounterStore, "apply"> {
  return {
    async apply(calls, limits) {
      const startedMs = performance.now();
      const applied = await store.apply(calls, limits);
      metrics.groupSeconds.observe((performance.now() - startedMs) / 1000);
      metrics.groupCalls.observe(calls.length);
      return applied;
    },
  };
}
