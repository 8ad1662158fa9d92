/** Which gateways called, and what they have: kept here, and written to the store at a bounded rate. */
import type { FeedSource, GatewayReport } from "../store/feedSource.ts";
import { gatewayKey } from "./recalls.ts";
import { gatewayName } from "../store/gatewayName.ts";
import { SyncProblem } from "./problems.ts";
import type { Grant } from "./tokens.ts";

const writeEveryMs = 1000;
const forgottenAfterMs = 10 * 60_000;
/** A gateway watches again at least this often while it's connected: the longest wait, and some. */
const connectedMs = 70_000;
/** One that ended its watch has its id for so long, to watch again. */
const releasedMs = 5000;

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

/** What a gateway says of itself with a watch or a report. */
export type GatewayProgress = Pick<GatewayReport, "version" | "applied" | "workers">;

export class Gateways {
  readonly #source: FeedSource;
  readonly #perToken: number;
  readonly #failed: (error: unknown) => void;
  /** by environment, group and id */
  readonly #entries = new Map<string, Entry>();
  readonly #claims = new Map<string, Promise<void>>();
  readonly #writes = new Set<Promise<void>>();

  /** `perToken`: gateways that a token may have at a time. `failed` hears of writes that didn't succeed; they are tried again. */
  constructor(source: FeedSource, perToken: number, failed: (error: unknown) => void) {
    this.#source = source;
    this.#perToken = perToken;
    this.#failed = failed;
  }

  /** A gateway watches or reports. Throws SyncProblem when its id is another group's, or its token has too many; and what the store throws. */
  async admit(grant: Grant, id: string, nowMs: number): Promise<void> {
    const key = keyOf(grant, id);
    const entry = this.#entries.get(key);
    if (entry !== undefined && entry.report.tokenId === grant.tokenId && nowMs < entry.report.heldUntilMs) return;
    let claim = this.#claims.get(key);
    if (claim === undefined)
      this.#claims.set(key, (claim = this.#claim(grant, id, nowMs).finally(() => this.#claims.delete(key))));
    await claim;
  }

  /** An admitted gateway says how far it is. The first contact is written at once, later ones at most once a second. */
  contact({ environment, group, tokenId }: Grant, id: string, progress: GatewayProgress, nowMs: number): void {
    const key = keyOf({ environment, group }, id);
    const report = {
      id,
      group,
      environment,
      tokenId,
      ...progress,
      lastContactMs: nowMs,
      heldUntilMs: nowMs + connectedMs,
    };
    const entry = this.#entries.get(key) ?? { report, writtenMs: 0, dirty: true };
    this.#entries.set(key, entry);
    entry.report = report;
    entry.dirty = true;
    if (nowMs - entry.writtenMs >= writeEveryMs) this.#write(entry, nowMs);
  }

  /** A gateway ended its watch by itself: unless it's back soon, its id and its place are free. */
  release(grant: Grant, id: string, nowMs: number): void {
    const entry = this.#entries.get(keyOf(grant, id));
    if (entry === undefined) return;
    entry.report = { ...entry.report, heldUntilMs: Math.min(entry.report.heldUntilMs, nowMs + releasedMs) };
    entry.dirty = true;
  }

  /** Writes what had to wait, and forgets gateways that are long gone. */
  sweep(nowMs: number): void {
    for (const [key, entry] of this.#entries) {
      if (entry.dirty && nowMs - entry.writtenMs >= writeEveryMs) this.#write(entry, nowMs);
      if (!entry.dirty && nowMs - entry.report.lastContactMs > forgottenAfterMs) this.#entries.delete(key);
    }
  }

  counts(environment: string, nowMs: number): GatewayCounts {
    const connected = [...this.#entries.values()]
      .map((entry) => entry.report)
      .filter((report) => report.environment === environment && nowMs - report.lastContactMs < connectedMs);
    const applied = connected.filter((report) => report.workers > 0).map((report) => report.applied);
    return {
      connected: connected.length,
      leastApplied: applied.reduce<bigint | undefined>(
        (least, version) => (least === undefined || version < least ? version : least),
        undefined,
      ),
    };
  }

  /** Writes all that is outstanding and waits for it. */
  async flush(nowMs: number): Promise<void> {
    for (const entry of this.#entries.values()) if (entry.dirty) this.#write(entry, nowMs);
    await Promise.all(this.#writes);
  }

  async #claim({ environment, group, tokenId }: Grant, id: string, nowMs: number): Promise<void> {
    const outcome = await this.#source.claimGateway({
      environment,
      group,
      id,
      tokenId,
      nowMs,
      heldUntilMs: nowMs + connectedMs,
      most: this.#perToken,
    });
    if (outcome === "held")
      throw new SyncProblem(
        "gateway_held",
        `a gateway of another group has the id "${id}"; ids are free again ${connectedMs / 1000} s after their gateway's last call`,
      );
    if (outcome === "full") {
      throw new SyncProblem(
        "gateways_exhausted",
        `token "${tokenId}" has ${this.#perToken} gateways already; raise TOLLGATE_GATEWAYS_PER_TOKEN, or delete the token if some of them aren't yours (tollgate gateways)`,
      );
    }
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

function keyOf({ environment, group }: Pick<Grant, "environment" | "group">, id: string): string {
  return gatewayKey(environment, gatewayName(group, id));
}
