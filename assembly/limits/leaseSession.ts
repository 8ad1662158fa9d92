/**
 * A lane: this VM's numbered calls to control for allowance. One call is in flight; one that wasn't answered is sent again with the same
 * number and the same bytes, and control gives the same answer, so that nothing is granted or returned twice (docs/internals/protocol.md).
 */
import { callResponseBody, value, valueBytes } from "../abi/host";
import { mark, release } from "../abi/memory";
import { random64 } from "../abi/wasi";
import { Patience } from "../gateway/adaptiveTimeout";
import { ControlCall } from "../gateway/controlCall";
import { callPost, responseStatus } from "../gateway/controlClient";
import { SharedState } from "../gateway/sharedState";
import {
  FRAME_GOOD,
  FRAME_HEAD_BYTES,
  checkFrame,
  frameBase,
  frameBytes,
  frameTimeMs,
  frameType,
  frameVersion,
  sealFrame,
} from "../wire/frame";
import { ANSWER_BYTES, OP_BYTES, answerVerdict, writeOp } from "../wire/leaseMessages";
import { FRAME_LEASES, FRAME_LEASES_ANSWER, OP_ASK, OP_CLOSE, OP_LOCAL, OP_NEXT, VERDICT_UNKNOWN } from "../wire/enums";
import { LEASES_FAILED, LEASES_OK, info, say, warn } from "../telemetry";
import { ClockBounds } from "./clockBounds";
import { Counters } from "./counters";
import {
  ASKED,
  CLOSING,
  Counter,
  IN_FLIGHT,
  LISTED,
  LOCAL,
  WANTS,
  WANT_ASK,
  WANT_CLOSE,
  WANT_NEXT,
  WANT_RETURN,
  noteAsked,
  roll,
  wanted,
} from "./counter";
import { take } from "./grants";
import { Wants } from "./wants";

const OPS_MOST: u32 = 1024;
const HEAD_BYTES: u32 = FRAME_HEAD_BYTES + 8;
const RETRY_LEAST_NS: u64 = 20_000_000;
const RETRY_MOST_NS: u64 = 1_000_000_000;
const TIMEOUT_LEAST_MS: u32 = 500;

export class LeaseSession {
  private wants: Wants;
  private clock: ClockBounds;
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

  private call: ControlCall = new ControlCall(RETRY_LEAST_NS, RETRY_MOST_NS);
  private patience: Patience = new Patience(TIMEOUT_LEAST_MS);
  /** when the call of the body's number was sent for the first time: the answer may tell control's time of then */
  private firstSentNs: u64 = 0;

  constructor(
    private state: SharedState,
    private counters: Counters,
  ) {
    this.wants = counters.wants;
    this.clock = counters.clock;
  }

  /** Starts the next call when one is due; `all`: what can wait is due, too. The effective context must be the runtime's owner. */
  pump(now: u64, all: bool): void {
    this.wants.attended();
    if (this.call.isLost(now)) this.failed(now, "no answer");
    if (!this.call.mayStart(now)) return;
    if (!this.open) {
      if (!all && !this.wants.pressing) return;
      if (!this.compose(now)) return;
      this.firstSentNs = now;
    }
    const room = mark();
    const token = callPost(this.state, "leases", this.epoch, this.body, this.bodyBytes, this.patience.timeoutMs);
    release(room);
    if (!this.call.started(token, now, this.patience.timeoutMs))
      this.failed(now, "Envoy has no such cluster, or refused the call");
  }

  /** The root on which the call was made is no more. */
  forgetCall(): void {
    this.call.forget();
  }

  /** When calls began to fail, monotonic nanoseconds; 0 = the last one was answered. */
  get failingSinceNs(): u64 {
    return this.call.failingSinceNs;
  }

  /** The call's answer came, or its failure (`headers` 0). True when it was this lane's: the caller pumps once those who waited went on. */
  answered(token: u32, headers: u32, bodyBytes: u32, now: u64): bool {
    if (!this.call.takes(token)) return false;
    const status = headers == 0 ? 0 : responseStatus();
    if (status == 200 && this.takeAnswers(bodyBytes, now)) {
      this.open = false;
      this.wants.sessionBusy = false;
      this.state.meter.count(LEASES_OK);
      this.patience.answered(now - this.call.sentNs);
      if (this.call.answered()) info(say("leases come again from ").array(this.state.cluster));
    } else if (status == 409 || status == 400 || status == 413) {
      // Control doesn't know this lane's number, or what the wire ids meant: nothing of it can be resolved any more.
      this.startOver(now);
      this.failed(now, "the call was refused; a new lane begins");
    } else this.failed(now, status == 0 ? "no answer" : "an error status");
    return true;
  }

  private failed(now: u64, why: string): void {
    this.state.meter.count(LEASES_FAILED);
    this.patience.failed();
    if (!this.call.failed(now)) return;
    warn(
      say("leases of environment ")
        .array(this.state.environment)
        .add(" from ")
        .array(this.state.cluster)
        .add(" failed (")
        .add(why)
        .add("); it is tried again"),
    );
  }

  /** A new lane: what the old one held stays spent. */
  startOver(now: u64): void {
    for (let i: u32 = 0; i < this.ops && this.open; i++) {
      const at = <usize>unchecked(this.opCounters[i]);
      if (at != 0) changetype<Counter>(at).flags &= ~(IN_FLIGHT | ASKED);
    }
    this.open = false;
    this.wants.sessionBusy = false;
    this.call.forget();
    this.ops = 0;
    this.id = 0;
    this.seq = 0;
    this.wants.clear();
    this.counters.forget(now);
  }

  // ---- composing -----------------------------------------------------------------------------------------------------------------------

  private compose(now: u64): bool {
    if (this.wants.empty) return false;
    const table = this.state.table;
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
    while (!this.wants.empty && this.ops + 2 <= OPS_MOST) this.say(this.wants.next(), now);
    this.wants.taken();
    if (this.ops == 0) return false;
    const payload = 8 + this.ops * OP_BYTES;
    store<u32>(this.body + FRAME_HEAD_BYTES, this.ops);
    store<u32>(this.body + FRAME_HEAD_BYTES, 0, 4);
    this.epoch = table.epoch;
    this.seq++;
    sealFrame(this.body, FRAME_LEASES, payload, this.epoch, this.seq, this.id);
    this.bodyBytes = FRAME_HEAD_BYTES + payload;
    this.open = true;
    this.wants.sessionBusy = true;
    return true;
  }

  /** Writes what a counter has to say. */
  private say(c: Counter, now: u64): void {
    const wants = c.flags & WANTS;
    c.flags &= ~(WANTS | LISTED);
    roll(c, now);
    let returned: u64 = 0;
    // A lease that is over can't be spent any more: it goes back. So does what is too little for whoever waits, for with the rest it may do.
    if (
      (wants & (WANT_RETURN | WANT_CLOSE)) != 0 ||
      (c.startMs != 0 && now >= c.spendEndNs) ||
      ((wants & WANT_ASK) != 0 && c.allowance < c.need)
    ) {
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
    if (action != 0 || reports)
      this.op(c, action, c.startMs, c.startMs == 0 ? 0 : c.allowance, returned, need, want, false);
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
    unchecked((this.opCounters[i] = <u32>changetype<usize>(c)));
    unchecked((this.opNext[i] = next));
    c.flags |= IN_FLIGHT;
  }

  // ---- answers -------------------------------------------------------------------------------------------------------------------------

  private takeAnswers(bodyBytes: u32, now: u64): bool {
    if (bodyBytes < HEAD_BYTES || !callResponseBody(0, bodyBytes)) return false;
    const frame = value();
    if (
      checkFrame(frame, valueBytes()) != FRAME_GOOD ||
      frameType(frame) != FRAME_LEASES_ANSWER ||
      frameVersion(frame) != this.seq ||
      frameBase(frame) != this.id ||
      frameBytes(frame) != HEAD_BYTES + this.ops * ANSWER_BYTES ||
      load<u32>(frame, FRAME_HEAD_BYTES) != this.ops
    )
      return false;
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
      if (answerVerdict(answer) == VERDICT_UNKNOWN) this.state.meter.count(LEASES_FAILED);
      take(c, op, answer, unchecked(this.opNext[i]), this.clock, now);
    }
    for (let i: u32 = 0; i < this.ops; i++) {
      const at = <usize>unchecked(this.opCounters[i]);
      if (at != 0 && (changetype<Counter>(at).flags & CLOSING) != 0) this.counters.closed(changetype<Counter>(at), now);
    }
    return true;
  }

  free(): void {
    if (this.body != 0) heap.free(this.body);
    this.body = 0;
  }
}
