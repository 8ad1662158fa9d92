/**
 * What a lane may spend per window while control is away (failureMode: local). A share is charged beforehand to every window that it
 * covers: to those that are open when it's made, and to each later one when its row is made. Control charges a little longer than the
 * lane spends, so that no difference of clocks makes a window free that the lane still spends in. The lane never reports what it spent of
 * a share: all of it counts as spent.
 */
import { type CounterId, type ShareRow, windowId, type WindowRow } from "./facts.ts";
import type { Ledger } from "./ledger.ts";
import type { LimitShape } from "./model.ts";
import { spanOf, windowAfter, windowAt } from "./windows.ts";

/** A lane spends a share for so long after its last ask. */
const shareTermMs = 3_600_000;
/** Windows are charged with it for so much longer. */
const shareGraceMs = 60_000;
/** A share is prolonged only by so much and more, so that an ask seldom writes it. */
const shareRenewMs = 60_000;
/** One lane gets at most a quarter of the limit, all together half of it. */
const quarter = 4;
const half = 2;

export interface Share {
  share: number;
  shareUntilMs: number;
}

const noShare: Share = { share: 0, shareUntilMs: 0 };

/** Is the window of this start charged with the share? */
export function covers(share: ShareRow, startMs: number): boolean {
  return share.fromMs <= startMs && startMs < share.untilMs + shareGraceMs;
}

/** What a window that starts then is charged with when its row is made. */
export function chargedShares(ledger: Ledger, counter: CounterId, startMs: number): number {
  if ((ledger.head(counter)?.shares ?? 0) === 0) return 0;
  return ledger.shares(counter).reduce((sum, share) => (covers(share, startMs) ? sum + share.amount : sum), 0);
}

/** The share of a lane that asks for one: prolonged, or made. `wasAlive`: the lane was counted among the lanes alive. */
export function shareOf(ledger: Ledger, counter: CounterId, limit: LimitShape, lane: string, wasAlive: boolean): Share {
  const { nowMs } = ledger;
  const own = ledger.shares(counter).find((share) => share.lane === lane);
  if (!ledger.sharesLoaded(counter)) return noShare;
  const { current, next } = openWindows(ledger, counter, limit);
  if (current === undefined) return own !== undefined && own.untilMs > nowMs ? told(own, nowMs) : noShare;
  if (own !== undefined && covers({ ...own, fromMs: 0 }, current.startMs))
    return told(prolonged(ledger, limit, own, next), current.startMs);

  const others = ledger.lanesAlive(counter.environment) + (wasAlive ? 0 : 1);
  const amount = Math.floor(limit.limit / (quarter * Math.max(1, others)));
  const standing = ledger
    .shares(counter)
    .reduce(
      (sum, share) =>
        share.lane !== lane && current.startMs < share.untilMs + shareGraceMs ? sum + share.amount : sum,
      0,
    );
  if (amount === 0 || standing + amount > limit.limit / half) return noShare;
  if (next !== undefined && !charge(ledger, limit, next, amount)) return noShare;
  const fromMs = charge(ledger, limit, current, amount) ? current.startMs : current.endMs;
  const untilMs = nowMs + shareTermMs;
  const row: ShareRow = { counter, lane, amount, fromMs, untilMs, keepMs: keepMs(limit, untilMs) };
  ledger.putShare(row);
  if (own === undefined) {
    const head = ledger.headOrNew(counter);
    ledger.putHead({ ...head, shares: head.shares + 1 });
  }
  return told(row, current.startMs);
}

/** The rows of the current window and of the one after it, as far as they're there. */
export function openWindows(
  ledger: Ledger,
  counter: CounterId,
  limit: LimitShape,
): { current: WindowRow | undefined; next: WindowRow | undefined } {
  const row = ledger.window(windowId(counter, spanOf(limit, windowAt(limit, ledger.nowMs)))) ?? undefined;
  if (limit.firstUse)
    return { current: row !== undefined && row.endMs > ledger.nowMs ? row : undefined, next: undefined };
  return {
    current: row,
    next: ledger.window(windowId(counter, spanOf(limit, windowAfter(limit, ledger.nowMs)))) ?? undefined,
  };
}

/** A share isn't prolonged once a lowered limit would no longer give it, nor when the next window has no room for it. */
function prolonged(ledger: Ledger, limit: LimitShape, own: ShareRow, next: WindowRow | undefined): ShareRow {
  const untilMs = ledger.nowMs + shareTermMs;
  if (untilMs - own.untilMs < shareRenewMs || own.amount > Math.floor(limit.limit / quarter)) return own;
  if (next !== undefined && next.startMs >= own.untilMs + shareGraceMs && !charge(ledger, limit, next, own.amount))
    return own;
  const row = { ...own, untilMs, keepMs: Math.max(own.keepMs, keepMs(limit, untilMs)) };
  ledger.putShare(row);
  return row;
}

function charge(ledger: Ledger, limit: LimitShape, window: WindowRow, amount: number): boolean {
  if (limit.limit + window.extra - window.used < amount) return false;
  ledger.putWindow({ ...window, used: window.used + amount });
  return true;
}

/** A share that isn't charged to the current window yet isn't told, since the lane couldn't know where it begins. */
function told(share: ShareRow, currentStartMs: number): Share {
  return share.fromMs <= currentStartMs ? { share: share.amount, shareUntilMs: share.untilMs } : noShare;
}

function keepMs(limit: LimitShape, untilMs: number): number {
  return windowAt(limit, untilMs + shareGraceMs).endMs;
}
