/** Recalls on their way to gateways: given with the watch that a gateway has open, or with its next one. */
import type { Recall } from "../counters/model.ts";
import { maxRecalls } from "./recallPayload.ts";

/** A gateway that hasn't come for them by then is asked again by the next `wait`. */
const keptMs = 1000;

interface Pending {
  recalls: Map<string, Recall>;
  sinceMs: number;
}

export class PendingRecalls {
  readonly #byGateway = new Map<string, Pending>();

  /** Takes recalls in; gives the gateways that they are for, as `gatewayKey`. */
  add(recalls: readonly Recall[], nowMs: number): Set<string> {
    const touched = new Set<string>();
    for (const recall of recalls) {
      const key = gatewayKey(recall.environment, recall.gateway);
      touched.add(key);
      let pending = this.#byGateway.get(key);
      if (pending === undefined) this.#byGateway.set(key, (pending = { recalls: new Map(), sinceMs: nowMs }));
      if (pending.recalls.size < maxRecalls) pending.recalls.set(`${recall.wireId} ${recall.subject}`, recall);
    }
    return touched;
  }

  /** Hands over what a gateway, by `gatewayKey`, is to return; it's forgotten here. */
  take(gateway: string): Recall[] {
    const pending = this.#byGateway.get(gateway);
    if (pending === undefined) return [];
    this.#byGateway.delete(gateway);
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
