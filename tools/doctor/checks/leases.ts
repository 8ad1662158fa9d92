/** Does the gateway get allowance for global limits, and does control take its usage? */
import { reached } from "../evidence.ts";
import { fault, ok, skipped, warning, type Check, type Said } from "../model.ts";
import { callersOf, environmentOf, installed } from "../plugins.ts";
import { Stats } from "../stats.ts";

export const leases: Check = {
  id: "leases",
  look(evidence) {
    const callers = callersOf(installed(evidence)?.plugins ?? []);
    if (callers.length === 0 || !reached(evidence.envoy)) return [skipped("No plugin calls a control.")];
    const stats = new Stats(evidence.envoy);
    return [...new Set(callers.map(environmentOf))].flatMap((environment) => judge(environment, stats));
  },
};

const remedy =
  "Control's counter store (database, Redis) must answer: /readyz, control's log, the metrics tollgate_sync_lease_seconds and tollgate_sync_problems_total.";

function judge(environment: string, stats: Stats): Said[] {
  const of = (metric: string) => ({
    count: stats.value(Stats.filterName(environment, metric)) ?? 0,
    growth: stats.growth(Stats.filterName(environment, metric)),
  });
  const said: Said[] = [];
  const failed = of("leases_failed");
  const refused = of("refused.limit_unavailable");
  const now = (failed.growth ?? 0) + (refused.growth ?? 0);
  if (now > 0)
    said.push(
      fault(
        `Allowance for ${environment} can't be had: ${failed.growth} calls failed and ${refused.growth} requests were refused with limit_unavailable ${stats.while}.`,
        remedy,
      ),
    );
  const overshoot = of("overshoot").count;
  if (overshoot > 0)
    said.push(
      warning(
        `${overshoot} requests of ${environment} went on beyond what their limits allowed, because their API's failureMode is open.`,
        `It counts from Envoy's start. ${remedy}`,
      ),
    );
  const usage = of("usage_failed");
  if ((usage.growth ?? 0) > 0)
    said.push(
      warning(
        `Usage of ${environment} isn't taken: ${usage.growth} calls failed ${stats.while}. It waits in the gateway, 32 batches of each worker.`,
        "Control's database must answer: /readyz and control's log.",
      ),
    );
  if (said.length > 0) return said;
  const past =
    failed.count === 0
      ? "No call for allowance has failed."
      : `Calls for allowance succeed; ${failed.count} have failed since Envoy started.`;
  return [ok(past)];
}
