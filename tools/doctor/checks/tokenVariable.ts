/** Does the plugin's VM get the gateway token, and by the right way? */
import { text } from "../json.ts";
import { at } from "../json.ts";
import { fault, ok, skipped, type Check } from "../model.ts";
import { clusterOf, installed } from "../plugins.ts";

export const tokenVariable: Check = {
  id: "token-variable",
  look(evidence) {
    const plugins = (installed(evidence)?.plugins ?? []).filter((plugin) => clusterOf(plugin) !== "");
    if (plugins.length === 0) return [skipped("No plugin calls a control.")];
    const wrong = plugins.flatMap(({ place, name, configuration, hostVariables, givenVariables }) => {
      const variable = text(at(configuration, "control", "tokenEnv")) || "TOLLGATE_GATEWAY_TOKEN";
      if (variable in givenVariables)
        return [
          fault(
            `${place}: the gateway token of ${name} stands in Envoy's configuration, where everybody who may see the admin page reads it.`,
            `Take it from the pod: in \`vmConfig.env\` {name: ${variable}, valueFrom: HOST}, the Secret in the gateway's Deployment. Then rotate the token.`,
          ),
        ];
      if (!hostVariables.includes(variable))
        return [
          fault(
            `${place}: the VM of ${name} isn't given the variable ${variable}, so that the filter refuses its configuration.`,
            `Add to \`vmConfig.env\`: {name: ${variable}, valueFrom: HOST}.`,
          ),
        ];
      return [];
    });
    return wrong.length > 0 ? wrong : [ok("The gateway token comes from Envoy's environment.")];
  },
};
