/**
 * What one environment needs in one VM, wired together: its shared state and the parts that work on it. All roots of a VM with the same
 * environment, control plane and token share one runtime. No part knows the runtime.
 */
import { Follower } from "../sync/follower";
import { Counters } from "../limits/counters";
import { LeaseSession } from "../limits/leaseSession";
import { Leader } from "../sync/leader";
import { Workers } from "../gateway/workers";
import { Outbox } from "../usage/outbox";
import { SharedState } from "../gateway/sharedState";
import { TokenCalls } from "../tokens/calls";
import { Usage } from "../usage/usageCells";

export class Runtime {
  /** the root whose ticks and calls drive the runtime, and when it last ticked */
  owner: u32 = 0;
  ownerTickNs: u64 = 0;

  readonly workers: Workers;
  readonly counters: Counters;
  readonly follower: Follower;
  readonly leader: Leader;
  readonly leaseSession: LeaseSession;
  readonly usage: Usage;
  readonly outbox: Outbox;
  readonly tokens: TokenCalls;

  constructor(public readonly state: SharedState) {
    const workers = new Workers(state);
    const counters = new Counters(state, workers);
    const usage = new Usage();
    this.workers = workers;
    this.usage = usage;
    this.counters = counters;
    this.follower = new Follower(state, counters);
    this.leader = new Leader(state, workers);
    this.leaseSession = new LeaseSession(state, counters);
    this.outbox = new Outbox(state, workers, usage);
    this.tokens = new TokenCalls(state);
  }

  /** Frees what lies outside the collector's reach, once no root uses the runtime any more. */
  free(): void {
    this.follower.dropAside();
    this.leader.free();
    this.leaseSession.free();
    this.usage.free();
    this.tokens.free();
    this.counters.slab.clear();
    this.state.free();
  }
}
