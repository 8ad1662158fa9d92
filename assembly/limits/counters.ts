/** The counters of one environment in this worker: found, made, returned, forgotten. */
import { Workers } from "../gateway/workers";
import { SharedState } from "../gateway/sharedState";
import { pace, returnToCell, takeFromCell } from "./gatewayCounters";
import { ClockBounds } from "./clockBounds";
import {
  ASKED,
  CLOSING,
  Counter,
  GATEWAY,
  IN_FLIGHT,
  LISTED,
  WANT_ASK,
  WANT_CLOSE,
  WANT_NEXT,
  WANT_RETURN,
  lastsFor,
  roll,
} from "./counter";
import { isFirstUse, isPerGateway } from "../wire/records";
import { limitShape } from "../wire/limitRecord";
import { Slab } from "./slab";
import { Wants } from "./wants";

/**
 * What a counter holds goes back to its authority after it has not been used for so long, and its place becomes free. Others who need it
 * sooner have it recalled.
 */
const IDLE_NS: u64 = 60_000_000_000;
/** The same where there is no place for a new one. */
const IDLE_PRESSED_NS: u64 = 10_000_000_000;
/** Places that are looked at in one tick, and when a place is needed. */
const SWEEP: u32 = 2048;
const SEARCH: u32 = 256;
/** The next window is fetched with a spend in the last so much, or the last quarter, of the current one, whichever is shorter. */
const AHEAD_NS: u64 = 15_000_000_000;
/** What isn't needed for so long can wait for the next tick, and the way to control and back. */
const SOON_NS: u64 = 600_000_000;

export class Counters {
  readonly slab: Slab = new Slab(0);
  /** where in the ring of recalls this VM stands */
  heeded: u64 = 0;
  heededWord: u32 = 0;
  /** raised when all counters are forgotten at once: addresses of them mean nothing any more */
  era: u32 = 0;
  /** this VM was woken to make room for more */
  private roomAsked: bool = false;

  /** what the counters have to say to the control plane */
  readonly wants: Wants;
  /** what is known of the control plane's clock */
  readonly clock: ClockBounds = new ClockBounds();

  constructor(
    private state: SharedState,
    private workers: Workers,
  ) {
    this.wants = new Wants(state);
  }

  /** Takes memory ahead of need: requests never do. */
  prepare(): void {
    this.roomAsked = false;
    this.slab.prepare();
  }

  /** The counter of a limit and a subject; null when there is no place for a new one. */
  get(limit: u32, record: usize, standalone: bool, a: u64, b: u64, now: u64): Counter | null {
    let c = this.slab.find(limit, a, b);
    if (c == null) {
      c = this.slab.add(limit, a, b);
      if (!this.roomAsked && this.slab.isLow) {
        this.roomAsked = true;
        this.state.wakeSelf();
      }
      if (c == null) {
        if (!this.makeRoom(now)) return null;
        c = this.slab.add(limit, a, b);
        if (c == null) return null;
      }
      if (standalone || isPerGateway(record)) c.flags |= GATEWAY;
      c.shape = limitShape(record);
      c.record = <u32>record;
    } else if (c.record != <u32>record) this.lookAgain(c, record, standalone, now);
    // One that refuses is in use as well: what it knows to be spent must not be forgotten.
    c.usedNs = now;
    return c;
  }

  /** The limit's record is another one: what was held by the old one goes back when it differs. */
  private lookAgain(c: Counter, record: usize, standalone: bool, now: u64): void {
    c.record = <u32>record;
    c.spentUntilNs = 0;
    c.retryNs = 0;
    const shape = limitShape(record);
    const gateway = standalone || isPerGateway(record);
    if (shape == c.shape && gateway == ((c.flags & GATEWAY) != 0)) return;
    c.shape = shape;
    this.giveBack(c, now);
    c.nextTriedMs = 0;
    c.share = 0;
    if (gateway) c.flags |= GATEWAY;
    else c.flags &= ~GATEWAY;
  }

  /** Asks the authority for at least `need`. False: it can't be asked at all. */
  ask(c: Counter, need: u64, now: u64): bool {
    if (c.need < need) c.need = need;
    if (c.flags & GATEWAY) return takeFromCell(this.state, this.workers, c, c.record, now);
    if ((c.flags & (ASKED | WANT_ASK)) == 0) this.wants.list(c, WANT_ASK);
    return true;
  }

  /** After a spend: fetches more before it runs dry, and the next window before it begins. */
  // @ts-ignore: decorator
  @inline
  fetchAhead(c: Counter, now: u64): void {
    if (c.allowance < c.lowWater || now + AHEAD_NS > c.endNs) this.fetch(c, now);
  }

  private fetch(c: Counter, now: u64): void {
    if (c.flags & GATEWAY) return;
    if (c.allowance < c.lowWater && c.remaining > 0 && (c.flags & (ASKED | WANT_ASK)) == 0) {
      // Asked once for each grant: what is granted sets the mark anew.
      c.lowWater = 0;
      if (lastsFor(c, now, SOON_NS)) this.wants.listLater(c, WANT_ASK);
      else this.wants.list(c, WANT_ASK);
    }
    if (
      now + AHEAD_NS <= c.endNs ||
      c.nextTriedMs == c.startMs ||
      c.nextStartMs != 0 ||
      (c.flags & (WANT_NEXT | IN_FLIGHT)) != 0
    )
      return;
    const quarterNs = (c.endMs - c.startMs) * 250_000;
    if (now + quarterNs <= c.endNs || isFirstUse(c.record)) return;
    c.nextTriedMs = c.startMs;
    if (now + SOON_NS <= c.endNs) this.wants.listLater(c, WANT_NEXT);
    else this.wants.list(c, WANT_NEXT);
  }

  /** The nanoseconds that a limit's smoothing makes `cost` wait, 0 = none, or NO_CELL. Without `take` it only looks. */
  pace(c: Counter, limit: usize, cost: u64, take: bool, now: u64): u64 {
    return pace(this.state, this.workers, c, limit, cost, take, now);
  }

  /** Others in need want what is held here. True when a cell got something back. */
  recall(limit: u32, a: u64, b: u64, now: u64): bool {
    const c = this.slab.find(limit, a, b);
    if (c == null) return false;
    roll(c, now);
    this.giveBack(c, now);
    return (c.flags & GATEWAY) != 0;
  }

  private giveBack(c: Counter, now: u64): void {
    if (c.flags & GATEWAY) {
      if (c.startMs != 0) returnToCell(this.state, this.workers, c, now);
      c.spentUntilNs = 0;
    } else if (c.startMs != 0 || c.nextStartMs != 0) {
      this.wants.list(c, WANT_RETURN);
      c.spentUntilNs = 0;
    }
    c.lowWater = 0;
  }

  returnAll(now: u64): bool {
    let touched = false;
    for (let n = this.slab.places; n > 0; n--) {
      const c = this.slab.step();
      if (c == null) continue;
      this.giveBack(c, now);
      touched = true;
    }
    return touched;
  }

  /** The owner has reset the counter, or granted extra: what was known of it is outdated. */
  renew(limit: u32, a: u64, b: u64, generation: u32, now: u64): void {
    const c = this.slab.find(limit, a, b);
    if (c == null) return;
    if (c.generation < generation) c.generation = generation;
    this.giveBack(c, now);
    c.spentUntilNs = 0;
    c.retryNs = 0;
  }

  /** A snapshot was loaded in which resets may be missing: nothing is known to be spent any more. */
  distrust(): void {
    for (let n = this.slab.places; n > 0; n--) {
      const c = this.slab.step();
      if (c == null) continue;
      c.record = 0;
      c.spentUntilNs = 0;
    }
  }

  /** Control has noted that the counter is forgotten here. */
  closed(c: Counter, now: u64): void {
    c.flags &= ~CLOSING;
    if (
      (c.flags & (LISTED | IN_FLIGHT)) == 0 &&
      c.allowance == 0 &&
      c.nextAllowance == 0 &&
      now - c.usedNs > IDLE_PRESSED_NS
    )
      this.slab.remove(c);
  }

  /** All counters are gone, and what was control's stays spent: a new lane begins. */
  forget(now: u64): void {
    for (let n = this.slab.places; n > 0; n--) {
      const c = this.slab.step();
      if (c != null && (c.flags & GATEWAY) != 0 && c.startMs != 0) returnToCell(this.state, this.workers, c, now);
    }
    if (this.slab.places > 0) {
      this.slab.clear();
      this.slab.prepare();
    }
    this.era++;
  }

  /** Looks at some places: forgets what is over, returns what is idle. */
  sweep(now: u64): void {
    const places = this.slab.places;
    for (let n: u32 = places < SWEEP ? places : SWEEP; n > 0; n--) {
      const c = this.slab.step();
      if (c != null) this.retire(c, now, false);
    }
  }

  /** True when the place is free now. `pressed`: another counter needs it. */
  private retire(c: Counter, now: u64, pressed: bool): bool {
    if ((c.flags & (LISTED | IN_FLIGHT)) != 0) return false;
    const over = now >= c.endNs && (c.nextStartMs == 0 || now >= c.nextEndNs);
    const idle = now - c.usedNs > (pressed ? IDLE_PRESSED_NS : IDLE_NS);
    // Who comes seldom needs a share as well once control is away: it's kept for as long as it may be spent, where there is room.
    const shares = c.share != 0 && !pressed && this.clock.earliestMs(now) < c.shareUntilMs;
    if (over && !shares && (c.share == 0 || idle)) {
      if (now < c.spentUntilNs && !idle) return false;
      this.slab.remove(c);
      return true;
    }
    if (!idle) return false;
    if (c.flags & GATEWAY) {
      if (c.startMs != 0) returnToCell(this.state, this.workers, c, now);
      this.slab.remove(c);
      return true;
    }
    if (!shares) this.wants.listLater(c, WANT_CLOSE);
    else if (c.allowance > 0 || c.nextAllowance > 0) this.wants.listLater(c, WANT_RETURN);
    return false;
  }

  private makeRoom(now: u64): bool {
    for (let n = SEARCH; n > 0; n--) {
      const c = this.slab.step();
      if (c != null && this.retire(c, now, true)) return true;
    }
    return false;
  }
}
