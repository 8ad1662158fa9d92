/** Can Envoy connect to control? */
import { reached, type JsonObject } from "../evidence.ts";
import { at, list, object, text } from "../json.ts";
import { fault, ok, skipped, warning, type Check, type Said } from "../model.ts";
import { callersOf, clusterOf, installed } from "../plugins.ts";
import { Stats } from "../stats.ts";

export const controlClusterHealth: Check = {
  id: "control-cluster-health",
  look(evidence) {
    const found = installed(evidence);
    if (found === undefined || !reached(evidence.envoy)) return [skipped("Envoy didn't answer.")];
    const clusters = new Set(
      callersOf(found.plugins)
        .map(clusterOf)
        .filter((name) => found.dump.clusters.has(name)),
    );
    if (clusters.size === 0) return [skipped("There is no cluster to control.")];
    const statuses = list(evidence.envoy.clusters["cluster_statuses"]);
    const stats = new Stats(evidence.envoy);
    return [...clusters].map((name) =>
      judge(name, list(statuses.find((status) => status["name"] === name)?.["host_statuses"]), stats),
    );
  },
};

function judge(cluster: string, hosts: JsonObject[], stats: Stats): Said {
  if (hosts.length === 0)
    return fault(
      `The cluster ${cluster} has no endpoint: no pod of control is ready, or its name can't be resolved.`,
      "Look at control's pods and their readiness, and at the Service's selector and port.",
    );
  const unhealthy = hosts.filter((host) => troubles(host).length > 0);
  if (unhealthy.length === hosts.length)
    return fault(
      `No endpoint of ${cluster} is healthy: ${unhealthy.map((host) => `${addressOf(host)} (${troubles(host).join(", ")})`).join(", ")}.`,
      "Look at control's readiness (/readyz) and at what outlier detection or health checks have found.",
    );
  const counter = stats.clusterName(cluster, "upstream_cx_connect_fail");
  const total = sum(hosts, "cx_total");
  const failed = sum(hosts, "cx_connect_fail");
  const failing = stats.growth(counter) ?? (failed > 0 && failed === total ? failed : 0);
  if (failing > 0)
    return fault(
      `Envoy can't connect to ${hosts.map(addressOf).join(", ")} (${cluster}): ${failing} attempts failed${stats.growth(counter) === undefined ? "" : ` ${stats.while}`}.`,
      "Control must run and listen on its sync port (8091, TOLLGATE_HOST=0.0.0.0 in a container); a NetworkPolicy must let the gateway in, and mTLS must be the same on both sides (PeerAuthentication, DestinationRule).",
    );
  if (unhealthy.length > 0)
    return warning(
      `${unhealthy.length} of ${hosts.length} endpoints of ${cluster} are unhealthy: ${unhealthy.map(addressOf).join(", ")}.`,
      "Look at these pods of control.",
    );
  return ok(`${cluster} has ${hosts.length} healthy ${hosts.length === 1 ? "endpoint" : "endpoints"}.`);
}

function troubles(host: JsonObject): string[] {
  return Object.entries(object(host["health_status"])).flatMap(([name, value]) => {
    if (name === "eds_health_status")
      return value === "HEALTHY" || value === "UNKNOWN" || value === "DEGRADED" ? [] : [text(value).toLowerCase()];
    return value === true && /^failed_|^pending_|^excluded_/.test(name) ? [name.replaceAll("_", " ")] : [];
  });
}

function addressOf(host: JsonObject): string {
  const address = object(at(host, "address", "socket_address"));
  if (Object.keys(address).length === 0) return text(at(host, "address", "pipe", "path")) || "an internal address";
  return `${text(address["address"])}:${String(address["port_value"] ?? "")}`;
}

/** Envoy writes 64-bit numbers as strings and leaves zeros out. */
function sum(hosts: JsonObject[], name: string): number {
  return hosts
    .flatMap((host) => list(host["stats"]))
    .filter((stat) => stat["name"] === name)
    .reduce((total, { value }) => total + Number(value ?? 0), 0);
}
