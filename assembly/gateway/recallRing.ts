/**
 * Counters of which others in need want back what is parked: a ring in shared data that every worker reads when it is woken. Control's
 * recalls come in by the leader, those of the Envoy's own counters by the worker that starves.
 *
 * ```
 *   recalls:  u64 position: entries ever written | u32 crc of the rest and the position | u32 0 | RING entries of
 *             u32 limit | u32 0 | 16 subject
 * ```
 */
import { CREATE, OK, cas, getShared, setShared, value, valueBytes } from "../abi/host";
import { mark, release, scratch } from "../abi/memory";
import { crc32 } from "../lib/crc32";
import { SharedState } from "./sharedState";

const RING: u32 = 256;
const ENTRY_BYTES: u32 = 24;
const HEAD_BYTES: u32 = 16;
const BYTES: u32 = HEAD_BYTES + RING * ENTRY_BYTES;
const TRIES: u32 = 16;

/** What `readRing` has read: the ring, and its compare-and-set word. */
let ring: usize = 0;
let word: u32 = 0;

/** Reads the ring, unless it's still as `known` (a compare-and-set word). */
function readRing(state: SharedState, known: u32): bool {
  const n = state.name("recalls");
  if (!getShared(n.start, n.bytes)) {
    word = CREATE;
    return false;
  }
  word = cas();
  ring = value();
  if (word == known) return false;
  return valueBytes() == BYTES && load<u32>(ring, 8) == checksum(ring);
}

function checksum(at: usize): u32 {
  return crc32(at + HEAD_BYTES, BYTES - HEAD_BYTES, crc32(at, 8));
}

/** Adds one counter. The caller wakes the others. */
export function postRecall(state: SharedState, limit: u32, subjectA: u64, subjectB: u64): void {
  for (let t: u32 = 0; t < TRIES; t++) {
    const room = mark();
    if (!readRing(state, 0)) {
      ring = scratch(BYTES);
      if (ring == 0) return;
      memory.fill(ring, 0, BYTES);
    }
    const position = load<u64>(ring);
    const at = ring + HEAD_BYTES + <usize>(position % RING) * ENTRY_BYTES;
    store<u32>(at, limit);
    store<u32>(at, 0, 4);
    store<u64>(at, subjectA, 8);
    store<u64>(at, subjectB, 16);
    store<u64>(ring, position + 1);
    store<u32>(ring, checksum(ring), 8);
    const n = state.name("recalls");
    const done = setShared(n.start, n.bytes, ring, BYTES, word) == OK;
    release(room);
    if (done) return;
  }
}

/** Takes the entries of a RECALL frame's payload over, in one step. */
export function postRecalls(state: SharedState, entries: usize, count: u32, entryBytes: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const at = entries + <usize>i * entryBytes;
    postRecall(state, load<u32>(at), load<u64>(at, 4), load<u64>(at, 12));
  }
}

/** What `recallsSince` found: the position to go on from, the ring's compare-and-set word, and whether entries before it are lost. */
export let recallsPosition: u64 = 0;
export let recallsWord: u32 = 0;
export let recallsLost: bool = false;

/** Reads the entries added since `position`, unless the ring is still as `known`. False: there is nothing new. */
export function recallsSince(state: SharedState, known: u32, position: u64): bool {
  if (!readRing(state, known)) return false;
  recallsWord = word;
  recallsPosition = load<u64>(ring);
  recallsLost = recallsPosition < position || recallsPosition - position > RING;
  return true;
}

/** The entry at a position that `recallsSince` has read: u32 limit, u32 0, 16 bytes of subject. */
export function recallAt(position: u64): usize {
  return ring + HEAD_BYTES + <usize>(position % RING) * ENTRY_BYTES;
}
