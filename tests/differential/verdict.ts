/** Whether the API that the filter decided by is the one whose upstream answered. Nothing here knows how hosts or paths match. */
import type { Answer } from "./clients.ts";
import { keyOf, originOf, type RandomApi } from "./environments.ts";
import type { WireRequest } from "./requests.ts";

/** What is wrong; undefined when the request was refused, or the two agree. */
export function faultOf(request: WireRequest, answer: Answer, apis: readonly RandomApi[]): string | undefined {
  const { reached, policy } = answer;
  if (reached === undefined) return undefined;
  const api = apis.find(({ id }) => id === reached);
  if (api === undefined) return `the upstream of ${reached} answered, which isn't in this environment`;
  const header = (name: string): string | undefined => request.headers.find(([given]) => given === name)?.[1];
  if (policy === undefined) {
    // The filter lets a preflight pass by the CORS rules of one API, without counting it: its origin is that API's own.
    const origin = header("origin");
    const preflight = request.method === "OPTIONS" && header("access-control-request-method") !== undefined;
    if (!preflight) return `no API decided, and the upstream of ${reached} answered`;
    if (api.cors && origin === originOf(reached)) return undefined;
    return `a preflight from ${origin} was let through, and the upstream of ${reached}${api.cors ? "" : ", which has no CORS rules,"} answered`;
  }
  const decided = /^"([^"]+)"/.exec(policy)?.[1];
  if (decided !== reached) return `${decided} decided, and the upstream of ${reached} answered`;
  if (api.keyed && header("x-api-key") !== keyOf(reached))
    return `the upstream of ${reached}, which asks for a key, answered without its key`;
  return undefined;
}
