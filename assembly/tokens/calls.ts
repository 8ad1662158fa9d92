/**
 * A worker's calls to control for internal tokens. Asks gather while a call is under way and go with the next one. Control keeps nothing of
 * these calls: what was lost is simply asked again, by the requests that need it.
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
import {
  ANSWER_BYTES,
  ASKS_MOST,
  ASK_BYTES,
  SCOPES_MOST_BYTES,
  answerExpiresMs,
  answerRefreshMs,
  answerToken,
  answerTokenBytes,
  answerVerdict,
  answersWhole,
  tokenSound,
  writeAsk,
} from "../wire/tokenMessages";
import {
  FRAME_TOKENS,
  FRAME_TOKENS_ANSWER,
  TOKEN_VERDICT_GRANTED,
  TOKEN_VERDICT_OFF,
  TOKEN_VERDICT_TOO_LARGE,
} from "../wire/enums";
import { ClockBounds } from "../limits/clockBounds";
import { TOKENS_FAILED, TOKENS_OK, info, say, warn } from "../telemetry";
import { ANSWER_OFF, ANSWER_REFUSED, ANSWER_TOKEN, ASKED, TokenCache, TokenEntry } from "./cache";

const HEAD_BYTES: u32 = FRAME_HEAD_BYTES + 8;
/** Of the asks of one call. The last one always has room for its scopes. */
const ASKS_MOST_BYTES: u32 = 65536;
const BODY_BYTES: u32 = HEAD_BYTES + ASKS_MOST_BYTES + ASK_BYTES + SCOPES_MOST_BYTES;
const TIMEOUT_LEAST_MS: u32 = 300;
const RETRY_LEAST_NS: u64 = 20_000_000;
const RETRY_MOST_NS: u64 = 1_000_000_000;
/** So long a caller whom control refuses a token isn't asked for again; one of an environment that issues none for longer. */
const REFUSED_NS: u64 = 1_000_000_000;
const OFF_NS: u64 = 5_000_000_000;
/** A token is on its way for a while: it isn't used up to its last moment. */
const MARGIN_MS: u64 = 1000;

export class TokenCalls {
  readonly cache: TokenCache = new TokenCache();
  private clock: ClockBounds = new ClockBounds();
  /** some root sets internal tokens */
  wanted: bool = false;

  /** asks that gather, and those of the call that is under way */
  private gathering: usize = 0;
  private gathered: u32 = 0;
  private gatheredBytes: u32 = 0;
  private sent: usize = 0;
  private sentAsks: u32 = 0;

  private lane: u64 = 0;
  private seq: u64 = 0;
  private call: ControlCall = new ControlCall(RETRY_LEAST_NS, RETRY_MOST_NS);
  private patience: Patience = new Patience(TIMEOUT_LEAST_MS);
  private wakeAsked: bool = false;

  constructor(private state: SharedState) {}

  /** Takes memory ahead of need. */
  prepare(): void {
    if (!this.wanted) return;
    this.cache.prepare();
    if (this.gathering != 0) return;
    this.gathering = heap.alloc(BODY_BYTES);
    this.sent = heap.alloc(BODY_BYTES);
  }

  /** Asks for a caller's token with the next call. False: there are too many asks at once. */
  ask(entry: TokenEntry, consumer: u32, tier: u32, kind: u32, scopes: usize): bool {
    if (this.gathering == 0 || this.gathered == ASKS_MOST || this.gatheredBytes > ASKS_MOST_BYTES) return false;
    this.gatheredBytes += writeAsk(
      this.gathering + HEAD_BYTES + this.gatheredBytes,
      entry.idA,
      entry.idB,
      consumer,
      tier,
      kind,
      scopes,
    );
    this.gathered++;
    entry.flags |= ASKED;
    if (!this.wakeAsked && !this.call.inFlight) {
      this.wakeAsked = true;
      this.state.wakeSelf();
    }
    return true;
  }

  /** Starts the next call when one is due. The effective context must be the runtime's owner. */
  pump(now: u64): void {
    this.wakeAsked = false;
    if (this.call.isLost(now)) this.failed(now, "no answer");
    const table = this.state.table;
    if (this.gathered == 0 || !this.call.mayStart(now) || table == null) return;
    if (this.lane == 0) this.lane = random64() | 1;
    const body = this.gathering;
    this.gathering = this.sent;
    this.sent = body;
    this.sentAsks = this.gathered;
    const payload = 8 + this.gatheredBytes;
    this.gathered = 0;
    this.gatheredBytes = 0;
    store<u32>(body + FRAME_HEAD_BYTES, this.sentAsks);
    store<u32>(body + FRAME_HEAD_BYTES, 0, 4);
    sealFrame(body, FRAME_TOKENS, payload, table.epoch, ++this.seq, this.lane);
    const room = mark();
    const token = callPost(
      this.state,
      "tokens",
      table.epoch,
      body,
      FRAME_HEAD_BYTES + payload,
      this.patience.timeoutMs,
    );
    release(room);
    if (!this.call.started(token, now, this.patience.timeoutMs))
      this.failed(now, "Envoy has no such cluster, or refused the call");
  }

  /** The root on which the call was made is no more. */
  forgetCall(): void {
    if (!this.call.inFlight) return;
    this.call.forget();
    this.release();
  }

  /** When calls began to fail, monotonic nanoseconds; 0 = the last one was answered. */
  get failingSinceNs(): u64 {
    return this.call.failingSinceNs;
  }

  /** The call's answer came, or its failure (`headers` 0). True when it was this one's: the caller pumps once those who waited went on. */
  answered(token: u32, headers: u32, bodyBytes: u32, now: u64): bool {
    if (!this.call.takes(token)) return false;
    const status = headers == 0 ? 0 : responseStatus();
    if (status == 200 && this.take(bodyBytes, now)) {
      this.release();
      this.state.meter.count(TOKENS_OK);
      this.patience.answered(now - this.call.sentNs);
      if (this.call.answered()) info(say("internal tokens come again from ").array(this.state.cluster));
    } else this.failed(now, status == 0 ? "no answer" : "an error status");
    return true;
  }

  private failed(now: u64, why: string): void {
    this.release();
    this.state.meter.count(TOKENS_FAILED);
    this.patience.failed();
    if (!this.call.failed(now)) return;
    warn(
      say("internal tokens of environment ")
        .array(this.state.environment)
        .add(" from ")
        .array(this.state.cluster)
        .add(" failed (")
        .add(why)
        .add("); it is tried again"),
    );
  }

  /** Whose tokens were asked for may be asked for again. */
  private release(): void {
    let at = this.sent + HEAD_BYTES;
    for (; this.sentAsks > 0; this.sentAsks--) {
      const entry = this.cache.find(load<u64>(at), load<u64>(at, 8));
      if (entry != null) entry.flags &= ~ASKED;
      at += ASK_BYTES + load<u16>(at, 26);
    }
  }

  /** Wire ids mean something else from now on. */
  startOver(): void {
    this.call.forget();
    this.gathered = 0;
    this.gatheredBytes = 0;
    this.sentAsks = 0;
    this.cache.clear();
  }

  private take(bodyBytes: u32, now: u64): bool {
    if (bodyBytes < HEAD_BYTES || !callResponseBody(0, bodyBytes)) return false;
    const frame = value();
    if (
      checkFrame(frame, valueBytes()) != FRAME_GOOD ||
      frameType(frame) != FRAME_TOKENS_ANSWER ||
      frameVersion(frame) != this.seq ||
      frameBase(frame) != this.lane ||
      frameBytes(frame) < HEAD_BYTES ||
      load<u32>(frame, FRAME_HEAD_BYTES) != this.sentAsks
    )
      return false;
    let answer = frame + HEAD_BYTES;
    if (!answersWhole(answer, frame + frameBytes(frame), this.sentAsks)) return false;
    this.clock.learn(frameTimeMs(frame), this.call.sentNs, now);
    let ask = this.sent + HEAD_BYTES;
    for (let n = this.sentAsks; n > 0; n--) {
      const entry = this.cache.find(load<u64>(ask), load<u64>(ask, 8));
      if (entry != null && load<u64>(answer) == entry.idA && load<u64>(answer, 8) == entry.idB)
        this.takeOne(entry, answer, now);
      ask += ASK_BYTES + load<u16>(ask, 26);
      answer += ANSWER_BYTES + answerTokenBytes(answer);
    }
    return true;
  }

  private takeOne(entry: TokenEntry, answer: usize, now: u64): void {
    const verdict = answerVerdict(answer);
    if (
      verdict == TOKEN_VERDICT_GRANTED &&
      tokenSound(answer) &&
      this.cache.keep(entry, answerToken(answer), answerTokenBytes(answer))
    ) {
      entry.answer = ANSWER_TOKEN;
      const expiresMs = answerExpiresMs(answer);
      entry.endNs = this.clock.earliestNs(expiresMs > MARGIN_MS ? expiresMs - MARGIN_MS : 0);
      entry.refreshNs = this.clock.earliestNs(answerRefreshMs(answer));
      entry.retryNs = 0;
      return;
    }
    entry.bytes = 0;
    entry.answer = verdict == TOKEN_VERDICT_OFF ? ANSWER_OFF : ANSWER_REFUSED;
    entry.retryNs = now + (verdict == TOKEN_VERDICT_OFF ? OFF_NS : REFUSED_NS);
    if (verdict == TOKEN_VERDICT_TOO_LARGE)
      warn(
        say("an internal token of environment ")
          .array(this.state.environment)
          .add(" would be too large for a header: its consumer has too many claims"),
      );
  }

  free(): void {
    this.cache.free();
    if (this.gathering == 0) return;
    heap.free(this.gathering);
    heap.free(this.sent);
    this.gathering = 0;
    this.sent = 0;
  }
}
