/**
 * The lock that makes one VM of an Envoy the leader of its shared state.
 *
 * ```
 *   lease, 16 bytes:  u64 nonce of the VM | u64 deadlineNs, monotonic
 * ```
 */
import { CREATE, OK, cas, getShared, setShared, value, valueBytes } from "../abi/host";
import { scratch } from "../abi/memory";
import { Workers } from "../gateway/workers";
import { SharedState } from "../gateway/sharedState";

const LEASE_BYTES: u32 = 16;
const LEASE_NS: u64 = 3_000_000_000;
const RENEW_NS: u64 = 2_000_000_000;
/** Sets whatever is there. */
const ALWAYS: u32 = 0;

export class LeaderLock {
  constructor(
    private state: SharedState,
    private workers: Workers,
  ) {}

  private deadlineNs: u64 = 0;

  /** Holds the lease: it's this VM's and long enough, or it's taken or renewed now. False: another VM has it. */
  hold(now: u64): bool {
    if (this.deadlineNs > now && this.deadlineNs - now > RENEW_NS) return true;
    const n = this.state.name("lease");
    let expected = CREATE;
    if (getShared(n.start, n.bytes)) {
      expected = cas();
      // A deadline further away than a lease is long is nobody's.
      if (
        valueBytes() == LEASE_BYTES &&
        load<u64>(value()) != this.workers.identity &&
        load<u64>(value(), 8) > now &&
        load<u64>(value(), 8) - now <= LEASE_NS
      ) {
        this.deadlineNs = 0;
        return false;
      }
    }
    return this.write(now + LEASE_NS, expected);
  }

  /** Ends the lease at once. */
  release(): void {
    this.write(0, ALWAYS);
    this.deadlineNs = 0;
  }

  private write(deadlineNs: u64, expected: u32): bool {
    const at = scratch(LEASE_BYTES);
    if (at == 0) return false;
    store<u64>(at, this.workers.identity);
    store<u64>(at, deadlineNs, 8);
    const n = this.state.name("lease");
    if (setShared(n.start, n.bytes, at, LEASE_BYTES, expected) != OK) {
      this.deadlineNs = 0;
      return false;
    }
    this.deadlineNs = deadlineNs;
    return true;
  }
}
