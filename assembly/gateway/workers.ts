/**
 * The VMs of one Envoy that share its state for one environment. Each holds a numbered slot in shared data and a queue of that number, by which others
 * wake it. A slot whose VM has not been seen for a while is taken over.
 *
 * ```
 *   slot:  u64 nonce | u64 seenNs | u64 applied version | u32 serving | u32 0
 * ```
 */
import {
  CREATE,
  OK,
  cas,
  getShared,
  registerQueue,
  resolveQueue,
  setShared,
  value,
  valueBytes,
  wake,
} from "../abi/host";
import { scratch } from "../abi/memory";
import { random64 } from "../abi/wasi";
import { SharedState } from "./sharedState";

export const SLOTS: u32 = 256;
const SLOT_BYTES: u32 = 32;
const SEEN_EVERY_NS: u64 = 1_000_000_000;
const ALIVE_NS: u64 = 5_000_000_000;
const GONE_NS: u64 = 15_000_000_000;
export const NO_SLOT: u32 = 0xffffffff;

export class Workers {
  constructor(private state: SharedState) {}

  private slot: u32 = NO_SLOT;
  private nonce: u64 = 0;
  private wroteNs: u64 = 0;
  private wroteApplied: u64 = 0;
  private wroteServing: bool = false;
  private queueRoot: u32 = 0;

  /** lowest version that a serving VM applied, and how many serve: set by `survey` */
  applied: u64 = 0;
  serving: u32 = 0;

  /** This VM's slot, or NO_SLOT. */
  get place(): u32 {
    return this.slot;
  }

  /** Whether there was ever a VM in a slot. */
  known(slot: u32): bool {
    const n = this.state.name("v").num(slot);
    return slot < SLOTS && getShared(n.start, n.bytes);
  }

  /** Whether the VM of a slot is gone for good. */
  gone(slot: u32, now: u64): bool {
    const n = this.state.name("v").num(slot);
    return (
      getShared(n.start, n.bytes) &&
      valueBytes() == SLOT_BYTES &&
      now > load<u64>(value(), 8) &&
      now - load<u64>(value(), 8) > GONE_NS
    );
  }

  /** This VM among all that ever took part. */
  get identity(): u64 {
    if (this.nonce == 0) this.nonce = random64() | 1;
    return this.nonce;
  }

  /** Takes a slot, says that this VM is alive, and listens on its queue as `root`. */
  keep(root: u32, now: u64): void {
    if (this.slot == NO_SLOT && !this.take(now)) return;
    if (this.queueRoot != root) {
      const n = this.state.name("q").num(this.slot);
      this.state.queue = registerQueue(n.start, n.bytes);
      this.queueRoot = root;
    }
    const table = this.state.table;
    const applied = table == null ? 0 : table.version;
    if (now - this.wroteNs < SEEN_EVERY_NS && applied == this.wroteApplied && this.state.serving == this.wroteServing)
      return;
    const n = this.state.name("v").num(this.slot);
    // Another VM's nonce in the slot: it took this VM for gone. Start over with a slot of its own.
    if (getShared(n.start, n.bytes) && valueBytes() == SLOT_BYTES && load<u64>(value()) != this.nonce) {
      this.slot = NO_SLOT;
      this.queueRoot = 0;
      this.state.queue = 0;
      return;
    }
    this.write(this.slot, now, applied, cas());
    this.wroteNs = now;
    this.wroteApplied = applied;
    this.wroteServing = this.state.serving;
  }

  private take(now: u64): bool {
    this.identity;
    for (let i: u32 = 0; i < SLOTS; i++) {
      const n = this.state.name("v").num(i);
      let expected = CREATE;
      if (getShared(n.start, n.bytes)) {
        if (valueBytes() == SLOT_BYTES && now - load<u64>(value(), 8) < GONE_NS) continue;
        expected = cas();
      }
      if (this.write(i, now, 0, expected)) {
        this.slot = i;
        return true;
      }
    }
    return false;
  }

  private write(slot: u32, now: u64, applied: u64, expected: u32): bool {
    const at = scratch(SLOT_BYTES);
    if (at == 0) return false;
    store<u64>(at, this.nonce);
    store<u64>(at, now, 8);
    store<u64>(at, applied, 16);
    store<u64>(at, this.state.serving ? 1 : 0, 24);
    const n = this.state.name("v").num(slot);
    return setShared(n.start, n.bytes, at, SLOT_BYTES, expected) == OK;
  }

  /** Looks at all members: how far the serving ones are. With `waken`, wakes the serving ones but this. */
  survey(now: u64, waken: bool): void {
    let lowest: u64 = u64.MAX_VALUE;
    let workers: u32 = 0;
    let misses = 0;
    for (let i: u32 = 0; i < SLOTS && misses < 2; i++) {
      const n = this.state.name("v").num(i);
      if (!getShared(n.start, n.bytes)) {
        misses++;
        continue;
      }
      if (valueBytes() != SLOT_BYTES) continue;
      const at = value();
      if (now - load<u64>(at, 8) > ALIVE_NS || load<u32>(at, 24) == 0) continue;
      workers++;
      const applied = load<u64>(at, 16);
      if (applied < lowest) lowest = applied;
      if (waken && i != this.slot) {
        const q = this.state.name("q").num(i);
        const token = resolveQueue(q.start, q.bytes);
        if (token != 0) wake(token);
      }
    }
    this.applied = workers == 0 ? 0 : lowest;
    this.serving = workers;
  }
}
