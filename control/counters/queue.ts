/**
 * Group commit: lane calls that arrive while a transaction is under way go into the next one together. The busier it is, the larger the
 * groups and the less each call costs.
 */
import type { CallAnswer, LaneCall, LimitsOf, Recall } from "./model.ts";
import { CountersUnavailable, type CounterStore } from "./store.ts";

export interface QueueOptions {
  /** a group takes further calls only up to so many ops: SQLite decides on the main thread, and answers wait for the whole group */
  opsMax?: number;
  /** so many calls may wait; more are refused as if the store couldn't be reached */
  waitingMax?: number;
}

interface Waiting {
  call: LaneCall;
  resolve: (answer: CallAnswer) => void;
  reject: (error: unknown) => void;
}

export class LeaseQueue {
  private readonly store: Pick<CounterStore, "apply">;
  private readonly limits: LimitsOf;
  private readonly recalled: (recalls: Recall[]) => void;
  private readonly opsMax: number;
  private readonly waitingMax: number;
  private waiting: Waiting[] = [];
  private running: Promise<void> | undefined;

  /** `limits` and `recalled` must not throw. */
  constructor(
    store: Pick<CounterStore, "apply">,
    limits: LimitsOf,
    recalled: (recalls: Recall[]) => void,
    { opsMax = 512, waitingMax = 20_000 }: QueueOptions = {},
  ) {
    this.store = store;
    this.limits = limits;
    this.recalled = recalled;
    this.opsMax = opsMax;
    this.waitingMax = waitingMax;
  }

  /** The answer, once it's durable. Rejects with CountersUnavailable when the call should be sent again. */
  submit(call: LaneCall): Promise<CallAnswer> {
    if (this.waiting.length >= this.waitingMax)
      return Promise.reject(new CountersUnavailable({ cause: new Error("Too many lane calls are waiting.") }));
    return new Promise((resolve, reject) => {
      this.waiting.push({ call, resolve, reject });
      this.running ??= this.run();
    });
  }

  /** Resolves when everything that was submitted has been answered. */
  async drain(): Promise<void> {
    await this.running;
  }

  private async run(): Promise<void> {
    // What arrives in the same turn of the event loop joins the first group.
    await new Promise(setImmediate);
    while (this.waiting.length > 0) await this.apply(this.nextGroup());
    this.running = undefined;
  }

  private nextGroup(): Waiting[] {
    let ops = 0;
    let count = 0;
    for (const { call } of this.waiting) {
      ops += Math.max(1, call.ops.length);
      if (count > 0 && ops > this.opsMax) break;
      count++;
    }
    return this.waiting.splice(0, count);
  }

  private async apply(group: Waiting[]): Promise<void> {
    try {
      const { answers, recalls } = await this.store.apply(
        group.map(({ call }) => call),
        this.limits,
      );
      if (recalls.length > 0) this.recalled(recalls);
      group.forEach(({ resolve }, index) => resolve(answers[index]!));
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }
}
