/** Does control answer, is it ready, does it take the admin token? */
import { reached } from "../evidence.ts";
import { fault, ok, skipped, warning, type Check } from "../model.ts";

export const controlReachable: Check = {
  id: "control",
  look({ control }) {
    if (!reached(control)) {
      if (control.notAsked === true) return [skipped("Control was not asked: --url names its admin API.")];
      return [
        fault(
          `Control's admin API at ${control.url} can't be read: ${control.unreached}.`,
          "Start control, or give its address with --url (in a mesh after `kubectl port-forward -n <namespace> service/<control> 8090`). Gateways go on with what they have, until it's older than maxSnapshotAgeSeconds.",
        ),
      ];
    }
    if (control.ready !== true)
      return [
        fault(
          `Control answers, and isn't ready: ${control.ready}`,
          "Its database (TOLLGATE_DATABASE_URL) and its counter store (TOLLGATE_REDIS_URL) must answer; control's log names the fault.",
        ),
      ];
    if (control.admin === "refused")
      return [
        fault(
          "Control refuses the admin token.",
          "Give a valid one by TOLLGATE_ADMIN_TOKEN: `tollgate admin-tokens create` makes one.",
        ),
      ];
    if (control.admin === "none")
      return [
        warning(
          "Control is ready. It wasn't asked for gateways, tokens and APIs: there is no admin token.",
          "Give one by TOLLGATE_ADMIN_TOKEN.",
        ),
      ];
    return [ok("Control is ready and takes the admin token.")];
  },
};
