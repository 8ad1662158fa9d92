/** Limits, calls and clocks for the tests of counters. */
import {
  type CallAnswer,
  type LaneCall,
  type LeaseAnswer,
  leaseAction,
  type LeaseOp,
  type LimitShape,
  type Recall,
} from "../../control/counters/model.ts";
import type { CounterStore } from "../../control/counters/store.ts";

export const environment = "default";
export const subject = "00112233445566778899aabbccddeeff";
export const otherSubject = "ffeeddccbbaa99887766554433221100";
/** 2027-01-15T08:00:00Z, a Friday, and the start of a minute */
export const startMs = Date.UTC(2027, 0, 15, 8);
export const minuteMs = 60_000;
export const dayMs = 86_400_000;

export class Clock {
  nowMs: number;

  constructor(nowMs = startMs) {
    this.nowMs = nowMs;
  }

  readonly read = (): number => this.nowMs;

  pass(ms: number): void {
    this.nowMs += ms;
  }
}

/** 100 per minute unless said otherwise. */
export function rate(fields: Partial<LimitShape> = {}): LimitShape {
  return { wireId: 1, kind: "rate", limit: 100, windowSeconds: 60, period: "none", firstUse: false, ...fields };
}

export function quota(period: LimitShape["period"], fields: Partial<LimitShape> = {}): LimitShape {
  return { wireId: 2, kind: "quota", limit: 100, windowSeconds: 0, period, firstUse: false, ...fields };
}

/** 30 days from the first use. */
export function firstUse(fields: Partial<LimitShape> = {}): LimitShape {
  return {
    wireId: 3,
    kind: "quota",
    limit: 100,
    windowSeconds: 30 * 86_400,
    period: "none",
    firstUse: true,
    ...fields,
  };
}

export const ask = (fields: Partial<LeaseOp> = {}): LeaseOp => {
  const { actions = 0, ...rest } = fields;
  return {
    wireId: 1,
    subject,
    windowStartMs: 0,
    held: 0,
    returned: 0,
    need: 1,
    want: 1000,
    ...rest,
    actions: actions | leaseAction.ask,
  };
};

export const tell = (fields: Partial<LeaseOp>): LeaseOp => ({
  wireId: 1,
  actions: 0,
  subject,
  windowStartMs: startMs,
  held: 0,
  returned: 0,
  need: 0,
  want: 0,
  ...fields,
});

let lanes = 0n;

/** One VM of a gateway, which numbers its calls. */
export class Lane {
  readonly id = 0xabcd_0000_0000_0000n | ++lanes;
  readonly gateway: string;
  seq = 0n;

  constructor(gateway = "router~boot1") {
    this.gateway = gateway;
  }

  call(...ops: LeaseOp[]): LaneCall {
    return { environment, gateway: this.gateway, lane: this.id, seq: ++this.seq, ops };
  }
}

/** A store beside the limits that it knows, for tests that care about one answer at a time. */
export class Desk {
  readonly store: CounterStore;
  readonly limits = new Map<number, LimitShape>();
  recalls: Recall[] = [];

  constructor(store: CounterStore, ...limits: LimitShape[]) {
    this.store = store;
    for (const limit of limits) this.limits.set(limit.wireId, limit);
  }

  async send(...calls: LaneCall[]): Promise<CallAnswer[]> {
    const { answers, recalls } = await this.store.apply(calls, (_environment, wireId) => this.limits.get(wireId));
    this.recalls = recalls;
    return answers;
  }

  /** The answers to the ops of one call. */
  async ops(lane: Lane, ...ops: LeaseOp[]): Promise<LeaseAnswer[]> {
    const [answer] = await this.send(lane.call(...ops));
    if (answer?.kind !== "answered") throw new Error("The call is outdated.");
    return answer.answers;
  }

  async op(lane: Lane, op: LeaseOp): Promise<LeaseAnswer> {
    return (await this.ops(lane, op))[0]!;
  }

  async used(limit: LimitShape, of = subject): Promise<number> {
    const [state] = await this.store.inspect(environment, [{ limit, subject: of }]);
    return state!.windows[0]?.used ?? 0;
  }
}
