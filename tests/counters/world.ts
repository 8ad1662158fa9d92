/**
 * A model of lanes around a counter store, as hostile as the contract allows: replies and requests get lost, calls are resent and arrive
 * again late, several replicas answer, lanes die, spend late, and return when they like. It knows what was really spent in each window.
 */
import assert from "node:assert/strict";
import {
  type CallAnswer,
  type CounterState,
  type LaneCall,
  leaseAction,
  type LeaseOp,
  type LimitShape,
  verdict,
} from "../../control/counters/model.ts";
import type { CounterStore } from "../../control/counters/store.ts";
import { Clock, environment, subject } from "./support.ts";

export type Fate = "answered" | "reply lost" | "request lost";

export type Event =
  | {
      kind: "call";
      lanes: number[];
      replica: number;
      fate: Fate;
      ask: boolean;
      next: boolean;
      local: boolean;
      close: boolean;
      need: number;
      want: number;
      returnPart: number;
    }
  | { kind: "again"; lane: number; back: number; replica: number }
  | { kind: "spend"; lane: number; part: number }
  | { kind: "spendShare"; lane: number; amount: number }
  | { kind: "pass"; ms: number }
  | { kind: "die"; lane: number }
  | { kind: "grant"; amount: number }
  | { kind: "reset" }
  | { kind: "prune" };

interface ModelLane {
  id: bigint;
  gateway: string;
  seq: bigint;
  dead: boolean;
  /** start of the window → unspent */
  unspent: Map<number, number>;
  sent: LaneCall[];
  answers: Map<bigint, CallAnswer>;
  inFlight: LaneCall | undefined;
  share: number;
  shareUntilMs: number;
  /** start of the window → spent of the share */
  shareSpent: Map<number, number>;
}

export class World {
  readonly clock: Clock;
  readonly limit: LimitShape;
  readonly stores: readonly CounterStore[];
  readonly lanes: ModelLane[];
  /** start of the window → spent since the last reset */
  readonly spent = new Map<number, number>();
  readonly extra = new Map<number, number>();
  private readonly ends = new Map<number, number>();
  /** start of the window → what a reset left charged, which may be more than the limit where extra was held */
  private readonly left = new Map<number, number>();

  constructor(clock: Clock, stores: readonly CounterStore[], limit: LimitShape, lanes: number) {
    this.clock = clock;
    this.stores = stores;
    this.limit = limit;
    this.lanes = Array.from({ length: lanes }, (_, index) => ({
      id: BigInt(index + 1),
      gateway: `router~${index >> 1}`,
      seq: 0n,
      dead: false,
      unspent: new Map(),
      sent: [],
      answers: new Map(),
      inFlight: undefined,
      share: 0,
      shareUntilMs: 0,
      shareSpent: new Map(),
    }));
  }

  async run(event: Event): Promise<void> {
    switch (event.kind) {
      case "call": {
        const calls = new Map<ModelLane, LaneCall>();
        for (const index of event.lanes) {
          const lane = this.lane(index);
          // A lane with a call under way can only send that again.
          if (!lane.dead && !calls.has(lane)) calls.set(lane, lane.inFlight ?? this.newCall(lane, event));
        }
        await this.deliver(calls, event.replica, event.fate);
        break;
      }
      case "again": {
        const lane = this.lane(event.lane);
        const old = lane.sent.at(-1 - (event.back % Math.max(1, lane.sent.length)));
        if (old !== undefined) await this.arrive(new Map([[lane, old]]), event.replica);
        break;
      }
      case "spend": {
        const lane = this.lane(event.lane);
        if (lane.dead) break;
        for (const [startMs, unspent] of lane.unspent) this.spend(lane, startMs, Math.ceil(unspent * event.part));
        break;
      }
      case "spendShare":
        this.spendShare(this.lane(event.lane), event.amount);
        break;
      case "pass":
        this.clock.pass(event.ms);
        break;
      case "die":
        this.lane(event.lane).dead = true;
        break;
      case "grant":
        await this.stores[0]!.grant(environment, [{ limit: this.limit, subject }], event.amount);
        break;
      case "reset":
        await this.stores[0]!.reset(environment, [{ limit: this.limit, subject }]);
        for (const [startMs, endMs] of this.ends) if (endMs > this.clock.nowMs) this.spent.set(startMs, 0);
        for (const { startMs, used } of (await this.state()).windows) this.left.set(startMs, used);
        break;
      case "prune":
        await this.stores[0]!.prune();
        break;
    }
    await this.check();
  }

  /** What was spent and what is unspent was charged, and what was charged is within the limit. */
  async check(): Promise<void> {
    for (const { startMs, endMs, used, extra, holdings } of (await this.state()).windows) {
      this.extra.set(startMs, extra);
      this.ends.set(startMs, endMs);
      const unspent = this.lanes.reduce((sum, lane) => sum + (lane.unspent.get(startMs) ?? 0), 0);
      const spent = this.spent.get(startMs) ?? 0;
      assert.ok(spent + unspent <= used, `window ${startMs}: ${spent} spent + ${unspent} unspent > ${used} used`);
      assert.ok(used <= this.most(startMs), `window ${startMs}: ${used} used > ${this.limit.limit} + ${extra}`);
      assert.ok(holdings.reduce((sum, { held }) => sum + held, 0) <= used, "more is held than was charged");
      for (const { lane, held } of holdings) {
        const known = this.lanes.find(({ id }) => id.toString(16).padStart(16, "0") === lane)!;
        assert.ok(held >= (known.unspent.get(startMs) ?? 0), "a lane has more than its holding");
      }
    }
    for (const [startMs, spent] of this.spent)
      assert.ok(spent <= this.most(startMs), `window ${startMs}: ${spent} spent`);
  }

  private async state(): Promise<CounterState> {
    return (await this.stores[0]!.inspect(environment, [{ limit: this.limit, subject }]))[0]!;
  }

  private most(startMs: number): number {
    return Math.max(this.limit.limit + (this.extra.get(startMs) ?? 0), this.left.get(startMs) ?? 0);
  }

  /** Everyone alive gets its call answered, then spends and asks until nothing more is to be had. Gives what the current window admitted. */
  async drain(): Promise<number> {
    const alive = this.lanes.filter(({ dead }) => !dead);
    for (const lane of alive)
      if (lane.inFlight !== undefined) await this.deliver(new Map([[lane, lane.inFlight]]), 0, "answered");
    let startMs = 0;
    for (let idle = 0, rounds = 0; idle < 3; idle++) {
      assert.ok(++rounds < 2000, "it never ends");
      for (const lane of alive) {
        const [answer] = await this.deliver(
          new Map([
            [
              lane,
              this.newCall(lane, {
                ask: true,
                next: false,
                local: false,
                close: false,
                need: 1,
                want: 5,
                returnPart: 1,
              }),
            ],
          ]),
          0,
          "answered",
        );
        assert.ok(answer?.kind === "answered");
        const asked = answer.answers.at(-1)!;
        startMs = asked.windowStartMs;
        // Who is told to wait sees holders return, as a recall makes them do.
        if (asked.verdict === verdict.granted || asked.verdict === verdict.wait) idle = -1;
        this.spend(lane, startMs, lane.unspent.get(startMs) ?? 0);
        this.clock.pass(50);
      }
    }
    await this.check();
    return this.spent.get(startMs) ?? 0;
  }

  private lane(index: number): ModelLane {
    return this.lanes[index % this.lanes.length]!;
  }

  private spend(lane: ModelLane, startMs: number, amount: number): void {
    lane.unspent.set(startMs, (lane.unspent.get(startMs) ?? 0) - amount);
    this.spent.set(startMs, (this.spent.get(startMs) ?? 0) + amount);
  }

  /** In the window that is current now, as the lane knows it. */
  private spendShare(lane: ModelLane, amount: number): void {
    if (lane.dead) return;
    const length = this.limit.windowSeconds * 1000;
    const startMs = Math.floor(this.clock.nowMs / length) * length;
    if (startMs >= lane.shareUntilMs) return;
    const before = lane.shareSpent.get(startMs) ?? 0;
    const taken = Math.max(0, Math.min(amount, lane.share - before));
    lane.shareSpent.set(startMs, before + taken);
    this.spent.set(startMs, (this.spent.get(startMs) ?? 0) + taken);
  }

  /** Reports on every window that the lane holds of, and asks with the last op. What it returns is taken out at once. */
  private newCall(
    lane: ModelLane,
    {
      ask,
      next,
      local,
      close,
      need,
      want,
      returnPart,
    }: Omit<Extract<Event, { kind: "call" }>, "kind" | "lanes" | "replica" | "fate">,
  ): LaneCall {
    const base = {
      wireId: this.limit.wireId,
      subject,
      actions: 0,
      windowStartMs: 0,
      held: 0,
      returned: 0,
      need: 0,
      want: 0,
    };
    const ops = [...lane.unspent].map(([windowStartMs, unspent]): LeaseOp => {
      const returned = Math.floor(unspent * returnPart);
      const held = unspent - returned;
      if (close) lane.unspent.delete(windowStartMs);
      else if (held === 0 && returned === 0) lane.unspent.delete(windowStartMs);
      else lane.unspent.set(windowStartMs, held);
      return { ...base, windowStartMs, held, returned, actions: close ? leaseAction.close : 0 };
    });
    if (ask)
      ops.push({
        ...base,
        need,
        want: Math.max(need, want),
        actions: leaseAction.ask | (next ? leaseAction.next : 0) | (local ? leaseAction.local : 0),
      });
    const call = { environment, gateway: lane.gateway, lane: lane.id, seq: ++lane.seq, ops };
    lane.inFlight = call;
    lane.sent.push(call);
    return call;
  }

  private async deliver(calls: Map<ModelLane, LaneCall>, replica: number, fate: Fate): Promise<CallAnswer[]> {
    if (fate === "request lost") return [];
    const answers = await this.arrive(calls, replica);
    if (fate === "reply lost") return answers;
    [...calls.keys()].forEach((lane, index) => this.take(lane, answers[index]!));
    return answers;
  }

  private async arrive(calls: Map<ModelLane, LaneCall>, replica: number): Promise<CallAnswer[]> {
    if (calls.size === 0) return [];
    const { answers } = await this.stores[replica % this.stores.length]!.apply([...calls.values()], () => this.limit);
    [...calls].forEach(([lane, call], index) => {
      const answer = answers[index]!;
      const before = lane.answers.get(call.seq);
      if (answer.kind === "outdated") assert.ok(call.seq < lane.seq, "a call under way is never outdated");
      else if (before !== undefined) assert.deepEqual(answer, before, "a resend is answered alike");
      if (answer.kind === "answered") lane.answers.set(call.seq, answer);
    });
    return answers;
  }

  private take(lane: ModelLane, answer: CallAnswer): void {
    assert.ok(answer.kind === "answered", "a call under way is never outdated");
    lane.inFlight = undefined;
    for (const { granted, windowStartMs, windowEndMs, share, shareUntilMs, verdict: kind } of answer.answers) {
      if (granted > 0) lane.unspent.set(windowStartMs, (lane.unspent.get(windowStartMs) ?? 0) + granted);
      if (windowEndMs > 0) this.ends.set(windowStartMs, windowEndMs);
      if (kind !== verdict.noted) [lane.share, lane.shareUntilMs] = [share, shareUntilMs];
    }
  }
}
