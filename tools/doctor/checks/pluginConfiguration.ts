/** Is the plugin's configuration one that the filter takes? */
import { Ajv } from "ajv";
import { PluginSchema } from "../../../control/domain/pluginSchema.ts";
import { fault, ok, skipped, type Check } from "../model.ts";
import { installed } from "../plugins.ts";

const valid = new Ajv({ strict: false, allErrors: true }).compile(PluginSchema);

export const pluginConfiguration: Check = {
  id: "plugin-configuration",
  look(evidence) {
    const plugins = installed(evidence)?.plugins ?? [];
    if (plugins.length === 0) return [skipped("No plugin was found.")];
    const wrong = plugins.flatMap(({ place, name, configuration }) => {
      if (configuration === undefined)
        return [
          fault(
            `${place}: the configuration of ${name} isn't a JSON object: the filter refuses it.`,
            "Write `pluginConfig` as YAML in the WasmPlugin; Istio makes JSON of it.",
          ),
        ];
      if (Object.keys(configuration).length === 0)
        return [
          fault(
            `${place}: the configuration of ${name} is empty: every request is answered 503 not_configured.`,
            "Give the WasmPlugin a `pluginConfig` with `control` or `snapshot`, as `tollgate manifests` writes it.",
          ),
        ];
      if (valid(configuration)) return [];
      const [first] = valid.errors ?? [];
      return [
        fault(
          `${place}: the configuration of ${name} isn't valid: ${first?.instancePath.slice(1).replaceAll("/", ".") || "(whole)"} ${first?.message ?? ""}.`,
          "docs/reference/configuration.md lists every field; the filter names the one that it refuses in Envoy's log.",
        ),
      ];
    });
    return wrong.length > 0 ? wrong : [ok("The plugin's configuration is valid.")];
  },
};
