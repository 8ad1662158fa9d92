import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryCounterStore } from "../../control/counters/memory.ts";
import type { LaneCall, LimitsOf, Recall } from "../../control/counters/model.ts";
import { LeaseQueue } from "../../control/counters/queue.ts";
import { type Applied, CountersUnavailable } from "../../control/counters/store.ts";
import { eventually } from "../kit/eventually.ts";
import { ask, Clock, Lane, rate } from "./support.ts";

/** Notes the groups; each waits until it's let go. */
class SlowStore extends MemoryCounterStore {
  readonly groups: number[] = [];
  fails = false;
  private readonly waiting: (() => void)[] = [];

  override async apply(calls: readonly LaneCall[], limits: LimitsOf): Promise<Applied> {
    this.groups.push(calls.length);
    await new Promise<void>((resolve) => this.waiting.push(resolve));
    if (this.fails) throw new CountersUnavailable();
    return super.apply(calls, limits);
  }

  async letGo(): Promise<void> {
    while (this.waiting.length === 0) await new Promise(setImmediate);
    this.waiting.shift()!();
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  }
}

const newQueue = (limit = rate(), options = {}) => {
  const store = new SlowStore({ nowMs: new Clock().read });
  const recalls: Recall[] = [];
  return {
    store,
    recalls,
    queue: new LeaseQueue(
      store,
      () => limit,
      (some) => recalls.push(...some),
      options,
    ),
  };
};

describe("the queue of lane calls", () => {
  it("puts what arrives during a transaction into the next one together", async () => {
    const { store, queue } = newQueue();
    const first = queue.submit(new Lane().call(ask({ want: 1 })));
    await eventually("the first transaction to begin", () => store.groups.length === 1);
    const others = Array.from({ length: 20 }, () => queue.submit(new Lane().call(ask({ want: 1 }))));
    await store.letGo();
    assert.equal((await first).kind, "answered");
    await store.letGo();
    for (const answer of await Promise.all(others))
      assert.ok(answer.kind === "answered" && answer.answers[0]!.granted === 1);
    assert.deepEqual(store.groups, [1, 20]);
    await queue.drain();
  });

  it("ends a group before it has too many ops, but takes a call of any size", async () => {
    const { store, queue } = newQueue(rate({ limit: 1e6 }), { opsMax: 10 });
    const many = (count: number) => new Lane().call(...Array.from({ length: count }, () => ask({ want: 1 })));
    const all = [many(50), many(6), many(4), many(1), many(1)].map((call) => queue.submit(call));
    for (let group = 0; group < 3; group++) await store.letGo();
    await Promise.all(all);
    assert.deepEqual(store.groups, [1, 2, 2]);
  });

  it("fails the calls of a group that failed, and goes on", async () => {
    const { store, queue } = newQueue();
    store.fails = true;
    const [one, two] = [queue.submit(new Lane().call(ask())), queue.submit(new Lane().call(ask()))];
    const failed = Promise.all([assert.rejects(one, CountersUnavailable), assert.rejects(two, CountersUnavailable)]);
    await store.letGo();
    await failed;
    store.fails = false;
    const again = queue.submit(new Lane().call(ask()));
    await store.letGo();
    assert.equal((await again).kind, "answered");
  });

  it("refuses more than may wait", async () => {
    const { store, queue } = newQueue(rate(), { waitingMax: 2 });
    const all = [queue.submit(new Lane().call(ask())), queue.submit(new Lane().call(ask()))];
    await assert.rejects(queue.submit(new Lane().call(ask())), CountersUnavailable);
    await store.letGo();
    await Promise.all(all);
  });

  it("passes recalls on", async () => {
    const { store, queue, recalls } = newQueue(rate({ limit: 1 }));
    const both = [queue.submit(new Lane("holder~1").call(ask())), queue.submit(new Lane("asker~1").call(ask()))];
    await store.letGo();
    await Promise.all(both);
    assert.deepEqual(
      recalls.map(({ gateway }) => gateway),
      ["holder~1"],
    );
  });
});
