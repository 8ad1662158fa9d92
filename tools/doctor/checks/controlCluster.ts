/** Does Envoy know the cluster that leads to control? */
import { fault, ok, skipped, type Check } from "../model.ts";
import { callersOf, clusterOf, installed } from "../plugins.ts";

export const controlCluster: Check = {
  id: "control-cluster",
  look(evidence) {
    const found = installed(evidence);
    const callers = callersOf(found?.plugins ?? []);
    if (found === undefined || callers.length === 0) return [skipped("No plugin calls a control.")];
    const missing = callers.filter((plugin) => !found.dump.clusters.has(clusterOf(plugin)));
    if (missing.length === 0)
      return [ok(`Envoy knows the cluster ${[...new Set(callers.map(clusterOf))].join(", ")}.`)];
    return missing.map((plugin) => {
      const cluster = clusterOf(plugin);
      return fault(
        `Envoy has no cluster ${cluster}, so that ${plugin.name} can't reach control.${similar(cluster, found.dump.clusters)}`,
        remedyFor(cluster),
      );
    });
  },
};

function remedyFor(cluster: string): string {
  const service = /^outbound\|(\d+)\|[^|]*\|(.+)$/.exec(cluster);
  if (service === null)
    return "Name it in the plugin's `control.cluster` as Envoy's /clusters shows it; in Istio: outbound|8091||<service>.<namespace>.svc.cluster.local.";
  const [, port, host] = service;
  return `Either there is no Service ${host} with the port ${port}, or it isn't exported to the gateway's namespace (\`exportTo\`, a Sidecar), or istiod was started with PILOT_FILTER_GATEWAY_CLUSTER_CONFIG=true and leaves out clusters that no route names: then switch it off, or apply components/filtered-clusters of what tollgate manifests writes.`;
}

/** A name that was probably meant. */
function similar(cluster: string, clusters: ReadonlySet<string>): string {
  const port = /^outbound\|(\d+)\|/.exec(cluster)?.[1];
  const near = [...clusters].find(
    (name) => /tollgate/i.test(name) && (port === undefined || name.startsWith(`outbound|${port}|`)),
  );
  return near === undefined ? "" : ` There is ${near}.`;
}
