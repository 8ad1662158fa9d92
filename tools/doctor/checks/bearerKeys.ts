/** Can keys come as `Authorization: Bearer`, where Envoy takes whatever stands there for a token? */
import type { JsonObject } from "../evidence.ts";
import { text } from "../json.ts";
import { fault, ok, skipped, type Check } from "../model.ts";
import { installed, keySourcesOf } from "../plugins.ts";
import { jwtType } from "./pluginPhase.ts";

export const bearerKeys: Check = {
  id: "bearer-keys",
  look(evidence) {
    const plugins = installed(evidence)?.plugins ?? [];
    if (plugins.length === 0) return [skipped("No plugin was found.")];
    const wrong = plugins.flatMap((plugin) => {
      const { place, name, chain, index } = plugin;
      const verifiedFirst = chain.filters.slice(0, index).some(({ type }) => type === jwtType);
      if (!verifiedFirst || !keySourcesOf(plugin).some(isAuthorization)) return [];
      return [
        fault(
          `${place}: ${name} takes keys from \`Authorization\`, and tokens are verified first: a request with \`Bearer tg_…\` is refused as a broken token (401 "Jwt is not in the form of Header.Payload.Signature") before the plugin sees it.`,
          "Leave `bearer` out of `keySources` and let clients send keys in another header, such as x-api-key. `tollgate manifests` refuses this combination.",
        ),
      ];
    });
    return wrong.length > 0 ? wrong : [ok("No key source is taken for a token.")];
  },
};

function isAuthorization(source: JsonObject): boolean {
  return source["bearer"] === true || text(source["header"]).toLowerCase() === "authorization";
}
