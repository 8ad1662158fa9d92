/** Lane calls: read, decided in groups by the counter store, answered. */
import { namesOf } from "../../protocol/define.ts";
import { leaseVerdict } from "../../protocol/enums.ts";
import type { CallAnswer, Recall } from "../counters/model.ts";
import { LeaseQueue } from "../counters/queue.ts";
import { CountersUnavailable, type CounterStore } from "../counters/store.ts";
import type { Catalogs } from "./catalogs.ts";
import type { EnvironmentFeed } from "./feed.ts";
import { leasesAnswerFrame, type LeasesCall, readLeasesCall } from "./leaseFrames.ts";
import { gatewayName } from "../store/gatewayName.ts";
import { scopedOps } from "./leaseScope.ts";
import type { SyncMetrics } from "./metrics.ts";
import { SyncProblem } from "./problems.ts";
import type { Refusals } from "./refusals.ts";
import type { Grant } from "./tokens.ts";

/** A call that is being decided. */
interface Deciding {
  body: Buffer;
  decided: Promise<CallAnswer>;
}

const verdictNames = namesOf(leaseVerdict);

export class Leases {
  readonly #catalogs: Catalogs;
  readonly #metrics: SyncMetrics;
  readonly #refusals: Refusals;
  readonly #queue: LeaseQueue;
  /** by environment, group, lane and number */
  readonly #deciding = new Map<string, Deciding>();

  constructor(
    store: CounterStore,
    catalogs: Catalogs,
    metrics: SyncMetrics,
    refusals: Refusals,
    recalled: (recalls: Recall[]) => void,
  ) {
    this.#catalogs = catalogs;
    this.#metrics = metrics;
    this.#refusals = refusals;
    const limits = (environment: string, wireId: number) => catalogs.of(environment).limit(wireId)?.shape;
    this.#queue = new LeaseQueue(measured(store, metrics), limits, recalled);
  }

  /** The answer's frame. Throws SyncProblem. */
  async answer(body: Buffer, gateway: string, grant: Grant, feed: EnvironmentFeed): Promise<Buffer> {
    const startedMs = performance.now();
    const call = readLeasesCall(body);
    if (!(await feed.isCurrent(grant.view, call.epoch)))
      throw new SyncProblem(
        "epoch_changed",
        "wire ids of that epoch mean nothing any more: load the snapshot and begin a new lane",
      );
    const catalog = this.#catalogs.of(grant.environment);
    await catalog.reach(feed.state?.version ?? 0n);
    const decided = await this.#decide(call, body, gateway, grant);
    if (decided.kind === "outdated")
      throw new SyncProblem(
        "call_outdated",
        `lane ${call.lane.toString(16)} has had a later call than ${call.seq} answered`,
      );
    for (const { verdict } of decided.answers) this.#metrics.leases.inc({ verdict: verdictNames[verdict]! });
    const granted = decided.answers.reduce((sum, answer) => sum + answer.granted, 0);
    if (granted > 0) this.#metrics.granted.inc({ environment: grant.environment, group: grant.group }, granted);
    this.#metrics.leaseSeconds.observe((performance.now() - startedMs) / 1000);
    return leasesAnswerFrame(call, decided.timeMs, decided.answers);
  }

  /** Resolves when every call that was begun is answered. */
  async drain(): Promise<void> {
    await this.#queue.drain();
  }

  /** A call that is sent again while it is being decided waits for the same decision: under load, resends mustn't add to it. */
  async #decide({ seq, lane, ops }: LeasesCall, body: Buffer, gateway: string, grant: Grant): Promise<CallAnswer> {
    const { environment, group } = grant;
    const name = `${environment} ${group} ${lane} ${seq}`;
    const same = this.#deciding.get(name);
    if (same?.body.equals(body) === true) return same.decided;
    const submit = async (): Promise<CallAnswer> => {
      const scoped = await scopedOps(this.#catalogs.of(environment), grant.view, ops);
      this.#refusals.note("leases", grant, gateway, scoped.refused);
      return this.#queue.submit({ environment, gateway: gatewayName(group, gateway), lane, seq, ops: scoped.ops });
    };
    const deciding: Deciding = { body, decided: submit().catch(rethrow) };
    this.#deciding.set(name, deciding);
    return deciding.decided.finally(() => {
      if (this.#deciding.get(name) === deciding) this.#deciding.delete(name);
    });
  }
}

function rethrow(error: unknown): never {
  throw error instanceof CountersUnavailable
    ? new SyncProblem("not_ready", "the counter store doesn't answer; send the call again as it was", { cause: error })
    : error;
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
