/**
 * The lease decision: calls of lanes in, answers, changed rows and recalls out. Pure: every store and the simulated control of the tests
 * decide with it. The rules are those of docs/limits.md:
 *
 * - Allowance is charged when it's granted. A holding is the most that a lane can have unspent of a window. A report may lower it, and
 *   gives back what the lane returns, never more than it can have.
 * - A grant halves what remains for each lane that holds, so that chunks shrink as the remainder does.
 * - Nobody reserves. Who needs more than remains waits while others hold some, whom a recall makes return it.
 */
import { decodeAnswer, encodeAnswer } from "./answers.ts";
import { aliveMs, type Changes, type CounterId, type Facts, isWanted, type LaneId, laneText, type Wanted, type WindowRow } from "./facts.ts";
import { Ledger } from "./ledger.ts";
import { type CallAnswer, type CounterSettings, type LaneCall, type LeaseAnswer, leaseAction, type LeaseOp, type LimitShape, type LimitsOf, type Recall, verdict } from "./model.ts";
import { chargedShares, openWindows, shareOf } from "./shares.ts";
import { spanOf, type Window, windowAfter, windowAt, windowFrom } from "./windows.ts";

/** A lane that others make wait asks again after so long. */
const waitMs = 10;
/** Holders that haven't called lately may yet answer a recall: so long others wait for them. */
const silentWaitMs = 200;
/** After that they count as gone for so long; then they're asked again. */
const silentSpentMs = 2000;

export interface Decided {
  kind: "decided";
  /** one for each call */
  answers: CallAnswer[];
  changes: Changes;
  /** each gateway and window once */
  recalls: Recall[];
}

export type Decision = Decided | { kind: "wanted"; wanted: Wanted };

/** Decides calls one after the other. `wanted`: nothing was decided, more must be loaded. */
export function decide(facts: Facts, calls: readonly LaneCall[], limits: LimitsOf, settings: CounterSettings): Decision {
  const ledger = new Ledger(facts);
  const recalls = new Map<string, Recall>();
  const answers = calls.map((call) => answerCall(ledger, call, limits, settings, recalls));
  if (isWanted(ledger.wanted)) return { kind: "wanted", wanted: ledger.wanted };
  return { kind: "decided", answers, changes: ledger.changes(), recalls: [...recalls.values()] };
}

/** What is the same for all ops of a call. */
interface Asker {
  call: LaneCall;
  lane: string;
  /** counted among the lanes alive */
  wasAlive: boolean;
  settings: CounterSettings;
  recalls: Map<string, Recall>;
}

function answerCall(ledger: Ledger, call: LaneCall, limits: LimitsOf, settings: CounterSettings, recalls: Map<string, Recall>): CallAnswer {
  const { nowMs } = ledger;
  const id: LaneId = { environment: call.environment, lane: laneText(call.lane) };
  const last = ledger.lane(id);
  if (last !== null && call.seq <= last.seq) {
    if (call.seq < last.seq) return { kind: "outdated" };
    const answer = decodeAnswer(last.answer);
    // Other ops under the same number are no resend.
    if (answer.answers.length !== call.ops.length) return { kind: "outdated" };
    ledger.putLane({ ...last, gateway: call.gateway, lastMs: nowMs });
    return answer;
  }
  const row = { ...id, gateway: call.gateway, seq: call.seq, answer: "", lastMs: nowMs };
  ledger.putLane(row);
  const asker: Asker = { call, lane: id.lane, wasAlive: last !== null && last.lastMs > nowMs - aliveMs, settings, recalls };
  const answers = call.ops.map((op) => answerOp(ledger, asker, op, limits(call.environment, op.wireId, call)));
  const answer = { kind: "answered", timeMs: nowMs, answers } as const;
  ledger.putLane({ ...row, answer: encodeAnswer(answer) });
  return answer;
}

function answerOp(ledger: Ledger, asker: Asker, op: LeaseOp, limit: LimitShape | undefined): LeaseAnswer {
  if (limit === undefined) return { ...blank, verdict: verdict.unknown };
  const counter: CounterId = { environment: asker.call.environment, wireId: op.wireId, subject: op.subject };
  const generation = ledger.head(counter)?.generation ?? 0;
  const reported = report(ledger, counter, limit, asker.lane, op);
  if ((op.actions & leaseAction.ask) === 0) {
    if (reported === null) return { ...blank, generation };
    return { ...blank, generation, windowStartMs: reported.startMs, windowEndMs: reported.endMs, remaining: remainingOf(limit, reported) };
  }
  const answer = { ...ask(ledger, asker, counter, limit, op), generation };
  if ((op.actions & leaseAction.local) === 0) return answer;
  const share = shareOf(ledger, counter, limit, asker.lane, asker.wasAlive);
  // The share may have been charged to the very window that was asked for.
  const row = ledger.window({ ...counter, span: spanOf(limit, { startMs: answer.windowStartMs, endMs: answer.windowEndMs }) });
  return { ...answer, ...share, remaining: row === null ? answer.remaining : remainingOf(limit, row) };
}

const blank: LeaseAnswer = {
  verdict: verdict.noted,
  generation: 0,
  granted: 0,
  windowStartMs: 0,
  windowEndMs: 0,
  leaseEndMs: 0,
  remaining: 0,
  untilMs: 0,
  share: 0,
  shareUntilMs: 0,
};

export function remainingOf(limit: LimitShape, { used, extra }: { used: number; extra: number }): number {
  return Math.max(0, limit.limit + extra - used);
}

/** Takes in what the lane says of a window. Gives the window, if it's there. */
function report(ledger: Ledger, counter: CounterId, limit: LimitShape, lane: string, op: LeaseOp): WindowRow | null {
  if (op.windowStartMs === 0) return null;
  const window = windowFrom(limit, op.windowStartMs);
  if (window === undefined) return null;
  const row = ledger.window({ ...counter, span: spanOf(limit, window) });
  if (row === null || row.startMs !== op.windowStartMs) return null;
  const before = ledger.held(row, lane);
  if (before === 0) return row;
  const credit = Math.min(op.returned, Math.max(0, before - op.held));
  const after = (op.actions & leaseAction.close) !== 0 ? 0 : Math.min(op.held, before - credit);
  let changed = ledger.putHeld(row, lane, after);
  if (credit > 0) {
    changed = { ...changed, used: Math.max(0, changed.used - credit) };
    ledger.putWindow(changed);
  }
  return changed;
}

function ask(ledger: Ledger, asker: Asker, counter: CounterId, limit: LimitShape, op: LeaseOp): LeaseAnswer {
  const row = askedWindow(ledger, counter, limit, (op.actions & leaseAction.next) !== 0);
  const need = Math.max(1, op.need);
  const remaining = remainingOf(limit, row);
  const { startMs: windowStartMs, endMs: windowEndMs } = row;
  const answer = { ...blank, windowStartMs, windowEndMs, leaseEndMs: Math.min(windowEndMs, ledger.nowMs + asker.settings.leaseMs), remaining };
  if (need > remaining) return { ...answer, ...refusal(ledger, asker, limit, row, need, remaining) };

  const held = ledger.held(row, asker.lane);
  const lanes = row.holders + (held === 0 ? 1 : 0);
  const granted = Math.max(need, Math.min(Math.max(need, op.want), Math.floor(remaining / (2 * lanes))));
  settlePendingExtra(ledger, counter, limit, row);
  ledger.putWindow({ ...ledger.putHeld(row, asker.lane, held + granted), used: row.used + granted });
  return { ...answer, verdict: verdict.granted, granted, remaining: remaining - granted };
}

/** The row of the window that an ask is for; when it isn't there, as it would be made. */
function askedWindow(ledger: Ledger, counter: CounterId, limit: LimitShape, next: boolean): WindowRow {
  const { nowMs } = ledger;
  if (limit.firstUse) return openWindows(ledger, counter, limit).current ?? newWindow(ledger, counter, limit, windowAt(limit, nowMs));
  const window = next ? windowAfter(limit, nowMs) : windowAt(limit, nowMs);
  return ledger.window({ ...counter, span: spanOf(limit, window) }) ?? newWindow(ledger, counter, limit, window);
}

/** A window's row as it begins. With firstUse it takes what was granted while none was open; `settlePendingExtra` notes that. */
export function newWindow(ledger: Ledger, counter: CounterId, limit: LimitShape, { startMs, endMs }: Window): WindowRow {
  const extra = limit.firstUse ? (ledger.head(counter)?.pendingExtra ?? 0) : 0;
  const used = chargedShares(ledger, counter, startMs);
  return { ...counter, span: spanOf(limit, { startMs, endMs }), startMs, endMs, used, extra, holders: 0, silentAskedMs: 0 };
}

function settlePendingExtra(ledger: Ledger, counter: CounterId, limit: LimitShape, { startMs }: WindowRow): void {
  if (!limit.firstUse || startMs !== ledger.nowMs) return;
  const head = ledger.head(counter);
  if (head !== null && head.pendingExtra > 0) ledger.putHead({ ...head, pendingExtra: 0 });
}

type Refusal = Pick<LeaseAnswer, "verdict" | "untilMs">;

/** Wait or spent: does anyone hold what could still come back? Whoever does is asked to return it. */
function refusal(ledger: Ledger, asker: Asker, limit: LimitShape, row: WindowRow, need: number, remaining: number): Refusal {
  const { nowMs } = ledger;
  const spent: Refusal = { verdict: verdict.spent, untilMs: row.endMs };
  if (need > limit.limit + row.extra || row.holders === 0) return spent;
  const others = ledger.holders(row).filter(({ lane }) => lane !== asker.lane);
  if (others.reduce((sum, { amount }) => sum + amount, remaining) < need) return spent;
  const alive = others.filter(({ lastMs }) => lastMs > nowMs - aliveMs);
  const wait: Refusal = { verdict: verdict.wait, untilMs: nowMs + waitMs };
  if (alive.length > 0) {
    recall(asker, row, others);
    return wait;
  }
  const askedMsAgo = nowMs - row.silentAskedMs;
  if (askedMsAgo >= 0 && askedMsAgo < silentWaitMs) return wait;
  if (askedMsAgo < 0 || askedMsAgo >= silentWaitMs + silentSpentMs) {
    ledger.putWindow({ ...row, silentAskedMs: nowMs });
    recall(asker, row, others);
    return wait;
  }
  return { verdict: verdict.spent, untilMs: Math.min(row.endMs, nowMs + silentSpentMs) };
}

function recall(asker: Asker, { environment, wireId, subject, startMs, span }: WindowRow, holders: readonly { gateway: string }[]): void {
  for (const { gateway } of holders) {
    const key = `${environment}/${wireId}/${subject}/${span}/${gateway}`;
    if (!asker.recalls.has(key)) asker.recalls.set(key, { environment, gateway, wireId, subject, windowStartMs: startMs });
  }
}
