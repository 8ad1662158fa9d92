/**
 * The internal tokens of the callers that are active in this worker: a bounded number of places, found by the caller's id. A place goes to
 * another caller when all are taken; a token's room stays with its place, so that requests neither take memory nor give any back.
 */
import { allocBlock, freeBlock } from "../lib/blocks";

const PLACES: u32 = 16384;
const BUCKETS: u32 = 16384;
/** Places that are looked at for the one that was not used for longest. */
const SEARCH: u32 = 16;
/** Rooms of all tokens together. */
const ROOMS_MOST_BYTES: u64 = 32 << 20;
const ROOM_STEP: u32 = 256;

/** A call for the token is under way, or will be with the next one. */
export const ASKED: u32 = 1;

/** What control said last. */
export const ANSWER_NONE: u32 = 0;
export const ANSWER_TOKEN: u32 = 1;
/** The environment issues no tokens. */
export const ANSWER_OFF: u32 = 2;
/** There is none for this caller. */
export const ANSWER_REFUSED: u32 = 3;

// @ts-ignore: decorator
@unmanaged
export class TokenEntry {
  idA: u64;
  idB: u64;
  /** of the records that the token tells of, and the table's version at which they were last compared */
  print: u64;
  version: u64;
  /** monotonic: when the next token is due, when this one must not be used any more, when control may be asked again */
  refreshNs: u64;
  endNs: u64;
  retryNs: u64;
  usedNs: u64;
  /** the next place of the bucket, or of the free ones */
  next: u32;
  flags: u32;
  answer: u32;
  bytes: u32;
  /** where the token's bytes lie, and how many fit; 0: nowhere yet */
  room: u32;
  roomBytes: u32;
}

const ENTRY_BYTES: u32 = offsetof<TokenEntry>();

export class TokenCache {
  private entries: usize = 0;
  private buckets: usize = 0;
  private free_: usize = 0;
  private hand: u32 = 0;
  private roomsBytes: u64 = 0;
  count: u32 = 0;

  /** Takes the memory of the places; the request path itself never does. */
  prepare(): void {
    if (this.entries != 0) return;
    this.entries = allocBlock(<u64>PLACES * ENTRY_BYTES);
    this.buckets = allocBlock((<u64>BUCKETS) << 2);
    if (this.entries == 0 || this.buckets == 0) {
      this.free();
      return;
    }
    memory.fill(this.entries, 0, <usize>PLACES * ENTRY_BYTES);
    memory.fill(this.buckets, 0, (<usize>BUCKETS) << 2);
    for (let i: i32 = PLACES - 1; i >= 0; i--) this.putFree(this.place(i));
  }

  // @ts-ignore: decorator
  @inline
  private place(i: u32): TokenEntry {
    return changetype<TokenEntry>(this.entries + <usize>i * ENTRY_BYTES);
  }

  // @ts-ignore: decorator
  @inline
  private bucket(a: u64, b: u64): usize {
    const hash = (a ^ (b * 0x9e3779b97f4a7c15)) * 0xc4ceb9fe1a85ec53;
    return this.buckets + ((<usize>(<u32>(hash >> 32) & (BUCKETS - 1))) << 2);
  }

  find(a: u64, b: u64): TokenEntry | null {
    if (this.entries == 0) return null;
    let at = <usize>load<u32>(this.bucket(a, b));
    while (at != 0) {
      const entry = changetype<TokenEntry>(at);
      if (entry.idA == a && entry.idB == b) return entry;
      at = entry.next;
    }
    return null;
  }

  /** A place for a caller that has none; null when there is no memory, or control is being asked for all that were looked at. */
  add(a: u64, b: u64, now: u64): TokenEntry | null {
    if (this.entries == 0 || (this.free_ == 0 && !this.takeOldest())) return null;
    const entry = changetype<TokenEntry>(this.free_);
    this.free_ = entry.next;
    entry.idA = a;
    entry.idB = b;
    entry.print = 0;
    entry.version = 0;
    entry.refreshNs = 0;
    entry.endNs = 0;
    entry.retryNs = 0;
    entry.usedNs = now;
    entry.flags = 0;
    entry.answer = ANSWER_NONE;
    entry.bytes = 0;
    const bucket = this.bucket(a, b);
    entry.next = load<u32>(bucket);
    store<u32>(bucket, <u32>changetype<usize>(entry));
    this.count++;
    return entry;
  }

  private takeOldest(): bool {
    let oldest: TokenEntry | null = null;
    for (let n = SEARCH; n > 0; n--) {
      const entry = this.place(this.hand);
      this.hand = (this.hand + 1) & (PLACES - 1);
      if ((entry.flags & ASKED) == 0 && (oldest == null || entry.usedNs < oldest.usedNs)) oldest = entry;
    }
    if (oldest == null) return false;
    this.remove(oldest);
    return true;
  }

  private remove(entry: TokenEntry): void {
    const at = <u32>changetype<usize>(entry);
    let link = this.bucket(entry.idA, entry.idB);
    while (load<u32>(link) != 0) {
      if (load<u32>(link) == at) {
        store<u32>(link, entry.next);
        break;
      }
      link = <usize>load<u32>(link) + offsetof<TokenEntry>("next");
    }
    this.count--;
    this.putFree(entry);
  }

  private putFree(entry: TokenEntry): void {
    entry.bytes = 0;
    entry.next = <u32>this.free_;
    this.free_ = changetype<usize>(entry);
  }

  /** Keeps a token. May take memory: not for the request path. False: there is no room for it. */
  keep(entry: TokenEntry, at: usize, bytes: u32): bool {
    if (entry.roomBytes < bytes) {
      const room = (bytes + ROOM_STEP - 1) & ~(ROOM_STEP - 1);
      this.dropRoom(entry);
      for (let n = PLACES; n > 0 && this.roomsBytes + room > ROOMS_MOST_BYTES; n--) {
        const other = this.place(this.hand);
        this.hand = (this.hand + 1) & (PLACES - 1);
        if (other != entry) this.dropRoom(other);
      }
      entry.room = <u32>allocBlock(room);
      if (entry.room == 0) return false;
      entry.roomBytes = room;
      this.roomsBytes += room;
    }
    memory.copy(<usize>entry.room, at, bytes);
    entry.bytes = bytes;
    return true;
  }

  /** The token of the place is gone with its room: it's fetched again by who needs it. */
  private dropRoom(entry: TokenEntry): void {
    if (entry.room == 0) return;
    freeBlock(<usize>entry.room);
    this.roomsBytes -= entry.roomBytes;
    entry.room = 0;
    entry.roomBytes = 0;
    entry.bytes = 0;
    if (entry.answer == ANSWER_TOKEN) entry.answer = ANSWER_NONE;
  }

  /** Forgets all callers: wire ids mean something else from now on. */
  clear(): void {
    if (this.entries == 0) return;
    memory.fill(this.buckets, 0, (<usize>BUCKETS) << 2);
    this.free_ = 0;
    for (let i: i32 = PLACES - 1; i >= 0; i--) this.putFree(this.place(i));
    this.count = 0;
  }

  /** Gives everything back. */
  free(): void {
    if (this.entries != 0 && this.buckets != 0) for (let i: u32 = 0; i < PLACES; i++) this.dropRoom(this.place(i));
    freeBlock(this.entries);
    freeBlock(this.buckets);
    this.entries = 0;
    this.buckets = 0;
    this.free_ = 0;
    this.count = 0;
  }
}
