/** Does Envoy's admin page answer, and does Envoy serve? */
import { reached } from "../evidence.ts";
import { text } from "../json.ts";
import { fault, ok, skipped, warning, type Check } from "../model.ts";

export const envoyReachable: Check = {
  id: "envoy",
  look({ envoy }) {
    if (!reached(envoy)) {
      if (envoy.notAsked === true) return [skipped("Envoy was not asked.")];
      return [
        fault(
          `Envoy's admin page at ${envoy.url} can't be read: ${envoy.unreached}.`,
          "Give its address with --envoy-admin. In a mesh: `kubectl port-forward <gateway's pod> 15000`, then --envoy-admin http://127.0.0.1:15000.",
        ),
      ];
    }
    const state = text(envoy.serverInfo["state"]);
    const version = text(envoy.serverInfo["version"]).split("/")[1] ?? "of an unknown version";
    if (state === "LIVE") return [ok(`Envoy ${version} serves.`)];
    if (state === "DRAINING")
      return [warning(`Envoy ${version} is draining: it takes no new connections.`, "Ask an Envoy that stays.")];
    return [
      fault(
        `Envoy ${version} doesn't serve yet: its state is ${state || "unknown"}.`,
        "It waits for its first configuration. In a mesh: istiod must be reachable, and Istio makes Envoy wait for a plugin's module; look at the log of the gateway's pod.",
      ),
    ];
  },
};
