/** What a limit counts, as 16 bytes (docs/internals/protocol.md). */
import { property, value, valueBytes } from "../abi/host";
import { parseAddress } from "../lib/cidr";
import {
  SUBJECT_API,
  SUBJECT_CONSUMER,
  SUBJECT_CONSUMER_API,
  SUBJECT_IP,
  SUBJECT_KEY,
  SUBJECT_ROUTE,
} from "../wire/enums";
import { routeKey } from "../wire/records";

export let subjectA: u64 = 0;
export let subjectB: u64 = 0;

const address = memory.data(16, 8);
const SOURCE_ADDRESS = memory.data<u8>([
  0x73, 0x6f, 0x75, 0x72, 0x63, 0x65, 0, 0x61, 0x64, 0x64, 0x72, 0x65, 0x73, 0x73,
]);
let addressKnown: bool = false;
let addressA: u64 = 0;
let addressB: u64 = 0;

/** A new request: its address is not known yet. */
// @ts-ignore: decorator
@inline
export function newSubjects(): void {
  addressKnown = false;
}

/**
 * Sets `subjectA` and `subjectB` for a kind of subject. `digest` of the key, wire ids of consumer and API, `route`: the record of the API's
 * route or 0. False: the kind isn't known.
 */
export function setSubject(kind: u32, digest: usize, consumer: u32, api: u32, route: usize): bool {
  // A caller of whom there is no record is a consumer of its own.
  const alone = consumer == 0 && digest != 0 && (kind == SUBJECT_CONSUMER || kind == SUBJECT_CONSUMER_API);
  if (kind == SUBJECT_KEY || alone) {
    subjectA = load<u64>(digest);
    subjectB = load<u64>(digest, 8);
    if (kind == SUBJECT_CONSUMER_API) subjectB ^= (<u64>api) << 32;
  } else if (kind == SUBJECT_CONSUMER) set(<u64>consumer, 0);
  else if (kind == SUBJECT_API) set((<u64>api) << 32, 0);
  else if (kind == SUBJECT_CONSUMER_API) set(<u64>consumer | ((<u64>api) << 32), 0);
  else if (kind == SUBJECT_ROUTE) set(<u64>api | (route == 0 ? 0 : (<u64>routeKey(route)) << 32), load<u64>(digest));
  else if (kind == SUBJECT_IP) {
    if (!addressKnown) readAddress();
    set(addressA, addressB);
  } else return false;
  return true;
}

// @ts-ignore: decorator
@inline
function set(a: u64, b: u64): void {
  subjectA = a;
  subjectB = b;
}

/** IPv4 as ::ffff:a.b.c.d; of IPv6 the /64 that one customer has. What is no address counts as one, ::. */
function readAddress(): void {
  addressKnown = true;
  addressA = 0;
  addressB = 0;
  if (!property(SOURCE_ADDRESS, 14)) return;
  const family = parseAddress(value(), valueBytes(), address);
  if (family == 4) addressB = 0xffff0000 | ((<u64>load<u32>(address)) << 32);
  else if (family == 6) addressA = load<u64>(address);
}
