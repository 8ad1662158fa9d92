/** Have VMs trapped? Each one is a defect. */
import { reached } from "../evidence.ts";
import { ok, skipped, warning, type Check } from "../model.ts";
import { installed } from "../plugins.ts";
import { Stats } from "../stats.ts";

export const vmTraps: Check = {
  id: "vm-traps",
  look(evidence) {
    const plugins = installed(evidence)?.plugins ?? [];
    if (plugins.length === 0 || !reached(evidence.envoy)) return [skipped("No plugin was found.")];
    const stats = new Stats(evidence.envoy);
    const reloads = stats
      .names("wasm.")
      .filter((name) => /\.vm_reload_(?:success|failure|backoff)$/.test(name) && (stats.value(name) ?? 0) > 0);
    if (reloads.length === 0) return [ok("No VM has trapped.")];
    const counts = reloads.map((name) => `${name} ${stats.value(name)}`).join(", ");
    return [
      warning(
        `VMs have trapped since Envoy started (${counts}): requests on that worker got 503 until there was a new one.`,
        "This is a defect of the filter, or the module is another plugin's: please report it with Envoy's log.",
      ),
    ];
  },
};
