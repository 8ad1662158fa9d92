/**
 * A worker's part of one counter: a limit applied to one subject. What is here was charged by its authority (control, or the Envoy's cell)
 * when it was granted; spending it needs nobody.
 */

/** The Envoy's shared data is the authority, not control. */
export const GATEWAY: u32 = 1;
/** what the next call to control says of it */
export const WANT_ASK: u32 = 2;
export const WANT_NEXT: u32 = 4;
export const WANT_RETURN: u32 = 8;
export const WANT_CLOSE: u32 = 16;
export const WANTS: u32 = WANT_ASK | WANT_NEXT | WANT_RETURN | WANT_CLOSE;
/** it's on the list of those that have something to say */
export const LISTED: u32 = 32;
/** ops of it are in the call under way */
export const IN_FLIGHT: u32 = 64;
export const ASKED: u32 = 128;
/** the API's failureMode is local: ask for a share */
export const LOCAL: u32 = 256;
export const IN_USE: u32 = 512;
/** control was told that it's forgotten here */
export const CLOSING: u32 = 1024;

/** What is asked for at first, and what later asks add to the demand, so that a caller who comes seldom doesn't ask every few calls. */
const FIRST_WANT: u64 = 8;
const LATER_WANT: u64 = 32;
const HORIZON_NS: u64 = 4_000_000_000;
/** A demand that was measured for less time than this counts as if it had been for so long. */
const LEAST_SPAN_NS: u64 = 10_000_000;

// @ts-ignore: decorator
@unmanaged
export class Counter {
  limit: u32;
  flags: u32;
  subjectA: u64;
  subjectB: u64;
  shape: u32;
  /** raised when the place is given to another counter */
  serial: u32;
  bucketNext: usize;
  listNext: usize;

  /** the window of `allowance`, by control's clock, or by the wall clock for GATEWAY; 0: none */
  startMs: u64;
  endMs: u64;
  /** monotonic: the window's end, and until when the allowance may be spent */
  endNs: u64;
  spendEndNs: u64;
  allowance: u64;
  /** spent before it was granted, by limits that only watch */
  debt: u64;
  /** what the authority had left when it last spoke of this window */
  remaining: u64;

  /** asking for `spentNeed` or more is in vain until then */
  spentUntilNs: u64;
  spentNeed: u64;
  /** others hold the rest and were asked for it: don't ask before */
  retryNs: u64;
  /** least amount that helps those who wait, and what they all would take */
  need: u64;
  waited: u64;

  /** the window that was fetched ahead */
  nextStartMs: u64;
  nextEndMs: u64;
  nextStartNs: u64;
  nextEndNs: u64;
  nextSpendEndNs: u64;
  nextAllowance: u64;
  nextRemaining: u64;
  /** start of the window in which a next one was asked for last */
  nextTriedMs: u64;

  /** what was spent since, to know the demand */
  spends: u64;
  sinceNs: u64;
  usedNs: u64;
  lowWater: u64;

  /** what may be spent in each window that starts before `shareUntilMs` while control is away, and what was in the window that ends then */
  share: u64;
  shareUntilMs: u64;
  localUsed: u64;
  localEndMs: u64;

  /** calls that the Envoy's pace has let through for this worker, until when */
  paced: u64;
  pacedUntilNs: u64;

  generation: u32;
  /** the LIMIT record by which it was last looked at; 0: look again */
  record: u32;
}

/** Adds what was granted, less what was spent before. */
export function credit(c: Counter, granted: u64): void {
  const paid = c.debt < granted ? c.debt : granted;
  c.debt -= paid;
  c.allowance += granted - paid;
}

export const COUNTER_BYTES: u32 = offsetof<Counter>();

/** Moves on to the window that was fetched ahead once its time has come; what is left of the old one is gone. */
// @ts-ignore: decorator
@inline
export function roll(c: Counter, now: u64): void {
  if (c.startMs == 0 || now >= c.endNs) moveOn(c, now);
}

function moveOn(c: Counter, now: u64): void {
  if (c.nextStartMs != 0 && now >= c.nextStartNs) {
    c.startMs = c.nextStartMs;
    c.endMs = c.nextEndMs;
    c.endNs = c.nextEndNs;
    c.spendEndNs = c.nextSpendEndNs;
    c.allowance = c.nextAllowance;
    c.remaining = c.nextRemaining;
    c.lowWater = c.allowance >> 1;
    c.spentUntilNs = 0;
    c.nextStartMs = 0;
    c.nextAllowance = 0;
  } else if (c.startMs != 0) {
    c.startMs = 0;
    c.allowance = 0;
    c.remaining = 0;
  } else return;
  c.debt = 0;
}

/** Whether `cost` can be spent now. */
// @ts-ignore: decorator
@inline
export function holds(c: Counter, cost: u64, now: u64): bool {
  return c.allowance >= cost && now < c.spendEndNs;
}

/** How much to ask for: what the last seconds' demand would spend in the next four, and some more. Control gives what the rest allows. */
export function wanted(c: Counter, now: u64): u64 {
  const need = c.need == 0 ? 1 : c.need;
  const elapsed = now - c.sinceNs;
  let want = c.waited + (c.sinceNs == 0 ? FIRST_WANT : LATER_WANT);
  if (c.sinceNs != 0 && elapsed > 0) {
    const span: u64 = elapsed < LEAST_SPAN_NS ? LEAST_SPAN_NS : elapsed;
    const scaled = (<f64>c.spends * <f64>HORIZON_NS) / <f64>span;
    want += scaled > 1e15 ? <u64>1e15 : <u64>scaled;
  }
  return want < need ? need : want;
}

/** Whether what is left lasts for so long at the demand that was measured last. */
export function lastsFor(c: Counter, now: u64, ns: u64): bool {
  const elapsed = now - c.sinceNs;
  const span: u64 = elapsed < LEAST_SPAN_NS ? LEAST_SPAN_NS : elapsed;
  return <f64>c.allowance * <f64>span >= <f64>c.spends * <f64>ns;
}

/** Begins to measure the demand anew, keeping half of what was measured before. */
export function noteAsked(c: Counter, now: u64): void {
  const elapsed = now - c.sinceNs;
  c.waited = 0;
  if (c.sinceNs == 0) c.sinceNs = now;
  else if (elapsed > HORIZON_NS) {
    c.spends >>= 1;
    c.sinceNs = now - (elapsed > HORIZON_NS << 2 ? HORIZON_NS : elapsed >> 1);
  }
}
