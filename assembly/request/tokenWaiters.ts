/**
 * Requests that wait for an internal token: a bounded number, each for a bounded time, within the bounds of those that wait for allowance.
 *
 * ```
 *   entry, 40 bytes:  u32 context | u32 root | u64 deadlineNs | 16 id of the caller | u32 concealed | u32 0
 * ```
 */
import { NO_ROOM, conceal, decideHeld, forget } from "./concealed";
import { Root, TICK_BUSY_MS, rootById } from "../plugin/instance";
import { HELD } from "../telemetry";
import { ASKED } from "../tokens/cache";
import { soughtNs, tokenIdA, tokenIdB } from "./internalToken";

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

export function anyWaitingForToken(): bool {
  return count > 0;
}

/** Lets the request of a context wait for the token that was just looked for, until `deadlineNs` (0: as long as its configuration says). False: it may not. */
export function waitForToken(root: Root, context: u32, deadlineNs: u64): bool {
  const config = root.config;
  const runtime = root.runtime;
  const holdNs = <u64>config.limitWaitTimeoutMs * 1_000_000;
  if (runtime == null || holdNs == 0 || root.waiting >= config.maxLimitWaiters || count == PLACES) return false;
  if (deadlineNs != 0 && soughtNs >= deadlineNs) return false;
  // Nobody waits for a control that has been away for longer than one may wait.
  const failingSinceNs = runtime.tokens.failingSinceNs;
  if (failingSinceNs != 0 && soughtNs - failingSinceNs > holdNs) return false;
  const concealed = conceal(root);
  if (concealed == NO_ROOM) return false;
  const entry = place(count++);
  store<u32>(entry, context);
  store<u32>(entry, root.id, 4);
  store<u64>(entry, deadlineNs != 0 ? deadlineNs : soughtNs + holdNs, 8);
  store<u64>(entry, tokenIdA, 16);
  store<u64>(entry, tokenIdB, 24);
  store<u32>(entry, concealed, 32);
  root.waiting++;
  root.setTick(TICK_BUSY_MS);
  if (deadlineNs == 0) root.meter.count(HELD);
  return true;
}

/** Whether the entry's request is to be decided: nobody is being asked for its token any more, or its time is up. */
function ready(root: Root, entry: usize, now: u64): bool {
  const runtime = root.runtime;
  if (runtime == null || now >= load<u64>(entry, 8)) return true;
  const caller = runtime.tokens.cache.find(load<u64>(entry, 16), load<u64>(entry, 24));
  return caller == null || (caller.flags & ASKED) == 0;
}

/**
 * Decides those whose token has come, or can't come, or whose time is up. Afterwards the effective context is a stream's: the caller sets
 * it back before it makes calls. True when more are due at once.
 */
export function resumeWaitingForToken(now: u64): bool {
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
    const concealed = load<u32>(entry, 32);
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
