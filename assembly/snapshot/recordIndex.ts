/**
 * Open-addressing indexes from what identifies a record to where it lies.
 *
 * ```
 *   slot, 8 bytes:  u32 tag | u32 address        address 0 = free, 1 = removed
 *   home slot of a hash h among n slots:  (u64(h) * n) >> 32, then the next ones, around the end
 * ```
 * An index never grows: it's made for a number of records, and says when it is full, upon which its owner builds another one aside.
 */
import { allocBlock, freeBlock } from "../lib/blocks";

const REMOVED: u32 = 1;

/** Slots for `records`, with room for half as many more. */
function slotsFor(records: u32): u32 {
  return records + (records >> 1) + 64;
}

abstract class Slots {
  at: usize = 0;
  slots: u32 = 0;
  /** taken or removed slots; lookups stay short while a tenth is free */
  used: u32 = 0;
  count: u32 = 0;
  private cleared: u32 = 0;

  /** Takes memory for `records`; false when there is none. `clear` must then be called until it says that it's done. */
  reserve(records: u32): bool {
    const slots = slotsFor(records);
    this.at = allocBlock((<u64>slots) << 3);
    this.slots = slots;
    return this.at != 0;
  }

  /** Clears at most a quarter megabyte; true when all is clear. */
  clear(): bool {
    const left = this.slots - this.cleared;
    const step = left < 32768 ? left : 32768;
    memory.fill(this.at + ((<usize>this.cleared) << 3), 0, (<usize>step) << 3);
    this.cleared += step;
    return this.cleared == this.slots;
  }

  get full(): bool {
    return <u64>this.used * 10 >= <u64>this.slots * 9;
  }

  free(): void {
    freeBlock(this.at);
    this.at = 0;
    this.slots = 0;
  }

  // @ts-ignore: decorator
  @inline
  protected after(slot: usize): usize {
    const n = slot + 8;
    return n == this.at + ((<usize>this.slots) << 3) ? this.at : n;
  }

  protected take(slot: usize, tag: u32, address: usize): void {
    const was = load<u32>(slot, 4);
    if (was == 0) this.used++;
    if (was <= REMOVED) this.count++;
    store<u32>(slot, tag);
    store<u32>(slot, <u32>address, 4);
  }

  protected drop(slot: usize): void {
    store<u32>(slot, REMOVED, 4);
    this.count--;
  }
}

/** Keys by the first 16 bytes of their digest, which are as good as random. */
export class DigestIndex extends Slots {
  /** The slot that holds the digest, or 0. */
  private find(digest: usize): usize {
    if (this.slots == 0) return 0;
    const tag = load<u32>(digest, 8);
    let slot = this.at + ((<usize>((<u64>load<u32>(digest) * <u64>this.slots) >> 32)) << 3);
    for (let n = this.slots; n > 0; n--) {
      const address = <usize>load<u32>(slot, 4);
      if (address == 0) return 0;
      if (
        load<u32>(slot) == tag &&
        address != REMOVED &&
        load<u64>(address) == load<u64>(digest) &&
        load<u64>(address, 8) == load<u64>(digest, 8)
      )
        return slot;
      slot = this.after(slot);
    }
    return 0;
  }

  /** Where the record of a digest lies, or 0. */
  get(digest: usize): usize {
    const slot = this.find(digest);
    return slot == 0 ? 0 : <usize>load<u32>(slot, 4);
  }

  /** Enters a record, whose body begins with its digest, in place of an older one. False when the index is full. */
  put(body: usize): bool {
    let slot = this.find(body);
    if (slot == 0) {
      if (this.full) return false;
      slot = this.at + ((<usize>((<u64>load<u32>(body) * <u64>this.slots) >> 32)) << 3);
      while (load<u32>(slot, 4) > REMOVED) slot = this.after(slot);
    }
    this.take(slot, load<u32>(body, 8), body);
    return true;
  }

  remove(digest: usize): void {
    const slot = this.find(digest);
    if (slot != 0) this.drop(slot);
  }
}

/** Records by their wire id, which is the tag. */
export class IdIndex extends Slots {
  // @ts-ignore: decorator
  @inline
  private home(id: u32): usize {
    return this.at + ((<usize>((<u64>(id * 0x9e3779b1) * <u64>this.slots) >> 32)) << 3);
  }

  private find(id: u32): usize {
    if (this.slots == 0) return 0;
    let slot = this.home(id);
    for (let n = this.slots; n > 0; n--) {
      const address = load<u32>(slot, 4);
      if (address == 0) return 0;
      if (load<u32>(slot) == id && address != REMOVED) return slot;
      slot = this.after(slot);
    }
    return 0;
  }

  /** Where the record of an id lies, or 0. */
  get(id: u32): usize {
    const slot = this.find(id);
    return slot == 0 ? 0 : <usize>load<u32>(slot, 4);
  }

  /** Enters a record, whose body begins with its wire id, in place of an older one. False when the index is full. */
  put(body: usize): bool {
    const id = load<u32>(body);
    let slot = this.find(id);
    if (slot == 0) {
      if (this.full) return false;
      slot = this.home(id);
      while (load<u32>(slot, 4) > REMOVED) slot = this.after(slot);
    }
    this.take(slot, id, body);
    return true;
  }

  remove(id: u32): void {
    const slot = this.find(id);
    if (slot != 0) this.drop(slot);
  }

  /** The n-th slot's record, or 0: for walking all of them. */
  record(n: u32): usize {
    const address = <usize>load<u32>(this.at + ((<usize>n) << 3), 4);
    return address <= REMOVED ? 0 : address;
  }
}
