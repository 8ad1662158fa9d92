/** What becomes of requests while the module is missing or has trapped? */
import { fault, ok, skipped, warning, type Check } from "../model.ts";
import { installed } from "../plugins.ts";

export const failurePolicy: Check = {
  id: "failure-policy",
  look(evidence) {
    const plugins = installed(evidence)?.plugins ?? [];
    if (plugins.length === 0) return [skipped("No plugin was found.")];
    const said = plugins.flatMap(({ place, name, failurePolicy: policy, configuration }) => {
      if (policy === "FAIL_OPEN")
        return [
          fault(
            `${place}: ${name} fails open: while its module is missing or a VM has trapped, every request passes without a key and with the claims that the client forged.`,
            "Set the WasmPlugin's `failStrategy` to FAIL_RELOAD (Istio 1.27 and newer) or FAIL_CLOSE.",
          ),
        ];
      if (configuration?.["failureMode"] === "open")
        return [
          warning(
            `${place}: ${name} has \`failureMode: open\`: without a snapshot every request passes unchecked, without claims.`,
            "Keep it if this is meant; `closed` answers 503 instead.",
          ),
        ];
      return [];
    });
    return said.length > 0 ? said : [ok("Without module or snapshot, requests are refused.")];
  },
};
