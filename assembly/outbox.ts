/**
 * Usage on its way to control: numbered batches that lie in shared data before they are sent, so that whoever comes after this VM sends the
 * same bytes again, and control applies each once.
 *
 * ```
 *   o<slot>       24 bytes:  u64 lane | u64 number of the oldest batch | u64 number of the next batch
 *   o<slot>/<i>   a batch, as the frame that is sent
 * ```
 */
import { OK, callResponseBody, getShared, setShared, value, valueBytes } from "./abi/host";
import { mark, release, scratch } from "./abi/memory";
import { random64 } from "./abi/wasi";
import { callPost, responseStatus } from "./controlCalls";
import { Feed } from "./feed";
import { FRAME_GOOD, FRAME_HEAD_BYTES, FRAME_USAGE, FRAME_USAGE_ANSWER, checkFrame, frameBase, frameBytes, frameEpoch, frameType, frameVersion, sealFrame } from "./frame";
import { NO_SLOT } from "./members";
import { USAGE_FAILED, USAGE_OK } from "./telemetry";
import { written } from "./usage";

const BATCHES: u64 = 32;
const META_BYTES: u32 = 24;
const FRAME_MOST: u32 = 768 << 10;
const EVERY_NS: u64 = 900_000_000;
const TIMEOUT_MS: u32 = 3000;
const GRACE_NS: u64 = 1_000_000_000;
const RETRY_LEAST_NS: u64 = 50_000_000;
const RETRY_MOST_NS: u64 = 2_000_000_000;
const ORPHANS_EVERY_NS: u64 = 5_000_000_000;

export class Outbox {
  private lane: u64 = 0;
  private slot: u32 = NO_SLOT;
  /** own batches: the oldest that is not acknowledged, and the number of the next */
  private oldest: u64 = 1;
  private next: u64 = 1;
  private madeNs: u64 = 0;

  /** what is being sent: a slot's batches, of this VM or of one that is gone */
  private sendSlot: u32 = NO_SLOT;
  private sendLane: u64 = 0;
  private sendOldest: u64 = 0;
  private sendNext: u64 = 0;
  private call: u32 = 0;
  private sentNs: u64 = 0;
  private retryAtNs: u64 = 0;
  private retryNs: u64 = 0;
  private orphansNs: u64 = 0;

  /** Makes a batch when one is due, and sends what is there. The effective context must be the feed's owner. */
  pump(feed: Feed, now: u64): void {
    const slot = feed.members.place;
    if (slot == NO_SLOT) return;
    if (slot != this.slot) this.moveTo(feed, slot);
    const due = now - this.madeNs > EVERY_NS || feed.usage.crowded;
    // While one waits, another is made only for want of room.
    if (due && feed.usage.used > 0 && this.next - this.oldest < (feed.usage.crowded ? BATCHES : 2)) this.make(feed, now);
    this.send(feed, now);
  }

  forgetCall(): void {
    this.call = 0;
  }

  private metaOf(feed: Feed, slot: u32): bool {
    const n = feed.name("o").num(slot);
    return getShared(n.start, n.bytes) && valueBytes() == META_BYTES;
  }

  private writeMeta(feed: Feed, slot: u32, lane: u64, oldest: u64, next: u64): bool {
    const at = scratch(META_BYTES);
    if (at == 0) return false;
    store<u64>(at, lane);
    store<u64>(at, oldest, 8);
    store<u64>(at, next, 16);
    const n = feed.name("o").num(slot);
    return setShared(n.start, n.bytes, at, META_BYTES, 0) == OK;
  }

  /** A slot of its own. What a predecessor left there is sent first. */
  private moveTo(feed: Feed, slot: u32): void {
    this.slot = slot;
    this.lane = random64() | 1;
    this.oldest = 1;
    this.next = 1;
    this.sendSlot = NO_SLOT;
    this.call = 0;
    if (this.metaOf(feed, slot)) this.adopt(slot);
  }

  /** Takes the batches of a slot whose meta was just read, if there are some. */
  private adopt(slot: u32): bool {
    const at = value();
    if (load<u64>(at, 8) >= load<u64>(at, 16) || load<u64>(at, 16) - load<u64>(at, 8) > BATCHES) return false;
    this.sendSlot = slot;
    this.sendLane = load<u64>(at);
    this.sendOldest = load<u64>(at, 8);
    this.sendNext = load<u64>(at, 16);
    return true;
  }

  private make(feed: Feed, now: u64): void {
    // the slot still holds a predecessor's
    if (this.sendSlot == this.slot && this.sendLane != this.lane) return;
    const table = feed.table;
    if (table == null) return;
    const room = mark();
    const frame = scratch(FRAME_MOST);
    if (frame == 0) return;
    const bytes = 8 + feed.usage.drain(frame + FRAME_HEAD_BYTES + 8, FRAME_MOST - FRAME_HEAD_BYTES - 8);
    store<u32>(frame + FRAME_HEAD_BYTES, written);
    store<u32>(frame + FRAME_HEAD_BYTES, 0, 4);
    sealFrame(frame, FRAME_USAGE, bytes, table.epoch, this.next, this.lane);
    const n = feed.name("o").num(this.slot).byte(0x2f).num(this.next % BATCHES);
    if (setShared(n.start, n.bytes, frame, FRAME_HEAD_BYTES + bytes, 0) == OK) {
      this.next++;
      this.writeMeta(feed, this.slot, this.lane, this.oldest, this.next);
    }
    release(room);
    this.madeNs = now;
  }

  private send(feed: Feed, now: u64): void {
    if (this.call != 0) {
      if (now - this.sentNs < <u64>TIMEOUT_MS * 1_000_000 + GRACE_NS) return;
      this.failed(feed, now);
    }
    if (now < this.retryAtNs) return;
    if (this.sendSlot == NO_SLOT) {
      if (this.oldest < this.next) {
        this.sendSlot = this.slot;
        this.sendLane = this.lane;
        this.sendOldest = this.oldest;
        this.sendNext = this.next;
      } else if (!this.findOrphans(feed, now)) return;
    }
    const room = mark();
    const n = feed.name("o").num(this.sendSlot).byte(0x2f).num(this.sendOldest % BATCHES);
    if (!getShared(n.start, n.bytes) || checkFrame(value(), valueBytes()) != FRAME_GOOD || frameType(value()) != FRAME_USAGE ||
      frameVersion(value()) != this.sendOldest || frameBase(value()) != this.sendLane) {
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

  /** Batches of VMs that are gone; the leader sees to them. */
  private findOrphans(feed: Feed, now: u64): bool {
    if (!feed.leader.leads || now - this.orphansNs < ORPHANS_EVERY_NS) return false;
    this.orphansNs = now;
    for (let i: u32 = 0; feed.members.known(feed, i); i++) {
      if (i != this.slot && feed.members.gone(feed, i, now) && this.metaOf(feed, i) && this.adopt(i)) return true;
    }
    return false;
  }

  answered(feed: Feed, token: u32, headers: u32, bodyBytes: u32, now: u64): bool {
    if (token == 0 || token != this.call) return false;
    this.call = 0;
    const status = headers == 0 ? 0 : responseStatus();
    if (status == 200 && bodyBytes >= FRAME_HEAD_BYTES && callResponseBody(0, FRAME_HEAD_BYTES) && checkFrame(value(), valueBytes()) == FRAME_GOOD &&
      frameType(value()) == FRAME_USAGE_ANSWER && frameVersion(value()) == this.sendOldest) {
      this.retryNs = 0;
      this.retryAtNs = 0;
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
    const n = feed.name("o").num(this.sendSlot).byte(0x2f).num(this.sendOldest % BATCHES);
    setShared(n.start, n.bytes, 0, 0, 0);
    this.sendOldest++;
    const own = this.sendSlot == this.slot && this.sendLane == this.lane;
    if (own) {
      this.oldest = this.sendOldest;
      this.sendNext = this.next;
    }
    this.writeMeta(feed, this.sendSlot, this.sendLane, this.sendOldest, this.sendNext);
    if (this.sendOldest >= this.sendNext) this.sendSlot = NO_SLOT;
  }

  private failed(feed: Feed, now: u64): void {
    this.call = 0;
    feed.meter.count(USAGE_FAILED);
    const doubled = this.retryNs * 2;
    this.retryNs = doubled == 0 ? RETRY_LEAST_NS : doubled > RETRY_MOST_NS ? RETRY_MOST_NS : doubled;
    this.retryAtNs = now + this.retryNs / 2 + random64() % (this.retryNs / 2 + 1);
  }
}
