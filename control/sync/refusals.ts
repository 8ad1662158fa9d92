/** What was refused of gateways' calls because their token doesn't go that far: counted by group, and said in the log now and then. */
import type { FastifyBaseLogger } from "fastify";
import type { SyncMetrics } from "./metrics.ts";
import type { Grant } from "./tokens.ts";

/** The same of a group is logged again after so long. */
const saidEveryMs = 600_000;
const saidMost = 10_000;

export type RefusedCall = "leases" | "usage" | "tokens";

const meanings: Record<string, string> = {
  limit: "a limit that applies at no API its group sees",
  subject: "a counter of a caller that can't call the APIs its group sees",
  api: "usage of an API its group doesn't see",
  minute: "usage of a minute too far from now: check the gateway's clock",
  count: "more requests than a worker can serve",
  caller: "the internal token of a caller that can't call the APIs its group sees",
};

export class Refusals {
  readonly #metrics: SyncMetrics;
  readonly #log: FastifyBaseLogger;
  readonly #now: () => number;
  readonly #saidMs = new Map<string, number>();

  constructor(metrics: SyncMetrics, log: FastifyBaseLogger, now: () => number = Date.now) {
    this.#metrics = metrics;
    this.#log = log;
    this.#now = now;
  }

  /** `counts`: entries by reason. */
  note(
    call: RefusedCall,
    { environment, group, tokenId }: Grant,
    gateway: string,
    counts: Readonly<Record<string, number>>,
  ): void {
    for (const [reason, count] of Object.entries(counts)) {
      if (count === 0) continue;
      this.#metrics.refused.inc({ environment, group, call, reason }, count);
      const name = `${environment} ${group} ${call} ${reason}`;
      const nowMs = this.#now();
      if (nowMs - (this.#saidMs.get(name) ?? -Infinity) < saidEveryMs) continue;
      if (this.#saidMs.size >= saidMost) this.#saidMs.clear();
      this.#saidMs.set(name, nowMs);
      this.#log.warn(
        { environment, group, token: tokenId, gateway, call, reason, count },
        `refused what a gateway sent: ${meanings[reason] ?? reason}`,
      );
    }
  }
}
