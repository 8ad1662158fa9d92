import assert from "node:assert/strict";
import { it } from "node:test";
import { difference, geometricMean, pairedRatio, percentile, quotient } from "../../bench/statistics.ts";

const near = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) < 1e-3, `${actual} is not ${expected}`);

it("finds a ratio that drifts of the machine don't touch", () => {
  const bare = [10, 20, 40, 15];
  const { ratio, low, high } = pairedRatio(
    bare.map((value) => value * 1.2),
    bare,
  );
  near(ratio, 1.2);
  near(low, 1.2);
  near(high, 1.2);
});

it("gives Student's interval", () => {
  // logs 0.1, 0.2, 0.3: mean 0.2, standard deviation 0.1, t(2) = 4.303.
  const { ratio, low, high } = pairedRatio([0.1, 0.2, 0.3].map(Math.exp), [1, 1, 1]);
  near(Math.log(ratio), 0.2);
  near(Math.log(high), 0.2 + (4.303 * 0.1) / Math.sqrt(3));
  near(Math.log(low), 0.2 - (4.303 * 0.1) / Math.sqrt(3));
});

it("has no interval for one pair, and no ratio for none", () => {
  assert.deepEqual(pairedRatio([2], [1]), { ratio: 2, low: 0, high: Infinity });
  assert.throws(() => pairedRatio([], []));
  assert.throws(() => pairedRatio([1, 2], [1]));
});

it("takes percentiles by nearest rank", () => {
  const values = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.equal(percentile(values, 50), 50);
  assert.equal(percentile(values, 99), 99);
  assert.equal(percentile([7], 99), 7);
  near(geometricMean([1, 4, 16]), 4);
});

it("takes quotients and differences of figures that aren't pairs", () => {
  const figures = [0.1, 0.2, 0.3].map(Math.exp);
  const even = quotient(figures, [1, 1, 1]);
  near(Math.log(even.ratio), 0.2);
  near(Math.log(even.high), 0.2 + (4.303 * 0.1) / Math.sqrt(3));
  const wide = quotient(figures, figures);
  near(wide.ratio, 1);
  near(Math.log(wide.high), (Math.SQRT2 * 4.303 * 0.1) / Math.sqrt(3));
  const { ratio, low, high } = difference([1.1, 1.2, 1.3], [1, 1, 1, 1]);
  near(ratio, 0.2);
  near(high - low, (2 * 4.303 * 0.1) / Math.sqrt(3));
});
