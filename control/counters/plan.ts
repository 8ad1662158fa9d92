/**
 * What nearly every decision on these calls will look at, to be loaded in one go. Whatever else a decision turns out to want, it says itself:
 * this only spares it the first try.
 */
import { counterId, laneId, laneText, nothingWanted, type Wanted, wantHolding, windowId } from "./facts.ts";
import { type LaneCall, leaseAction, type LimitsOf } from "./model.ts";
import { spanOf, type Window, windowAfter, windowAt, windowFrom } from "./windows.ts";

export function plan(calls: readonly LaneCall[], limits: LimitsOf, nowMs: number): Wanted {
  const wanted = nothingWanted();
  for (const call of calls) {
    const lane = laneText(call.lane);
    const id = laneId(call.environment, lane);
    wanted.lanes.set(id.key, id);
    for (const op of call.ops) {
      const limit = limits(call.environment, op.wireId, call);
      if (limit === undefined) continue;
      const counter = counterId(call.environment, op.wireId, op.subject);
      wanted.heads.set(counter.key, counter);
      const want = (window: Window) => {
        const row = windowId(counter, spanOf(limit, window));
        wanted.windows.set(row.key, row);
        wantHolding(wanted, row, lane);
      };
      const reported = op.windowStartMs === 0 ? undefined : windowFrom(limit, op.windowStartMs);
      if (reported !== undefined) want(reported);
      if ((op.actions & leaseAction.ask) === 0) continue;
      const next = (op.actions & leaseAction.next) !== 0 && !limit.firstUse;
      want(next ? windowAfter(limit, nowMs) : windowAt(limit, nowMs));
      if ((op.actions & leaseAction.local) !== 0) wanted.shares.set(counter.key, counter);
    }
  }
  return wanted;
}
