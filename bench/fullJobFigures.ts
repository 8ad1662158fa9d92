/** What the full job may cost at most, beside what it was measured to cost. */
import type { Comparison } from "./compare.ts";
import { fullJobNames } from "./fullJob.ts";
import type { Figure } from "./report.ts";
import { difference, pairedRatio, quotient, type Ratio } from "./statistics.ts";

const ofBareMost = 1.38;
/** Two workers have no lock in common on the request path. */
const secondWorkerMost = 0.03;

/** Figures of scenarios that weren't measured are left out. */
export function fullJobFigures({ ofBase }: Pick<Comparison, "ofBase">): Figure[] {
  const samples = Object.fromEntries(
    Object.entries(fullJobNames).map(([place, name]) => [place, ofBase(name)]),
  ) as Record<keyof typeof fullJobNames, number[] | undefined>;
  const { one, many, twoWorkers, lua, luaMany } = samples;
  const figures: (Figure | undefined)[] = [
    one && figure("full job, 1 active key, CPU of bare", ofBare(one), ofBareMost),
    many && figure("full job, 100k active keys, CPU of bare", ofBare(many), ofBareMost),
    one && lua && figure("full job, 1 active key, CPU of Lua with the same job", quotient(one, lua), 1),
    many && luaMany && figure("full job, 100k active keys, CPU of Lua with the same job", quotient(many, luaMany), 1),
    one &&
      twoWorkers &&
      figure(
        "full job, two workers of two-worker bare, less one of one",
        difference(twoWorkers, one),
        secondWorkerMost,
      ),
  ];
  return figures.filter((found) => found !== undefined);
}

function ofBare(ratios: number[]): Ratio {
  return pairedRatio(
    ratios,
    ratios.map(() => 1),
  );
}

function figure(name: string, { ratio, low, high }: Ratio, target: number): Figure {
  return { name, value: ratio, low, high, unit: "", target };
}
