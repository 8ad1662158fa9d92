/** Has the gateway a snapshot, and a fresh one? */
import { reached } from "../evidence.ts";
import { at } from "../json.ts";
import { fault, ok, skipped, warning, type Check, type Said } from "../model.ts";
import { callersOf, environmentOf, installed, numberOf, type Plugin } from "../plugins.ts";
import { Stats } from "../stats.ts";

/** An answer may be late by so much before anybody needs to look. */
const reserveSeconds = 10;

export const snapshot: Check = {
  id: "snapshot",
  look(evidence) {
    const plugins = installed(evidence)?.plugins ?? [];
    if (plugins.length === 0 || !reached(evidence.envoy)) return [skipped("No plugin was found.")];
    const callers = callersOf(plugins);
    if (callers.length === 0)
      return [ok("The snapshot is in the plugin's configuration: it can't be missing or grow old.")];
    const stats = new Stats(evidence.envoy);
    return callers.map((plugin) => judge(plugin, stats));
  },
};

function judge(plugin: Plugin, stats: Stats): Said {
  const environment = environmentOf(plugin);
  const of = (metric: string): number => stats.value(Stats.filterName(environment, metric)) ?? 0;
  if (of("sync_ok") === 0)
    return fault(
      `No snapshot of ${environment} has arrived since Envoy started: requests are answered 503 not_ready${refusals(of("refused.not_ready"))}.`,
      "See what is wrong with the cluster, the gateway token and control; Envoy's log has `tollgate: sync of environment …` with the reason.",
    );
  const ageSeconds = of("snapshot_age_seconds");
  const maxSeconds = numberOf(plugin.configuration?.["maxSnapshotAgeSeconds"], 86_400);
  if (maxSeconds > 0 && ageSeconds > maxSeconds)
    return fault(
      `The snapshot of ${environment} is ${ageSeconds} s old, more than maxSnapshotAgeSeconds (${maxSeconds}): requests are answered 503 snapshot_stale${refusals(of("refused.snapshot_stale"))}.`,
      "Restore the way to control; the first answer ends it.",
    );
  const usualSeconds =
    (numberOf(at(plugin.configuration, "control", "waitMs"), 25_000) +
      numberOf(at(plugin.configuration, "control", "timeoutMs"), 5000)) /
      1000 +
    reserveSeconds;
  if (ageSeconds > usualSeconds)
    return warning(
      `Control was heard of ${ageSeconds} s ago: changes and revocations don't reach ${environment}.${maxSeconds > 0 ? ` In ${maxSeconds - ageSeconds} s requests will be answered 503.` : ""}`,
      "Restore the way to control: see the other findings, and Envoy's log.",
    );
  const version = of("snapshot_version");
  if (version === 0)
    return ok(`Control answers for ${environment}; no worker has loaded a snapshot, since no request has come yet.`);
  return ok(
    `Workers decide by version ${version} of ${environment}, ${of("keys")} keys; control was heard of ${ageSeconds} s ago.`,
  );
}

function refusals(count: number): string {
  return count === 0 ? "" : ` (${count} so far)`;
}
