/**
 * Keeps a serving VM's table at the head of shared data: loads a generation's pages into a table aside, then goes along with the log. Works in
 * slices, so that a worker's other streams never wait longer than one.
 */
import { getShared, setShared, value, valueBytes } from "../abi/host";
import { mark, release, scratch } from "../abi/memory";
import { monotonicNs } from "../abi/wasi";
import { Head, SharedState } from "../gateway/sharedState";
import {
  FRAME_GOOD,
  FRAME_HEAD_BYTES,
  Manifest,
  checkFrame,
  frameBase,
  frameBytes,
  frameEpoch,
  frameHasMore,
  frameType,
  frameVersion,
  pageCount,
  pageIndex,
} from "../wire/frame";
import { COUNTER, FRAME_DELTA, FRAME_PAGE } from "../wire/enums";
import { readRecord, recordBody, recordEnd, recordType } from "../wire/recordHead";
import { Counters } from "../limits/counters";
import { APPLIED, APPLY_FULL, RECORDS_GOOD, Table, applyCursor, checkRecords } from "../snapshot/table";
import { say, warn } from "../telemetry";
import { counterGeneration, counterLimit, counterSubject } from "../wire/records";

const SLICE_NS: u64 = 1_500_000;
/** Room for records that come by deltas; doubled whenever a table turns out to be too small. */
const EXTRA_LEAST: u32 = 1024;
const EXTRA_MOST: u32 = 1 << 22;

const STEP_DONE: i32 = 0;
const STEP_MORE: i32 = 1;
/** The table has no room: build another. */
const STEP_REBUILD: i32 = 2;
/** What lies in shared data can't be used: a new generation is needed. */
const STEP_BROKEN: i32 = 3;

/** A place in a generation's pages and log, and the records that are being applied. */
class Cursor {
  page: u32 = 0;
  chunk: u32 = 0;
  offset: u32 = 0;
  /** records still to be applied */
  at: usize = 0;
  end: usize = 0;
  /** the version that is reached with the last of them */
  version: u64 = 0;
}

/** At the log's end the table must be what the head says: it's written after the log. */
function reachedHead(table: Table, head: Head): i32 {
  return table.version < head.version ? STEP_BROKEN : STEP_DONE;
}

/** Heeds a delta's news of counters; a table that is built anew forgets what it knew of them. */
function renewCounters(counters: Counters, at: usize, end: usize): void {
  while (at < end && readRecord(at, end)) {
    at = recordEnd;
    const body = recordBody;
    if (recordType == COUNTER)
      counters.renew(
        counterLimit(body),
        load<u64>(counterSubject(body)),
        load<u64>(counterSubject(body), 8),
        counterGeneration(body),
        monotonicNs(),
      );
  }
}

export class Follower {
  /** the generation of the current table, and where it stands in the log */
  private generation: u32 = 0;
  private cursor: Cursor = new Cursor();

  /** the table that is being built aside, for which generation, and where that stands */
  private aside: Table | null = null;
  private asideGeneration: u32 = 0;
  private asideCursor: Cursor = new Cursor();
  private cleared: bool = false;

  private extra: u32 = EXTRA_LEAST;
  private rebuild: bool = false;
  /** names that some API has needed */
  private names: u32 = 0;
  private brokenGeneration: u32 = 0;

  constructor(
    private state: SharedState,
    private counters: Counters,
  ) {}

  /** Whether the head is ahead of the table. */
  behind(): bool {
    const head = this.state.head;
    if (head.generation == 0 || head.generation == this.brokenGeneration) return false;
    const table = this.state.table;
    return (
      table == null ||
      this.rebuild ||
      this.generation != head.generation ||
      table.version < head.version ||
      this.cursor.end != 0
    );
  }

  /** Whether the table is all that the head says. */
  upToDate(): bool {
    const table = this.state.table;
    return (
      table != null &&
      this.generation == this.state.head.generation &&
      this.cursor.end == 0 &&
      table.version >= this.state.head.version
    );
  }

  /** Works for one slice. True when there is more to do at once. */
  follow(): bool {
    if (!this.state.serving || !this.behind()) return false;
    const until = monotonicNs() + SLICE_NS;
    const table = this.state.table;
    if (table != null && !this.rebuild && this.generation == this.state.head.generation)
      return this.goAlong(table, until);
    return this.build(until);
  }

  private goAlong(table: Table, until: u64): bool {
    const step = this.applyLog(table, this.cursor, until);
    if (step == STEP_MORE) return true;
    if (step == STEP_DONE && table.refreshRouter()) return false;
    if (step == STEP_BROKEN) this.reportBroken();
    else {
      this.names |= table.lacks;
      this.rebuild = true;
    }
    return step != STEP_BROKEN;
  }

  private build(until: u64): bool {
    const head = this.state.head;
    let aside = this.aside;
    if (aside == null || this.asideGeneration != head.generation) {
      this.dropAside();
      aside = this.beginAside();
      if (aside == null) return false;
    }
    if (!this.cleared) {
      while (!aside.clear()) if (monotonicNs() > until) return true;
      this.cleared = true;
    }
    let step = this.loadPages(aside, this.asideCursor, until);
    if (step == STEP_DONE) step = this.applyLog(aside, this.asideCursor, until);
    if (step == STEP_DONE && !aside.refreshRouter()) step = STEP_REBUILD;
    if (step == STEP_MORE) return true;
    if (step == STEP_REBUILD && aside.lacks != 0) {
      this.names |= aside.lacks;
      this.dropAside();
      return true;
    }
    if (step == STEP_REBUILD) {
      this.dropAside();
      if (this.extra >= EXTRA_MOST) {
        this.reportBroken();
        return false;
      }
      this.extra <<= 1;
      return true;
    }
    if (step == STEP_BROKEN) {
      this.dropAside();
      this.reportBroken();
      return false;
    }
    // The old table goes on until the new one is as new as control was: nothing revoked since may come back for a moment.
    if (aside.version < head.leastVersion) return false;
    const old = this.state.table;
    this.state.table = aside;
    this.state.confirmedNs = head.contactNs;
    if (old != null) old.free();
    this.generation = this.asideGeneration;
    this.cursor = this.asideCursor;
    this.asideCursor = new Cursor();
    this.aside = null;
    this.rebuild = false;
    this.brokenGeneration = 0;
    return this.behind();
  }

  private beginAside(): Table | null {
    const head = this.state.head;
    const table = new Table();
    const manifest = changetype<Manifest>(scratch(offsetof<Manifest>()));
    manifest.keyCount = head.keyCount;
    manifest.consumerCount = head.consumerCount;
    manifest.tierCount = head.tierCount;
    manifest.apiCount = head.apiCount;
    manifest.limitCount = head.limitCount;
    manifest.totalBytes = head.totalBytes;
    if (!table.reserve(manifest, this.extra, this.names)) {
      table.free();
      this.brokenGeneration = head.generation;
      warn(say("no memory for a snapshot of ").num(head.keyCount).add(" keys; the old one stays"));
      return null;
    }
    table.epoch = head.epoch;
    table.version = head.baseVersion;
    this.aside = table;
    this.asideGeneration = head.generation;
    this.asideCursor = new Cursor();
    this.cleared = false;
    return table;
  }

  /** Gives up the table that is being built. */
  dropAside(): void {
    const aside = this.aside;
    if (aside != null) aside.free();
    this.aside = null;
  }

  private loadPages(table: Table, cursor: Cursor, until: u64): i32 {
    const head = this.state.head;
    while (true) {
      if (cursor.end != 0) {
        const step = this.applyPending(table, cursor, until);
        if (step != STEP_DONE) return step;
      }
      if (cursor.page >= head.pages) return STEP_DONE;
      if (monotonicNs() > until) return STEP_MORE;
      const room = mark();
      const n = this.state.pageName(this.asideGeneration, cursor.page);
      if (!getShared(n.start, n.bytes)) return STEP_BROKEN;
      const frame = value();
      const bytes = valueBytes();
      if (
        checkFrame(frame, bytes) != FRAME_GOOD ||
        frameType(frame) != FRAME_PAGE ||
        frameEpoch(frame) != head.epoch ||
        frameVersion(frame) != head.baseVersion ||
        pageIndex(frame) != cursor.page ||
        pageCount(frame) != head.pages ||
        checkRecords(frame + FRAME_HEAD_BYTES, frame + frameBytes(frame), false) != RECORDS_GOOD
      )
        return STEP_BROKEN;
      const payload = frameBytes(frame) - FRAME_HEAD_BYTES;
      if (payload > 0) {
        const at = table.region(payload);
        if (at == 0) return STEP_REBUILD;
        memory.copy(at, frame + FRAME_HEAD_BYTES, payload);
        cursor.at = at;
        cursor.end = at + payload;
        cursor.version = table.version;
      }
      cursor.page++;
      release(room);
    }
  }

  private applyPending(table: Table, cursor: Cursor, until: u64): i32 {
    while (true) {
      const result = table.apply(cursor.at, cursor.end);
      if (result == APPLY_FULL) return STEP_REBUILD;
      if (result == APPLIED) break;
      cursor.at = applyCursor;
      if (monotonicNs() > until) return STEP_MORE;
    }
    cursor.at = 0;
    cursor.end = 0;
    table.version = cursor.version;
    return STEP_DONE;
  }

  private applyLog(table: Table, cursor: Cursor, until: u64): i32 {
    const head = this.state.head;
    while (true) {
      if (cursor.end != 0) {
        const step = this.applyPending(table, cursor, until);
        if (step != STEP_DONE) return step;
      }
      if (cursor.chunk >= head.chunks) return reachedHead(table, head);
      const room = mark();
      const n = this.state.chunkName(head.generation, cursor.chunk);
      if (!getShared(n.start, n.bytes)) return STEP_BROKEN;
      const chunk = value();
      const bytes = valueBytes();
      if (cursor.offset > bytes) return STEP_BROKEN;
      while (cursor.offset < bytes) {
        if (monotonicNs() > until) return STEP_MORE;
        const frame = chunk + cursor.offset;
        if (
          checkFrame(frame, bytes - cursor.offset) != FRAME_GOOD ||
          frameType(frame) != FRAME_DELTA ||
          frameEpoch(frame) != head.epoch
        )
          return STEP_BROKEN;
        // A delta holds final states, so one that begins before the table's version may be applied again; one that begins after it may not.
        if (frameBase(frame) > table.version) return STEP_BROKEN;
        const size = frameBytes(frame);
        if (frameVersion(frame) > table.version) {
          const step = this.takeDelta(frame, table, cursor);
          if (step != STEP_DONE) return step;
        }
        cursor.offset += size;
        if (cursor.end != 0) {
          const step = this.applyPending(table, cursor, until);
          if (step != STEP_DONE) return step;
        }
      }
      if (cursor.chunk + 1 >= head.chunks) return reachedHead(table, head);
      cursor.chunk++;
      cursor.offset = 0;
      release(room);
    }
  }

  private takeDelta(frame: usize, table: Table, cursor: Cursor): i32 {
    const from = frame + FRAME_HEAD_BYTES;
    const payload = frameBytes(frame) - FRAME_HEAD_BYTES;
    if (checkRecords(from, from + payload, true) != RECORDS_GOOD) return STEP_BROKEN;
    const reached = frameHasMore(frame) ? table.version : frameVersion(frame);
    if (payload == 0) {
      table.version = reached;
      return STEP_DONE;
    }
    const at = table.append(from, payload);
    if (at == 0) return STEP_REBUILD;
    cursor.at = at;
    cursor.end = at + payload;
    cursor.version = reached;
    if (table == this.state.table) renewCounters(this.counters, from, from + payload);
    return STEP_DONE;
  }

  /** Tells the leader that this generation can't be read, and leaves it alone from then on. */
  private reportBroken(): void {
    const generation = this.state.head.generation;
    this.brokenGeneration = generation;
    const at = scratch(4);
    if (at == 0) return;
    store<u32>(at, generation);
    const n = this.state.name("resync");
    setShared(n.start, n.bytes, at, 4, 0);
    warn(say("the snapshot in shared data can't be read: asking for a new one; the old state stays"));
  }
}
