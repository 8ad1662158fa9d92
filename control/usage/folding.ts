/**
 * When what has arrived is counted. By itself it's counted in rounds: one goes through all parts of the inbox, spread evenly over half a
 * minute, so that a caller's row is written once for all that it did meanwhile. Whoever reads has it counted at once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { SqlDialect } from "../store/dialect.ts";
import { Fold } from "./fold.ts";

export interface FoldingOptions {
  nowMs?: () => number;
  roundMs?: number;
  onError?: (error: unknown) => void;
}

const defaultRoundMs = 30_000;
const retryMs = 1000;
/** A reader waits no longer for what others sent. */
const askedMs = 2000;

export class Folding {
  private readonly fold: Fold;
  private readonly roundMs: number;
  private readonly onError: (error: unknown) => void;
  private round: Promise<void> | undefined;
  private next: NodeJS.Timeout | undefined;
  private lastBeganMs = Number.NEGATIVE_INFINITY;
  /** ends the pauses of the round that is under way */
  private hurry = new AbortController();
  private asked = 0;
  private closed = false;

  constructor(dialect: SqlDialect, { nowMs, roundMs = defaultRoundMs, onError = () => undefined }: FoldingOptions) {
    this.fold = new Fold(dialect, nowMs);
    this.roundMs = roundMs;
    this.onError = onError;
  }

  /** Something has arrived, or may have: it's counted within a round or two. */
  later(): void {
    this.nextIn(Math.max(0, this.lastBeganMs + this.roundMs - performance.now()));
  }

  /** Counts what has arrived; after a while it goes on without its caller. Rejects when it fails meanwhile. */
  async now(): Promise<void> {
    const stop = new AbortController();
    this.asked++;
    this.hurry.abort();
    try {
      await Promise.race([this.another(), sleep(askedMs, undefined, { signal: stop.signal }).catch(() => undefined)]);
    } finally {
      this.asked--;
      stop.abort();
    }
  }

  /** Ends after the step that is under way; what isn't counted stays in the inbox. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.next);
    this.hurry.abort();
    await this.round?.catch(() => undefined);
  }

  private nextIn(delayMs: number): void {
    if (this.closed || this.next !== undefined) return;
    this.next = setTimeout(() => {
      this.next = undefined;
      this.another().catch((error: unknown) => {
        this.onError(error);
        this.nextIn(retryMs);
      });
    }, delayMs).unref();
  }

  /** A whole round that begins from now on: the one under way may have passed a part by. Who come meanwhile share the next. */
  private async another(): Promise<void> {
    await this.round?.catch(() => undefined);
    this.round ??= this.run().finally(() => (this.round = undefined));
    await this.round;
  }

  private async run(): Promise<void> {
    this.lastBeganMs = performance.now();
    this.hurry = new AbortController();
    if (this.asked > 0) this.hurry.abort();
    const parts = await this.fold.parts();
    for (const part of parts) {
      for (let more = true; more && !this.closed; ) {
        const began = performance.now();
        more = await this.fold.step(part);
        const tookMs = performance.now() - began;
        // At most half of the time is spent on it: leases come first.
        await this.pause(tookMs, more ? tookMs : this.roundMs / parts.length - tookMs);
      }
      if (this.closed) return;
    }
  }

  /** So long; where somebody waits, only `leastMs`. */
  private async pause(leastMs: number, ms: number): Promise<void> {
    await sleep(leastMs);
    if (ms > leastMs)
      await sleep(ms - leastMs, undefined, { signal: this.hurry.signal, ref: false }).catch(() => undefined);
  }
}
