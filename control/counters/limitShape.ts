/** Limits as counting needs them. */
import type { LimitShape } from "./model.ts";
import { parsePeriod } from "../domain/period.ts";
import type { FeedLimit } from "../store/feedSource.ts";

/** A limit as counting needs it. */
export function shapeOf({ wireId, limit }: Pick<FeedLimit, "wireId" | "limit">): LimitShape {
  const period = limit.period === undefined ? undefined : parsePeriod(limit.period);
  return {
    wireId,
    kind: limit.kind,
    limit: limit.limit,
    windowSeconds: limit.windowSeconds ?? (period !== undefined && "seconds" in period ? period.seconds : 0),
    period: period !== undefined && "named" in period ? period.named : "none",
    firstUse: limit.anchor === "firstUse",
  };
}
