/**
 * One VM of each Envoy watches control: the holder of the feed's lease. It brings frames into shared data, from where the serving VMs
 * take them. When it dies its lease runs out, and another VM goes on where it stopped.
 */
import { OK, callResponseBody, getShared, setShared, value, valueBytes } from "./abi/host";
import { mark, release } from "./abi/memory";
import { Retry } from "./retry";
import { callPage, callReport, callWatch, responseStatus } from "./controlCalls";
import { Feed, Head, STATUS_BROKEN, STATUS_NEWER_FORMAT, STATUS_OK, STATUS_REFUSED, STATUS_UNREACHABLE } from "./feed";
import { appendLog } from "./feedLog";
import {
  FRAME_BROKEN, FRAME_GOOD, FRAME_HEAD_BYTES, FRAME_MAX_BYTES, FRAME_NEWER, checkFrame, frameBase, frameBytes, frameEpoch, frameHasMore,
  frameType, frameVersion, manifestOf, pageCount, pageIndex,
} from "./frame";
import { FRAME_DELTA, FRAME_HEARTBEAT, FRAME_MANIFEST, FRAME_PAGE, FRAME_RECALL } from "./wire/enums";
import { Lease } from "./lease";
import { postRecalls } from "./limits/recalls";
import { Stage } from "./stage";
import { RECORDS_GOOD, RECORDS_NEWER, checkRecords } from "./table";
import { SYNC_FAILED, SYNC_OK, info, say, warn } from "./telemetry";

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
/** Envoy ends a call at its timeout; one that has not ended then is lost. */
const CALL_GRACE_NS: u64 = 2_000_000_000;

const RECALL_BYTES: u32 = 28;

const NOTHING: i32 = 0;
const WATCH: i32 = 1;
const PAGE: i32 = 2;
const NEVER: u32 = 0xffffffff;

/** Puts a frame's recalls where every worker finds them. */
function takeRecalls(feed: Feed, frame: usize): bool {
  const entries = frame + FRAME_HEAD_BYTES + 8;
  const bytes = frameBytes(frame) - FRAME_HEAD_BYTES;
  if (bytes < 8) return false;
  const count = load<u32>(frame, FRAME_HEAD_BYTES);
  if (count == 0 || <u64>count * RECALL_BYTES + 8 > <u64>bytes) return false;
  postRecalls(feed, entries, count, RECALL_BYTES);
  return true;
}

export class Leader {
  private leading: bool = false;
  private lease: Lease = new Lease();
  private stage: Stage = new Stage();
  private abstainUntilNs: u64 = 0;

  private calling: i32 = NOTHING;
  private call: u32 = 0;
  private callDeadlineNs: u64 = 0;
  private retry: Retry = new Retry(RETRY_LEAST_NS, RETRY_MOST_NS);
  private pageFailures: u32 = 0;
  /** ask for a snapshot whatever version is there */
  private fresh: bool = false;

  private reportCall: u32 = 0;
  private reportedAtNs: u64 = 0;
  private reported: u64 = 0;
  /** the last state that was logged */
  private said: u32 = NEVER;

  /** Takes or renews the lease, if it's free, and does what is due. Called from a tick of the feed's owner. */
  lead(feed: Feed, now: u64): void {
    if (!this.hold(feed, now)) {
      this.stop();
      return;
    }
    if (!this.leading) this.begin(feed);
    // Somebody has spoiled it: what this VM read last is as good.
    else if (!feed.headSound && feed.head.generation != 0) this.publish(feed);
    this.tidy(feed);
    if (this.calling != NOTHING) {
      if (now > this.callDeadlineNs) this.failed(feed, now, STATUS_UNREACHABLE, "no answer");
      else if (this.calling == WATCH) this.report(feed, now);
      return;
    }
    if (now < this.retry.atNs) return;
    this.heedResync(feed);
    if (this.stage.active) this.start(feed, now, PAGE, feed.timeoutMs, callPage(feed, this.stage.nextPage, this.stage.epoch, this.stage.version));
    else this.watch(feed, now);
  }

  get leads(): bool { return this.leading; }

  /** Whether control failed lately, so that the next call is still some time away. */
  waiting(now: u64): bool {
    return now < this.retry.atNs || (this.calling == WATCH && this.retry.whileNs > 0);
  }

  /** Gives the lead up at once, so that another VM need not wait for the lease's end. */
  resign(feed: Feed): void {
    if (this.leading) this.lease.release(feed);
    this.stop();
  }

  /** The root on which calls were made is no more: their answers won't come. */
  forgetCalls(): void {
    this.calling = NOTHING;
    this.call = 0;
    this.reportCall = 0;
  }

  free(): void {
    this.stage.free();
  }

  private hold(feed: Feed, now: u64): bool {
    return now >= this.abstainUntilNs && this.lease.hold(feed, now);
  }

  private stop(): void {
    this.leading = false;
    this.calling = NOTHING;
    this.stage.active = false;
  }

  private begin(feed: Feed): void {
    this.leading = true;
    if (!feed.readHead() && feed.head.generation == 0) memory.fill(changetype<usize>(feed.head), 0, offsetof<Head>());
    feed.head.term++;
    feed.writeHead();
    this.retry.answered();
    this.stage.resume(feed);
  }

  /** Empties pages of the generation before the current one, some at a time. */
  private tidy(feed: Feed): void {
    const head = feed.head;
    if (head.oldPages == 0 || this.stage.active) return;
    let left = head.oldPages;
    for (let i: u32 = 0; i < TIDY_PAGES && left > 0; i++) {
      const n = feed.pageName(head.generation + 1, --left);
      setShared(n.start, n.bytes, 0, 0, 0);
    }
    head.oldPages = left;
    this.publish(feed);
  }

  /** A worker may have found the current generation to be broken. */
  private heedResync(feed: Feed): void {
    const generation = feed.head.generation;
    const n = feed.name("resync");
    if (generation != 0 && getShared(n.start, n.bytes) && valueBytes() == 4 && load<u32>(value()) == generation) this.fresh = true;
  }

  // ---- calls ---------------------------------------------------------------------------------------------------------------------------

  private start(feed: Feed, now: u64, what: i32, timeoutMs: u32, call: u32): void {
    if (call == 0) {
      this.failed(feed, now, STATUS_UNREACHABLE, "Envoy has no such cluster, or refused the call");
      return;
    }
    this.call = call;
    this.calling = what;
    this.callDeadlineNs = now + <u64>timeoutMs * 1_000_000 + CALL_GRACE_NS;
  }

  private watch(feed: Feed, now: u64): void {
    const head = feed.head;
    const have = head.generation != 0 && !this.fresh;
    // The first watch after a silence answers at once, so that it's known whether control is there.
    const waitMs = head.contactNs == 0 || head.status != STATUS_OK || feed.unprovenSinceNs != 0 ? 0 : feed.waitMs;
    this.takeStock(feed, now);
    this.start(feed, now, WATCH, waitMs + feed.timeoutMs, callWatch(feed, have ? head.epoch : 0, have ? head.version : 0, waitMs));
  }

  /** Between watches: tells control what the workers have applied, when that has changed. */
  private report(feed: Feed, now: u64): void {
    if (now - this.reportedAtNs < REPORT_EVERY_NS) return;
    const before = this.reported;
    this.takeStock(feed, now);
    if (this.reported != before) this.reportCall = callReport(feed);
  }

  private takeStock(feed: Feed, now: u64): void {
    feed.members.survey(feed, now, false);
    this.reported = feed.members.applied;
    this.reportedAtNs = now;
  }

  /** An answer to a call of this feed's owner. `headers` 0: the call failed. True when it was this leader's. */
  answered(feed: Feed, token: u32, headers: u32, bodyBytes: u32, now: u64): bool {
    if (token == this.reportCall && token != 0) {
      this.reportCall = 0;
      return true;
    }
    if (token != this.call || this.calling == NOTHING) return false;
    const what = this.calling;
    this.calling = NOTHING;
    this.call = 0;
    if (!this.hold(feed, now)) return true;
    feed.headSound = feed.readHead();
    const status = headers == 0 ? 0 : responseStatus();
    if (status == 200) {
      if (what == WATCH ? this.watched(feed, bodyBytes, now) : this.paged(feed, bodyBytes, now)) {
        this.retry.atNs = 0;
        feed.meter.count(SYNC_OK);
        // On with the next call in this very callback: a page or a change must not wait for a tick.
        this.lead(feed, now);
      }
    } else if (what == PAGE && status == 410) {
      this.stage.drop(feed);
      this.retry.atNs = now + RETRY_LEAST_NS;
    } else if (status == 401 || status == 403) {
      this.failed(feed, now, STATUS_REFUSED, status == 401 ? "401: the gateway token is refused" : "403: the gateway token is of another environment");
      this.abstainUntilNs = now + ABSTAIN_NS;
      this.resign(feed);
    } else this.failed(feed, now, STATUS_UNREACHABLE, status == 0 ? "no answer" : "an error status, of control or of Envoy in its place");
    return true;
  }

  /** Waits before the next call, twice as long as the last time; what the workers have stays. */
  private failed(feed: Feed, now: u64, status: u32, why: string): void {
    this.calling = NOTHING;
    this.call = 0;
    feed.meter.count(SYNC_FAILED);
    this.retry.failed(now);
    if (this.said != status) {
      this.said = status;
      warn(say("sync of environment ").array(feed.environment).add(" with ").array(feed.cluster).add(" failed (").add(why).add("); what is loaded stays in force"));
    }
    // What the failed answer has changed in the head so far is thrown away.
    if ((feed.readHead() || feed.head.generation == 0) && feed.head.status != status) {
      feed.head.status = status;
      this.publish(feed);
    }
  }

  // ---- what arrives --------------------------------------------------------------------------------------------------------------------

  private publish(feed: Feed): bool {
    if (feed.writeHead()) return true;
    // Somebody else leads by now.
    this.stop();
    return false;
  }

  /** Notes that the feed's head is what control has now. A manifest alone is not enough: its pages may never come. */
  private contact(feed: Feed, now: u64): void {
    feed.head.contactNs = now;
    feed.head.status = STATUS_OK;
    this.retry.whileNs = 0;
    if (this.said != STATUS_OK) {
      this.said = STATUS_OK;
      info(say("in sync with ").array(feed.cluster).add(", environment ").array(feed.environment));
    }
  }

  private refuse(feed: Feed, now: u64, frameState: i32): bool {
    if (frameState == FRAME_NEWER) this.failed(feed, now, STATUS_NEWER_FORMAT, "control speaks a newer format: upgrade the plugin");
    else this.failed(feed, now, STATUS_BROKEN, "a broken answer");
    return false;
  }

  /** What control sent doesn't continue what is here. */
  private startOver(feed: Feed, now: u64): bool {
    this.fresh = true;
    return this.refuse(feed, now, FRAME_BROKEN);
  }

  /** Takes the frames of a watch's answer. */
  private watched(feed: Feed, bodyBytes: u32, now: u64): bool {
    const head = feed.head;
    let offset: u32 = 0;
    let reached = head.version;
    let open = false;
    let recalled = false;
    const room = mark();
    while (offset < bodyBytes) {
      release(room);
      const left = bodyBytes - offset;
      // Its head says how much to copy; what it says is believed only once the whole frame is there.
      if (left < FRAME_HEAD_BYTES || !callResponseBody(offset, FRAME_HEAD_BYTES)) return this.refuse(feed, now, FRAME_BROKEN);
      const size = frameBytes(value());
      if (size < FRAME_HEAD_BYTES || size > FRAME_MAX_BYTES || size > left || !callResponseBody(offset, size)) return this.refuse(feed, now, FRAME_BROKEN);
      const frame = value();
      const state = checkFrame(frame, valueBytes());
      if (state != FRAME_GOOD) return this.refuse(feed, now, state);
      const type = frameType(frame);
      if (type == FRAME_MANIFEST) return this.beginStage(feed, frame, now);
      if (type == FRAME_RECALL) {
        recalled = takeRecalls(feed, frame) || recalled;
        offset += size;
        continue;
      }
      if (type != FRAME_DELTA && type != FRAME_HEARTBEAT) return this.refuse(feed, now, FRAME_BROKEN);
      if (head.generation == 0 || frameEpoch(frame) != head.epoch) return this.startOver(feed, now);
      if (type == FRAME_DELTA) {
        if (frameBase(frame) > reached) return this.startOver(feed, now);
        const records = checkRecords(frame + FRAME_HEAD_BYTES, frame + frameBytes(frame), true);
        if (records != RECORDS_GOOD) return this.refuse(feed, now, records == RECORDS_NEWER ? FRAME_NEWER : FRAME_BROKEN);
        if (frameVersion(frame) > reached) {
          if (!appendLog(feed, frame, frameBytes(frame))) return this.startOver(feed, now);
          open = frameHasMore(frame);
          if (!open) reached = frameVersion(frame);
        }
      }
      offset += frameBytes(frame);
    }
    if (open || bodyBytes == 0) return this.refuse(feed, now, FRAME_BROKEN);
    const moved = reached != head.version;
    head.version = reached;
    if (reached >= head.leastVersion) this.contact(feed, now);
    if (!this.publish(feed)) return false;
    if (moved || recalled) feed.members.survey(feed, now, true);
    if (recalled) feed.wakeSelf();
    if (head.logBytes > LOG_BYTES_MAX) this.fresh = true;
    return true;
  }

  private beginStage(feed: Feed, frame: usize, now: u64): bool {
    const manifest = manifestOf(frame);
    if (manifest.pageCount == 0 || manifest.pageCount > PAGES_MAX || manifest.totalBytes > <u64>manifest.pageCount * FRAME_MAX_BYTES) {
      return this.refuse(feed, now, FRAME_BROKEN);
    }
    this.fresh = false;
    this.pageFailures = 0;
    return this.stage.begin(feed, frame);
  }

  private paged(feed: Feed, bodyBytes: u32, now: u64): bool {
    const stage = this.stage;
    if (bodyBytes > FRAME_MAX_BYTES || !callResponseBody(0, bodyBytes)) return this.pageFailed(feed, now, FRAME_BROKEN);
    const frame = value();
    const state = checkFrame(frame, valueBytes());
    if (state != FRAME_GOOD) return this.pageFailed(feed, now, state);
    if (frameType(frame) != FRAME_PAGE || frameBytes(frame) != bodyBytes || frameEpoch(frame) != stage.epoch || frameVersion(frame) != stage.version ||
      pageIndex(frame) != stage.nextPage || pageCount(frame) != stage.manifest.pageCount) return this.pageFailed(feed, now, FRAME_BROKEN);
    const records = checkRecords(frame + FRAME_HEAD_BYTES, frame + bodyBytes, false);
    if (records != RECORDS_GOOD) return this.pageFailed(feed, now, records == RECORDS_NEWER ? FRAME_NEWER : FRAME_BROKEN);
    const n = feed.pageName(stage.generation, stage.nextPage);
    if (setShared(n.start, n.bytes, frame, bodyBytes, 0) != OK) return this.pageFailed(feed, now, FRAME_BROKEN);
    this.pageFailures = 0;
    if (!stage.advance(feed)) return false;
    return stage.nextPage < stage.manifest.pageCount || this.finishStage(feed, now);
  }

  private pageFailed(feed: Feed, now: u64, frameState: i32): bool {
    if (++this.pageFailures >= PAGE_TRIES || frameState == FRAME_NEWER) this.stage.drop(feed);
    return this.refuse(feed, now, frameState);
  }

  /** All pages are there: the new generation becomes the feed's state. */
  private finishStage(feed: Feed, now: u64): bool {
    const head = feed.head;
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
    if (head.version >= head.leastVersion) this.contact(feed, now);
    stage.drop(feed);
    if (!this.publish(feed)) return false;
    feed.members.survey(feed, now, true);
    return true;
  }
}
