import type { Recall } from "./model.ts";
import { recallPaceMs } from "./store.ts";

/** Lets each recall through once per `recallPaceMs`: many lanes starve at once, each of which asks again every few milliseconds. */
export class RecallPace {
  /** when each was last let through, oldest first */
  private readonly lastMs = new Map<string, number>();

  pass(recalls: readonly Recall[], nowMs: number): Recall[] {
    for (const [key, lastMs] of this.lastMs) {
      if (Math.abs(nowMs - lastMs) < recallPaceMs) break;
      this.lastMs.delete(key);
    }
    return recalls.filter(({ environment, gateway, wireId, subject, windowStartMs }) => {
      const key = `${environment}/${gateway}/${wireId}/${subject}/${windowStartMs}`;
      if (this.lastMs.has(key)) return false;
      this.lastMs.set(key, nowMs);
      return true;
    });
  }
}
