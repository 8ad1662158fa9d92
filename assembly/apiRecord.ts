/** An API record's parts, which follow one another (docs/wire.md). */
import { afterTexts, count, first, next } from "./records";

// @ts-ignore: decorator
@inline
export function apiId(api: usize): usize { return api + 8; }
// @ts-ignore: decorator
@inline
export function apiHosts(api: usize): usize { return next(apiId(api)); }
// @ts-ignore: decorator
@inline
export function routePath(route: usize): usize { return route; }
// @ts-ignore: decorator
@inline
export function routeMethods(route: usize): usize { return next(route); }
// @ts-ignore: decorator
@inline
export function routeScopes(route: usize): usize { return afterTexts(routeMethods(route)); }
// @ts-ignore: decorator
@inline
export function routeCost(route: usize): u32 { return load<u32>(afterTexts(routeScopes(route))); }
// @ts-ignore: decorator
@inline
export function routeEnd(route: usize): usize { return afterTexts(routeScopes(route)) + 8; }

/** The scopes that an API requires. */
export function apiScopes(api: usize): usize {
  return afterTexts(afterTexts(afterTexts(apiHosts(api))));
}

/** An API's CORS rules, or 0. */
export function apiCors(api: usize): usize {
  if ((load<u16>(api, 6) & 1) == 0) return 0;
  const routes = afterTexts(apiScopes(api));
  let route = first(routes);
  for (let n = count(routes); n > 0; n--) route = routeEnd(route);
  return route;
}
