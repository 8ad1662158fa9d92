/**
 * One VM of each Envoy watches control: the holder of the leader lock. It brings frames into shared data, from where the serving VMs
 * take them. When it dies its lease runs out, and another VM goes on where it stopped.
 */
import { OK, callResponseBody, getShared, setShared, value, valueBytes } from "../abi/host";
import { mark, release } from "../abi/memory";
import { ControlCall } from "../gateway/controlCall";
import { callPage, callReport, callWatch, responseStatus } from "../gateway/controlClient";
import {
  Head,
  STATUS_BROKEN,
  STATUS_NEWER_FORMAT,
  STATUS_OK,
  STATUS_REFUSED,
  STATUS_UNREACHABLE,
  SharedState,
} from "../gateway/sharedState";
import { appendLog } from "./deltaLog";
import {
  FRAME_BROKEN,
  FRAME_GOOD,
  FRAME_HEAD_BYTES,
  FRAME_MAX_BYTES,
  FRAME_NEWER,
  checkFrame,
  frameBase,
  frameBytes,
  frameEpoch,
  frameHasMore,
  frameType,
  frameVersion,
  manifestOf,
  pageCount,
  pageIndex,
} from "../wire/frame";
import { LeaderLock } from "./leaderLock";
import { Workers } from "../gateway/workers";
import { postRecalls } from "../gateway/recallRing";
import { SnapshotStaging } from "./snapshotStaging";
import { RECORDS_GOOD, RECORDS_NEWER, checkRecords } from "../snapshot/table";
import { SYNC_FAILED, SYNC_OK, info, say, warn } from "../telemetry";
import { FRAME_DELTA, FRAME_HEARTBEAT, FRAME_MANIFEST, FRAME_PAGE, FRAME_RECALL } from "../wire/enums";

/** A log longer than this is worth a new snapshot. */
const LOG_BYTES_MAX: u64 = 4 << 20;
const PAGES_MAX: u32 = 2048;
const PAGE_TRIES: u32 = 3;
/** Pages of the last generation that are emptied in one tick. */
const TIDY_PAGES: u32 = 32;

const RETRY_LEAST_NS: u64 = 100_000_000;
const RETRY_MOST_NS: u64 = 5_000_000_000;
const REPORT_EVERY_NS: u64 = 250_000_000;
/** A VM that control refuses leaves the lead to others, whose token may be newer, for this long. */
const ABSTAIN_NS: u64 = 2_000_000_000;
const RECALL_BYTES: u32 = 28;

const NOTHING: i32 = 0;
const WATCH: i32 = 1;
const PAGE: i32 = 2;
const NEVER: u32 = 0xffffffff;

/** Puts a frame's recalls where every worker finds them. */
function takeRecalls(state: SharedState, frame: usize): bool {
  const entries = frame + FRAME_HEAD_BYTES + 8;
  const bytes = frameBytes(frame) - FRAME_HEAD_BYTES;
  if (bytes < 8) return false;
  const count = load<u32>(frame, FRAME_HEAD_BYTES);
  if (count == 0 || <u64>count * RECALL_BYTES + 8 > <u64>bytes) return false;
  postRecalls(state, entries, count, RECALL_BYTES);
  return true;
}

export class Leader {
  private lock: LeaderLock;
  private stage: SnapshotStaging;
  private leading: bool = false;
  private abstainUntilNs: u64 = 0;

  private calling: i32 = NOTHING;
  private call: ControlCall = new ControlCall(RETRY_LEAST_NS, RETRY_MOST_NS);
  private pageFailures: u32 = 0;
  /** ask for a snapshot whatever version is there */
  private fresh: bool = false;

  private reportCall: u32 = 0;
  private reportedAtNs: u64 = 0;
  private reported: u64 = 0;
  /** the last state that was logged */
  private said: u32 = NEVER;

  constructor(
    private state: SharedState,
    private workers: Workers,
  ) {
    this.lock = new LeaderLock(state, workers);
    this.stage = new SnapshotStaging(state);
  }

  /** Takes or renews the lease, if it's free, and does what is due. Called from a tick of the runtime's owner. */
  lead(now: u64): void {
    if (!this.hold(now)) {
      this.stop();
      return;
    }
    if (!this.leading) this.begin();
    // Somebody has spoiled it: what this VM read last is as good.
    else if (!this.state.headSound && this.state.head.generation != 0) this.publish();
    this.tidy();
    if (this.call.inFlight) {
      if (this.call.isLost(now)) this.failed(now, STATUS_UNREACHABLE, "no answer");
      else if (this.calling == WATCH) this.report(now);
      return;
    }
    if (!this.call.mayStart(now)) return;
    this.heedResync();
    if (this.stage.active)
      this.start(
        now,
        PAGE,
        this.state.timeoutMs,
        callPage(this.state, this.stage.nextPage, this.stage.epoch, this.stage.version),
      );
    else this.watch(now);
  }

  get leads(): bool {
    return this.leading;
  }

  /** Whether control failed lately, so that the next call is still some time away. */
  waiting(now: u64): bool {
    const retry = this.call.retry;
    return now < retry.atNs || (this.calling == WATCH && retry.whileNs > 0);
  }

  /** Gives the lead up at once, so that another VM need not wait for the lease's end. */
  resign(): void {
    if (this.leading) this.lock.release();
    this.stop();
  }

  /** The root on which calls were made is no more: their answers won't come. */
  forgetCalls(): void {
    this.endCall();
    this.reportCall = 0;
  }

  free(): void {
    this.stage.free();
  }

  private hold(now: u64): bool {
    return now >= this.abstainUntilNs && this.lock.hold(now);
  }

  private stop(): void {
    this.leading = false;
    this.endCall();
    this.stage.active = false;
  }

  private begin(): void {
    this.leading = true;
    if (!this.state.readHead() && this.state.head.generation == 0)
      memory.fill(changetype<usize>(this.state.head), 0, offsetof<Head>());
    this.state.head.term++;
    this.state.writeHead();
    this.call.answered();
    this.stage.resume();
  }

  /** Empties pages of the generation before the current one, some at a time. */
  private tidy(): void {
    const head = this.state.head;
    if (head.oldPages == 0 || this.stage.active) return;
    let left = head.oldPages;
    for (let i: u32 = 0; i < TIDY_PAGES && left > 0; i++) {
      const n = this.state.pageName(head.generation + 1, --left);
      setShared(n.start, n.bytes, 0, 0, 0);
    }
    head.oldPages = left;
    this.publish();
  }

  /** A worker may have found the current generation to be broken. */
  private heedResync(): void {
    const generation = this.state.head.generation;
    const n = this.state.name("resync");
    if (generation != 0 && getShared(n.start, n.bytes) && valueBytes() == 4 && load<u32>(value()) == generation)
      this.fresh = true;
  }

  // ---- calls ---------------------------------------------------------------------------------------------------------------------------

  private endCall(): void {
    this.calling = NOTHING;
    this.call.forget();
  }

  private start(now: u64, what: i32, timeoutMs: u32, token: u32): void {
    this.calling = what;
    if (!this.call.started(token, now, timeoutMs)) {
      this.failed(now, STATUS_UNREACHABLE, "Envoy has no such cluster, or refused the call");
    }
  }

  private watch(now: u64): void {
    const head = this.state.head;
    const have = head.generation != 0 && !this.fresh;
    // The first watch after a silence answers at once, so that it's known whether control is there.
    const waitMs =
      head.contactNs == 0 || head.status != STATUS_OK || this.state.unprovenSinceNs != 0 ? 0 : this.state.waitMs;
    this.takeStock(now);
    this.start(
      now,
      WATCH,
      waitMs + this.state.timeoutMs,
      callWatch(this.state, this.workers, have ? head.epoch : 0, have ? head.version : 0, waitMs),
    );
  }

  /** Between watches: tells control what the workers have applied, when that has changed. */
  private report(now: u64): void {
    if (now - this.reportedAtNs < REPORT_EVERY_NS) return;
    const before = this.reported;
    this.takeStock(now);
    if (this.reported != before) this.reportCall = callReport(this.state, this.workers);
  }

  private takeStock(now: u64): void {
    this.workers.survey(now, false);
    this.reported = this.workers.applied;
    this.reportedAtNs = now;
  }

  /** An answer to a call of the runtime's owner. `headers` 0: the call failed. True when it was this leader's. */
  answered(token: u32, headers: u32, bodyBytes: u32, now: u64): bool {
    if (token == this.reportCall && token != 0) {
      this.reportCall = 0;
      return true;
    }
    if (!this.call.takes(token)) return false;
    const what = this.calling;
    this.calling = NOTHING;
    if (!this.hold(now)) return true;
    this.state.headSound = this.state.readHead();
    const status = headers == 0 ? 0 : responseStatus();
    if (status == 200) {
      if (what == WATCH ? this.watched(bodyBytes, now) : this.paged(bodyBytes, now)) {
        this.call.retry.atNs = 0;
        this.state.meter.count(SYNC_OK);
        // On with the next call in this very callback: a page or a change must not wait for a tick.
        this.lead(now);
      }
    } else if (what == PAGE && status == 410) {
      this.stage.drop();
      this.call.retry.atNs = now + RETRY_LEAST_NS;
    } else if (status == 429) {
      // Another VM would be refused as well: it's the gateway that is one too many.
      this.failed(
        now,
        STATUS_REFUSED,
        "429: the gateway token has as many gateways as it may have; raise TOLLGATE_GATEWAYS_PER_TOKEN",
      );
    } else if (status == 401 || status == 403) {
      this.failed(
        now,
        STATUS_REFUSED,
        status == 401
          ? "401: the gateway token is refused"
          : "403: the gateway token is of another environment, or a gateway of another group has this gateway's id",
      );
      this.abstainUntilNs = now + ABSTAIN_NS;
      this.resign();
    } else
      this.failed(
        now,
        STATUS_UNREACHABLE,
        status == 0 ? "no answer" : "an error status, of control or of Envoy in its place",
      );
    return true;
  }

  /** Waits before the next call, twice as long as the last time; what the workers have stays. */
  private failed(now: u64, status: u32, why: string): void {
    this.calling = NOTHING;
    this.state.meter.count(SYNC_FAILED);
    this.call.failed(now);
    if (this.said != status) {
      this.said = status;
      warn(
        say("sync of environment ")
          .array(this.state.environment)
          .add(" with ")
          .array(this.state.cluster)
          .add(" failed (")
          .add(why)
          .add("); what is loaded stays in force"),
      );
    }
    // What the failed answer has changed in the head so far is thrown away.
    if ((this.state.readHead() || this.state.head.generation == 0) && this.state.head.status != status) {
      this.state.head.status = status;
      this.publish();
    }
  }

  // ---- what arrives --------------------------------------------------------------------------------------------------------------------

  private publish(): bool {
    if (this.state.writeHead()) return true;
    // Somebody else leads by now.
    this.stop();
    return false;
  }

  /** Notes that the head is what control has now. A manifest alone is not enough: its pages may never come. */
  private contact(now: u64): void {
    this.state.head.contactNs = now;
    this.state.head.status = STATUS_OK;
    this.call.retry.whileNs = 0;
    if (this.said != STATUS_OK) {
      this.said = STATUS_OK;
      info(say("in sync with ").array(this.state.cluster).add(", environment ").array(this.state.environment));
    }
  }

  private refuse(now: u64, frameState: i32): bool {
    if (frameState == FRAME_NEWER)
      this.failed(now, STATUS_NEWER_FORMAT, "control speaks a newer format: upgrade the plugin");
    else this.failed(now, STATUS_BROKEN, "a broken answer");
    return false;
  }

  /** What control sent doesn't continue what is here. */
  private startOver(now: u64): bool {
    this.fresh = true;
    return this.refuse(now, FRAME_BROKEN);
  }

  /** Takes the frames of a watch's answer. */
  private watched(bodyBytes: u32, now: u64): bool {
    const head = this.state.head;
    let offset: u32 = 0;
    let reached = head.version;
    let open = false;
    let recalled = false;
    const room = mark();
    while (offset < bodyBytes) {
      release(room);
      const left = bodyBytes - offset;
      // Its head says how much to copy; what it says is believed only once the whole frame is there.
      if (left < FRAME_HEAD_BYTES || !callResponseBody(offset, FRAME_HEAD_BYTES)) return this.refuse(now, FRAME_BROKEN);
      const size = frameBytes(value());
      if (size < FRAME_HEAD_BYTES || size > FRAME_MAX_BYTES || size > left || !callResponseBody(offset, size))
        return this.refuse(now, FRAME_BROKEN);
      const frame = value();
      const state = checkFrame(frame, valueBytes());
      if (state != FRAME_GOOD) return this.refuse(now, state);
      const type = frameType(frame);
      if (type == FRAME_MANIFEST) return this.beginStage(frame, now);
      if (type == FRAME_RECALL) {
        recalled = takeRecalls(this.state, frame) || recalled;
        offset += size;
        continue;
      }
      if (type != FRAME_DELTA && type != FRAME_HEARTBEAT) return this.refuse(now, FRAME_BROKEN);
      if (head.generation == 0 || frameEpoch(frame) != head.epoch) return this.startOver(now);
      if (type == FRAME_DELTA) {
        if (frameBase(frame) > reached) return this.startOver(now);
        const records = checkRecords(frame + FRAME_HEAD_BYTES, frame + frameBytes(frame), true);
        if (records != RECORDS_GOOD) return this.refuse(now, records == RECORDS_NEWER ? FRAME_NEWER : FRAME_BROKEN);
        if (frameVersion(frame) > reached) {
          if (!appendLog(this.state, frame, frameBytes(frame))) return this.startOver(now);
          open = frameHasMore(frame);
          if (!open) reached = frameVersion(frame);
        }
      }
      offset += frameBytes(frame);
    }
    if (open || bodyBytes == 0) return this.refuse(now, FRAME_BROKEN);
    const moved = reached != head.version;
    head.version = reached;
    if (reached >= head.leastVersion) this.contact(now);
    if (!this.publish()) return false;
    if (moved || recalled) this.workers.survey(now, true);
    if (recalled) this.state.wakeSelf();
    if (head.logBytes > LOG_BYTES_MAX) this.fresh = true;
    return true;
  }

  private beginStage(frame: usize, now: u64): bool {
    const manifest = manifestOf(frame);
    if (
      manifest.pageCount == 0 ||
      manifest.pageCount > PAGES_MAX ||
      manifest.totalBytes > <u64>manifest.pageCount * FRAME_MAX_BYTES
    ) {
      return this.refuse(now, FRAME_BROKEN);
    }
    this.fresh = false;
    this.pageFailures = 0;
    return this.stage.begin(frame);
  }

  private paged(bodyBytes: u32, now: u64): bool {
    const stage = this.stage;
    if (bodyBytes > FRAME_MAX_BYTES || !callResponseBody(0, bodyBytes)) return this.pageFailed(now, FRAME_BROKEN);
    const frame = value();
    const state = checkFrame(frame, valueBytes());
    if (state != FRAME_GOOD) return this.pageFailed(now, state);
    if (
      frameType(frame) != FRAME_PAGE ||
      frameBytes(frame) != bodyBytes ||
      frameEpoch(frame) != stage.epoch ||
      frameVersion(frame) != stage.version ||
      pageIndex(frame) != stage.nextPage ||
      pageCount(frame) != stage.manifest.pageCount
    )
      return this.pageFailed(now, FRAME_BROKEN);
    const records = checkRecords(frame + FRAME_HEAD_BYTES, frame + bodyBytes, false);
    if (records != RECORDS_GOOD) return this.pageFailed(now, records == RECORDS_NEWER ? FRAME_NEWER : FRAME_BROKEN);
    const n = this.state.pageName(stage.generation, stage.nextPage);
    if (setShared(n.start, n.bytes, frame, bodyBytes, 0) != OK) return this.pageFailed(now, FRAME_BROKEN);
    this.pageFailures = 0;
    if (!stage.advance()) return false;
    return stage.nextPage < stage.manifest.pageCount || this.finishStage(now);
  }

  private pageFailed(now: u64, frameState: i32): bool {
    if (++this.pageFailures >= PAGE_TRIES || frameState == FRAME_NEWER) this.stage.drop();
    return this.refuse(now, frameState);
  }

  /** All pages are there: the new generation becomes the state. */
  private finishStage(now: u64): bool {
    const head = this.state.head;
    const stage = this.stage;
    const manifest = stage.manifest;
    head.oldPages = head.pages;
    head.generation = stage.generation;
    head.epoch = stage.epoch;
    head.baseVersion = stage.version;
    head.version = stage.version;
    head.leastVersion = stage.leastVersion;
    head.pages = manifest.pageCount;
    head.keyCount = manifest.keyCount;
    head.consumerCount = manifest.consumerCount;
    head.tierCount = manifest.tierCount;
    head.apiCount = manifest.apiCount;
    head.limitCount = manifest.limitCount;
    head.totalBytes = manifest.totalBytes;
    head.chunks = 0;
    head.logBytes = 0;
    if (head.version >= head.leastVersion) this.contact(now);
    stage.drop();
    if (!this.publish()) return false;
    this.workers.survey(now, true);
    return true;
  }
}
