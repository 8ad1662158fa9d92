/** Do calls to control succeed now? Whatever else is wrong, this shows it. */
import { reached } from "../evidence.ts";
import { fault, ok, skipped, warning, type Check, type Said } from "../model.ts";
import { callersOf, environmentOf, installed } from "../plugins.ts";
import { Stats } from "../stats.ts";

export const syncCalls: Check = {
  id: "sync-calls",
  look(evidence) {
    const callers = callersOf(installed(evidence)?.plugins ?? []);
    if (callers.length === 0 || !reached(evidence.envoy)) return [skipped("No plugin calls a control.")];
    const stats = new Stats(evidence.envoy);
    return [...new Set(callers.map(environmentOf))].map((environment) => judge(environment, stats));
  },
};

function judge(environment: string, stats: Stats): Said {
  const name = Stats.filterName(environment, "sync_failed");
  const failed = stats.value(name) ?? 0;
  const growth = stats.growth(name);
  if (growth !== undefined && growth > 0)
    return fault(
      `Calls to control for ${environment} fail: ${growth} ${stats.while}, ${failed} since Envoy started.`,
      "Envoy's log has the reason, once: `tollgate: sync of environment … failed (<why>)`; docs/operate/operations.md says what each means.",
    );
  if (failed > 0 && growth === undefined)
    return warning(
      `${failed} calls to control for ${environment} have failed since Envoy started; whether they still do wasn't looked at.`,
      "Look again with --wait 6.",
    );
  return ok(
    failed === 0
      ? `No call to control for ${environment} has failed.`
      : `Calls to control for ${environment} succeed; ${failed} have failed since Envoy started.`,
  );
}
