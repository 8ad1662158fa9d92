/** Statistics of paired measurements: a system's figure against bare's, taken next to it in time. */

/** Two-sided 95% quantiles of Student's t for 1 to 30 degrees of freedom. */
const studentT95 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

export interface Ratio {
  ratio: number;
  low: number;
  high: number;
}

/**
 * The geometric mean of `figures[i] / baselines[i]` with a 95% interval (t on the logarithms, so that the interval is
 * symmetric in "times as much"). A single pair has no interval: it spans 0 to infinity.
 */
export function pairedRatio(figures: readonly number[], baselines: readonly number[]): Ratio {
  if (figures.length === 0 || figures.length !== baselines.length)
    throw new Error("pairedRatio needs as many baselines as figures, and one at least");
  const { center, half } = interval(figures.map((figure, i) => Math.log(figure / baselines[i]!)));
  return { ratio: Math.exp(center), low: Math.exp(center - half), high: Math.exp(center + half) };
}

/** The same for figures and baselines that are not pairs: both intervals' widths count. */
export function quotient(figures: readonly number[], baselines: readonly number[]): Ratio {
  const [above, below] = [interval(figures.map(Math.log)), interval(baselines.map(Math.log))];
  const center = above.center - below.center;
  const half = Math.hypot(above.half, below.half);
  return { ratio: Math.exp(center), low: Math.exp(center - half), high: Math.exp(center + half) };
}

/** The difference of two means; the samples are not pairs. */
export function difference(figures: readonly number[], others: readonly number[]): Ratio {
  const [one, other] = [interval(figures), interval(others)];
  const center = one.center - other.center;
  const half = Math.hypot(one.half, other.half);
  return { ratio: center, low: center - half, high: center + half };
}

/** A mean and half the width of its 95% interval. */
function interval(values: readonly number[]): { center: number; half: number } {
  const center = mean(values);
  if (values.length === 1) return { center, half: Infinity };
  const freedom = values.length - 1;
  const variance = values.reduce((sum, value) => sum + (value - center) ** 2, 0) / freedom;
  return { center, half: (studentT95[freedom - 1] ?? 1.96 + 2.5 / freedom) * Math.sqrt(variance / values.length) };
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(mean(values.map(Math.log)));
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** The smallest value that at least `percent` of the values do not exceed (nearest rank). */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) throw new Error("percentile of nothing");
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)]!;
}
