/**
 * Requests that wait for allowance: a bounded number, each for a bounded time. All that wait for one counter share the call that is under
 * way for it.
 *
 * ```
 *   entry, 40 bytes:  u32 context | u32 root | u64 deadlineNs | u32 counter | u32 its serial | u32 era | u32 concealed | u64 cost
 * ```
 */
import { NO_ROOM, conceal, decideHeld, forget } from "./concealed";
import { Root, TICK_BUSY_MS, rootById } from "../plugin/instance";
import { HELD } from "../telemetry";
import { ASKED, Counter, WANT_ASK, holds, roll } from "../limits/counter";

const PLACES: u32 = 8192;
const ENTRY_BYTES: u32 = 40;
const BATCH: u32 = 256;
const ring = memory.data(8192 * 40, 8);
const kept = memory.data(40, 8);
let head: u32 = 0;
let count: u32 = 0;

// @ts-ignore: decorator
@inline
function place(i: u32): usize {
  return ring + <usize>((head + i) & (PLACES - 1)) * ENTRY_BYTES;
}

export function anyWaiting(): bool {
  return count > 0;
}

/** Lets the request of a context wait for `cost` of a counter until `deadlineNs` (0: as long as its configuration says). False: it may not. */
export function wait(root: Root, context: u32, c: Counter, era: u32, cost: u64, deadlineNs: u64, now: u64): bool {
  const config = root.config;
  if (config.limitWaitTimeoutMs == 0 || root.waiting >= config.maxLimitWaiters || count == PLACES) return false;
  const concealed = conceal(root);
  if (concealed == NO_ROOM) return false;
  const entry = place(count++);
  store<u32>(entry, context);
  store<u32>(entry, root.id, 4);
  store<u64>(entry, deadlineNs != 0 ? deadlineNs : now + <u64>config.limitWaitTimeoutMs * 1_000_000, 8);
  store<u32>(entry, <u32>changetype<usize>(c), 16);
  store<u32>(entry, c.serial, 20);
  store<u32>(entry, era, 24);
  store<u32>(entry, concealed, 28);
  store<u64>(entry, cost, 32);
  root.waiting++;
  // Ticks see to those whose time is up, or who are to ask again; they become rare again when nobody waits.
  root.setTick(TICK_BUSY_MS);
  if (deadlineNs == 0) root.meter.count(HELD);
  return true;
}

/** Whether the entry's request can be decided now; asks again for its counter where that is due. */
function ready(root: Root, entry: usize, now: u64): bool {
  const runtime = root.runtime;
  if (runtime == null || now >= load<u64>(entry, 8) || load<u32>(entry, 24) != runtime.counters.era) return true;
  const c = changetype<Counter>(<usize>load<u32>(entry, 16));
  if (c.serial != load<u32>(entry, 20)) return true;
  const cost = load<u64>(entry, 32);
  roll(c, now);
  if (holds(c, cost, now) || (now < c.spentUntilNs && cost >= c.spentNeed)) return true;
  if ((c.flags & (ASKED | WANT_ASK)) == 0) {
    // Whoever loses the limit's record, or its table, is decided anew.
    if (c.record == 0) return true;
    if (now < c.retryNs) return false;
    c.waited += cost;
    runtime.counters.ask(c, cost, now);
    return holds(c, cost, now) || (now < c.spentUntilNs && cost >= c.spentNeed);
  }
  if (c.need < cost) c.need = cost;
  c.waited += cost;
  return false;
}

/**
 * Decides those whose counter has what they need, is spent, or whose time is up. Afterwards the effective context is a stream's: the
 * caller sets it back before it makes calls. True when more are due at once.
 */
export function resumeWaiting(now: u64): bool {
  let done: u32 = 0;
  for (let i = count; i > 0; i--) {
    const entry = place(0);
    const root = rootById(load<u32>(entry, 4));
    if (root != null && (done == BATCH || !ready(root, entry, now))) {
      // To the end of the ring. A whole turn keeps the order.
      memory.copy(kept, entry, ENTRY_BYTES);
      head = (head + 1) & (PLACES - 1);
      memory.copy(place(count - 1), kept, ENTRY_BYTES);
      continue;
    }
    const context = load<u32>(entry);
    const deadlineNs = load<u64>(entry, 8);
    const concealed = load<u32>(entry, 28);
    head = (head + 1) & (PLACES - 1);
    count--;
    if (root == null) {
      forget(concealed);
      continue;
    }
    root.waiting--;
    done++;
    decideHeld(root, context, concealed, true, deadlineNs);
  }
  return done == BATCH && count > 0;
}
