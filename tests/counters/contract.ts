/** What every counter store keeps to. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type CallAnswer, type LaneCall, leaseAction, type LimitShape, verdict } from "../../control/counters/model.ts";
import type { CounterStore } from "../../control/counters/store.ts";
import { neverMore } from "./events.ts";
import {
  ask,
  Clock,
  dayMs,
  Desk,
  environment,
  firstUse,
  Lane,
  minuteMs,
  otherSubject,
  quota,
  rate,
  startMs,
  subject,
  tell,
} from "./support.ts";

export interface CounterHarness {
  /** an empty store; each `again` is another replica over the same data, as one that starts after a crash is too */
  open(nowMs: () => number): Promise<{ store: CounterStore; again: () => Promise<CounterStore> }>;
  /** false: the data is the store's own, so there are no replicas and nothing outlives it */
  shared: boolean;
}

export function counterContract(name: string, harness: CounterHarness): void {
  const desk = async (clock: Clock, ...limits: LimitShape[]) =>
    new Desk((await harness.open(clock.read)).store, ...limits);

  describe(`${name}: grants`, () => {
    it("charges what it grants, in chunks that shrink as the remainder does", async () => {
      const all = await desk(new Clock(), rate());
      const [a, b] = [new Lane(), new Lane()];
      const first = await all.op(a, ask());
      assert.deepEqual(first, {
        verdict: verdict.granted,
        generation: 0,
        granted: 50,
        windowStartMs: startMs,
        windowEndMs: startMs + minuteMs,
        leaseEndMs: startMs + minuteMs,
        remaining: 50,
        untilMs: 0,
        share: 0,
        shareUntilMs: 0,
      });
      assert.equal((await all.op(b, ask())).granted, 12);
      assert.equal((await all.op(a, ask())).granted, 9);
      assert.equal((await all.op(a, ask({ want: 2 }))).granted, 2);
      assert.equal(await all.used(rate()), 73);
    });

    it("gives what is needed even when that is more than its chunk, and the last one too", async () => {
      const all = await desk(new Clock(), rate({ limit: 10 }));
      const lane = new Lane();
      assert.equal((await all.op(lane, ask({ need: 9, want: 9 }))).granted, 9);
      assert.equal((await all.op(lane, ask())).granted, 1);
      assert.equal((await all.op(lane, ask())).verdict, verdict.spent);
    });

    it("ends a lease with its window or its term, whichever comes first", async () => {
      const all = await desk(new Clock(startMs + 1000), quota("day"));
      assert.equal((await all.op(new Lane(), ask({ wireId: 2 }))).leaseEndMs, startMs + 1000 + 900_000);
    });

    it("decides many calls together as one after the other", async () => {
      const all = await desk(new Clock(), rate({ limit: 1000 }));
      const lanes = Array.from({ length: 300 }, (_, index) => new Lane(`router~${index % 10}`));
      const answers = await all.send(...lanes.map((lane) => lane.call(ask({ want: 1 }))));
      const granted = answers.map((answer) => (answer.kind === "answered" ? answer.answers[0]!.granted : 0));
      assert.deepEqual(new Set(granted), new Set([1]));
      const [state] = await all.store.inspect(environment, [{ limit: rate(), subject }]);
      assert.equal(state!.windows[0]!.used, 300);
      assert.equal(state!.windows[0]!.holdings.length, 300);
    });

    it("takes a call of 4096 ops", async () => {
      const all = await desk(new Clock(), rate({ limit: 3 }));
      const ops = Array.from({ length: 4096 }, (_, index) =>
        ask({ subject: (index % 2048).toString(16).padStart(32, "0"), want: 1 }),
      );
      const answers = await all.ops(new Lane(), ...ops);
      assert.equal(answers.length, 4096);
      assert.ok(answers.every(({ granted }) => granted === 1));
      assert.deepEqual(new Set(answers.slice(2048).map(({ remaining }) => remaining)), new Set([1]));
    });

    it("keeps environments and subjects apart", async () => {
      const all = await desk(new Clock(), rate({ limit: 10 }));
      const lane = new Lane();
      await all.op(lane, ask({ need: 10 }));
      assert.equal((await all.op(lane, ask({ subject: otherSubject, need: 10 }))).granted, 10);
      const [answer] = await all.send({ ...lane.call(ask({ need: 10 })), environment: "staging" });
      assert.ok(answer?.kind === "answered");
      assert.equal(answer.answers[0]!.granted, 10);
    });

    it("asks for limits with the very call that it was given, however many subjects that concerns", async () => {
      const { store } = await harness.open(new Clock().read);
      const calls = [1, 40].map((count) =>
        new Lane().call(
          ...Array.from({ length: count }, (_, index) => ask({ subject: (7 * index).toString(16).padStart(32, "0") })),
        ),
      );
      const asked = new Set<LaneCall>();
      await store.apply(calls, (_environment, _wireId, call) => {
        asked.add(call);
        return rate();
      });
      assert.deepEqual(asked, new Set(calls));
      for (const call of asked) assert.ok(calls.includes(call));
    });

    it("says that a limit is unknown", async () => {
      const all = await desk(new Clock(), rate());
      const [known, unknown] = await all.ops(new Lane(), ask(), ask({ wireId: 99 }));
      assert.equal(known!.verdict, verdict.granted);
      assert.equal(unknown!.verdict, verdict.unknown);
      assert.equal(unknown!.windowStartMs, 0);
    });
  });

  describe(`${name}: resends`, () => {
    it("answers a resend alike, and charges it once", async () => {
      const clock = new Clock();
      const all = await desk(clock, rate());
      const [lane, other] = [new Lane(), new Lane()];
      const call = lane.call(ask(), ask({ subject: otherSubject }), tell({ held: 0 }));
      const [first] = await all.send(call);
      await all.op(other, ask());
      clock.pass(7);
      const used = await all.used(rate());
      const [again] = await all.send(call);
      assert.deepEqual(again, first);
      assert.deepEqual(await all.send(call, call), [first, first]);
      assert.equal(await all.used(rate()), used);
    });

    it("does so when both arrive together", async () => {
      const all = await desk(new Clock(), rate());
      const call = new Lane().call(ask());
      const [first, again] = await all.send(call, call);
      assert.deepEqual(again, first);
      assert.equal(await all.used(rate()), 50);
    });

    it("takes any number from a lane that it doesn't know, and none that is outdated", async () => {
      const all = await desk(new Clock(), rate());
      const lane = new Lane();
      lane.seq = 0xffff_ffff_ffff_fff0n;
      assert.equal((await all.send(lane.call(ask())))[0]!.kind, "answered");
      const old = { ...lane.call(ask()), seq: 5n };
      assert.deepEqual(await all.send(old), [{ kind: "outdated" }]);
      assert.equal(await all.used(rate()), 50);
    });

    if (harness.shared) {
      it("knows the answer after a crash", async () => {
        const clock = new Clock();
        const { store, again } = await harness.open(clock.read);
        const lane = new Lane();
        const call = lane.call(ask(), ask({ wireId: 2 }), ask({ wireId: 3, subject: otherSubject }));
        const limits = [rate(), quota("month"), firstUse()];
        const [first] = await new Desk(store, ...limits).send(call);
        clock.pass(3000);
        const after = new Desk(await again(), ...limits);
        assert.deepEqual(await after.send(call), [first]);
        assert.equal(await after.used(rate()), 50);
        assert.equal((await after.op(lane, ask())).granted, 25);
      });
    }
  });

  describe(`${name}: reports`, () => {
    it("gives back what is returned", async () => {
      const all = await desk(new Clock(), rate());
      const lane = new Lane();
      await all.op(lane, ask());
      const answer = await all.op(lane, tell({ held: 10, returned: 30 }));
      assert.deepEqual(answer, {
        verdict: verdict.noted,
        generation: 0,
        granted: 0,
        windowStartMs: startMs,
        windowEndMs: startMs + minuteMs,
        leaseEndMs: 0,
        remaining: 80,
        untilMs: 0,
        share: 0,
        shareUntilMs: 0,
      });
      const [state] = await all.store.inspect(environment, [{ limit: rate(), subject }]);
      assert.equal(state!.windows[0]!.holdings[0]!.held, 10);
    });

    it("never gives back more than the lane can have", async () => {
      const all = await desk(new Clock(), rate());
      const [lane, stranger] = [new Lane(), new Lane()];
      await all.op(lane, ask({ want: 20 }));
      await all.op(lane, tell({ held: 0, returned: 500 }));
      assert.equal(await all.used(rate()), 0);
      await all.op(lane, ask({ want: 20 }));
      await all.op(stranger, tell({ held: 0, returned: 20 }));
      assert.equal(await all.used(rate()), 20);
      await all.op(lane, tell({ held: 5 }));
      await all.op(lane, tell({ held: 0, returned: 20 }));
      assert.equal(await all.used(rate()), 15);
    });

    it("returns and asks in one op", async () => {
      const all = await desk(new Clock(), rate());
      const lane = new Lane();
      await all.op(lane, ask());
      const answer = await all.op(lane, ask({ windowStartMs: startMs, held: 20, returned: 20, want: 5 }));
      assert.equal(answer.granted, 5);
      assert.equal(answer.remaining, 65);
      const [state] = await all.store.inspect(environment, [{ limit: rate(), subject }]);
      assert.equal(state!.windows[0]!.holdings[0]!.held, 25);
    });

    it("leaves spent what a lane that forgets the window held", async () => {
      const all = await desk(new Clock(), rate());
      const lane = new Lane();
      await all.op(lane, ask());
      await all.op(lane, tell({ actions: leaseAction.close, held: 10, returned: 20 }));
      const [state] = await all.store.inspect(environment, [{ limit: rate(), subject }]);
      assert.equal(state!.windows[0]!.used, 30);
      assert.deepEqual(state!.windows[0]!.holdings, []);
    });

    it("ignores a start that is none of the limit's", async () => {
      const all = await desk(new Clock(), rate());
      const lane = new Lane();
      await all.op(lane, ask());
      for (const windowStartMs of [1, startMs + 1, startMs - minuteMs, Number.MAX_SAFE_INTEGER])
        await all.op(lane, tell({ windowStartMs, returned: 50 }));
      assert.equal(await all.used(rate()), 50);
    });
  });

  describe(`${name}: starving`, () => {
    it("makes a lane wait while another holds, and recalls what that one holds", async () => {
      const clock = new Clock();
      const all = await desk(clock, rate({ limit: 2 }));
      const [holder, asker] = [new Lane("holder~1"), new Lane("asker~1")];
      await all.op(holder, ask({ need: 2 }));
      const answer = await all.op(asker, ask());
      assert.equal(answer.verdict, verdict.wait);
      assert.equal(answer.untilMs, clock.nowMs + 10);
      assert.deepEqual(all.recalls, [{ environment, gateway: "holder~1", wireId: 1, subject, windowStartMs: startMs }]);
      clock.pass(10);
      assert.equal((await all.op(asker, ask())).verdict, verdict.wait);
      assert.deepEqual(all.recalls, [], "not twice within 20 ms");
      clock.pass(10);
      await all.op(asker, ask());
      assert.equal(all.recalls.length, 1);
      await all.op(holder, tell({ held: 1, returned: 1 }));
      assert.equal((await all.op(asker, ask())).granted, 1);
    });

    it("recalls each gateway once, however many of its lanes hold and others ask", async () => {
      const all = await desk(new Clock(), rate({ limit: 3 }));
      await all.send(...[new Lane("a~1"), new Lane("a~1"), new Lane("b~1")].map((lane) => lane.call(ask({ want: 1 }))));
      const answers = await all.send(new Lane("c~1").call(ask()), new Lane("c~1").call(ask()));
      assert.ok(answers.every((answer) => answer.kind === "answered" && answer.answers[0]!.verdict === verdict.wait));
      assert.deepEqual(all.recalls.map(({ gateway }) => gateway).sort(), ["a~1", "b~1"]);
    });

    it("says spent when nobody else holds any of it, or not enough", async () => {
      const all = await desk(new Clock(), rate({ limit: 4 }));
      const [lane, other] = [new Lane(), new Lane()];
      await all.op(lane, ask({ need: 3, want: 3 }));
      assert.equal((await all.op(lane, ask({ need: 2 }))).verdict, verdict.spent);
      const tooMuch = await all.op(other, ask({ need: 5 }));
      assert.equal(tooMuch.verdict, verdict.spent);
      assert.equal(tooMuch.untilMs, startMs + minuteMs);
      assert.equal(tooMuch.remaining, 1);
      await all.op(lane, tell({ held: 0 }));
      assert.equal((await all.op(other, ask({ need: 4 }))).verdict, verdict.spent);
      assert.equal((await all.op(other, ask({ need: 1 }))).granted, 1);
      assert.deepEqual(all.recalls, []);
    });

    it("asks silent holders too, and then counts them as gone for a while", async () => {
      const clock = new Clock();
      const all = await desk(clock, quota("day", { limit: 2 }));
      const asking = ask({ wireId: 2 });
      const [holder, asker] = [new Lane("holder~1"), new Lane("asker~1")];
      await all.op(holder, ask({ wireId: 2, need: 2 }));
      clock.pass(5000);
      assert.equal((await all.op(asker, asking)).verdict, verdict.wait);
      assert.equal(all.recalls.length, 1);
      clock.pass(100);
      assert.equal((await all.op(asker, asking)).verdict, verdict.wait);
      clock.pass(100);
      const gone = await all.op(asker, asking);
      assert.deepEqual([gone.verdict, gone.untilMs], [verdict.spent, clock.nowMs + 2000]);
      assert.deepEqual(all.recalls, []);
      clock.pass(2000);
      assert.equal((await all.op(asker, asking)).verdict, verdict.wait);
      assert.equal(all.recalls.length, 1);
      await all.op(holder, tell({ wireId: 2, windowStartMs: startMs - (startMs % dayMs), held: 0, returned: 2 }));
      assert.equal((await all.op(asker, asking)).granted, 1);
    });
  });

  describe(`${name}: windows`, () => {
    it("rolls, and lets nothing late leak into the next", async () => {
      const clock = new Clock();
      const all = await desk(clock, rate());
      const lane = new Lane();
      await all.op(lane, ask());
      clock.pass(minuteMs);
      const answer = await all.op(lane, ask({ windowStartMs: startMs, held: 0, returned: 50 }));
      assert.deepEqual([answer.granted, answer.windowStartMs], [50, startMs + minuteMs]);
      assert.equal(await all.used(rate()), 50);
    });

    it("grants from the next one ahead", async () => {
      const clock = new Clock(startMs + 59_000);
      const all = await desk(clock, rate());
      const lane = new Lane();
      await all.op(lane, ask());
      const next = await all.op(lane, ask({ actions: leaseAction.next, want: 10 }));
      assert.deepEqual(
        [next.granted, next.windowStartMs, next.windowEndMs],
        [10, startMs + minuteMs, startMs + 2 * minuteMs],
      );
      const [state] = await all.store.inspect(environment, [{ limit: rate(), subject }]);
      assert.deepEqual(
        state!.windows.map(({ used }) => used),
        [50, 10],
      );
      clock.pass(1000);
      assert.equal((await all.op(lane, ask({ want: 1 }))).remaining, 89);
    });

    it("counts days, weeks and months of UTC", async () => {
      const clock = new Clock();
      const limits = [quota("day", { wireId: 11 }), quota("week", { wireId: 12 }), quota("month", { wireId: 13 })];
      const all = await desk(clock, ...limits);
      const answers = await all.ops(new Lane(), ...limits.map(({ wireId }) => ask({ wireId })));
      assert.deepEqual(
        answers.map(({ windowStartMs, windowEndMs }) =>
          [windowStartMs, windowEndMs].map((ms) => new Date(ms).toISOString().slice(0, 10)),
        ),
        [
          ["2027-01-15", "2027-01-16"],
          ["2027-01-11", "2027-01-18"],
          ["2027-01-01", "2027-02-01"],
        ],
      );
    });

    it("opens a window with its first use, and the next with the first use after it", async () => {
      const clock = new Clock();
      const limit = firstUse();
      const all = await desk(clock, limit);
      const [lane, other] = [new Lane(), new Lane()];
      assert.deepEqual((await all.store.inspect(environment, [{ limit, subject }]))[0]!.windows, []);
      const first = await all.op(lane, ask({ wireId: 3 }));
      assert.deepEqual([first.windowStartMs, first.windowEndMs, first.granted], [startMs, startMs + 30 * dayMs, 50]);
      clock.pass(10 * dayMs);
      const second = await all.op(other, ask({ wireId: 3, actions: leaseAction.next }));
      assert.deepEqual([second.windowStartMs, second.granted], [startMs, 12], "there is no next one to fetch from");
      clock.pass(25 * dayMs);
      const third = await all.op(lane, ask({ wireId: 3, windowStartMs: startMs, held: 0, returned: 50 }));
      assert.deepEqual([third.windowStartMs, third.granted], [startMs + 35 * dayMs, 50]);
      assert.equal(
        (await all.op(other, ask({ wireId: 3 }))).granted,
        12,
        "what it held of the old window counts for nothing",
      );
    });

    it("begins another window when a limit's length changes, and keeps the old one", async () => {
      const clock = new Clock(startMs + 1000);
      const all = await desk(clock, rate());
      const lane = new Lane();
      await all.op(lane, ask());
      all.limits.set(1, rate({ windowSeconds: 3600 }));
      assert.equal((await all.op(lane, ask())).granted, 50);
      all.limits.set(1, rate());
      assert.equal((await all.op(lane, ask({ want: 1 }))).remaining, 49);
    });

    it("follows a limit that is raised or lowered", async () => {
      const all = await desk(new Clock(), rate());
      const lane = new Lane();
      await all.op(lane, ask({ need: 80 }));
      all.limits.set(1, rate({ limit: 50 }));
      const answer = await all.op(lane, ask());
      assert.deepEqual([answer.verdict, answer.remaining], [verdict.spent, 0]);
      all.limits.set(1, rate({ limit: 200 }));
      assert.equal((await all.op(lane, ask({ need: 120 }))).granted, 120);
    });
  });

  describe(`${name}: reset and grant`, () => {
    it("forgets what was spent, not what is held", async () => {
      const clock = new Clock(startMs + 59_500);
      const all = await desk(clock, rate());
      const [lane, other] = [new Lane(), new Lane()];
      await all.ops(lane, ask({ want: 40 }), ask({ actions: leaseAction.next, want: 10 }));
      await all.op(other, ask({ want: 5 }));
      await all.op(lane, tell({ held: 15 }));
      assert.deepEqual(
        await all.store.reset(environment, [
          { limit: rate(), subject },
          { limit: rate(), subject: otherSubject },
        ]),
        [
          { wireId: 1, subject, generation: 1 },
          { wireId: 1, subject: otherSubject, generation: 1 },
        ],
      );
      const [state] = await all.store.inspect(environment, [{ limit: rate(), subject }]);
      assert.equal(state!.generation, 1);
      assert.deepEqual(
        state!.windows.map(({ used, remaining }) => [used, remaining]),
        [
          [20, 80],
          [10, 90],
        ],
      );
      const answer = await all.op(lane, tell({ held: 0, returned: 15 }));
      assert.deepEqual([answer.generation, answer.remaining], [1, 95]);
      assert.equal((await all.op(lane, ask({ subject: otherSubject }))).generation, 1);
    });

    it("grants on top of the current window, until it ends or is reset", async () => {
      const clock = new Clock();
      const all = await desk(clock, rate({ limit: 10 }));
      const refs = [{ limit: rate({ limit: 10 }), subject }];
      assert.deepEqual(await all.store.grant(environment, refs, 5), [{ wireId: 1, subject, generation: 1 }]);
      const lane = new Lane();
      assert.equal((await all.op(lane, ask({ need: 15 }))).granted, 15);
      assert.equal((await all.store.grant(environment, refs, 7))[0]!.generation, 2);
      assert.equal((await all.op(lane, ask({ need: 7, want: 7 }))).granted, 7);
      await all.op(lane, tell({ held: 0 }));
      await all.store.reset(environment, refs);
      assert.deepEqual((await all.op(lane, ask({ need: 1, want: 1 }))).remaining, 9);
      clock.pass(minuteMs);
      const answer = await all.op(lane, ask({ want: 1 }));
      assert.deepEqual([answer.remaining, answer.generation], [9, 3], "the generation outlives the window");
    });

    it("keeps a grant for the window that first use opens", async () => {
      const clock = new Clock();
      const limit = firstUse({ limit: 10 });
      const all = await desk(clock, limit);
      await all.store.grant(environment, [{ limit, subject }], 5);
      await all.store.grant(environment, [{ limit, subject }], 2);
      assert.equal((await all.store.inspect(environment, [{ limit, subject }]))[0]!.pendingExtra, 7);
      clock.pass(dayMs);
      const lane = new Lane();
      const answer = await all.op(lane, ask({ wireId: 3, need: 17 }));
      assert.deepEqual([answer.granted, answer.windowStartMs], [17, clock.nowMs]);
      assert.equal((await all.store.inspect(environment, [{ limit, subject }]))[0]!.pendingExtra, 0);
      clock.pass(31 * dayMs);
      assert.equal((await all.op(lane, ask({ wireId: 3, need: 17 }))).verdict, verdict.spent);
    });
  });

  describe(`${name}: shares for the time that control is away`, () => {
    const local = (fields: object = {}) => ask({ actions: leaseAction.local, want: 10, ...fields });

    it("charges each lane's share to this window and to the next ones", async () => {
      const clock = new Clock();
      const all = await desk(clock, rate());
      const [a, b] = [new Lane(), new Lane()];
      await all.op(b, ask({ subject: otherSubject }));
      const first = await all.op(a, local());
      assert.deepEqual(
        [first.granted, first.share, first.shareUntilMs, first.remaining],
        [10, 12, clock.nowMs + 3_600_000, 78],
      );
      const again = await all.op(a, local());
      assert.deepEqual([again.share, again.remaining], [12, 68]);
      clock.pass(minuteMs);
      const [state] = await all.store.inspect(environment, [{ limit: rate(), subject }]);
      assert.deepEqual([state!.windows[0]!.used, state!.windows[0]!.shares], [12, 12]);
      const next = await all.op(a, local({ actions: leaseAction.local | leaseAction.next }));
      assert.deepEqual([next.windowStartMs, next.remaining, next.share], [startMs + 2 * minuteMs, 78, 12]);
    });

    it("stops charging a lane that no longer asks, a minute after the lane stops spending", async () => {
      const clock = new Clock();
      const all = await desk(clock, rate());
      const [a, b] = [new Lane(), new Lane()];
      await all.op(a, local());
      clock.nowMs = startMs + 3_600_000;
      assert.equal((await all.op(b, ask({ want: 1 }))).remaining, 74);
      clock.pass(minuteMs);
      assert.equal((await all.op(b, ask({ want: 1 }))).remaining, 99);
      const back = await all.op(a, local());
      assert.deepEqual([back.share, back.remaining], [12, 77], "made anew, for two lanes");
    });

    it("charges a share that is prolonged late to what was fetched ahead without it", async () => {
      const clock = new Clock();
      const all = await desk(clock, rate());
      const [a, b] = [new Lane(), new Lane()];
      const { share } = await all.op(a, local());
      clock.nowMs = startMs + 60 * minuteMs + 30_000;
      assert.equal((await all.op(b, ask({ actions: leaseAction.next, want: 10 }))).remaining, 90);
      assert.equal((await all.op(a, local({ want: 1 }))).share, share);
      clock.pass(minuteMs);
      assert.equal(await all.used(rate()), 10 + share);
    });

    it("doesn't prolong a share that the next window has no room for", async () => {
      const clock = new Clock();
      const all = await desk(clock, rate());
      const [a, b] = [new Lane(), new Lane()];
      const { shareUntilMs } = await all.op(a, local());
      clock.nowMs = startMs + 60 * minuteMs + 30_000;
      assert.equal((await all.op(b, ask({ actions: leaseAction.next, need: 95 }))).granted, 95);
      assert.equal((await all.op(a, local({ want: 1 }))).shareUntilMs, shareUntilMs);
    });

    it("doesn't prolong a share that a lowered limit would no longer give", async () => {
      const clock = new Clock();
      const all = await desk(clock, rate());
      const lane = new Lane();
      const first = await all.op(lane, local());
      clock.pass(10 * minuteMs);
      all.limits.set(1, rate({ limit: 40 }));
      const second = await all.op(lane, local({ want: 1 }));
      assert.deepEqual([second.share, second.shareUntilMs], [first.share, first.shareUntilMs]);
    });

    it("gives no share where there's no room for it", async () => {
      const clock = new Clock();
      const all = await desk(clock, rate({ limit: 8 }), rate({ wireId: 5, limit: 3 }));
      const [a, b, c] = [new Lane(), new Lane(), new Lane()];
      assert.equal((await all.op(a, local({ need: 7 }))).share, 0, "nothing remains in this window");
      clock.pass(1001);
      assert.equal((await all.op(b, local({ wireId: 5 }))).share, 0, "less than one");
      clock.pass(1001);
      assert.equal((await all.op(c, local({ subject: otherSubject }))).share, 0, "less than one");
    });

    it("keeps all shares together within half of the limit", async () => {
      const clock = new Clock();
      const all = await desk(clock, rate({ limit: 100 }));
      let sum = 0;
      for (let index = 0; index < 40; index++) {
        sum += (await all.op(new Lane(), local({ want: 1 }))).share;
        clock.pass(6000);
      }
      assert.ok(sum <= 50, `${sum}`);
      assert.ok(sum >= 25, `${sum}`);
    });

    it("counts shares in a reset", async () => {
      const all = await desk(new Clock(), rate());
      await all.op(new Lane(), local());
      await all.store.reset(environment, [{ limit: rate(), subject }]);
      const [state] = await all.store.inspect(environment, [{ limit: rate(), subject }]);
      assert.deepEqual([state!.windows[0]!.used, state!.windows[0]!.shares], [35, 25]);
    });
  });

  describe(`${name}: looking and pruning`, () => {
    it("shows who holds how much, and when it last called", async () => {
      const clock = new Clock();
      const all = await desk(clock, rate());
      const [a, b] = [new Lane("router~a"), new Lane("router~b")];
      await all.op(a, ask());
      clock.pass(1234);
      await all.op(b, ask());
      const [state] = await all.store.inspect(environment, [{ limit: rate(), subject }]);
      assert.deepEqual(
        { ...state, windows: [] },
        { wireId: 1, subject, limit: 100, generation: 0, pendingExtra: 0, windows: [] },
      );
      const [window] = state!.windows;
      assert.deepEqual(
        { ...window, holdings: [] },
        { startMs, endMs: startMs + minuteMs, used: 62, extra: 0, remaining: 38, shares: 0, holdings: [] },
      );
      assert.deepEqual(
        [...window!.holdings].sort((one, two) => one.held - two.held),
        [
          { lane: b.id.toString(16), gateway: "router~b", held: 12, lastContactMs: startMs + 1234 },
          { lane: a.id.toString(16), gateway: "router~a", held: 50, lastContactMs: startMs },
        ],
      );
    });

    it("shows a counter that nobody used", async () => {
      const all = await desk(new Clock(), rate());
      const [state] = await all.store.inspect(environment, [{ limit: rate(), subject }]);
      assert.deepEqual(state!.windows, [
        { startMs, endMs: startMs + minuteMs, used: 0, extra: 0, remaining: 100, shares: 0, holdings: [] },
      ]);
    });

    it("prunes only what no decision looks at", async () => {
      const clock = new Clock();
      const limits = [rate(), quota("month"), firstUse()];
      const all = await desk(clock, ...limits);
      const [lane, idle] = [new Lane(), new Lane()];
      const asks = [ask({ actions: leaseAction.local }), ask({ wireId: 2 }), ask({ wireId: 3 })];
      await all.ops(lane, ...asks);
      await all.send(idle.call(ask({ want: 1 })));
      await all.store.prune();
      assert.equal(await all.used(rate()), 76);
      clock.pass(2 * dayMs);
      await all.store.prune();
      assert.equal(await all.used(quota("month")), 50);
      assert.equal(await all.used(firstUse()), 50);
      assert.equal(await all.used(rate()), 0);
      const [state] = await all.store.inspect(environment, [{ limit: quota("month"), subject }]);
      assert.equal(state!.windows[0]!.holdings[0]!.gateway, lane.gateway);
      assert.deepEqual(
        (await all.ops(lane, ...asks)).map(({ granted }) => granted),
        [50, 25, 25],
      );
      clock.pass(41 * dayMs);
      await all.store.prune();
      assert.deepEqual(
        (await all.ops(lane, ...asks)).map(({ granted }) => granted),
        [50, 50, 50],
      );
    });
  });

  if (!harness.shared) return;

  describe(`${name}: replicas`, () => {
    it("never grant more than the limit together, and all of it", async () => {
      const clock = new Clock();
      const limit = rate({ limit: 997 });
      const { store, again } = await harness.open(clock.read);
      const stores = [store, await again(), await again()];
      const spent = await Promise.all(
        stores.map(async (one, replica) => {
          const here = new Desk(one, limit);
          const lanes = Array.from({ length: 5 }, (_, index) => new Lane(`router~${replica}-${index}`));
          let granted = 0;
          for (let round = 0; round < 60; round++) {
            const answers = await here.send(
              ...lanes.map((lane) => lane.call(ask({ want: 7, windowStartMs: startMs, held: 0 }))),
            );
            for (const answer of answers) if (answer.kind === "answered") granted += answer.answers[0]!.granted;
          }
          return granted;
        }),
      );
      assert.equal(
        spent.reduce((sum, one) => sum + one, 0),
        997,
      );
      assert.equal(await new Desk(store).used(limit), 997);
    });

    it("stay exact while lanes ask, spend, return and resend through all of them at once", async () => {
      const clock = new Clock();
      const limit = quota("day", { limit: 400 });
      const { store, again } = await harness.open(clock.read);
      const desks = [store, await again(), await again()].map((one) => new Desk(one, limit));
      let admitted = 0;
      // A lane that holds: it spends some, returns the rest or a part, and sends each call to two replicas now and then.
      const live = async (seed: number) => {
        const lane = new Lane(`router~${seed % 4}`);
        let unspent = 0;
        let windowStartMs = 0;
        let random = seed;
        const below = (count: number) => (random = (random * 48_271) % 2_147_483_647) % count;
        for (let round = 0, denied = 0; denied < 4 && round < 400; round++) {
          const returned = below(3) === 0 ? below(unspent + 1) : 0;
          unspent -= returned;
          const asking = below(3) > 0 || unspent === 0;
          const op = { wireId: 2, windowStartMs, held: windowStartMs === 0 ? 0 : unspent, returned };
          const call = lane.call(asking ? ask({ ...op, want: 1 + below(20) }) : tell(op));
          const first = below(3);
          const answers = await Promise.all([
            desks[first]!.send(call),
            ...(below(4) === 0 ? [desks[(first + 1) % 3]!.send(call)] : []),
          ]);
          for (const [answer] of answers) assert.deepEqual(answer, answers[0]![0]);
          const [answer] = answers[0]!;
          assert.ok(answer?.kind === "answered");
          const { verdict: kind, granted, windowStartMs: start } = answer.answers[0]!;
          if (start > 0) windowStartMs = start;
          unspent += granted;
          const spent = below(unspent + 1);
          unspent -= spent;
          admitted += spent;
          // Who is refused gives others what it has, and ends when that goes on.
          if (asking) denied = kind === verdict.granted ? 0 : denied + 1;
          if (denied > 0) [admitted, unspent] = [admitted + unspent, 0];
        }
        return { lane, unspent, windowStartMs };
      };
      const lanes = await Promise.all(Array.from({ length: 10 }, (_, index) => live(index + 7)));
      const held = lanes.reduce((sum, { unspent }) => sum + unspent, 0);
      const used = await desks[0]!.used(limit);
      assert.ok(admitted + held <= used && used <= 400, `${admitted} admitted, ${held} held, ${used} used`);
      // They all return what they have; one who comes then gets the rest.
      for (const { lane, unspent, windowStartMs } of lanes)
        await desks[0]!.op(lane, tell({ wireId: 2, windowStartMs, held: 0, returned: unspent }));
      const last = new Lane();
      for (let rest = 1; rest > 0; admitted += rest) rest = (await desks[1]!.op(last, ask({ wireId: 2 }))).granted;
      assert.equal(admitted, 400);
      assert.equal(await desks[2]!.used(limit), 400);
    });

    it("answer a call alike that reaches several of them at once", async () => {
      const { store, again } = await harness.open(new Clock().read);
      const stores = [store, await again(), await again()];
      const lane = new Lane();
      for (let round = 0; round < 20; round++) {
        const call = lane.call(ask({ want: 1 }), ask({ subject: otherSubject, want: 1 }), ask({ wireId: 2, want: 1 }));
        const answers = await Promise.all(stores.map((one) => new Desk(one, rate(), quota("day")).send(call)));
        const firsts: CallAnswer[] = answers.map(([answer]) => answer!);
        assert.deepEqual(firsts[1], firsts[0]);
        assert.deepEqual(firsts[2], firsts[0]);
      }
      assert.equal(await new Desk(store).used(rate()), 20);
    });

    it("never grant more than a window's limit together, whatever happens", async () => {
      await neverMore(async (nowMs) => {
        const { store, again } = await harness.open(nowMs);
        return [store, await again()];
      }, 15);
    });

    it("count resets and grants once each", async () => {
      const { store, again } = await harness.open(new Clock().read);
      const stores = [store, await again()];
      const refs = [{ limit: rate(), subject }];
      await Promise.all(Array.from({ length: 20 }, (_, index) => stores[index % 2]!.grant(environment, refs, 3)));
      const [state] = await store.inspect(environment, refs);
      assert.deepEqual([state!.generation, state!.windows[0]!.extra], [20, 60]);
    });
  });
}
