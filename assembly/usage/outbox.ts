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
import { OK, callResponseBody, cas, getShared, setShared, value, valueBytes } from "../abi/host";
import { mark, release, scratch } from "../abi/memory";
import { random64 } from "../abi/wasi";
import { ControlCall } from "../gateway/controlCall";
import { callPost, responseStatus } from "../gateway/controlClient";
import { SharedState } from "../gateway/sharedState";
import {
  FRAME_GOOD,
  FRAME_HEAD_BYTES,
  checkFrame,
  frameBase,
  frameBytes,
  frameEpoch,
  frameType,
  frameVersion,
  sealFrame,
} from "../wire/frame";
import { Usage, written } from "./usageCells";
import { FRAME_USAGE, FRAME_USAGE_ANSWER } from "../wire/enums";
import { NO_SLOT, SLOTS, Workers } from "../gateway/workers";
import { USAGE_FAILED, USAGE_OK } from "../telemetry";

const BATCHES: u64 = 32;
/** of each slot */
const PLACES: u32 = 8;
const NO_PLACE: u32 = 0xffffffff;
const META_BYTES: u32 = 24;
const FRAME_MOST: u32 = 768 << 10;
const EVERY_NS: u64 = 900_000_000;
const TIMEOUT_MS: u32 = 3000;
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
  private call: ControlCall = new ControlCall(RETRY_LEAST_NS, RETRY_MOST_NS);
  private orphansNs: u64 = 0;
  /** this VM leads: it also sends what VMs that are gone have left */
  private leads: bool = false;

  constructor(
    private state: SharedState,
    private workers: Workers,
    private usage: Usage,
  ) {}

  /** Makes a batch when one is due, and sends what is there. The effective context must be the runtime's owner. */
  pump(leads: bool, now: u64): void {
    this.leads = leads;
    const slot = this.workers.place;
    if (slot == NO_SLOT) return;
    if (slot != this.slot) this.moveTo(slot);
    if (this.place == NO_PLACE) this.choosePlace();
    const due = now - this.madeNs > EVERY_NS || this.usage.crowded;
    // While one waits, another is made only for want of room.
    if (due && this.usage.used > 0 && this.next - this.oldest < (this.usage.crowded ? BATCHES : 2)) this.make(now);
    this.send(now);
  }

  forgetCall(): void {
    this.call.forget();
  }

  private metaOf(place: u32): bool {
    const n = this.state.name("o").num(place);
    return getShared(n.start, n.bytes) && valueBytes() == META_BYTES;
  }

  private writeMeta(place: u32, lane: u64, oldest: u64, next: u64, expected: u32): bool {
    const at = scratch(META_BYTES);
    if (at == 0) return false;
    store<u64>(at, lane);
    store<u64>(at, oldest, 8);
    store<u64>(at, next, 16);
    const n = this.state.name("o").num(place);
    return setShared(n.start, n.bytes, at, META_BYTES, expected) == OK;
  }

  /** Begins anew in another slot. */
  private moveTo(slot: u32): void {
    this.slot = slot;
    this.place = NO_PLACE;
    this.sendPlace = NO_PLACE;
    this.call.forget();
    this.orphansNs = 0;
  }

  private choosePlace(): void {
    for (let place = this.slot; place < SLOTS * PLACES; place += SLOTS) {
      if (this.metaOf(place) && this.isFilled(value())) continue;
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
  private adopt(slot: u32, own: u32): bool {
    for (let place = slot; place < SLOTS * PLACES; place += SLOTS) {
      if (place == own || !this.metaOf(place) || !this.isFilled(value())) continue;
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
  close(now: u64): void {
    while (this.usage.used > 0 && this.next - this.oldest < BATCHES && this.make(now)) {}
    if (this.usage.used > 0) this.usage.disown();
  }

  private make(now: u64): bool {
    if (this.place == NO_PLACE || this.state.table == null) return false;
    const room = mark();
    const frame = scratch(FRAME_MOST);
    if (frame == 0) return false;
    const bytes = 8 + this.usage.drain(frame + FRAME_HEAD_BYTES + 8, FRAME_MOST - FRAME_HEAD_BYTES - 8);
    store<u32>(frame + FRAME_HEAD_BYTES, written);
    store<u32>(frame + FRAME_HEAD_BYTES, 0, 4);
    sealFrame(frame, FRAME_USAGE, bytes, this.state.tableEpoch, this.next, this.lane);
    const n = this.state
      .name("o")
      .num(this.place)
      .byte(0x2f)
      .num(this.next % BATCHES);
    if (setShared(n.start, n.bytes, frame, FRAME_HEAD_BYTES + bytes, 0) == OK) {
      this.next++;
      this.writeMeta(this.place, this.lane, this.oldest, this.next, 0);
    }
    release(room);
    this.madeNs = now;
    return true;
  }

  private send(now: u64): void {
    if (this.call.isLost(now)) this.failed(now);
    if (!this.call.mayStart(now)) return;
    if (this.sendPlace == NO_PLACE) {
      if (this.oldest < this.next) {
        this.sendPlace = this.place;
        this.sendLane = this.lane;
        this.sendOldest = this.oldest;
        this.sendNext = this.next;
      } else if (!this.findOrphans(now)) return;
    }
    const room = mark();
    const n = this.state
      .name("o")
      .num(this.sendPlace)
      .byte(0x2f)
      .num(this.sendOldest % BATCHES);
    if (!getShared(n.start, n.bytes) || !this.isSent()) {
      // Spoiled by somebody else: it can't be sent.
      this.state.meter.count(USAGE_FAILED);
      this.acknowledged();
    } else {
      const token = callPost(this.state, "usage", frameEpoch(value()), value(), frameBytes(value()), TIMEOUT_MS);
      if (!this.call.started(token, now, TIMEOUT_MS)) this.failed(now);
    }
    release(room);
  }

  /** Batches of VMs that are gone: those that were in this slot before, and, for the leader to see to, those of slots that nobody has. */
  private findOrphans(now: u64): bool {
    if (this.orphansNs != 0 && now - this.orphansNs < ORPHANS_EVERY_NS) return false;
    this.orphansNs = now;
    if (this.adopt(this.slot, this.place)) return true;
    if (!this.leads) return false;
    for (let i: u32 = 0; this.workers.known(i); i++) {
      if (i != this.slot && this.workers.gone(i, now) && this.adopt(i, NO_PLACE)) return true;
    }
    return false;
  }

  answered(token: u32, headers: u32, bodyBytes: u32, now: u64): bool {
    if (!this.call.takes(token)) return false;
    const status = headers == 0 ? 0 : responseStatus();
    if (
      status == 200 &&
      bodyBytes >= FRAME_HEAD_BYTES &&
      callResponseBody(0, FRAME_HEAD_BYTES) &&
      checkFrame(value(), valueBytes()) == FRAME_GOOD &&
      frameType(value()) == FRAME_USAGE_ANSWER &&
      frameVersion(value()) == this.sendOldest
    ) {
      this.call.answered();
      this.state.meter.count(USAGE_OK);
      this.acknowledged();
      this.pump(this.leads, now);
    } else if (status == 400 || status == 413) {
      // It would be refused for ever.
      this.state.meter.count(USAGE_FAILED);
      this.acknowledged();
    } else this.failed(now);
    return true;
  }

  private acknowledged(): void {
    const n = this.state
      .name("o")
      .num(this.sendPlace)
      .byte(0x2f)
      .num(this.sendOldest % BATCHES);
    if (getShared(n.start, n.bytes) && this.isSent()) setShared(n.start, n.bytes, 0, 0, cas());
    this.sendOldest++;
    let expected: u32 = 0;
    if (this.sendPlace == this.place && this.sendLane == this.lane) {
      this.oldest = this.sendOldest;
      this.sendNext = this.next;
    } else if (this.metaOf(this.sendPlace) && load<u64>(value()) == this.sendLane) expected = cas();
    else {
      // Somebody else has begun batches of its own there.
      this.sendPlace = NO_PLACE;
      return;
    }
    this.writeMeta(this.sendPlace, this.sendLane, this.sendOldest, this.sendNext, expected);
    if (this.sendOldest < this.sendNext) return;
    // There may be another one to look after.
    if (this.sendPlace != this.place) this.orphansNs = 0;
    this.sendPlace = NO_PLACE;
  }

  /** Whether the batch that was just read is the one that is being sent. */
  private isSent(): bool {
    return (
      checkFrame(value(), valueBytes()) == FRAME_GOOD &&
      frameType(value()) == FRAME_USAGE &&
      frameVersion(value()) == this.sendOldest &&
      frameBase(value()) == this.sendLane
    );
  }

  private failed(now: u64): void {
    this.state.meter.count(USAGE_FAILED);
    this.call.failed(now);
  }
}
