/**
 * What lanes say to the counters, and what they are told. A counter is a limit applied to one subject; its allowance is charged when it's
 * granted, and only a return that was committed gives any of it back.
 *
 * Amounts and times are whole numbers from 0 to 2^53 − 1 (`Number.MAX_SAFE_INTEGER`); who decodes a u64 clamps it. Times are Unix
 * milliseconds of the store's clock.
 */
import { codesOf } from "../../protocol/define.ts";
import { leaseVerdict } from "../../protocol/enums.ts";

/** A limit with `enforcement: global`, as far as counting needs it. The fields are those of the wire's LIMIT record. */
export interface LimitShape {
  wireId: number;
  kind: "rate" | "quota";
  limit: number;
  /** rate: the window; quota: a length in seconds, or 0 with `period` */
  windowSeconds: number;
  period: "none" | "day" | "week" | "month";
  /** the window opens with its first grant; only with `windowSeconds` */
  firstUse: boolean;
}

/** The limit with this wire id. `undefined`: unknown, or not `enforcement: global`. */
export type LimitsOf = (environment: string, wireId: number, call: LaneCall) => LimitShape | undefined;

/** Bits of `LeaseOp.actions`. */
export { leaseAction } from "../../protocol/enums.ts";

export interface LeaseOp {
  wireId: number;
  actions: number;
  /** 32 lower-case hex digits */
  subject: string;
  /** start of the window that `held` and `returned` speak of; 0: they say nothing */
  windowStartMs: number;
  /** what the lane still holds unspent of it, after `returned` was taken out */
  held: number;
  returned: number;
  /** the least amount that is of use; 1 and more with `ask` */
  need: number;
  want: number;
}

/** One call of a lane (one VM of an Envoy). It has one in flight, and resends it unchanged until it's answered. */
export interface LaneCall {
  environment: string;
  /** names it within the environment (control/store/gatewayName.ts) */
  gateway: string;
  /** random u64 */
  lane: bigint;
  /** from 1, one higher with each call */
  seq: bigint;
  ops: LeaseOp[];
}

export const verdict = codesOf(leaseVerdict);
export type Verdict = (typeof verdict)[keyof typeof verdict];

export interface LeaseAnswer {
  verdict: Verdict;
  /** of the counter; raised by a reset or a grant, never lowered */
  generation: number;
  granted: number;
  /** the window that was asked for; without an ask, the one that was reported on; 0: none */
  windowStartMs: number;
  windowEndMs: number;
  /** when the lane stops to spend what it holds of this window */
  leaseEndMs: number;
  /** limit + extra − used, after this op */
  remaining: number;
  /** wait: when to ask again; spent: until when an ask for `need` is in vain; else 0 */
  untilMs: number;
  /** what the lane may spend per window while control is away, charged beforehand; 0: none */
  share: number;
  /** the share is for windows that start before this time */
  shareUntilMs: number;
}

export type CallAnswer =
  /** `timeMs`: the store's clock at the decision. A resend gives an equal answer. */
  | { kind: "answered"; timeMs: number; answers: LeaseAnswer[] }
  /** the lane has had a later call answered */
  | { kind: "outdated" };

/** A gateway is to return all that it holds of a counter's window, because others starve. */
export interface Recall {
  environment: string;
  gateway: string;
  wireId: number;
  subject: string;
  windowStartMs: number;
}

/** A limit applied to a subject. */
export interface CounterRef {
  limit: LimitShape;
  subject: string;
}

/** What a reset or a grant left; goes into the environment's log as a COUNTER record. */
export interface CounterGeneration {
  wireId: number;
  subject: string;
  generation: number;
}

export interface HoldingState {
  /** 16 lower-case hex digits */
  lane: string;
  gateway: string;
  /** at most so much is unspent */
  held: number;
  /** the lane's last call */
  lastContactMs: number;
}

export interface WindowState {
  startMs: number;
  endMs: number;
  /** charged: spent, held by lanes, or in shares */
  used: number;
  /** granted on top of the limit */
  extra: number;
  remaining: number;
  /** the part of `used` that is in shares */
  shares: number;
  holdings: HoldingState[];
}

/** A counter as the admin API shows it. */
export interface CounterState {
  wireId: number;
  subject: string;
  limit: number;
  generation: number;
  /** waits for the window that first use opens */
  pendingExtra: number;
  /** the current window, then the next one if anything was fetched ahead; with firstUse, none before the first use */
  windows: WindowState[];
}

export interface CounterSettings {
  /** how long a lane may spend what it was granted (TOLLGATE_LEASE_SECONDS) */
  leaseMs: number;
}

export const defaultLeaseMs = 900_000;
