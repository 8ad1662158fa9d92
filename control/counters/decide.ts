/**
 * The lease decision: calls of lanes in, answers, changed rows and recalls out. Pure: every store and the simulated control of the tests
 * decide with it. The rules are those of docs/concepts/limits.md:
 *
 * - Allowance is charged when it's granted. A holding is the most that a lane can have unspent of a window. A report may lower it, and
 *   gives back what the lane returns, never more than it can have.
 * - A grant halves what remains for each lane that holds, so that chunks shrink as the remainder does.
 * - Nobody reserves. Who needs more than remains waits while others hold some, whom a recall makes return it.
 */
import { decodeAnswer, encodeAnswer } from "./answers.ts";
import {
  aliveMs,
  type Changes,
  type CounterId,
  counterId,
  type Facts,
  isWanted,
  laneId,
  laneText,
  type Wanted,
  windowId,
  type WindowRow,
} from "./facts.ts";
import { Ledger } from "./ledger.ts";
import {
  type CallAnswer,
  type CounterSettings,
  type LaneCall,
  type LeaseAnswer,
  leaseAction,
  type LeaseOp,
  type LimitShape,
  type LimitsOf,
  type Recall,
  verdict,
} from "./model.ts";
import { chargedShares, openWindows, shareOf } from "./shares.ts";
import { spanOf, type Window, windowAfter, windowAt, windowFrom } from "./windows.ts";

/** A lane that others make wait asks again after so long. */
const waitMs = 10;
/** Holders that haven't called lately may yet answer a recall: so long others wait for them. */
const silentWaitMs = 200;
/** After that they count as gone for so long; then they're asked again. */
const silentSpentMs = 2000;

interface Decided {
  kind: "decided";
  /** one for each call */
  answers: CallAnswer[];
  changes: Changes;
  /** each gateway and window once */
  recalls: Recall[];
}

export type Decision = Decided | { kind: "wanted"; wanted: Wanted };

/** Decides calls one after the other. `wanted`: nothing was decided, more must be loaded. */
export function decide(
  facts: Facts,
  calls: readonly LaneCall[],
  limits: LimitsOf,
  settings: CounterSettings,
): Decision {
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

function answerCall(
  ledger: Ledger,
  call: LaneCall,
  limits: LimitsOf,
  settings: CounterSettings,
  recalls: Map<string, Recall>,
): CallAnswer {
  const { nowMs } = ledger;
  const { gateway, seq } = call;
  const id = laneId(call.environment, laneText(call.lane));
  const last = ledger.lane(id);
  if (last !== null && seq < last.seq) return { kind: "outdated" };
  if (last !== null && seq === last.seq) {
    const kept = ledger.answer(last);
    const answer = kept === null || kept === "" ? undefined : decodeAnswer(kept);
    // Other ops under the same number are no resend, and an answer isn't kept for ever.
    if (answer?.answers.length !== call.ops.length) return { kind: "outdated" };
    ledger.putLane({ id, gateway, seq, answer: kept, lastMs: nowMs });
    return answer;
  }
  // Here already, so that a holder that calls in the same transaction counts as alive.
  ledger.putLane({ id, gateway, seq, answer: "", lastMs: nowMs });
  const asker: Asker = {
    call,
    lane: id.lane,
    wasAlive: last !== null && last.lastMs > nowMs - aliveMs,
    settings,
    recalls,
  };
  const answers = call.ops.map((op) => answerOp(ledger, asker, op, limits(call.environment, op.wireId, call)));
  const answer = { kind: "answered", timeMs: nowMs, answers } as const;
  ledger.putLane({ id, gateway, seq, answer: encodeAnswer(answer), lastMs: nowMs });
  return answer;
}

function answerOp(ledger: Ledger, asker: Asker, op: LeaseOp, limit: LimitShape | undefined): LeaseAnswer {
  const answer = blankAnswer();
  if (limit === undefined) {
    answer.verdict = verdict.unknown;
    return answer;
  }
  const counter = counterId(asker.call.environment, op.wireId, op.subject);
  answer.generation = ledger.head(counter)?.generation ?? 0;
  const reported = op.windowStartMs === 0 ? null : report(ledger, counter, limit, asker.lane, op);
  if ((op.actions & leaseAction.ask) === 0) {
    if (reported === null) return answer;
    answer.windowStartMs = reported.startMs;
    answer.windowEndMs = reported.endMs;
    answer.remaining = remainingOf(limit, reported);
    return answer;
  }
  const asked = ask(ledger, asker, counter, limit, op, answer);
  if ((op.actions & leaseAction.local) === 0) return answer;
  const { share, shareUntilMs } = shareOf(ledger, counter, limit, asker.lane, asker.wasAlive);
  answer.share = share;
  answer.shareUntilMs = shareUntilMs;
  // The share may have been charged to the very window that was asked for.
  answer.remaining = remainingOf(limit, ledger.window(asked.id) ?? asked);
  return answer;
}

function blankAnswer(): LeaseAnswer {
  return {
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
}

export function remainingOf(limit: LimitShape, { used, extra }: { used: number; extra: number }): number {
  return Math.max(0, limit.limit + extra - used);
}

/** Takes in what the lane says of a window. Gives the window, if it's there. */
function report(ledger: Ledger, counter: CounterId, limit: LimitShape, lane: string, op: LeaseOp): WindowRow | null {
  const window = windowFrom(limit, op.windowStartMs);
  if (window === undefined) return null;
  const row = ledger.window(windowId(counter, spanOf(limit, window)));
  if (row === null || row.startMs !== op.windowStartMs) return null;
  const before = ledger.held(row, lane);
  if (before === 0) return row;
  const credit = Math.min(op.returned, Math.max(0, before - op.held));
  const after = (op.actions & leaseAction.close) !== 0 ? 0 : Math.min(op.held, before - credit);
  if (credit === 0 && after === before) return row;
  return ledger.putHeld(row, Math.max(0, row.used - credit), lane, before, after);
}

/** Fills the answer in. Gives the window that was asked for. */
function ask(
  ledger: Ledger,
  asker: Asker,
  counter: CounterId,
  limit: LimitShape,
  op: LeaseOp,
  answer: LeaseAnswer,
): WindowRow {
  const row = askedWindow(ledger, counter, limit, (op.actions & leaseAction.next) !== 0);
  const need = Math.max(1, op.need);
  const remaining = remainingOf(limit, row);
  answer.windowStartMs = row.startMs;
  answer.windowEndMs = row.endMs;
  answer.leaseEndMs = Math.min(row.endMs, ledger.nowMs + asker.settings.leaseMs);
  answer.remaining = remaining;
  if (need > remaining) {
    const { verdict: kind, untilMs } = refusal(ledger, asker, limit, row, need, remaining);
    answer.verdict = kind;
    answer.untilMs = untilMs;
    return row;
  }
  const held = ledger.held(row, asker.lane);
  const lanes = row.holders + (held === 0 ? 1 : 0);
  const granted = Math.max(need, Math.min(Math.max(need, op.want), Math.floor(remaining / (2 * lanes))));
  answer.verdict = verdict.granted;
  answer.granted = granted;
  answer.remaining = remaining - granted;
  settlePendingExtra(ledger, counter, limit, row);
  return ledger.putHeld(row, row.used + granted, asker.lane, held, held + granted);
}

/** The row of the window that an ask is for; when it isn't there, as it would be made. */
function askedWindow(ledger: Ledger, counter: CounterId, limit: LimitShape, next: boolean): WindowRow {
  const { nowMs } = ledger;
  if (limit.firstUse)
    return openWindows(ledger, counter, limit).current ?? newWindow(ledger, counter, limit, windowAt(limit, nowMs));
  const window = next ? windowAfter(limit, nowMs) : windowAt(limit, nowMs);
  return ledger.window(windowId(counter, spanOf(limit, window))) ?? newWindow(ledger, counter, limit, window);
}

/** A window's row as it begins. With firstUse it takes what was granted while none was open; `settlePendingExtra` notes that. */
export function newWindow(ledger: Ledger, counter: CounterId, limit: LimitShape, window: Window): WindowRow {
  const extra = limit.firstUse ? (ledger.head(counter)?.pendingExtra ?? 0) : 0;
  const used = chargedShares(ledger, counter, window.startMs);
  return {
    id: windowId(counter, spanOf(limit, window)),
    startMs: window.startMs,
    endMs: window.endMs,
    used,
    extra,
    holders: 0,
    silentAskedMs: 0,
  };
}

function settlePendingExtra(ledger: Ledger, counter: CounterId, limit: LimitShape, { startMs }: WindowRow): void {
  if (!limit.firstUse || startMs !== ledger.nowMs) return;
  const head = ledger.head(counter);
  if (head !== null && head.pendingExtra > 0) ledger.putHead({ ...head, pendingExtra: 0 });
}

type Refusal = Pick<LeaseAnswer, "verdict" | "untilMs">;

/** Wait or spent: does anyone hold what could still come back? Whoever does is asked to return it. */
function refusal(
  ledger: Ledger,
  asker: Asker,
  limit: LimitShape,
  row: WindowRow,
  need: number,
  remaining: number,
): Refusal {
  const { nowMs } = ledger;
  const spent: Refusal = { verdict: verdict.spent, untilMs: row.endMs };
  if (need > limit.limit + row.extra || row.holders === 0) return spent;
  const others = ledger.holders(row).filter(({ lane }) => lane !== asker.lane);
  if (others.reduce((sum, { amount }) => sum + amount, remaining) < need) return spent;
  const wait: Refusal = { verdict: verdict.wait, untilMs: nowMs + waitMs };
  if (others.some(({ lastMs }) => lastMs > nowMs - aliveMs)) {
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

function recall(asker: Asker, { id, startMs }: WindowRow, holders: readonly { gateway: string }[]): void {
  const { environment, wireId, subject } = id.counter;
  for (const { gateway } of holders) {
    const key = `${id.key}/${gateway}`;
    if (!asker.recalls.has(key))
      asker.recalls.set(key, { environment, gateway, wireId, subject, windowStartMs: startMs });
  }
}
