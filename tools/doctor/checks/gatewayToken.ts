/** Does control take the gateway's token? */
import { reached, type ControlEvidence, type Unreached } from "../evidence.ts";
import { fault, ok, skipped, warning, type Check, type Said } from "../model.ts";
import { callersOf, clusterOf, environmentOf, installed } from "../plugins.ts";
import { Stats } from "../stats.ts";

export const gatewayToken: Check = {
  id: "gateway-token",
  look(evidence) {
    const found = installed(evidence);
    const callers = callersOf(found?.plugins ?? []);
    if (found === undefined || callers.length === 0 || !reached(evidence.envoy))
      return [skipped("No plugin calls a control.")];
    const stats = new Stats(evidence.envoy);
    const connected = callers.filter((plugin) => found.dump.clusters.has(clusterOf(plugin)));
    if (connected.length === 0) return [skipped("No call reaches control: there is no cluster.")];
    return connected.map((plugin) => judge(environmentOf(plugin), clusterOf(plugin), stats, evidence.control));
  },
};

const unknown =
  "The token in the gateway's environment is unknown to control, was deleted or has expired. Make one with `tollgate gateway-tokens create --group <group>`, put it into the Secret, and start the gateway's pods anew: Envoy reads its environment at its start.";
const foreign =
  "Token and environment don't belong together: set the plugin's `environment` to the token's, or give the gateway a token of this environment.";

function judge(environment: string, cluster: string, stats: Stats, control: ControlEvidence | Unreached): Said {
  for (const [status, words, remedy] of [
    [401, "refuses the gateway token", unknown],
    [403, `says that the gateway token isn't one of ${environment}`, foreign],
  ] as const) {
    const name = stats.clusterName(cluster, `upstream_rq_${status}`);
    const count = stats.value(name) ?? 0;
    const growth = stats.growth(name);
    const neverGood = (stats.value(Stats.filterName(environment, "sync_ok")) ?? 0) === 0;
    if (count > 0 && (neverGood || (growth ?? 0) > 0))
      return fault(`Control ${words}: it answered ${status} ${count} times.`, remedy);
    if (count > 0 && growth === undefined)
      return warning(
        `Control has answered ${status} ${count} times since Envoy started; whether it still does wasn't looked at.`,
        "Look again with --wait 6.",
      );
  }
  if ((stats.value(Stats.filterName(environment, "sync_ok")) ?? 0) > 0)
    return ok(`Control takes the gateway's token for ${environment}.`);
  // Istio leaves a cluster's counters out unless told otherwise: then control's own are what there is.
  const refused = reached(control)
    ? (control.syncProblems?.["token_unknown"] ?? 0) + (control.syncProblems?.["token_of_other_environment"] ?? 0)
    : 0;
  if (refused > 0)
    return warning(
      `Control has refused ${refused} calls for their token, of this gateway or another, and this gateway has never had a good answer.`,
      unknown,
    );
  return skipped("Control has not judged this gateway's token: no call has reached it.");
}
