/**
 * The one call to the control plane that a part of the filter has in flight: when it is lost, when the next one may start, and since when calls
 * have failed. What is called, and what an answer means, is up to the part.
 */
import { Retry } from "./backoff";

/** Envoy ends a call at its timeout; one that has not ended this much later is lost. */
const GRACE_NS: u64 = 1_000_000_000;

export class ControlCall {
  private token: u32 = 0;
  private deadlineNs: u64 = 0;
  sentNs: u64 = 0;
  /** when calls began to fail; 0 = the last one was answered */
  failingSinceNs: u64 = 0;
  readonly retry: Retry;

  /** A failed call is repeated after `leastNs`, then after ever more, at most `mostNs`. */
  constructor(leastNs: u64, mostNs: u64) {
    this.retry = new Retry(leastNs, mostNs);
  }

  get inFlight(): bool {
    return this.token != 0;
  }

  /** Whether the call in flight will not be answered any more. */
  isLost(now: u64): bool {
    return this.token != 0 && now > this.deadlineNs;
  }

  /** Whether a call may start now. */
  mayStart(now: u64): bool {
    return this.token == 0 && now >= this.retry.atNs;
  }

  /** Notes a call that was made with Envoy's `token`. False: Envoy refused it (token 0), and nothing is in flight. */
  started(token: u32, now: u64, timeoutMs: u32): bool {
    this.token = token;
    this.sentNs = now;
    this.deadlineNs = now + <u64>timeoutMs * 1_000_000 + GRACE_NS;
    return token != 0;
  }

  /** Whether the answer with Envoy's `token` is this call's: then nothing is in flight any more. */
  takes(token: u32): bool {
    if (token == 0 || token != this.token) return false;
    this.token = 0;
    return true;
  }

  /** The root that made the call is gone: its answer won't come. */
  forget(): void {
    this.token = 0;
  }

  /** The call failed: the next one waits. True for the first failure in a row. */
  failed(now: u64): bool {
    this.token = 0;
    this.retry.failed(now);
    if (this.failingSinceNs != 0) return false;
    this.failingSinceNs = now;
    return true;
  }

  /** The call was answered well. True after failures. */
  answered(): bool {
    this.retry.answered();
    const recovered = this.failingSinceNs != 0;
    this.failingSinceNs = 0;
    return recovered;
  }
}
