/**
 * From a limit's owner to its limits: an open-addressing index in which an owner may stand several times.
 *
 * ```
 *   slot, 8 bytes:  u32 hash of the owner | u32 address of the record      address 0 = free, 1 = removed
 * ```
 */
import { allocBlock, freeBlock } from "../lib/blocks";
import { OWNER_KEY } from "../wire/enums";
import { limitDigest, limitId, limitOwner, limitOwnerKind, limitRoute } from "../wire/records";
import { isOwnerKind } from "../wire/validate";

const REMOVED: u32 = 1;

// @ts-ignore: decorator
@inline
function mix(h: u32): u32 {
  h = (h ^ (h >> 16)) * 0x85ebca6b;
  return (h ^ (h >> 13)) * 0xc2b2ae35;
}

/** The hash of an API, a tier (route NO_ROUTE) or a route. */
// @ts-ignore: decorator
@inline
export function ownerHash(kind: u32, owner: u32, route: u32): u32 {
  return mix(owner * 0x9e3779b1 + kind * 0x01000193 + route * 0x27d4eb2f);
}

// @ts-ignore: decorator
@inline
export function keyOwnerHash(digest: usize): u32 {
  return mix(load<u32>(digest) ^ load<u32>(digest, 8));
}

function hashOf(record: usize): u32 {
  const kind = limitOwnerKind(record);
  return kind == OWNER_KEY
    ? keyOwnerHash(limitDigest(record))
    : ownerHash(kind, limitOwner(record), limitRoute(record));
}

/** Where `first` and `next` stand. */
let walkHash: u32 = 0;
let walkSlot: usize = 0;
let walkLeft: u32 = 0;

export class OwnerIndex {
  private at: usize = 0;
  private slots: u32 = 0;
  private used: u32 = 0;
  count: u32 = 0;
  /** those of a kind of owner that this build doesn't know: they could apply to any request */
  strays: u32 = 0;

  /** Takes memory for `records`; false when there is none. It's cleared at once: limits are few. */
  reserve(records: u32): bool {
    const slots = records + (records >> 1) + 64;
    this.at = allocBlock((<u64>slots) << 3);
    if (this.at == 0) return false;
    this.slots = slots;
    memory.fill(this.at, 0, (<usize>slots) << 3);
    return true;
  }

  free(): void {
    freeBlock(this.at);
    this.at = 0;
    this.slots = 0;
  }

  // @ts-ignore: decorator
  @inline
  private home(hash: u32): usize {
    return this.at + ((<usize>((<u64>hash * <u64>this.slots) >> 32)) << 3);
  }

  // @ts-ignore: decorator
  @inline
  private after(slot: usize): usize {
    const n = slot + 8;
    return n == this.at + ((<usize>this.slots) << 3) ? this.at : n;
  }

  /** Enters a record in place of the older one of its wire id, `old` (0: none). False when the index is full. */
  put(record: usize, old: usize): bool {
    if (old != 0) this.remove(old);
    if (<u64>this.used * 10 >= <u64>this.slots * 9) return false;
    const hash = hashOf(record);
    let slot = this.home(hash);
    while (load<u32>(slot, 4) > REMOVED) slot = this.after(slot);
    if (load<u32>(slot, 4) == 0) this.used++;
    store<u32>(slot, hash);
    store<u32>(slot, <u32>record, 4);
    this.count++;
    if (!isOwnerKind(limitOwnerKind(record))) this.strays++;
    return true;
  }

  remove(record: usize): void {
    const hash = hashOf(record);
    let slot = this.home(hash);
    for (let n = this.slots; n > 0; n--) {
      const address = load<u32>(slot, 4);
      if (address == 0) return;
      if (address != REMOVED && limitId(address) == limitId(record)) {
        store<u32>(slot, REMOVED, 4);
        this.count--;
        if (!isOwnerKind(limitOwnerKind(record))) this.strays--;
        return;
      }
      slot = this.after(slot);
    }
  }

  /** The first limit whose owner has this hash, or 0; `next` gives the others. The caller checks that it is the owner. */
  first(hash: u32): usize {
    if (this.count == 0) return 0;
    walkHash = hash;
    walkSlot = this.home(hash);
    walkLeft = this.slots;
    return this.next();
  }

  next(): usize {
    while (walkLeft > 0) {
      const slot = walkSlot;
      const address = load<u32>(slot, 4);
      if (address == 0) return 0;
      walkLeft--;
      walkSlot = this.after(slot);
      if (address != REMOVED && load<u32>(slot) == walkHash) return address;
    }
    return 0;
  }
}
