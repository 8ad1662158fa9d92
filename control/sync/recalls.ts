/** Recalls on their way to gateways: given with the watch that a gateway has open, or with its next one. */
import type { Recall } from "../counters/model.ts";

/** A gateway that hasn't come for them by then is asked again by the next `wait`. */
const keptMs = 1000;
/** of one gateway: what a frame holds, and more than its ring does */
const most = 4096;

interface Pending {
  recalls: Map<string, Recall>;
  sinceMs: number;
}

export class PendingRecalls {
  readonly #byGateway = new Map<string, Pending>();

  /** Takes recalls in; gives the gateways that have some, as `gatewayKey`. */
  add(recalls: readonly Recall[], nowMs: number): Set<string> {
    const touched = new Set<string>();
    for (const recall of recalls) {
      const key = gatewayKey(recall.environment, recall.gateway);
      touched.add(key);
      let pending = this.#byGateway.get(key);
      if (pending === undefined) this.#byGateway.set(key, (pending = { recalls: new Map(), sinceMs: nowMs }));
      if (pending.recalls.size < most) pending.recalls.set(`${recall.wireId} ${recall.subject}`, recall);
    }
    return touched;
  }

  /** Hands a gateway's recalls over; they are forgotten here. */
  take(environment: string, gateway: string): Recall[] {
    const key = gatewayKey(environment, gateway);
    const pending = this.#byGateway.get(key);
    if (pending === undefined) return [];
    this.#byGateway.delete(key);
    return [...pending.recalls.values()];
  }

  /** Forgets those that nobody came for. */
  sweep(nowMs: number): void {
    for (const [key, { sinceMs }] of this.#byGateway) if (nowMs - sinceMs > keptMs) this.#byGateway.delete(key);
  }
}

export function gatewayKey(environment: string, gateway: string): string {
  return `${environment} ${gateway}`;
}
