import { latencyBoundsMs } from "./columns.ts";

/**
 * The latency below which a share of the requests stayed, in milliseconds, estimated from the buckets as if each were filled evenly. What
 * lies beyond the last bound counts as that bound. `undefined`: there were none.
 */
export function percentileMs(buckets: readonly number[], share: number): number | undefined {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  const rank = share * total;
  let below = 0;
  for (const [index, count] of buckets.entries()) {
    const upper = latencyBoundsMs[index];
    if (upper === undefined) break;
    if (count > 0 && below + count >= rank) {
      const lower = index === 0 ? 0 : latencyBoundsMs[index - 1]!;
      return Math.round((lower + ((upper - lower) * Math.max(0, rank - below)) / count) * 10) / 10;
    }
    below += count;
  }
  return latencyBoundsMs.at(-1)!;
}
