/** The limits of a request: all are taken together, or none. */
import { monotonicNs } from "../abi/wasi";
import { Table } from "../snapshot/table";
import { applicable, findApplicable } from "../snapshot/applicableLimits";
import { NO_CELL } from "../limits/gatewayCounters";
import { Counter, GATEWAY, LOCAL, holds, roll } from "../limits/counter";
import { Counters } from "../limits/counters";
import { isFirstUse, isShadow, limitAmount, limitId, limitSubject } from "../wire/records";
import { isRate, isSmoothed } from "../wire/limitRecord";
import { newSubjects, setSubject, subjectA, subjectB } from "./limitSubject";
import { windowAt, windowEndMs, windowStartMs } from "../limits/windows";

/** All limits have what the request costs, and it was taken. */
export const TAKEN: u32 = 0;
/** `violated` limits are spent. */
export const VIOLATED: u32 = 1;
/** `dry` has nothing, and was asked for more. */
export const DRY: u32 = 2;
/** There is no place for one of its counters. */
export const NO_ROOM: u32 = 3;
/** One of them has a value that this build doesn't know: nobody can say what it would allow. */
export const UNSUPPORTED: u32 = 4;

const MOST: u32 = 128;
/** One of each limit: u32 counter (0: none), u32 violated. */
const found = memory.data(128 * 8, 4);
export let limitCount: u32 = 0;
/** the time by which the limits were decided */
export let decidedNs: u64 = 0;
/** After DRY: the counter to wait for. */
export let dry: Counter | null = null;
/** After VIOLATED: whether the one that lasts longest is a rate, and how long that is. */
export let violatedRate: bool = false;
export let retryNs: u64 = 0;
/** A limit that only watches would have refused; whether the first of these is a rate. */
export let shadowed: bool = false;
export let shadowedRate: bool = false;
/** What such limits let through while it wasn't known, and now is, that they would have refused it. */
export let shadowDebt: u64 = 0;
let cost: u64 = 0;

// @ts-ignore: decorator
@inline
export function counterOf(n: u32): Counter | null {
  const at = <usize>load<u32>(found + ((<usize>n) << 3));
  return at == 0 ? null : changetype<Counter>(at);
}
// @ts-ignore: decorator
@inline
export function isViolated(n: u32): bool {
  return load<u32>(found + ((<usize>n) << 3), 4) != 0;
}

/**
 * Takes what a request costs from every limit that it has. `key` is the key's record, 0 for a request without a caller; `ownLimits`: the key
 * has limits of its own. `watch`: nothing is refused, as if all limits were shadows.
 */
export function takeLimits(
  counters: Counters,
  table: Table,
  standalone: bool,
  tier: u32,
  consumer: u32,
  api: u32,
  route: i32,
  routeAt: usize,
  key: usize,
  ownLimits: bool,
  price: u32,
  local: bool,
  watch: bool,
): u32 {
  shadowed = false;
  shadowDebt = 0;
  limitCount = findApplicable(table, tier, api, route, ownLimits ? key : 0);
  if (table.limitOwners.strays != 0) return UNSUPPORTED;
  if (limitCount == 0) return TAKEN;
  newSubjects();
  cost = price;
  const now = monotonicNs();
  decidedNs = now;
  dry = null;
  let violated = false;
  retryNs = 0;
  let full = false;
  let unsupported = false;
  for (let i: u32 = 0; i < limitCount; i++) {
    const limit = applicable(i);
    const place = found + ((<usize>i) << 3);
    store<u64>(place, 0);
    if (!setSubject(limitSubject(limit), key, consumer, api, routeAt)) {
      if (!isShadow(limit)) unsupported = true;
      continue;
    }
    const c = counters.get(limitId(limit), limit, standalone, subjectA, subjectB, now);
    if (c == null) {
      if (price != 0 && !watch && !isShadow(limit)) full = true;
      continue;
    }
    store<u32>(place, <u32>changetype<usize>(c));
    if (local) c.flags |= LOCAL;
    if (price == 0) continue;
    roll(c, now);
    if (holds(c, cost, now)) continue;
    let spent = now < c.spentUntilNs && cost >= c.spentNeed;
    if (!spent && now >= c.retryNs) {
      if (!counters.ask(c, cost, now)) {
        if (!watch && !isShadow(limit)) full = true;
      } else if (c.flags & GATEWAY) {
        if (holds(c, cost, now)) continue;
        spent = now < c.spentUntilNs && cost >= c.spentNeed;
      }
    }
    if (watch || isShadow(limit)) {
      if (spent) {
        noteShadowed(limit);
        shadowDebt += c.debt / cost;
        c.debt = 0;
      }
    } else if (spent) {
      store<u32>(place, 1, 4);
      violated = true;
      noteViolated(limit, c.spentUntilNs - now);
    } else if (dry == null) dry = c;
  }
  if (unsupported) return UNSUPPORTED;
  if (violated) return VIOLATED;
  if (full) return NO_ROOM;
  if (dry != null) return DRY;
  if (price == 0) return TAKEN;
  const paced = paceAll(counters, watch, now);
  if (paced == TAKEN) charge(counters, now, false);
  return paced;
}

function noteViolated(limit: usize, ns: u64): void {
  if (ns < retryNs) return;
  retryNs = ns;
  violatedRate = isRate(limit);
}

function noteShadowed(limit: usize): void {
  if (shadowed) return;
  shadowed = true;
  shadowedRate = isRate(limit);
}

/** Keeps to the pace of limits with smoothing. Where there are several, all are looked at before any is taken from. */
function paceAll(counters: Counters, watch: bool, now: u64): u32 {
  let smoothed = 0;
  for (let i: u32 = 0; i < limitCount; i++) if (counterOf(i) != null && isSmoothed(applicable(i))) smoothed++;
  if (smoothed == 0) return TAKEN;
  if (smoothed > 1) {
    const result = paceEach(counters, watch, false, now);
    if (result != TAKEN) return result;
  }
  return paceEach(counters, watch, true, now);
}

function paceEach(counters: Counters, watch: bool, take: bool, now: u64): u32 {
  let result = TAKEN;
  for (let i: u32 = 0; i < limitCount; i++) {
    const limit = applicable(i);
    const c = counterOf(i);
    if (c == null || !isSmoothed(limit)) continue;
    const watched = watch || isShadow(limit);
    if (watched && !take) continue;
    const waitNs = counters.pace(c, limit, cost, take, now);
    if (waitNs == 0 || (watched && waitNs == NO_CELL)) continue;
    if (watched) noteShadowed(limit);
    else if (waitNs == NO_CELL) result = NO_ROOM;
    else {
      store<u32>(found + ((<usize>i) << 3), 1, 4);
      noteViolated(limit, waitNs);
      if (result == TAKEN) result = VIOLATED;
    }
  }
  return result;
}

/** Takes the cost from every counter that has it; `some`: those that haven't are passed over. */
function charge(counters: Counters, now: u64, some: bool): void {
  for (let i: u32 = 0; i < limitCount; i++) {
    const c = counterOf(i);
    if (c == null) continue;
    c.spends += cost;
    if (holds(c, cost, now)) {
      c.allowance -= cost;
      counters.fetchAhead(c, now);
    } else if (!some && now >= c.spentUntilNs) c.debt += cost;
  }
}

/** After DRY or NO_ROOM: admits without allowance where there is none, and takes what there is. */
export function takeSome(counters: Counters): void {
  charge(counters, decidedNs, true);
}

/**
 * After DRY: spends the share that was charged beforehand for counters that have nothing. False: some counter has no share, or not enough of
 * it in this window.
 */
export function takeShares(counters: Counters): bool {
  const now = decidedNs;
  for (let pass = 0; pass < 2; pass++) {
    for (let i: u32 = 0; i < limitCount; i++) {
      const limit = applicable(i);
      const c = counterOf(i);
      if (c == null || holds(c, cost, now) || isShadow(limit)) continue;
      if (pass == 0 && !shareHas(counters, c, limit, now)) return false;
      if (pass == 1) c.localUsed += cost;
    }
  }
  charge(counters, now, true);
  return true;
}

function shareHas(counters: Counters, c: Counter, limit: usize, now: u64): bool {
  if (c.share == 0 || (c.flags & GATEWAY) != 0 || isFirstUse(limit)) return false;
  const clock = counters.clock;
  // Near a border it isn't known in which window it is.
  windowAt(limit, clock.latestMs(now));
  const end = windowEndMs;
  windowAt(limit, clock.earliestMs(now));
  if (windowEndMs != end || windowStartMs >= c.shareUntilMs) return false;
  if (c.localEndMs != end) {
    c.localEndMs = end;
    c.localUsed = 0;
  }
  return c.localUsed + cost <= c.share;
}

// ---- what the client is shown ----------------------------------------------------------------------------------------------------------

/** What is left of the n-th limit, as far as this worker knows. */
export function remainingOf(n: u32): u64 {
  const c = counterOf(n);
  if (c == null || isViolated(n)) return 0;
  const left = c.remaining + c.allowance;
  const amount = limitAmount(applicable(n));
  return left < amount ? left : amount;
}

/** Seconds until the n-th limit's window ends, at least 1. */
export function resetSecondsOf(n: u32): u64 {
  const c = counterOf(n);
  if (c == null || c.endNs <= decidedNs) return 1;
  return (c.endNs - decidedNs + 999_999_999) / 1_000_000_000;
}

/** Length of the n-th limit's window in seconds; 0 when it isn't known. */
export function windowSecondsOf(n: u32): u64 {
  const c = counterOf(n);
  return c == null ? 0 : (c.endMs - c.startMs) / 1000;
}
