/** Which methods lead to an API. */
import type { Api } from "../../../control/domain/model.ts";
import { withHead } from "../../../control/domain/precedence.ts";

/** GET includes HEAD, as for the filter. Empty: any. */
export function methodsOf(api: Api): string[] {
  return withHead(api.methods);
}

/** Methods that browsers are told of where an API takes any. */
const commonMethods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/** What a preflight's answer names: not more than the API takes. */
export function corsMethods(api: Api): string[] {
  const taken = methodsOf(api);
  const allowed =
    api.cors === undefined || api.cors.allowMethods.length === 0
      ? taken.length === 0
        ? commonMethods
        : taken
      : api.cors.allowMethods;
  return taken.length === 0 ? allowed : allowed.filter((method) => taken.includes(method));
}

/** The header in which a preflight names the method that it's for. */
export const askedMethodHeader = "access-control-request-method";
