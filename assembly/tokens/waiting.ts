/**
 * Requests that wait for an internal token: a bounded number, each for a bounded time, within the bounds of those that wait for allowance.
 *
 * ```
 *   entry, 32 bytes:  u32 context | u32 root | u64 deadlineNs | 16 id of the caller
 * ```
 */
import { continueRequest, setEffectiveContext } from "../abi/host";
import { mark, release } from "../abi/memory";
import { CONTINUE, decide } from "../filter";
import { Root, TICK_BUSY_MS, rootById } from "../root";
import { HELD } from "../telemetry";
import { ASKED } from "./cache";
import { soughtNs, tokenIdA, tokenIdB } from "./internalToken";

const PLACES: u32 = 8192;
const ENTRY_BYTES: u32 = 32;
const BATCH: u32 = 256;
const ring = memory.data(8192 * 32, 8);
const kept = memory.data(32, 8);
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
  const holdNs = <u64>config.limitHoldMs * 1_000_000;
  if (runtime == null || holdNs == 0 || root.waiting >= config.limitHoldRequests || count == PLACES) return false;
  if (deadlineNs != 0 && soughtNs >= deadlineNs) return false;
  // Nobody waits for a control that has been away for longer than one may wait.
  const failingSinceNs = runtime.tokens.failingSinceNs;
  if (failingSinceNs != 0 && soughtNs - failingSinceNs > holdNs) return false;
  const entry = place(count++);
  store<u32>(entry, context);
  store<u32>(entry, root.id, 4);
  store<u64>(entry, deadlineNs != 0 ? deadlineNs : soughtNs + holdNs, 8);
  store<u64>(entry, tokenIdA, 16);
  store<u64>(entry, tokenIdB, 24);
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
    head = (head + 1) & (PLACES - 1);
    count--;
    if (root == null) continue;
    root.waiting--;
    done++;
    // The stream may be gone by now; then the host refuses its context, and nothing else may be called for it.
    if (!setEffectiveContext(context)) continue;
    const room = mark();
    if (decide(root, context, true, deadlineNs) == CONTINUE) continueRequest();
    release(room);
  }
  return done == BATCH && count > 0;
}
