/** Where the plugin sets internal tokens: does the gateway get them? */
import { reached } from "../evidence.ts";
import { at, text } from "../json.ts";
import { fault, ok, skipped, type Check } from "../model.ts";
import { callersOf, environmentOf, installed } from "../plugins.ts";
import { Stats } from "../stats.ts";

export const internalTokens: Check = {
  id: "internal-tokens",
  look(evidence) {
    const callers = callersOf(installed(evidence)?.plugins ?? []);
    if (callers.length === 0 || !reached(evidence.envoy)) return [skipped("No plugin calls a control.")];
    const setting = callers.filter(({ configuration }) => text(at(configuration, "claims", "token")) !== "");
    if (setting.length === 0) return [ok("No plugin sets internal tokens (`claims.token`).")];
    const stats = new Stats(evidence.envoy);
    const wrong = [...new Set(setting.map(environmentOf))].flatMap((environment) => {
      const growth = (metric: string): number => stats.growth(Stats.filterName(environment, metric)) ?? 0;
      const failed = growth("tokens_failed");
      const refused = growth("refused.token_unavailable");
      if (failed + refused === 0) return [];
      return [
        fault(
          `Internal tokens of ${environment} can't be had: ${failed} calls failed and ${refused} requests were refused with token_unavailable ${stats.while}.`,
          "The file needs `internalToken` for this environment, and control's database must answer: `tollgate signing-keys list`, control's log, the metric tollgate_sync_tokens_total.",
        ),
      ];
    });
    return wrong.length > 0 ? wrong : [ok("Internal tokens are had when they are asked for.")];
  },
};
