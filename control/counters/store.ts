/** The counter store's contract: memory, SQLite, PostgreSQL and Redis pass one suite. What it has answered is durable. */
import type { CallAnswer, CounterGeneration, CounterRef, CounterState, LaneCall, LimitsOf, Recall } from "./model.ts";

export interface Applied {
  /** one for each call */
  answers: CallAnswer[];
  /** for the sync feed, of every replica, to pass on to these gateways; at most one in `recallPaceMs` for a window and gateway */
  recalls: Recall[];
}

export interface CounterStore {
  /**
   * Decides calls of any lanes and environments together, one after the other, and keeps each lane's last number with its answer along with
   * the counters. All or nothing unless the store says otherwise; a call that was cut short may be sent again as it was.
   * Throws CountersUnavailable when nothing is known to be kept.
   */
  apply(calls: readonly LaneCall[], limits: LimitsOf): Promise<Applied>;
  /** Forgets what was spent, and extra; see `reset` in adjust.ts. The generations are to be told to the gateways. */
  reset(environment: string, counters: readonly CounterRef[]): Promise<CounterGeneration[]>;
  /** Gives the current windows so much on top of their limits. The generations are to be told to the gateways. */
  grant(environment: string, counters: readonly CounterRef[], amount: number): Promise<CounterGeneration[]>;
  inspect(environment: string, counters: readonly CounterRef[]): Promise<CounterState[]>;
  /** Deletes what no decision looks at any more: windows that ended, lanes that are gone. To be called every minute or so. */
  prune(): Promise<void>;
  /** Tells the other replicas of recalls. One that is lost is made again by the next `wait`. */
  broadcast(recalls: readonly Recall[]): Promise<void>;
  /** `heard` gets the recalls that other replicas broadcast; perhaps also one's own. */
  listen(heard: (recalls: Recall[]) => void): Promise<void>;
  close(): Promise<void>;
}

/** The store can't be reached for now: the same call may succeed later. Answer 503. */
export class CountersUnavailable extends Error {
  constructor(options?: ErrorOptions) {
    super("The counter store can't be reached.", options);
    this.name = "CountersUnavailable";
  }
}

/** A window's row is kept for so long after its end, so that a clock set back a little doesn't open it anew. */
export const windowKeptMs = 60_000;
/** The last answer of a lane that has been silent for so long won't be asked for again. */
export const answerKeptMs = 86_400_000;
/** A lane is remembered for longer than a calendar window lasts, so that what it holds can be shown with its gateway. */
export const laneKeptMs = 40 * 86_400_000;
/** A gateway is recalled at most so often for the same window. */
export const recallPaceMs = 20;
