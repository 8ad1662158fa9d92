import { MemoryCounterStore } from "../../control/counters/memory.ts";
import type {
  CounterGeneration,
  CounterState,
  LaneCall,
  LeaseAnswer,
  LimitShape,
  Recall,
} from "../../control/counters/model.ts";
import { leasesAnswerFrame, leasesFrame, readLeasesCall } from "../../control/sync/leaseFrames.ts";
import { SyncProblem } from "../../control/sync/problems.ts";
import { readUsageCall, usageAnswerFrame, usageFrame } from "../../control/sync/usageFrames.ts";

/** An entry with the epoch that its wire ids are of. */
export type UsageEntry = ReturnType<typeof readUsageCall>["entries"][number] & { epoch: bigint };

/** A call of a lane and what became of it. */
export interface DecidedCall {
  call: LaneCall;
  /** undefined: the call was outdated */
  answers: LeaseAnswer[] | undefined;
}

/** What control counts for one environment: leases, decided as control decides them, and usage, applied once for each number of a lane. */
export class SimulatedCounters {
  readonly environment: string;
  /** every lease call that was decided, resends included */
  readonly calls: DecidedCall[] = [];
  /** entries of usage that were applied */
  readonly usage: UsageEntry[] = [];
  /** usage calls by lane and number, as they first came */
  readonly batches = new Map<string, Buffer>();
  /** usage calls that came again, with other bytes than the first time */
  readonly changedBatches: string[] = [];
  /** calls whose bytes aren't what control's own encoder, which golden fixtures hold to docs/internals/protocol.md, makes of what they say: in hex */
  readonly oddCalls: string[] = [];
  /** usage calls that came again */
  resentBatches = 0;
  readonly #nowMs: () => number;
  readonly #store: MemoryCounterStore;
  readonly #usageSeq = new Map<bigint, bigint>();
  readonly #shapeOf: (wireId: number) => LimitShape | undefined;

  constructor(
    environment: string,
    nowMs: () => number,
    shapeOf: (wireId: number) => LimitShape | undefined,
    leaseMs?: number,
  ) {
    this.environment = environment;
    this.#nowMs = nowMs;
    this.#shapeOf = shapeOf;
    this.#store = new MemoryCounterStore({ nowMs, ...(leaseMs === undefined ? {} : { leaseMs }) });
  }

  /** Decides and commits. Gives the answer's body and whom to recall, or the status of a refusal. */
  lease(body: Buffer, gateway: string, epoch: bigint): { body: Buffer; recalls: Recall[] } | number {
    const read = orStatus(() => readLeasesCall(body));
    if (typeof read === "number") return read;
    // What control reads as its largest number it can't write back.
    const readWhole = read.ops.every((op) => Object.values(op).every((field) => field !== Number.MAX_SAFE_INTEGER));
    if (readWhole && !leasesFrame(read).equals(body)) this.oddCalls.push(body.toString("hex"));
    if (read.epoch !== epoch) return 409;
    const call: LaneCall = { environment: this.environment, gateway, lane: read.lane, seq: read.seq, ops: read.ops };
    const { answers, recalls } = this.#store.applyNow([call], (_environment, wireId) => this.#shapeOf(wireId));
    const [answer] = answers;
    this.calls.push({ call, answers: answer?.kind === "answered" ? answer.answers : undefined });
    if (answer?.kind !== "answered") return 409;
    return { body: leasesAnswerFrame(read, answer.timeMs, answer.answers), recalls };
  }

  /** Applies a batch of usage unless it was applied before. Gives the answer's body, or the status of a refusal. */
  apply(body: Buffer): Buffer | number {
    const read = orStatus(() => readUsageCall(body));
    if (typeof read === "number") return read;
    if (!usageFrame(read).equals(body)) this.oddCalls.push(body.toString("hex"));
    const last = this.#usageSeq.get(read.lane) ?? 0n;
    const name = `${read.lane.toString(16)} ${read.seq}`;
    const first = this.batches.get(name);
    if (first === undefined) this.batches.set(name, body);
    else {
      this.resentBatches++;
      if (!first.equals(body)) this.changedBatches.push(name);
    }
    if (read.seq > last) {
      this.#usageSeq.set(read.lane, read.seq);
      this.usage.push(...read.entries.map((entry) => ({ ...entry, epoch: read.epoch })));
    }
    return usageAnswerFrame(read, this.#nowMs());
  }

  reset(wireId: number, subject: string): Promise<CounterGeneration[]> {
    return this.#store.reset(this.environment, [{ limit: this.#shape(wireId), subject }]);
  }

  grant(wireId: number, subject: string, amount: number): Promise<CounterGeneration[]> {
    return this.#store.grant(this.environment, [{ limit: this.#shape(wireId), subject }], amount);
  }

  async inspect(wireId: number, subject: string): Promise<CounterState> {
    const [state] = await this.#store.inspect(this.environment, [{ limit: this.#shape(wireId), subject }]);
    return state!;
  }

  /** Sums of usage by metric, of all entries or of some. */
  totals(of: (entry: UsageEntry) => boolean = () => true): Record<number, number> {
    const sums: Record<number, number> = {};
    for (const { counts } of this.usage.filter(of))
      for (const [metric, count] of counts) sums[metric] = (sums[metric] ?? 0) + count;
    return sums;
  }

  #shape(wireId: number): LimitShape {
    const shape = this.#shapeOf(wireId);
    if (shape === undefined) throw new Error(`control doesn't count limit ${wireId}`);
    return shape;
  }
}

function orStatus<T>(read: () => T): T | number {
  try {
    return read();
  } catch (error) {
    if (error instanceof SyncProblem) return 400;
    throw error;
  }
}
