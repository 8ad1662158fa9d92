/** Requests that wait for the first snapshot: a bounded number of them, each for a bounded time. */
import { monotonicNs } from "../abi/wasi";
import { NO_ROOM, conceal, decideHeld, forget } from "./concealed";
import { Root, rootById } from "../plugin/instance";
import { HELD } from "../telemetry";

/** Entries of the ring: u32 context, u32 root, u64 deadlineNs, u32 what `conceal` has taken out, u32 0. */
const PLACES: u32 = 8192;
const ENTRY_BYTES: u32 = 24;
/** Requests resumed in one callback. */
const BATCH: u32 = 128;
const ring = memory.data(8192 * 24, 8);
let head: u32 = 0;
let count: u32 = 0;

// @ts-ignore: decorator
@inline
function place(i: u32): usize {
  return ring + <usize>((head + i) & (PLACES - 1)) * ENTRY_BYTES;
}

/**
 * Holds the request of a context if its configuration allows. Once the time for the first load has passed without a snapshot at all,
 * requests don't wait any more: it would help nobody.
 */
export function hold(root: Root, context: u32): bool {
  const config = root.config;
  const runtime = root.runtime;
  if (
    runtime == null ||
    config.snapshotWaitTimeoutMs == 0 ||
    root.stale ||
    root.held >= config.maxSnapshotWaiters ||
    count == PLACES
  )
    return false;
  const now = monotonicNs();
  const holdNs = <u64>config.snapshotWaitTimeoutMs * 1_000_000;
  if (root.firstNeedNs == 0) root.firstNeedNs = now;
  if (runtime.state.head.generation == 0 && now - root.firstNeedNs > holdNs) return false;
  const concealed = conceal(root);
  if (concealed == NO_ROOM) return false;
  const entry = place(count++);
  store<u32>(entry, context);
  store<u32>(entry, root.id, 4);
  store<u64>(entry, now + holdNs, 8);
  store<u32>(entry, concealed, 16);
  root.held++;
  root.meter.count(HELD);
  runtime.state.wakeSelf();
  return true;
}

/**
 * Decides held requests whose snapshot has come or whose time is up, as many as one callback should. True when more are due.
 * Afterwards the effective context is a stream's: the caller sets it back before it makes calls.
 */
export function resume(now: u64): bool {
  const n = count;
  let done: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const entry = place(0);
    const context = load<u32>(entry);
    const rootId = load<u32>(entry, 4);
    const deadlineNs = load<u64>(entry, 8);
    const concealed = load<u32>(entry, 16);
    const root = rootById(rootId);
    if (root != null && now < deadlineNs && (done == BATCH || root.table == null)) {
      // Not due: to the end of the ring. A whole turn keeps the order.
      head = (head + 1) & (PLACES - 1);
      const last = place(count - 1);
      store<u32>(last, context);
      store<u32>(last, rootId, 4);
      store<u64>(last, deadlineNs, 8);
      store<u32>(last, concealed, 16);
      continue;
    }
    head = (head + 1) & (PLACES - 1);
    count--;
    done++;
    if (root == null) {
      forget(concealed);
      continue;
    }
    root.held--;
    decideHeld(root, context, concealed, false, 0);
  }
  return done == BATCH && count > 0;
}

export function anyHeld(): bool {
  return count > 0;
}
