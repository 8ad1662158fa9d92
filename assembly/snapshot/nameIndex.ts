/**
 * From a text to the wire id of the record that it names: an open-addressing index.
 *
 * ```
 *   slot, 16 bytes:  u32 hash | u32 address of the text | u32 its bytes | u32 wire id      address 0 = free, 1 = removed
 * ```
 * The texts lie in the records. An index never grows: it says when it is full, upon which its owner builds another one aside.
 */
import { allocBlock, freeBlock } from "../lib/blocks";

const SLOT_BYTES: u32 = 16;
const REMOVED: u32 = 1;

function hashOf(at: usize, bytes: u32): u32 {
  let h: u32 = 0x811c9dc5;
  for (let i: u32 = 0; i < bytes; i++) h = (h ^ <u32>load<u8>(at + i)) * 0x01000193;
  h = (h ^ (h >> 16)) * 0x85ebca6b;
  return h ^ (h >> 13);
}

export class NameIndex {
  private at: usize = 0;
  private slots: u32 = 0;
  /** taken or removed slots; lookups stay short while a tenth is free */
  private used: u32 = 0;
  private cleared: u32 = 0;
  count: u32 = 0;

  /** Takes memory for `names`; false when there is none. `clear` must then be called until it says that it's done. */
  reserve(names: u32): bool {
    const slots = names + (names >> 1) + 64;
    this.at = allocBlock(<u64>slots * SLOT_BYTES);
    if (this.at == 0) return false;
    this.slots = slots;
    return true;
  }

  /** Clears at most a quarter megabyte; true when all is clear. */
  clear(): bool {
    const left = this.slots - this.cleared;
    const step = left < 16384 ? left : 16384;
    memory.fill(this.at + <usize>this.cleared * SLOT_BYTES, 0, <usize>step * SLOT_BYTES);
    this.cleared += step;
    return this.cleared == this.slots;
  }

  free(): void {
    freeBlock(this.at);
    this.at = 0;
    this.slots = 0;
  }

  // @ts-ignore: decorator
  @inline
  private home(hash: u32): usize {
    return this.at + <usize>((<u64>hash * <u64>this.slots) >> 32) * SLOT_BYTES;
  }

  // @ts-ignore: decorator
  @inline
  private after(slot: usize): usize {
    const n = slot + SLOT_BYTES;
    return n == this.at + <usize>this.slots * SLOT_BYTES ? this.at : n;
  }

  private find(hash: u32, text: usize, bytes: u32): usize {
    if (this.slots == 0) return 0;
    let slot = this.home(hash);
    for (let n = this.slots; n > 0; n--) {
      const there = <usize>load<u32>(slot, 4);
      if (there == 0) return 0;
      if (
        load<u32>(slot) == hash &&
        there != REMOVED &&
        load<u32>(slot, 8) == bytes &&
        memory.compare(there, text, bytes) == 0
      )
        return slot;
      slot = this.after(slot);
    }
    return 0;
  }

  /** The wire id of what has this name, or 0. */
  get(text: usize, bytes: u32): u32 {
    const slot = this.find(hashOf(text, bytes), text, bytes);
    return slot == 0 ? 0 : load<u32>(slot, 12);
  }

  /** Gives a name to a record, whoever had it. False when the index is full. */
  put(text: usize, bytes: u32, wireId: u32): bool {
    const hash = hashOf(text, bytes);
    let slot = this.find(hash, text, bytes);
    if (slot == 0) {
      if (<u64>this.used * 10 >= <u64>this.slots * 9) return false;
      slot = this.home(hash);
      while (load<u32>(slot, 4) > REMOVED) slot = this.after(slot);
      if (load<u32>(slot, 4) == 0) this.used++;
      this.count++;
    }
    store<u32>(slot, hash);
    store<u32>(slot, <u32>text, 4);
    store<u32>(slot, bytes, 8);
    store<u32>(slot, wireId, 12);
    return true;
  }

  /** Takes a name from a record; one that is another's by now stays. */
  remove(text: usize, bytes: u32, wireId: u32): void {
    const slot = this.find(hashOf(text, bytes), text, bytes);
    if (slot == 0 || load<u32>(slot, 12) != wireId) return;
    store<u32>(slot, REMOVED, 4);
    this.count--;
  }
}
