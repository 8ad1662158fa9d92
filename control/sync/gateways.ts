/** Which gateways called, and what they have: kept here, and written to the store at a bounded rate. */
import type { FeedSource, GatewayReport } from "../store/feedSource.ts";

const writeEveryMs = 1000;
const forgottenAfterMs = 10 * 60_000;
/** A gateway watches again at least this often while it's connected: the longest wait, and some. */
const connectedMs = 70_000;

interface Entry {
  report: GatewayReport;
  writtenMs: number;
  dirty: boolean;
}

export interface GatewayCounts {
  connected: number;
  /** the lowest version applied by the workers of a connected gateway that serves; undefined: there is none */
  leastApplied: bigint | undefined;
}

export class Gateways {
  readonly #source: FeedSource;
  readonly #failed: (error: unknown) => void;
  readonly #entries = new Map<string, Entry>();
  readonly #writes = new Set<Promise<void>>();

  /** `failed` hears of writes that didn't succeed; they are tried again. */
  constructor(source: FeedSource, failed: (error: unknown) => void) {
    this.#source = source;
    this.#failed = failed;
  }

  /** A gateway called. The first contact is written at once, later ones at most once a second. */
  contact(report: GatewayReport): void {
    const key = `${report.environment} ${report.id}`;
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { report, writtenMs: 0, dirty: true };
      this.#entries.set(key, entry);
    }
    entry.report = report;
    entry.dirty = true;
    if (report.lastContactMs - entry.writtenMs >= writeEveryMs) this.#write(entry, report.lastContactMs);
  }

  /** Writes what had to wait, and forgets gateways that are long gone. */
  sweep(nowMs: number): void {
    for (const [key, entry] of this.#entries) {
      if (entry.dirty && nowMs - entry.writtenMs >= writeEveryMs) this.#write(entry, nowMs);
      if (!entry.dirty && nowMs - entry.report.lastContactMs > forgottenAfterMs) this.#entries.delete(key);
    }
  }

  counts(environment: string, nowMs: number): GatewayCounts {
    const connected = [...this.#entries.values()].map((entry) => entry.report).filter((report) => report.environment === environment && nowMs - report.lastContactMs < connectedMs);
    const applied = connected.filter((report) => report.workers > 0).map((report) => report.applied);
    return { connected: connected.length, leastApplied: applied.reduce<bigint | undefined>((least, version) => (least === undefined || version < least ? version : least), undefined) };
  }

  /** Writes all that is outstanding and waits for it. */
  async flush(nowMs: number): Promise<void> {
    for (const entry of this.#entries.values()) if (entry.dirty) this.#write(entry, nowMs);
    await Promise.all(this.#writes);
  }

  #write(entry: Entry, nowMs: number): void {
    entry.dirty = false;
    entry.writtenMs = nowMs;
    const write = this.#source
      .recordGateway(entry.report)
      .catch((error: unknown) => {
        entry.dirty = true;
        this.#failed(error);
      })
      .finally(() => this.#writes.delete(write));
    this.#writes.add(write);
  }
}
