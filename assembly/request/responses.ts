/**
 * Responses: the headers that were noted for them, and how often which status came after how long.
 *
 * Asking the host for a status costs more than all the rest. So each response is looked at only up to a number per second; beyond that, up
 * to another number, the first one of each usage cell, and of the others one in sixteen, picked by chance. Of the rest control is told how
 * many they are.
 *
 * ```
 *   in the stream's slot, at 4:  u32 1: looked at | u32 root | u32 api | u32 route | u32 consumer | u32 era | u32 0 | u64 decidedNs | 16 digest
 * ```
 */
import { MAP_RESPONSE_HEADERS, header, value, valueBytes } from "../abi/host";
import { monotonicNs, random64 } from "../abi/wasi";
import { addNoted } from "./rateLimitHeaders";
import { rootById } from "../plugin/instance";
import { findSlot, freeSlot, takeSlot } from "./streamSlots";
import { ascii } from "../lib/text";
import { hasLooks, noteLook } from "../usage/usageCells";

const NO_ROUTE: u32 = 0xffffffff;
const SECOND_NS: u64 = 1_000_000_000;
/** Callers of a busy worker that are seldom heard of are looked at so often per second, beside those by chance. */
const FIRSTS_PER_SECOND: u32 = 512;
/** A power of two. */
const SHARE: u32 = 16;
const STATUS = ascii(":status");

let lookedAt: u32 = 0;
let firsts: u32 = 0;
let sinceNs: u64 = 0;
let chance: u32 = 0;

/** On a tick: begins to count anew how many were looked at, once a second is over. */
export function renewLooks(now: u64): void {
  if (now - sinceNs < SECOND_NS) return;
  sinceNs = now;
  lookedAt = 0;
  firsts = 0;
  if (chance == 0) chance = <u32>random64() | 1;
}

function looks(cell: usize, exactPerSecond: u32): bool {
  if (lookedAt < exactPerSecond) {
    lookedAt++;
    return true;
  }
  if (firsts < FIRSTS_PER_SECOND && cell != 0 && !hasLooks(cell)) {
    firsts++;
    return true;
  }
  // Marsaglia's xorshift32: clients that send their keys in turn must not fall into step with what is picked.
  chance ^= chance << 13;
  chance ^= chance >> 17;
  chance ^= chance << 5;
  return (chance & (SHARE - 1)) == 0;
}

/**
 * Notes an admitted request. `cell`: its usage's, or 0; `digest` 0: nobody's; `era`: as long as it's the counters', the wire ids mean the same;
 * `ns` 0: the time isn't known.
 */
export function noteRequest(
  context: u32,
  root: u32,
  exactPerSecond: u32,
  cell: usize,
  api: u32,
  route: u32,
  consumer: u32,
  digest: usize,
  era: u32,
  ns: u64,
): void {
  const looked = looks(cell, exactPerSecond);
  if (cell != 0) noteLook(cell, looked);
  if (!looked) return;
  const slot = takeSlot(context);
  store<u32>(slot, 1, 4);
  store<u32>(slot, root, 8);
  store<u32>(slot, api, 12);
  store<u32>(slot, route, 16);
  store<u32>(slot, consumer, 20);
  store<u32>(slot, era, 24);
  store<u64>(slot, ns == 0 ? monotonicNs() : ns, 32);
  store<u64>(slot, digest == 0 ? 0 : load<u64>(digest), 40);
  store<u64>(slot, digest == 0 ? 0 : load<u64>(digest, 8), 48);
}

/** The response's headers have come: adds ours; if it's to be looked at, counts its status and how long it took. */
export function respond(context: u32): void {
  const slot = findSlot(context);
  if (slot == 0) return;
  addNoted(slot);
  freeSlot(slot);
  if (load<u32>(slot, 4) == 0) return;
  const root = rootById(load<u32>(slot, 8));
  if (root == null) return;
  const runtime = root.runtime;
  if (
    runtime == null ||
    runtime.state.isLocal ||
    !header(MAP_RESPONSE_HEADERS, changetype<usize>(STATUS), STATUS.length)
  )
    return;
  const status = valueBytes() == 3 ? (<u32>load<u8>(value()) - 48) * 100 : 0;
  const tookNs = monotonicNs() - load<u64>(slot, 32);
  if (load<u32>(slot, 24) != runtime.counters.era) runtime.usage.respond(0, NO_ROUTE, 0, 0, status, tookNs);
  else runtime.usage.respond(load<u32>(slot, 12), load<u32>(slot, 16), load<u32>(slot, 20), slot + 40, status, tookNs);
}
