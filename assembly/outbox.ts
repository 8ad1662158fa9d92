/**
 * Usage on its way to control: numbered batches that lie in shared data before they are sent, so that whoever comes after this VM sends the
 * same bytes again, and control applies each once.
 *
 * ```
 *   o<place>       24 bytes:  u64 lane | u64 number of the oldest batch | u64 number of the next batch
 *   o<place>/<i>   a batch, as the frame that is sent
 * ```
 * A member's slot has several places: whoever takes it over begins in one that is empty, while its predecessors' wait in others.
 */
import { OK, callResponseBody, cas, getShared, setShared, value, valueBytes } from "./abi/host";
import { mark, release, scratch } from "./abi/memory";
import { random64 } from "./abi/wasi";
import { Retry } from "./retry";
import { callPost, responseStatus } from "./controlCalls";
import { Feed } from "./feed";
import { FRAME_GOOD, FRAME_HEAD_BYTES, checkFrame, frameBase, frameBytes, frameEpoch, frameType, frameVersion, sealFrame } from "./frame";
import { written } from "./usage";
import { FRAME_USAGE, FRAME_USAGE_ANSWER } from "./wire/enums";
import { NO_SLOT, SLOTS } from "./members";
import { USAGE_FAILED, USAGE_OK } from "./telemetry";

const BATCHES: u64 = 32;
/** of each slot */
const PLACES: u32 = 8;
const NO_PLACE: u32 = 0xffffffff;
const META_BYTES: u32 = 24;
const FRAME_MOST: u32 = 768 << 10;
const EVERY_NS: u64 = 900_000_000;
const TIMEOUT_MS: u32 = 3000;
const GRACE_NS: u64 = 1_000_000_000;
const RETRY_LEAST_NS: u64 = 50_000_000;
const RETRY_MOST_NS: u64 = 2_000_000_000;
const ORPHANS_EVERY_NS: u64 = 5_000_000_000;

export class Outbox {
  private slot: u32 = NO_SLOT;
  private lane: u64 = 0;
  private place: u32 = NO_PLACE;
  /** own batches: the oldest that is not acknowledged, and the number of the next */
  private oldest: u64 = 1;
  private next: u64 = 1;
  private madeNs: u64 = 0;

  /** what is being sent: a place's batches, of this VM or of one that is gone */
  private sendPlace: u32 = NO_PLACE;
  private sendLane: u64 = 0;
  private sendOldest: u64 = 0;
  private sendNext: u64 = 0;
  private call: u32 = 0;
  private sentNs: u64 = 0;
  private retry: Retry = new Retry(RETRY_LEAST_NS, RETRY_MOST_NS);
  private orphansNs: u64 = 0;

  /** Makes a batch when one is due, and sends what is there. The effective context must be the feed's owner. */
  pump(feed: Feed, now: u64): void {
    const slot = feed.members.place;
    if (slot == NO_SLOT) return;
    if (slot != this.slot) this.moveTo(slot);
    if (this.place == NO_PLACE) this.choosePlace(feed);
    const due = now - this.madeNs > EVERY_NS || feed.usage.crowded;
    // While one waits, another is made only for want of room.
    if (due && feed.usage.used > 0 && this.next - this.oldest < (feed.usage.crowded ? BATCHES : 2)) this.make(feed, now);
    this.send(feed, now);
  }

  forgetCall(): void {
    this.call = 0;
  }

  private metaOf(feed: Feed, place: u32): bool {
    const n = feed.name("o").num(place);
    return getShared(n.start, n.bytes) && valueBytes() == META_BYTES;
  }

  private writeMeta(feed: Feed, place: u32, lane: u64, oldest: u64, next: u64, expected: u32): bool {
    const at = scratch(META_BYTES);
    if (at == 0) return false;
    store<u64>(at, lane);
    store<u64>(at, oldest, 8);
    store<u64>(at, next, 16);
    const n = feed.name("o").num(place);
    return setShared(n.start, n.bytes, at, META_BYTES, expected) == OK;
  }

  /** Begins anew in another slot. */
  private moveTo(slot: u32): void {
    this.slot = slot;
    this.place = NO_PLACE;
    this.sendPlace = NO_PLACE;
    this.call = 0;
    this.orphansNs = 0;
  }

  private choosePlace(feed: Feed): void {
    for (let place = this.slot; place < SLOTS * PLACES; place += SLOTS) {
      if (this.metaOf(feed, place) && this.isFilled(value())) continue;
      this.place = place;
      this.lane = random64() | 1;
      this.oldest = 1;
      this.next = 1;
      return;
    }
  }

  /** Whether a meta tells of batches. */
  private isFilled(meta: usize): bool {
    return load<u64>(meta, 8) < load<u64>(meta, 16) && load<u64>(meta, 16) - load<u64>(meta, 8) <= BATCHES;
  }

  /** Takes on the batches that a slot's places hold but for `own`, if there are any. */
  private adopt(feed: Feed, slot: u32, own: u32): bool {
    for (let place = slot; place < SLOTS * PLACES; place += SLOTS) {
      if (place == own || !this.metaOf(feed, place) || !this.isFilled(value())) continue;
      const meta = value();
      this.sendPlace = place;
      this.sendLane = load<u64>(meta);
      this.sendOldest = load<u64>(meta, 8);
      this.sendNext = load<u64>(meta, 16);
      return true;
    }
    return false;
  }

  /** The wire ids of what was counted are about to mean something else: it's put into batches of the epoch that it was counted in. */
  close(feed: Feed, now: u64): void {
    while (feed.usage.used > 0 && this.next - this.oldest < BATCHES && this.make(feed, now)) {}
    if (feed.usage.used > 0) feed.usage.disown();
  }

  private make(feed: Feed, now: u64): bool {
    if (this.place == NO_PLACE || feed.table == null) return false;
    const room = mark();
    const frame = scratch(FRAME_MOST);
    if (frame == 0) return false;
    const bytes = 8 + feed.usage.drain(frame + FRAME_HEAD_BYTES + 8, FRAME_MOST - FRAME_HEAD_BYTES - 8);
    store<u32>(frame + FRAME_HEAD_BYTES, written);
    store<u32>(frame + FRAME_HEAD_BYTES, 0, 4);
    sealFrame(frame, FRAME_USAGE, bytes, feed.tableEpoch, this.next, this.lane);
    const n = feed.name("o").num(this.place).byte(0x2f).num(this.next % BATCHES);
    if (setShared(n.start, n.bytes, frame, FRAME_HEAD_BYTES + bytes, 0) == OK) {
      this.next++;
      this.writeMeta(feed, this.place, this.lane, this.oldest, this.next, 0);
    }
    release(room);
    this.madeNs = now;
    return true;
  }

  private send(feed: Feed, now: u64): void {
    if (this.call != 0) {
      if (now - this.sentNs < <u64>TIMEOUT_MS * 1_000_000 + GRACE_NS) return;
      this.failed(feed, now);
    }
    if (now < this.retry.atNs) return;
    if (this.sendPlace == NO_PLACE) {
      if (this.oldest < this.next) {
        this.sendPlace = this.place;
        this.sendLane = this.lane;
        this.sendOldest = this.oldest;
        this.sendNext = this.next;
      } else if (!this.findOrphans(feed, now)) return;
    }
    const room = mark();
    const n = feed.name("o").num(this.sendPlace).byte(0x2f).num(this.sendOldest % BATCHES);
    if (!getShared(n.start, n.bytes) || !this.isSent()) {
      // Spoiled by somebody else: it can't be sent.
      feed.meter.count(USAGE_FAILED);
      this.acknowledged(feed);
    } else {
      this.sentNs = now;
      this.call = callPost(feed, "usage", frameEpoch(value()), value(), frameBytes(value()), TIMEOUT_MS);
      if (this.call == 0) this.failed(feed, now);
    }
    release(room);
  }

  /** Batches of VMs that are gone: those that were in this slot before, and, for the leader to see to, those of slots that nobody has. */
  private findOrphans(feed: Feed, now: u64): bool {
    if (this.orphansNs != 0 && now - this.orphansNs < ORPHANS_EVERY_NS) return false;
    this.orphansNs = now;
    if (this.adopt(feed, this.slot, this.place)) return true;
    if (!feed.leader.leads) return false;
    for (let i: u32 = 0; feed.members.known(feed, i); i++) {
      if (i != this.slot && feed.members.gone(feed, i, now) && this.adopt(feed, i, NO_PLACE)) return true;
    }
    return false;
  }

  answered(feed: Feed, token: u32, headers: u32, bodyBytes: u32, now: u64): bool {
    if (token == 0 || token != this.call) return false;
    this.call = 0;
    const status = headers == 0 ? 0 : responseStatus();
    if (status == 200 && bodyBytes >= FRAME_HEAD_BYTES && callResponseBody(0, FRAME_HEAD_BYTES) && checkFrame(value(), valueBytes()) == FRAME_GOOD &&
      frameType(value()) == FRAME_USAGE_ANSWER && frameVersion(value()) == this.sendOldest) {
      this.retry.answered();
      feed.meter.count(USAGE_OK);
      this.acknowledged(feed);
      this.pump(feed, now);
    } else if (status == 400 || status == 413) {
      // It would be refused for ever.
      feed.meter.count(USAGE_FAILED);
      this.acknowledged(feed);
    } else this.failed(feed, now);
    return true;
  }

  private acknowledged(feed: Feed): void {
    const n = feed.name("o").num(this.sendPlace).byte(0x2f).num(this.sendOldest % BATCHES);
    if (getShared(n.start, n.bytes) && this.isSent()) setShared(n.start, n.bytes, 0, 0, cas());
    this.sendOldest++;
    let expected: u32 = 0;
    if (this.sendPlace == this.place && this.sendLane == this.lane) {
      this.oldest = this.sendOldest;
      this.sendNext = this.next;
    } else if (this.metaOf(feed, this.sendPlace) && load<u64>(value()) == this.sendLane) expected = cas();
    else {
      // Somebody else has begun batches of its own there.
      this.sendPlace = NO_PLACE;
      return;
    }
    this.writeMeta(feed, this.sendPlace, this.sendLane, this.sendOldest, this.sendNext, expected);
    if (this.sendOldest < this.sendNext) return;
    // There may be another one to look after.
    if (this.sendPlace != this.place) this.orphansNs = 0;
    this.sendPlace = NO_PLACE;
  }

  /** Whether the batch that was just read is the one that is being sent. */
  private isSent(): bool {
    return checkFrame(value(), valueBytes()) == FRAME_GOOD && frameType(value()) == FRAME_USAGE && frameVersion(value()) == this.sendOldest &&
      frameBase(value()) == this.sendLane;
  }

  private failed(feed: Feed, now: u64): void {
    this.call = 0;
    feed.meter.count(USAGE_FAILED);
    this.retry.failed(now);
  }
}
