/** What is counted: the metrics of a usage entry (docs/internals/protocol.md) as columns of `usage_counts`, and reasons. */
import { latencyBoundsMs, metrics } from "../../protocol/enums.ts";

export type CountColumn =
  | "admitted"
  | "cost"
  | "overshoot"
  | "shadowed"
  | "local"
  | "refused"
  | "observed"
  | `status_${1 | 2 | 3 | 4 | 5}`
  | "unsampled"
  | `latency_${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13}`;

export { latencyBoundsMs } from "../../protocol/enums.ts";
const latencyBuckets = latencyBoundsMs.length + 1;
export const statusClasses = ["1xx", "2xx", "3xx", "4xx", "5xx"] as const;

const plain = ["admitted", "cost", "overshoot", "shadowed", "local"] as const;

const statusColumns = statusClasses.map((_, index) => `status_${index + 1}` as CountColumn);
export const latencyColumns = Array.from({ length: latencyBuckets }, (_, index) => `latency_${index}` as CountColumn);
/** In the order in which rows hold them. */
export const countColumns: readonly CountColumn[] = [
  ...plain,
  "refused",
  "observed",
  ...statusColumns,
  ...latencyColumns,
  "unsampled",
];

export const refusedPlace = countColumns.indexOf("refused");
export const observedPlace = countColumns.indexOf("observed");
const statusPlace = countColumns.indexOf("status_1");
/** Admissions whose responses the gateway didn't look at. */
const unseenPlace = countColumns.indexOf("unsampled");
const latencyPlace = countColumns.indexOf("latency_0");

export type Metric = { place: number } | { reason: number; observed: boolean };

function describe(code: number): Metric | undefined {
  const name = (Object.keys(metrics) as (keyof typeof metrics)[]).find(
    (each) => code >= metrics[each].code && code < metrics[each].code + metrics[each].count,
  );
  if (name === undefined) return undefined;
  const index = code - metrics[name].code;
  switch (name) {
    case "status":
      return { place: statusPlace + index };
    case "latency":
      return { place: latencyPlace + index };
    case "refused":
    case "observed":
      return { reason: index, observed: name === "observed" };
    default:
      return { place: countColumns.indexOf(name) };
  }
}

const known = Array.from({ length: 256 }, (_, code) => describe(code));

/** What a metric of the wire counts. `undefined`: something that this version doesn't know. */
export function metricOf(code: number): Metric | undefined {
  return known[code];
}

/**
 * Responses by status class, in the order of `statusClasses`, of counts in the order of `countColumns`. Those that weren't looked at are
 * spread as the others stand, so that the sum stays; where there are no others they are left out.
 */
export function responsesOf(counts: readonly number[]): number[] {
  const seen = statusColumns.map((_, index) => counts[statusPlace + index]!);
  const all = seen.reduce((sum, count) => sum + count, 0);
  const unsampled = counts[unseenPlace]!;
  if (all === 0 || unsampled === 0) return seen;
  const parts = seen.map((count) => Math.floor((unsampled * count) / all));
  const most = seen.indexOf(Math.max(...seen));
  parts[most]! += unsampled - parts.reduce((sum, part) => sum + part, 0);
  return seen.map((count, index) => count + parts[index]!);
}
