/** What control's answer to an op does to the worker's counter. */
import { ClockBounds } from "./clockBounds";
import { ASKED, Counter, credit, roll } from "./counter";
import {
  OP_ASK,
  OP_NEXT,
  VERDICT_GRANTED,
  VERDICT_LAST,
  VERDICT_SPENT,
  VERDICT_UNKNOWN,
  VERDICT_WAIT,
} from "../wire/enums";
import {
  answerEndMs,
  answerGeneration,
  answerGranted,
  answerLeaseEndMs,
  answerRemaining,
  answerShare,
  answerShareUntilMs,
  answerStartMs,
  answerUntilMs,
  answerVerdict,
  opAction,
  opNeed,
} from "../wire/leaseMessages";

/** A limit that control doesn't know (yet): its record and control's may be a version apart. */
const UNKNOWN_RETRY_NS: u64 = 100_000_000;

/** Applies an answer. `next`: the op spoke of the window after the current one. */
export function take(c: Counter, op: usize, answer: usize, next: bool, clock: ClockBounds, now: u64): void {
  const action = opAction(op);
  if ((action & OP_ASK) == 0) return;
  const verdict = answerVerdict(answer);
  roll(c, now);
  if (action & OP_NEXT) {
    if (verdict == VERDICT_GRANTED) takeNext(c, answer, clock, now);
    return;
  }
  c.flags &= ~ASKED;
  c.need = 0;
  if (answerShare(answer) != 0) {
    c.share = answerShare(answer);
    c.shareUntilMs = answerShareUntilMs(answer);
  }
  if (verdict == VERDICT_GRANTED) takeNow(c, answer, clock, now);
  else if (verdict == VERDICT_UNKNOWN || verdict > VERDICT_LAST) c.retryNs = now + UNKNOWN_RETRY_NS;
  else if (answerGeneration(answer) < c.generation) return;
  else if (verdict == VERDICT_WAIT) {
    enter(c, answer, clock);
    c.retryNs = clock.earliestNs(answerUntilMs(answer));
  } else if (verdict == VERDICT_SPENT) {
    enter(c, answer, clock);
    c.spentUntilNs = clock.latestNs(answerUntilMs(answer));
    c.spentNeed = opNeed(op);
  }
  if (answerGeneration(answer) > c.generation) c.generation = answerGeneration(answer);
}

/** Of a window that was over when the one at hand began: too late. One that overlaps it is of a limit whose windows were changed. */
// @ts-ignore: decorator
@inline
function isBehind(c: Counter, answer: usize): bool {
  return c.startMs != 0 && answerEndMs(answer) <= c.startMs;
}

function takeNow(c: Counter, answer: usize, clock: ClockBounds, now: u64): void {
  const startMs = answerStartMs(answer);
  if (isBehind(c, answer)) return;
  if (c.nextStartMs == startMs && c.startMs != startMs) {
    // The window that was fetched ahead has begun by control's clock.
    c.startMs = 0;
    c.nextStartNs = now;
    roll(c, now);
  }
  enter(c, answer, clock);
  credit(c, answerGranted(answer));
  c.spentUntilNs = 0;
  c.retryNs = 0;
  c.lowWater = c.allowance >> 1;
}

/** Makes the answer's window the current one, with nothing held if it wasn't. */
function enter(c: Counter, answer: usize, clock: ClockBounds): void {
  const startMs = answerStartMs(answer);
  const endMs = answerEndMs(answer);
  if (isBehind(c, answer)) return;
  if (c.startMs != startMs || c.endMs != endMs) {
    c.startMs = startMs;
    c.endMs = endMs;
    c.allowance = 0;
  }
  c.endNs = clock.earliestNs(endMs);
  if (answerVerdict(answer) == VERDICT_GRANTED)
    c.spendEndNs = answerLeaseEndMs(answer) < endMs ? clock.earliestNs(answerLeaseEndMs(answer)) : c.endNs;
  else if (c.allowance == 0 || c.spendEndNs > c.endNs) c.spendEndNs = c.endNs;
  c.remaining = answerRemaining(answer);
}

function takeNext(c: Counter, answer: usize, clock: ClockBounds, now: u64): void {
  const startMs = answerStartMs(answer);
  const granted = answerGranted(answer);
  if (c.startMs == startMs) {
    credit(c, granted);
    c.remaining = answerRemaining(answer);
    return;
  }
  if (c.startMs != 0 && startMs < c.startMs) return;
  if (c.nextStartMs != startMs) {
    c.nextStartMs = startMs;
    c.nextAllowance = 0;
  }
  c.nextEndMs = answerEndMs(answer);
  c.nextAllowance += granted;
  c.nextRemaining = answerRemaining(answer);
  c.nextStartNs = clock.latestNs(startMs);
  c.nextEndNs = clock.earliestNs(c.nextEndMs);
  c.nextSpendEndNs =
    answerLeaseEndMs(answer) < c.nextEndMs && answerLeaseEndMs(answer) > startMs
      ? clock.earliestNs(answerLeaseEndMs(answer))
      : c.nextEndNs;
  if (now >= c.nextStartNs) roll(c, now);
}
