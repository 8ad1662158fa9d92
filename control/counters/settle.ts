/** Brings loading and deciding together: what a decision turns out to want is loaded, until nothing is wanted. */
import type { Facts, Wanted } from "./facts.ts";

/** Looks at rows (nothing of them loaded), then at what they point to, then at what a changed clock made of it: it's over soon. */
const roundsMax = 10;

export type Judgement<D extends { kind: "decided" }> = D | { kind: "wanted"; wanted: Wanted };

/** How to decide, and, where it's known beforehand, what that will look at. */
export interface Matter<D extends { kind: "decided" }> {
  plan?: (nowMs: number) => Wanted;
  judge: (facts: Facts) => Judgement<D>;
}

export async function settle<D extends { kind: "decided" }>(
  facts: Facts,
  load: (wanted: Wanted, facts: Facts) => Promise<void>,
  { plan, judge }: Matter<D>,
): Promise<D> {
  if (plan !== undefined) await load(plan(facts.nowMs), facts);
  for (let round = 0; round < roundsMax; round++) {
    const outcome = judge(facts);
    if (outcome.kind === "decided") return outcome;
    await load(outcome.wanted, facts);
  }
  throw new Error("The decision wants rows that can't be loaded.");
}
