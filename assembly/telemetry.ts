/**
 * Counters, gauges and log lines. A request adds to a cell in memory; the tick hands the sums to the host, so that counting costs no host
 * call on the request path.
 */
import { LOG_ERROR, LOG_INFO, LOG_WARN, defineCounter, defineGauge, increment, log, record } from "./abi/host";
import { REASONS, reasonCode } from "./wire/reasons";
import { Text } from "./lib/text";

export const ADMITTED: u32 = 0;
export const KEYLESS: u32 = 1;
export const PASSED: u32 = 2;
export const PREFLIGHT: u32 = 3;
export const HELD: u32 = 4;
export const UNCHECKED: u32 = 5;
export const SYNC_OK: u32 = 6;
export const SYNC_FAILED: u32 = 7;
export const LEASES_OK: u32 = 8;
export const LEASES_FAILED: u32 = 9;
export const USAGE_OK: u32 = 10;
export const USAGE_FAILED: u32 = 11;
/** Admitted without allowance, because an API's failureMode is open. */
export const OVERSHOOT: u32 = 12;
/** Admitted on a share that was charged beforehand. */
export const LOCAL_SHARE: u32 = 13;
export const TOKENS_OK: u32 = 14;
export const TOKENS_FAILED: u32 = 15;
const REFUSED: u32 = 16;
const OBSERVED: u32 = REFUSED + REASONS;
const COUNTERS: u32 = OBSERVED + REASONS;

export const GAUGE_VERSION: u32 = 0;
export const GAUGE_AGE: u32 = 1;
export const GAUGE_KEYS: u32 = 2;
export const GAUGE_COUNTERS: u32 = 3;
const GAUGES: u32 = 4;

export const line: Text = new Text(1024);

/** The metrics of one environment; Envoy shows them as `wasmcustom.tollgate.<environment>.<name>`. */
export class Meter {
  private pending: StaticArray<u32> = new StaticArray<u32>(COUNTERS);
  private counters: StaticArray<u32> = new StaticArray<u32>(COUNTERS);
  private gauges: StaticArray<u32> = new StaticArray<u32>(GAUGES);

  constructor(public environment: StaticArray<u8>) {
    const plain = [
      "admitted",
      "keyless",
      "passed",
      "preflight",
      "held",
      "unchecked",
      "sync_ok",
      "sync_failed",
      "leases_ok",
      "leases_failed",
      "usage_ok",
      "usage_failed",
      "overshoot",
      "local_share",
      "tokens_ok",
      "tokens_failed",
    ];
    for (let i = 0; i < plain.length; i++) this.counters[i] = this.counter("", plain[i]);
    for (let r: u32 = 0; r < REASONS; r++) {
      this.counters[REFUSED + r] = this.counter("refused.", reasonCode(r));
      this.counters[OBSERVED + r] = this.counter("observed.", reasonCode(r));
    }
    const gauges = ["snapshot_version", "snapshot_age_seconds", "keys", "counters"];
    for (let i = 0; i < gauges.length; i++) {
      this.name("", gauges[i]);
      this.gauges[i] = defineGauge(line.start, line.bytes);
    }
  }

  private name(group: string, name: string): void {
    line.clear().add("tollgate.");
    if (this.environment.length > 0) line.array(this.environment).byte(0x2e);
    line.add(group).add(name);
  }

  private counter(group: string, name: string): u32 {
    this.name(group, name);
    return defineCounter(line.start, line.bytes);
  }

  // @ts-ignore: decorator
  @inline
  count(what: u32): void {
    unchecked(this.pending[what]++);
  }

  refused(reason: u32): void {
    this.count(REFUSED + reason);
  }

  /** Would have been refused, so many times. */
  observed(reason: u32, times: u32): void {
    this.pending[OBSERVED + reason] += times;
  }

  gauge(which: u32, value: u64): void {
    record(this.gauges[which], value);
  }

  /** Hands what was counted since the last time to the host. */
  flush(): void {
    for (let i: u32 = 0; i < COUNTERS; i++) {
      const n = unchecked(this.pending[i]);
      if (n == 0) continue;
      unchecked((this.pending[i] = 0));
      increment(unchecked(this.counters[i]), n);
    }
  }
}

/** Begins a log line; `warn`, `info` or `error` write it. */
export function say(text: string): Text {
  return line.clear().add("tollgate: ").add(text);
}

export function info(text: Text): void {
  log(LOG_INFO, text.start, text.bytes);
}
export function warn(text: Text): void {
  log(LOG_WARN, text.start, text.bytes);
}
export function error(text: Text): void {
  log(LOG_ERROR, text.start, text.bytes);
}
