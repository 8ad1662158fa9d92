import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeAnswer, encodeAnswer } from "../../control/counters/answers.ts";
import { decide } from "../../control/counters/decide.ts";
import {
  counterId,
  type Facts,
  laneId,
  laneText,
  noFacts,
  noteHolding,
  windowId,
} from "../../control/counters/facts.ts";
import { type LaneCall, verdict } from "../../control/counters/model.ts";
import { plan } from "../../control/counters/plan.ts";
import { packRecalls, unpackRecalls } from "../../control/counters/recallText.ts";
import { RecallPace } from "../../control/counters/recallPace.ts";
import { groupOf, slotGroups } from "../../control/counters/redisRows.ts";
import { spanOf, windowAt } from "../../control/counters/windows.ts";
import { ask, environment, Lane, minuteMs, otherSubject, rate, startMs, subject, tell } from "./support.ts";

const limit = rate();
const settings = { leaseMs: 900_000 };
const counter = counterId(environment, 1, subject);
const window = windowId(counter, spanOf(limit, windowAt(limit, startMs)));

/** All that a call looks at, of a window with something used and held by others. */
function factsFor(call: LaneCall, { used = 0, holders = 0 } = {}): Facts {
  const facts = noFacts(startMs);
  const lane = laneText(call.lane);
  facts.lanes.set(laneId(environment, lane).key, null);
  facts.heads.set(counter.key, null);
  facts.windows.set(window.key, {
    id: window,
    startMs,
    endMs: startMs + minuteMs,
    used,
    extra: 0,
    holders,
    silentAskedMs: 0,
  });
  noteHolding(facts, window, lane, null);
  return facts;
}

describe("a decision", () => {
  it("says what it must know, and decides nothing without it", () => {
    const call = new Lane().call(ask(), tell({ subject: otherSubject }));
    const first = decide(noFacts(startMs), [call], () => limit, settings);
    assert.ok(first.kind === "wanted");
    assert.deepEqual(
      [...first.wanted.lanes.values()].map(({ lane }) => lane),
      [laneText(call.lane)],
    );
    assert.deepEqual(
      [...first.wanted.windows.values()].map(({ counter: { subject: of } }) => of),
      [subject, otherSubject],
    );
  });

  it("wants the holders only when there's not enough left", () => {
    const call = new Lane().call(ask());
    assert.equal(decide(factsFor(call, { used: 99, holders: 3 }), [call], () => limit, settings).kind, "decided");
    const starved = decide(factsFor(call, { used: 100, holders: 3 }), [call], () => limit, settings);
    assert.ok(starved.kind === "wanted");
    assert.deepEqual([...starved.wanted.holders.keys()], [window.key]);
    assert.equal(starved.wanted.windows.size, 0);
  });

  it("is the same when it's made again: it changes nothing that it was given", () => {
    const call = new Lane().call(ask(), ask({ want: 7 }), tell({ held: 3, returned: 10 }));
    const facts = factsFor(call, { used: 12, holders: 2 });
    const before = structuredClone(facts);
    const first = decide(facts, [call, call], () => limit, settings);
    assert.deepEqual(facts, before);
    assert.deepEqual(
      decide(facts, [call, call], () => limit, settings),
      first,
    );
  });

  it("finds all of it in the plan, for a call that reports and asks", () => {
    const call = new Lane().call(ask({ windowStartMs: startMs - minuteMs, held: 1 }), ask());
    const wanted = plan([call], () => limit, startMs);
    const first = decide(noFacts(startMs), [call], () => limit, settings);
    assert.ok(first.kind === "wanted");
    for (const kind of ["lanes", "heads", "windows"] as const)
      assert.deepEqual([...wanted[kind].keys()].sort(), [...first.wanted[kind].keys()].sort(), kind);
    assert.equal(wanted.holdings.size, 2);
  });

  it("writes each row once, as it is in the end", () => {
    const call = new Lane().call(ask({ want: 7 }), ask({ want: 5 }), tell({ held: 0, returned: 2 }));
    const decided = decide(factsFor(call), [call], () => limit, settings);
    assert.ok(decided.kind === "decided");
    const { changes } = decided;
    assert.deepEqual(
      changes.windows.map(({ used, holders }) => [used, holders]),
      [[10, 0]],
    );
    assert.deepEqual(
      changes.holdings.map(({ amount }) => amount),
      [0],
    );
    assert.deepEqual([changes.lanes.length, changes.heads.length, changes.shares.length], [1, 0, 0]);
  });

  it("outlives amounts at the edge of what numbers can be", () => {
    const most = Number.MAX_SAFE_INTEGER;
    const call = new Lane().call(ask({ need: most, want: most }), tell({ held: most, returned: most }));
    const decided = decide(factsFor(call), [call], () => rate({ limit: most }), settings);
    assert.ok(decided.kind === "decided" && decided.answers[0]?.kind === "answered");
    assert.deepEqual(
      decided.answers[0].answers.map((one) => [one.verdict, one.granted]),
      [
        [verdict.granted, most],
        [verdict.noted, 0],
      ],
    );
  });
});

describe("what is kept and told as text", () => {
  it("is an answer as it was", () => {
    const call = new Lane().call(ask(), ask({ wireId: 9 }));
    const decided = decide(
      factsFor(call),
      [call],
      (_environment, wireId) => (wireId === 1 ? limit : undefined),
      settings,
    );
    assert.ok(decided.kind === "decided" && decided.answers[0]?.kind === "answered");
    assert.deepEqual(decodeAnswer(encodeAnswer(decided.answers[0])), decided.answers[0]);
    assert.deepEqual(decodeAnswer(encodeAnswer({ kind: "answered", timeMs: 5, answers: [] })), {
      kind: "answered",
      timeMs: 5,
      answers: [],
    });
  });

  it("is recalls, cut to size, and not one's own", () => {
    const recalls = Array.from({ length: 50 }, (_, index) => ({
      environment,
      gateway: `gateway-ü-${index}`,
      wireId: 1,
      subject,
      windowStartMs: startMs,
    }));
    const texts = packRecalls("me", recalls, 500);
    assert.ok(texts.length > 5 && texts.every((text) => Buffer.byteLength(text) <= 500));
    assert.deepEqual(
      texts.flatMap((text) => unpackRecalls("you", text)),
      recalls,
    );
    assert.deepEqual(unpackRecalls("me", texts[0]!), []);
    assert.deepEqual(
      ["", "{", "1", "{}"].flatMap((text) => unpackRecalls("you", text)),
      [],
    );
    assert.deepEqual(packRecalls("me", [], 500), []);
  });
});

describe("recalls", () => {
  it("pass once in 20 ms, each gateway and window for itself, even when the clock is set back", () => {
    const pace = new RecallPace();
    const recall = { environment, gateway: "a", wireId: 1, subject, windowStartMs: startMs };
    assert.equal(pace.pass([recall, { ...recall, gateway: "b" }, recall], 1000).length, 2);
    assert.equal(pace.pass([recall, { ...recall, windowStartMs: 5 }], 1019).length, 1);
    assert.equal(pace.pass([recall], 1020).length, 1);
    assert.equal(pace.pass([recall], 500).length, 1);
  });
});

describe("slot groups", () => {
  it("spread subjects evenly, and hold all limits of a subject", () => {
    const counts = new Array<number>(slotGroups).fill(0);
    for (let index = 0; index < 16_000; index++)
      counts[groupOf(environment, index.toString(16).padStart(8, "0").padEnd(32, "0"))]!++;
    assert.ok(Math.min(...counts) > 700 && Math.max(...counts) < 1300, counts.join());
  });
});
