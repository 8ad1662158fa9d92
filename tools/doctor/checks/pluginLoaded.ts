/** Is the plugin there: on a listener, with its configuration arrived and its module loaded? */
import { reached, type EnvoyEvidence } from "../evidence.ts";
import { fault, ok, skipped, warning, type Check, type Said } from "../model.ts";
import type { HttpFilter } from "../dump.ts";
import { installed, namedTollgate, type Installed } from "../plugins.ts";
import { Stats } from "../stats.ts";

const rbac = "envoy.extensions.filters.http.rbac.v3.RBAC";

export const pluginLoaded: Check = {
  id: "plugin-loaded",
  look(evidence) {
    const found = installed(evidence);
    if (found === undefined || !reached(evidence.envoy)) return [skipped("Envoy didn't answer.")];
    const wrong = [...notArrived(found), ...refused(found, evidence.envoy), ...noMachine(found, evidence.envoy)];
    if (wrong.length > 0) return wrong;
    const { plugins, dump } = found;
    if (plugins.length > 0)
      return [ok(`The plugin runs on ${[...new Set(plugins.map(({ place }) => place))].join(", ")}.`)];
    if (dump.chains.length === 0)
      return [
        fault(
          "Envoy has no listener with HTTP filters.",
          "In a mesh: a Gateway must select this pod and its listener must be accepted (`istioctl proxy-status`). A gateway without any route opens no port.",
        ),
      ];
    return [
      fault(
        `No Tollgate plugin on any listener (${dump.chains.map(({ place }) => place).join(", ")}).`,
        "The WasmPlugin (or TrafficExtension) must be in the gateway's namespace or the mesh's root namespace, its `selector` or `targetRefs` must match the gateway's labels, and `match` its mode: CLIENT or CLIENT_AND_SERVER for a gateway.",
      ),
    ];
  },
};

/** Filters that Envoy asked for by discovery, and what came in place of the module. */
function notArrived({ dump }: Installed): Said[] {
  return dump.chains.flatMap(({ place, filters }) =>
    filters.flatMap((filter) => {
      if (!isOurs(filter)) return [];
      if (filter.type === "") {
        return [
          fault(
            `${place}: the configuration of the filter ${filter.name} has not arrived, so that Envoy answers 500 or doesn't open the listener.`,
            "In a mesh the gateway's agent fetches the module first: its log (wasm) says why it can't. The image's URL and digest must exist, the registry must be reachable from the gateway, and imagePullSecret must fit.",
          ),
        ];
      }
      if (filter.type === rbac) {
        return [
          fault(
            `${place}: in place of ${filter.name} there is a filter that refuses everybody (403): Istio's agent couldn't fetch the module.`,
            "Look for `wasm` in the log of the gateway's istio-proxy: URL, digest, registry, imagePullSecret. With an image by digest the agent refuses what has another one.",
          ),
        ];
      }
      return [];
    }),
  );
}

function isOurs({ name, discovered, allowedTypes }: HttpFilter): boolean {
  return (
    discovered &&
    namedTollgate(name) &&
    (allowedTypes.length === 0 || allowedTypes.some((type) => type.endsWith(".wasm.v3.Wasm")))
  );
}

/** Updates that Envoy didn't take, by its counters and its notes. */
function refused({ dump, plugins }: Installed, envoy: EnvoyEvidence): Said[] {
  const stats = new Stats(envoy);
  const names = new Set([
    ...plugins.map(({ name }) => name),
    ...dump.chains.flatMap(({ filters }) => filters.filter(isOurs).map(({ name }) => name)),
  ]);
  const byDiscovery = [...names].flatMap((name) => {
    const prefix = `extension_config_discovery.http_filter.${name}`;
    const of = (counter: string): number => stats.value(`${prefix}.${counter}`) ?? 0;
    const failed = ["config_reject", "config_conflict", "config_fail", "update_rejected"].filter(
      (counter) => of(counter) > 0,
    );
    if (failed.length === 0) return [];
    if (of("update_success") === 0)
      return [
        fault(
          `Envoy has taken no configuration of ${name} since it started (${failed.join(", ")}): requests are answered 500.`,
          "Its module isn't there or doesn't load, or the filter refuses its configuration: Envoy's log has the reason.",
        ),
      ];
    const inForce = envoy.texts?.[`${prefix}.version_text`];
    const newest = dump.extensionVersions.get(name);
    if (inForce !== undefined && newest !== undefined && inForce !== newest)
      return [
        fault(
          `Envoy refused the newest configuration of ${name}; the one before is in force, and isn't what /config_dump and this report show.`,
          "Envoy's log has `tollgate: configuration refused: <field>: <reason>`, or says what is wrong with the module. Apply one that is good, or the former one.",
        ),
      ];
    return [
      warning(
        `Envoy has refused a configuration of ${name} since it started (${failed.join(", ")}); it has taken one since.`,
        "Envoy's log says what was wrong with it. This counts from Envoy's start.",
      ),
    ];
  });
  const byListener = dump.refusals
    .filter(({ details }) => /wasm|tollgate/i.test(details))
    .map(({ what, details }) =>
      fault(
        `Envoy refused an update of ${what}: ${details.trim()}`,
        "What it had before is in force. The message says whether it's the module or the configuration.",
      ),
    );
  return [...byDiscovery, ...byListener];
}

/** A module that doesn't load leaves filters without VMs. */
function noMachine({ plugins }: Installed, envoy: EnvoyEvidence): Said[] {
  const stats = new Stats(envoy);
  const active = stats.value("wasm.envoy.wasm.runtime.v8.active");
  if (plugins.length === 0 || active === undefined || active > 0) return [];
  return [
    fault(
      "The plugin is configured and no Wasm VM runs: the module couldn't be loaded, so that requests are refused.",
      "Envoy's log has the reason (`Failed to load Wasm module`, `Wasm VM failed`): a module of another build, a file that isn't there, a missing import.",
    ),
  ];
}
