/**
 * A lane: this VM's numbered calls to control for allowance. One call is in flight; one that wasn't answered is sent again with the same
 * number and the same bytes, and control gives the same answer, so that nothing is granted or returned twice (docs/wire.md).
 */
import { callResponseBody, value, valueBytes } from "../abi/host";
import { mark, release } from "../abi/memory";
import { random64 } from "../abi/wasi";
import { Patience } from "../patience";
import { Retry } from "../retry";
import { callPost, responseStatus } from "../controlCalls";
import { Feed } from "../feed";
import { FRAME_GOOD, FRAME_HEAD_BYTES, checkFrame, frameBase, frameBytes, frameTimeMs, frameType, frameVersion, sealFrame } from "../frame";
import { ANSWER_BYTES, OP_BYTES, answerVerdict, writeOp } from "./leaseWire";
import { FRAME_LEASES, FRAME_LEASES_ANSWER, OP_ASK, OP_CLOSE, OP_LOCAL, OP_NEXT, VERDICT_UNKNOWN } from "../wire/enums";
import { LEASES_FAILED, LEASES_OK, info, say, warn } from "../telemetry";
import { ClockBounds } from "./clockBounds";
import {
  ASKED, CLOSING, Counter, IN_FLIGHT, LISTED, LOCAL, WANTS, WANT_ASK, WANT_CLOSE, WANT_NEXT, WANT_RETURN, noteAsked, roll, wanted,
} from "./counter";
import { take } from "./grants";

const OPS_MOST: u32 = 1024;
const HEAD_BYTES: u32 = FRAME_HEAD_BYTES + 8;
const RETRY_LEAST_NS: u64 = 20_000_000;
const RETRY_MOST_NS: u64 = 1_000_000_000;
const TIMEOUT_LEAST_MS: u32 = 500;
/** So much that can wait is worth a call before the next tick. */
const LATER_MOST: u32 = 512;
const CALL_GRACE_NS: u64 = 1_000_000_000;

export class Lane {
  private id: u64 = 0;
  private seq: u64 = 0;
  private body: usize = 0;
  private bodyBytes: u32 = 0;
  private ops: u32 = 0;
  /** the counter of each op; those that were forgotten meanwhile are 0 */
  private opCounters: StaticArray<u32> = new StaticArray<u32>(0);
  private opNext: StaticArray<bool> = new StaticArray<bool>(0);
  /** the call of the body's number waits for its answer, or for being sent again */
  private open: bool = false;
  private epoch: u64 = 0;

  private call: u32 = 0;
  private sentNs: u64 = 0;
  private patience: Patience = new Patience(TIMEOUT_LEAST_MS);
  /** when the call of the body's number was sent for the first time: the answer may tell control's time of then */
  private firstSentNs: u64 = 0;
  private retry: Retry = new Retry(RETRY_LEAST_NS, RETRY_MOST_NS);
  /** when calls began to fail; 0 = the last one was answered */
  failingSinceNs: u64 = 0;

  private listHead: usize = 0;
  private listTail: usize = 0;
  private wakeAsked: bool = false;
  /** somebody waits for what is listed */
  private urgent: bool = false;
  /** listed since the last call, of what can wait */
  private later: u32 = 0;

  readonly clock: ClockBounds = new ClockBounds();

  /** The counter has something to say: it will with the next call, which starts as soon as this VM's event is over. */
  list(feed: Feed, c: Counter, wants: u32): void {
    this.enter(c, wants);
    this.urgent = true;
    this.wake(feed);
  }

  /** The same of what can wait for the next tick: many counters share a call then, and control's transaction. */
  listLater(feed: Feed, c: Counter, wants: u32): void {
    this.enter(c, wants);
    if (++this.later == LATER_MOST) this.wake(feed);
  }

  private enter(c: Counter, wants: u32): void {
    c.flags |= wants;
    if ((c.flags & LISTED) != 0) return;
    c.flags |= LISTED;
    c.listNext = 0;
    const at = changetype<usize>(c);
    if (this.listTail == 0) this.listHead = at;
    else changetype<Counter>(this.listTail).listNext = at;
    this.listTail = at;
  }

  private wake(feed: Feed): void {
    if (this.wakeAsked || this.open) return;
    this.wakeAsked = true;
    feed.wakeSelf();
  }

  /** Starts the next call when one is due; `all`: what can wait is due, too. The effective context must be the feed's owner. */
  pump(feed: Feed, now: u64, all: bool): void {
    this.wakeAsked = false;
    if (this.call != 0) {
      if (now - this.sentNs < <u64>this.patience.timeoutMs * 1_000_000 + CALL_GRACE_NS) return;
      this.failed(feed, now, "no answer");
    }
    if (now < this.retry.atNs) return;
    if (!this.open) {
      if (!all && !this.urgent && this.later < LATER_MOST) return;
      if (!this.compose(feed, now)) return;
      this.firstSentNs = now;
    }
    const room = mark();
    this.sentNs = now;
    this.call = callPost(feed, "leases", this.epoch, this.body, this.bodyBytes, this.patience.timeoutMs);
    release(room);
    if (this.call == 0) this.failed(feed, now, "Envoy has no such cluster, or refused the call");
  }

  /** The root on which the call was made is no more. */
  forgetCall(): void {
    this.call = 0;
  }

  /** The call's answer came, or its failure (`headers` 0). True when it was this lane's: the caller pumps once those who waited went on. */
  answered(feed: Feed, token: u32, headers: u32, bodyBytes: u32, now: u64): bool {
    if (token == 0 || token != this.call) return false;
    this.call = 0;
    const status = headers == 0 ? 0 : responseStatus();
    if (status == 200 && this.takeAnswers(feed, bodyBytes, now)) {
      this.open = false;
      this.retry.answered();
      feed.meter.count(LEASES_OK);
      if (this.failingSinceNs != 0) info(say("leases come again from ").array(feed.cluster));
      this.failingSinceNs = 0;
      this.patience.answered(now - this.sentNs);
    } else if (status == 409 || status == 400 || status == 413) {
      // Control doesn't know this lane's number, or what the wire ids meant: nothing of it can be resolved any more.
      this.startOver(feed, now);
      this.failed(feed, now, "the call was refused; a new lane begins");
    } else this.failed(feed, now, status == 0 ? "no answer" : "an error status");
    return true;
  }

  private failed(feed: Feed, now: u64, why: string): void {
    this.call = 0;
    feed.meter.count(LEASES_FAILED);
    this.patience.failed();
    this.retry.failed(now);
    if (this.failingSinceNs != 0) return;
    this.failingSinceNs = now;
    warn(say("leases of environment ").array(feed.environment).add(" from ").array(feed.cluster).add(" failed (").add(why).add("); it is tried again"));
  }

  /** A new lane: what the old one held stays spent. */
  startOver(feed: Feed, now: u64): void {
    for (let i: u32 = 0; i < this.ops && this.open; i++) {
      const at = <usize>unchecked(this.opCounters[i]);
      if (at != 0) changetype<Counter>(at).flags &= ~(IN_FLIGHT | ASKED);
    }
    this.open = false;
    this.call = 0;
    this.ops = 0;
    this.id = 0;
    this.seq = 0;
    this.listHead = 0;
    this.listTail = 0;
    this.urgent = false;
    this.later = 0;
    feed.counters.forget(feed, now);
  }

  // ---- composing -----------------------------------------------------------------------------------------------------------------------

  private compose(feed: Feed, now: u64): bool {
    if (this.listHead == 0) return false;
    const table = feed.table;
    if (table == null) return false;
    if (this.body == 0) {
      this.body = heap.alloc(HEAD_BYTES + OPS_MOST * OP_BYTES);
      this.opCounters = new StaticArray<u32>(OPS_MOST);
      this.opNext = new StaticArray<bool>(OPS_MOST);
    }
    if (this.id == 0) {
      this.id = random64() | 1;
      this.seq = 0;
    }
    this.ops = 0;
    while (this.listHead != 0 && this.ops + 2 <= OPS_MOST) {
      const c = changetype<Counter>(this.listHead);
      this.listHead = c.listNext;
      if (this.listHead == 0) this.listTail = 0;
      c.listNext = 0;
      this.say(c, now);
    }
    // What didn't fit goes with the very next call.
    this.urgent = this.listHead != 0;
    this.later = 0;
    if (this.ops == 0) return false;
    const payload = 8 + this.ops * OP_BYTES;
    store<u32>(this.body + FRAME_HEAD_BYTES, this.ops);
    store<u32>(this.body + FRAME_HEAD_BYTES, 0, 4);
    this.epoch = table.epoch;
    this.seq++;
    sealFrame(this.body, FRAME_LEASES, payload, this.epoch, this.seq, this.id);
    this.bodyBytes = FRAME_HEAD_BYTES + payload;
    this.open = true;
    return true;
  }

  /** Writes what a counter has to say. */
  private say(c: Counter, now: u64): void {
    const wants = c.flags & WANTS;
    c.flags &= ~(WANTS | LISTED);
    roll(c, now);
    let returned: u64 = 0;
    // A lease that is over can't be spent any more: it goes back. So does what is too little for whoever waits, for with the rest it may do.
    if ((wants & (WANT_RETURN | WANT_CLOSE)) != 0 || (c.startMs != 0 && now >= c.spendEndNs) || ((wants & WANT_ASK) != 0 && c.allowance < c.need)) {
      returned = c.allowance;
      c.allowance = 0;
    }
    const local = (c.flags & LOCAL) != 0 ? OP_LOCAL : 0;
    let action: u32 = 0;
    let want: u64 = 0;
    let need: u64 = 0;
    if (wants & WANT_ASK) {
      action = OP_ASK | local;
      need = c.need == 0 ? 1 : c.need;
      want = wanted(c, now);
      c.flags |= ASKED;
      noteAsked(c, now);
    }
    if ((wants & WANT_CLOSE) != 0 && (wants & WANT_ASK) == 0) {
      action = OP_CLOSE;
      c.flags |= CLOSING;
    }
    // Nothing to say of the current window: the next one alone is asked for.
    const reports = c.startMs != 0 && (wants != WANT_NEXT || returned > 0);
    if (action != 0 || reports) this.op(c, action, c.startMs, c.startMs == 0 ? 0 : c.allowance, returned, need, want, false);
    if (wants & WANT_NEXT) {
      need = 1;
      want = wanted(c, now);
      this.op(c, OP_ASK | OP_NEXT, c.nextStartMs, c.nextAllowance, 0, need, want < need ? need : want, true);
    } else if ((wants & (WANT_RETURN | WANT_CLOSE)) != 0 && c.nextStartMs != 0) {
      const next = c.nextAllowance;
      c.nextAllowance = 0;
      this.op(c, (wants & WANT_CLOSE) != 0 ? OP_CLOSE : 0, c.nextStartMs, 0, next, 0, 0, true);
    }
  }

  private op(c: Counter, action: u32, startMs: u64, held: u64, returned: u64, need: u64, want: u64, next: bool): void {
    const i = this.ops++;
    writeOp(this.body + HEAD_BYTES + <usize>i * OP_BYTES, c, action, startMs, held, returned, need, want);
    unchecked(this.opCounters[i] = <u32>changetype<usize>(c));
    unchecked(this.opNext[i] = next);
    c.flags |= IN_FLIGHT;
  }

  // ---- answers -------------------------------------------------------------------------------------------------------------------------

  private takeAnswers(feed: Feed, bodyBytes: u32, now: u64): bool {
    if (bodyBytes < HEAD_BYTES || !callResponseBody(0, bodyBytes)) return false;
    const frame = value();
    if (checkFrame(frame, valueBytes()) != FRAME_GOOD || frameType(frame) != FRAME_LEASES_ANSWER || frameVersion(frame) != this.seq ||
      frameBase(frame) != this.id || frameBytes(frame) != HEAD_BYTES + this.ops * ANSWER_BYTES || load<u32>(frame, FRAME_HEAD_BYTES) != this.ops) return false;
    this.clock.learn(frameTimeMs(frame), this.firstSentNs, now);
    for (let i: u32 = 0; i < this.ops; i++) {
      const at = <usize>unchecked(this.opCounters[i]);
      if (at == 0) continue;
      const c = changetype<Counter>(at);
      c.flags &= ~IN_FLIGHT;
    }
    for (let i: u32 = 0; i < this.ops; i++) {
      const at = <usize>unchecked(this.opCounters[i]);
      if (at == 0) continue;
      const c = changetype<Counter>(at);
      const op = this.body + HEAD_BYTES + <usize>i * OP_BYTES;
      const answer = frame + HEAD_BYTES + <usize>i * ANSWER_BYTES;
      if (answerVerdict(answer) == VERDICT_UNKNOWN) feed.meter.count(LEASES_FAILED);
      take(c, op, answer, unchecked(this.opNext[i]), this.clock, now);
    }
    for (let i: u32 = 0; i < this.ops; i++) {
      const at = <usize>unchecked(this.opCounters[i]);
      if (at != 0 && (changetype<Counter>(at).flags & CLOSING) != 0) feed.counters.closed(changetype<Counter>(at), now);
    }
    return true;
  }

  free(): void {
    if (this.body != 0) heap.free(this.body);
    this.body = 0;
  }
}
