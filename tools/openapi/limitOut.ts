import type { Limit } from "../../control/domain/model.ts";
import { parsePeriod } from "../../control/domain/period.ts";
import type { LimitInput } from "../../control/domain/schema.ts";

/** A limit without the defaults that were filled in. */
export function exportedLimit(limit: Limit): LimitInput {
  const { anchor, subject, enforcement, mode, ...rest } = limit;
  const period = limit.period === undefined ? undefined : parsePeriod(limit.period);
  const standardAnchor = period !== undefined && "seconds" in period ? "firstUse" : "calendar";
  return {
    ...rest,
    ...(anchor === standardAnchor ? {} : { anchor }),
    ...(subject === "key" ? {} : { subject }),
    ...(enforcement === "global" ? {} : { enforcement }),
    ...(mode === "enforce" ? {} : { mode }),
  };
}
