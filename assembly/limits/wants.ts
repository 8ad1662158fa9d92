/**
 * What this worker's counters have to say to the control plane: counters enter themselves, the lease session takes them out in order and says
 * it with its next call.
 */
import { SharedState } from "../gateway/sharedState";
import { Counter, LISTED } from "./counter";

/** So many that can wait are worth a call before the next tick. */
const LATER_MOST: u32 = 512;

export class Wants {
  private listHead: usize = 0;
  private listTail: usize = 0;
  private wakeAsked: bool = false;
  /** a request waits for what is listed */
  private urgent: bool = false;
  /** listed since the last call, of what can wait */
  private later: u32 = 0;
  /** A call is open: its answer starts the next one, so nothing needs to be woken. */
  sessionBusy: bool = false;

  constructor(private state: SharedState) {}

  /** The counter has something to say with the next call, which starts as soon as this VM's event is over. */
  list(c: Counter, wants: u32): void {
    this.enter(c, wants);
    this.urgent = true;
    this.wake();
  }

  /** As `list`, for what can wait for the next tick: many counters share a call then, and the control plane's transaction. */
  listLater(c: Counter, wants: u32): void {
    this.enter(c, wants);
    if (++this.later == LATER_MOST) this.wake();
  }

  /** Whether a call is due before the next tick. */
  get pressing(): bool {
    return this.urgent || this.later >= LATER_MOST;
  }

  get empty(): bool {
    return this.listHead == 0;
  }

  /** The counter that has waited longest, no longer linked. There must be one. */
  next(): Counter {
    const c = changetype<Counter>(this.listHead);
    this.listHead = c.listNext;
    if (this.listHead == 0) this.listTail = 0;
    c.listNext = 0;
    return c;
  }

  /** A call has taken what fits: what is still listed goes with the very next one. */
  taken(): void {
    this.urgent = this.listHead != 0;
    this.later = 0;
  }

  /** This VM's event is over, or a tick came: the next entry may wake it again. */
  attended(): void {
    this.wakeAsked = false;
  }

  clear(): void {
    this.listHead = 0;
    this.listTail = 0;
    this.urgent = false;
    this.later = 0;
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

  private wake(): void {
    if (this.wakeAsked || this.sessionBusy) return;
    this.wakeAsked = true;
    this.state.wakeSelf();
  }
}
