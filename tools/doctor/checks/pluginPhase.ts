/** Does the plugin run before everything that decides on its claims? */
import type { HttpFilter } from "../dump.ts";
import { fault, ok, skipped, warning, type Check } from "../model.ts";
import { installed } from "../plugins.ts";

const rbacType = "envoy.extensions.filters.http.rbac.v3.RBAC";
export const jwtType = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";

/** Filters that Istio puts behind every phase: a plugin after one of them was put there by hand. */
const afterEveryPhase = new Set([
  "envoy.extensions.filters.http.cors.v3.Cors",
  "envoy.extensions.filters.http.fault.v3.HTTPFault",
  "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
]);

export const pluginPhase: Check = {
  id: "plugin-phase",
  look(evidence) {
    const plugins = installed(evidence)?.plugins ?? [];
    if (plugins.length === 0) return [skipped("No plugin was found.")];
    const wrong = plugins.flatMap(({ place, name, chain, index }) => {
      const before = chain.filters.slice(0, index);
      if (before.some(decides)) {
        return [
          fault(
            `${place}: ${name} runs after the authorization filter, as in phase STATS: an AuthorizationPolicy sees the headers that the client sent, so that forged claims pass.`,
            "Set the WasmPlugin's `phase` to AUTHN, or AUTHZ where an API takes tokens; never STATS, nor none.",
          ),
        ];
      }
      const late = before.find(({ type }) => afterEveryPhase.has(type));
      if (late !== undefined)
        return [
          warning(
            `${place}: ${name} runs after ${late.name}, which no phase of Istio's does. Requests can be answered, and headers be read, before claims are cleaned.`,
            "Put the plugin before it: `phase: AUTHN` or AUTHZ of a WasmPlugin does.",
          ),
        ];
      return [];
    });
    if (wrong.length > 0) return wrong;
    return [
      ok(
        `The plugin runs before authorization: ${[...new Set(plugins.map(({ chain, index }) => phaseOf(chain.filters, index)))].join("; ")}.`,
      ),
    ];
  },
};

/** An RBAC filter that refuses; Istio's CUSTOM authorization has one with shadow rules alone, which only marks. */
function decides({ type, config }: HttpFilter): boolean {
  return type === rbacType && ("rules" in config || "matcher" in config);
}

function phaseOf(filters: readonly HttpFilter[], index: number): string {
  const jwt = filters.findIndex(({ type }) => type === jwtType);
  if (jwt < 0) return "there is no token verification beside it";
  return jwt < index
    ? "tokens are verified before it, as in phase AUTHZ"
    : "tokens are verified after it, as in phase AUTHN";
}
