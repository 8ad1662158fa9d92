/**
 * Counters whose authority is the Envoy itself: `enforcement: gateway`, everything of a standalone gateway, and the pace of `smoothing`.
 * They lie in shared data, a bounded number of cells that are reused once their window is over. Workers take allowance out of a cell in
 * chunks and give back what they hold when another one starves, so that no window admits more than its limit, nor less while anybody asks.
 *
 * ```
 *   g/<i>, 80 bytes:  u32 limit | u32 crc | 16 subject | u64 startMs | u64 endMs | u64 used | u64 holders, by member slot |
 *                     u64 starving since, monotonic ns, 0 = nobody | u64 theoretical arrival time (GCRA), monotonic ns
 * ```
 */
import { CREATE, OK, cas, getShared, setShared, value, valueBytes, wallNs } from "../abi/host";
import { scratch } from "../abi/memory";
import { crc32 } from "../lib/crc32";
import { Workers } from "../gateway/workers";
import { SharedState } from "../gateway/sharedState";
import { Counter, credit, noteAsked, wanted } from "./counter";
import { isFirstUse, limitAmount, paceBurst, pacePerSecond } from "../wire/records";
import { postRecall } from "../gateway/recallRing";
import { windowAt, windowEndMs, windowStartMs } from "./windows";

const CELLS: u32 = 65536;
const PROBES: u32 = 16;
const CELL_BYTES: u32 = 80;
const TRIES: u32 = 32;
/** Members beyond these hold nothing: they take one at a time. */
const HOLDERS: u32 = 64;
/** A holder that gives nothing back for so long is gone; what it held is lost until the window's end. */
const SILENT_NS: u64 = 1_000_000_000;
const ASK_AGAIN_NS: u64 = 5_000_000;
/** All places for a cell are taken by counters whose windows are not over. */
export const NO_CELL: u64 = u64.MAX_VALUE;
const MS: u64 = 1_000_000;

/** The cell that is being worked on: its index, its compare-and-set word (CREATE: absent) and its bytes. */
let index: u32 = 0;
let word: u32 = 0;
let cell: usize = 0;

function hashOf(limit: u32, a: u64, b: u64): u32 {
  let h = (a ^ (b * 0x9e3779b97f4a7c15) ^ (<u64>limit * 0xff51afd7ed558ccd)) * 0xc4ceb9fe1a85ec53;
  h ^= h >> 29;
  return <u32>((h * 0x94d049bb133111eb) >> 32);
}

/** Reads cell `i` into `cell`; false when it's absent or not sound. */
function read(state: SharedState, i: u32): bool {
  index = i;
  const n = state.name("g/").num(i);
  if (!getShared(n.start, n.bytes)) {
    word = CREATE;
    return false;
  }
  word = cas();
  if (valueBytes() != CELL_BYTES) return false;
  memory.copy(cell, value(), CELL_BYTES);
  const crc = load<u32>(cell, 4);
  store<u32>(cell, 0, 4);
  return crc == crc32(cell, CELL_BYTES);
}

function write(state: SharedState): bool {
  store<u32>(cell, 0, 4);
  const crc = crc32(cell, CELL_BYTES);
  store<u32>(cell, crc, 4);
  const n = state.name("g/").num(index);
  return setShared(n.start, n.bytes, cell, CELL_BYTES, word) == OK;
}

/** Finds the counter's cell, or makes one; false when all its places are taken by others whose windows are not over. */
function find(state: SharedState, c: Counter, nowMs: u64, now: u64): bool {
  cell = scratch(CELL_BYTES);
  if (cell == 0) return false;
  const home = hashOf(c.limit, c.subjectA, c.subjectB);
  // Double hashing: with half of the cells in use, one counter in 65,536 finds no place.
  const step = (home >> 15) | 1;
  let free = CELLS;
  let freeWord: u32 = 0;
  for (let p: u32 = 0; p < PROBES; p++) {
    const i = (home + p * step) & (CELLS - 1);
    const sound = read(state, i);
    if (sound && load<u32>(cell) == c.limit && load<u64>(cell, 8) == c.subjectA && load<u64>(cell, 16) == c.subjectB)
      return true;
    if (free == CELLS && (!sound || (load<u64>(cell, 32) <= nowMs && load<u64>(cell, 64) <= now))) {
      free = i;
      freeWord = word;
    }
    if (word == CREATE) break;
  }
  if (free == CELLS) return false;
  index = free;
  word = freeWord;
  memory.fill(cell, 0, CELL_BYTES);
  store<u32>(cell, c.limit);
  store<u64>(cell, c.subjectA, 8);
  store<u64>(cell, c.subjectB, 16);
  return true;
}

// @ts-ignore: decorator
@inline
function holderBit(workers: Workers): u64 {
  const slot = workers.place;
  return slot < HOLDERS ? (<u64>1) << slot : 0;
}

/** Begins the window of `limit` when the cell's is over, or of another length. */
function rollCell(limit: usize, nowMs: u64): void {
  const end = load<u64>(cell, 32);
  windowAt(limit, nowMs);
  const start = load<u64>(cell, 24);
  const same = isFirstUse(limit)
    ? nowMs < end && end - start == windowEndMs - windowStartMs
    : start == windowStartMs && end == windowEndMs;
  // A clock that was set back must not begin a window again.
  if (same || (nowMs < start && end - start == windowEndMs - windowStartMs)) return;
  store<u64>(cell, windowStartMs, 24);
  store<u64>(cell, windowEndMs, 32);
  store<u64>(cell, 0, 40);
  store<u64>(cell, 0, 48);
  store<u64>(cell, 0, 56);
}

/**
 * Takes allowance for a counter that has less than `c.need`: it has it afterwards, or is marked as spent, or `c.retryNs` says when to try
 * again because other workers hold the rest and were asked for it. False: there is no cell for it.
 */
export function takeFromCell(state: SharedState, workers: Workers, c: Counter, limit: usize, now: u64): bool {
  const nowMs = wallNs() / MS;
  const amount = limitAmount(limit);
  const need = c.need == 0 ? 1 : c.need;
  for (let t: u32 = 0; t < TRIES; t++) {
    if (!find(state, c, nowMs, now)) return false;
    rollCell(limit, nowMs);
    const own = holderBit(workers);
    const startMs = load<u64>(cell, 24);
    const endMs = load<u64>(cell, 32);
    // What is held is as good as given back: together with the rest it may be enough.
    const held: u64 = c.startMs == startMs && c.endMs == endMs ? c.allowance : 0;
    const used = load<u64>(cell, 40);
    const others = used > held ? used - held : 0;
    const left = others < amount ? amount - others : 0;
    const holders = load<u64>(cell, 48);
    let granted: u64 = 0;
    let starving = false;
    if (left >= need) {
      const want = own == 0 ? need : wanted(c, now);
      const sharers = <u64>popcnt(holders | own);
      const share = sharers == 0 ? 0 : left / (2 * sharers);
      granted = want < share ? want : share;
      if (granted < need) granted = need;
      store<u64>(cell, others + granted, 40);
      store<u64>(cell, holders | own, 48);
      store<u64>(cell, 0, 56);
    } else if ((holders & ~own) != 0) {
      const since = load<u64>(cell, 56);
      if (since != 0 && now - since > SILENT_NS) {
        store<u64>(cell, holders & own, 48);
        store<u64>(cell, 0, 56);
      } else {
        starving = true;
        if (since == 0) store<u64>(cell, now, 56);
      }
    }
    if (!write(state)) continue;
    if (c.startMs != startMs || c.endMs != endMs) {
      c.startMs = startMs;
      c.endMs = endMs;
      c.allowance = 0;
      c.spentUntilNs = 0;
    }
    c.endNs = now + (endMs > nowMs ? endMs - nowMs : 0) * MS;
    c.spendEndNs = c.endNs;
    const taken = granted > held ? granted : held;
    c.remaining = left > taken ? left - taken : 0;
    c.lowWater = 0;
    if (granted > 0) {
      c.allowance = 0;
      credit(c, granted);
      c.retryNs = 0;
      c.spentUntilNs = 0;
      noteAsked(c, now);
    } else if (starving) {
      c.retryNs = now + ASK_AGAIN_NS;
      postRecall(state, c.limit, c.subjectA, c.subjectB);
      workers.survey(now, true);
    } else if (left < need && (load<u64>(cell, 48) & ~own) == 0) {
      c.spentUntilNs = c.endNs;
      c.spentNeed = need;
    }
    c.need = 0;
    return true;
  }
  c.retryNs = now;
  return true;
}

/** Gives back what the worker holds of its window; it starts over with the next request. */
export function returnToCell(state: SharedState, workers: Workers, c: Counter, now: u64): void {
  const held = c.allowance;
  c.allowance = 0;
  const nowMs = wallNs() / MS;
  for (let t: u32 = 0; t < TRIES; t++) {
    if (!find(state, c, nowMs, now) || load<u64>(cell, 24) != c.startMs || load<u64>(cell, 32) != c.endMs) return;
    const used = load<u64>(cell, 40);
    const holders = load<u64>(cell, 48);
    const own = holderBit(workers);
    // Whoever has nothing to give must not make the others look alive.
    if (held == 0 && (holders & own) == 0) return;
    store<u64>(cell, used > held ? used - held : 0, 40);
    store<u64>(cell, holders & ~own, 48);
    store<u64>(cell, 0, 56);
    if (write(state)) return;
  }
}

/**
 * The pace of a limit with `smoothing`, for the whole Envoy: GCRA (ITU-T I.371, annex A), its theoretical arrival time in the cell. Gives 0
 * when `cost` may pass now, else the nanoseconds to wait, or NO_CELL. Without `take` it only looks.
 */
export function pace(
  state: SharedState,
  workers: Workers,
  c: Counter,
  limit: usize,
  cost: u64,
  take: bool,
  now: u64,
): u64 {
  if (c.paced >= cost && now < c.pacedUntilNs) {
    if (take) c.paced -= cost;
    return 0;
  }
  const perSecond = <u64>pacePerSecond(limit);
  const interval = perSecond >= 1_000_000_000 ? 1 : 1_000_000_000 / perSecond;
  const burst = <u64>paceBurst(limit);
  const tolerance = interval * (burst == 0 ? 1 : burst);
  const nowMs = wallNs() / MS;
  for (let t: u32 = 0; t < TRIES; t++) {
    if (!find(state, c, nowMs, now)) return NO_CELL;
    if (load<u64>(cell, 32) <= nowMs) rollCell(limit, nowMs);
    const tat = load<u64>(cell, 64);
    const from = tat > now ? tat : now;
    if (from + interval * cost > now + tolerance) return from + interval * cost - now - tolerance;
    if (!take) return 0;
    // A share of the burst at a time, so that not every request needs the cell; what isn't used soon is lost.
    const room = (now + tolerance - from) / interval;
    let chunk = room >> 3;
    if (chunk < cost) chunk = cost;
    store<u64>(cell, from + interval * chunk, 64);
    if (!write(state)) continue;
    c.paced = chunk - cost;
    c.pacedUntilNs = now + interval * chunk;
    return 0;
  }
  return ASK_AGAIN_NS;
}
