/** Where APIs take tokens: does Envoy verify them before the plugin looks for what they say? */
import { reached, type ControlEnvironment, type EnvoyEvidence, type Evidence } from "../evidence.ts";
import { at, text } from "../json.ts";
import { fault, ok, skipped, type Check } from "../model.ts";
import { environmentOf, installed } from "../plugins.ts";
import { jwtType } from "./pluginPhase.ts";

const modesWithTokens = new Set(["jwt", "key-or-jwt", "key-and-jwt"]);

export const tokenVerification: Check = {
  id: "token-verification",
  look(evidence) {
    const plugins = installed(evidence)?.plugins ?? [];
    if (plugins.length === 0) return [skipped("No plugin was found.")];
    if (!reached(evidence.control) || evidence.control.admin !== "accepted")
      return [skipped("Whether APIs take tokens is for control to say, and it wasn't asked.")];
    const wrong = plugins.flatMap(({ place, name, chain, index, ...plugin }) => {
      const apis = tokenApis(evidence, environmentOf({ ...plugin, place, name, chain, index }));
      if (apis.length === 0) return [];
      const verified = chain.filters.findIndex(({ type }) => type === jwtType);
      const which = `${apis.length === 1 ? "the API" : "the APIs"} ${apis.join(", ")}`;
      if (verified < 0)
        return [
          fault(
            `${place}: ${which} would take tokens, and nothing verifies them: every token counts as missing.`,
            "Apply the RequestAuthentication that `tollgate manifests` writes; it must select this gateway.",
          ),
        ];
      if (verified > index)
        return [
          fault(
            `${place}: ${which} would take tokens, and ${name} runs before they are verified: every token counts as missing.`,
            "Set the WasmPlugin's `phase` to AUTHZ, as `tollgate manifests` does once an API takes tokens.",
          ),
        ];
      return [];
    });
    if (wrong.length > 0) return wrong;
    const any = plugins.some((plugin) => tokenApis(evidence, environmentOf(plugin)).length > 0);
    return [
      ok(any ? "Tokens are verified before the plugin reads what they say." : "No API of this gateway takes tokens."),
    ];
  },
};

/** Those that this gateway may see, as far as its group is known. */
function tokenApis({ control, envoy }: Evidence, environment: string): string[] {
  if (!reached(control) || !reached(envoy)) return [];
  const known = control.environments[environment];
  if (known === undefined) return [];
  const visible = apisOf(known, envoy);
  return known.apis
    .filter(({ id, mode }) => modesWithTokens.has(mode) && (visible === "all" || visible.has(id)))
    .map(({ id }) => id);
}

function apisOf({ gateways, gatewayTokens }: ControlEnvironment, envoy: EnvoyEvidence): "all" | Set<string> {
  const node = text(at(envoy.serverInfo, "node", "id"));
  const group = gateways.find(({ id, state }) => state === "connected" && id.startsWith(`${node}~`))?.group;
  const lists = gatewayTokens.filter((token) => token.group === group).map(({ apis }) => apis);
  if (lists.length === 0 || lists.includes(null)) return "all";
  return new Set(lists.flatMap((apis) => apis ?? []));
}
