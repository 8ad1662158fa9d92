/**
 * What a response needs of its request: kept by the stream's id in slots that later streams overwrite, so that nothing has to be cleaned up.
 *
 * ```
 *   slot, 48 bytes:  u32 context | u32 root | u32 api | u32 route | u32 consumer | u32 era | u64 decidedNs | 16 digest
 * ```
 */
import { MAP_RESPONSE_HEADERS, header, value, valueBytes } from "./abi/host";
import { monotonicNs } from "./abi/wasi";
import { addNoted } from "./limits/rateLimitHeaders";
import { rootById } from "./root";
import { ascii } from "./text";

const NO_ROUTE: u32 = 0xffffffff;
const SLOTS: u32 = 8192;
const SLOT_BYTES: u32 = 48;
const slots = memory.data(8192 * 48, 8);
const STATUS = ascii(":status");

/** Notes an admitted request. `digest` 0: nobody's; `era`: as long as it's the feed's, the wire ids mean the same. */
export function noteRequest(context: u32, root: u32, api: u32, route: u32, consumer: u32, digest: usize, era: u32, ns: u64): void {
  const slot = slots + <usize>(context & (SLOTS - 1)) * SLOT_BYTES;
  store<u32>(slot, context);
  store<u32>(slot, root, 4);
  store<u32>(slot, api, 8);
  store<u32>(slot, route, 12);
  store<u32>(slot, consumer, 16);
  store<u32>(slot, era, 20);
  store<u64>(slot, ns, 24);
  store<u64>(slot, digest == 0 ? 0 : load<u64>(digest), 32);
  store<u64>(slot, digest == 0 ? 0 : load<u64>(digest, 8), 40);
}

/** The response's headers have come: adds ours, counts its status and how long it took. */
export function respond(context: u32): void {
  addNoted(context);
  const slot = slots + <usize>(context & (SLOTS - 1)) * SLOT_BYTES;
  if (load<u32>(slot) != context) return;
  store<u32>(slot, 0);
  const root = rootById(load<u32>(slot, 4));
  if (root == null) return;
  const feed = root.feed;
  if (feed == null || feed.isLocal || !header(MAP_RESPONSE_HEADERS, changetype<usize>(STATUS), STATUS.length)) return;
  const status = valueBytes() == 3 ? (<u32>load<u8>(value()) - 48) * 100 : 0;
  const tookNs = monotonicNs() - load<u64>(slot, 24);
  if (load<u32>(slot, 20) != feed.counters.era) feed.usage.respond(0, NO_ROUTE, 0, 0, status, tookNs);
  else feed.usage.respond(load<u32>(slot, 8), load<u32>(slot, 12), load<u32>(slot, 16), slot + 32, status, tookNs);
}
