/** An API record's parts, which follow one another (docs/internals/protocol.md). */
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

function afterRoutes(api: usize): usize {
  const routes = afterTexts(apiScopes(api));
  let route = first(routes);
  for (let n = count(routes); n > 0; n--) route = routeEnd(route);
  return route;
}

/** An API's CORS rules, or 0. */
export function apiCors(api: usize): usize {
  return (load<u16>(api, 6) & 1) == 0 ? 0 : afterRoutes(api);
}

/** Whose tokens an API takes and what their claims mean, or 0. */
export function apiJwt(api: usize): usize {
  const flags = load<u16>(api, 6);
  if ((flags & 16) == 0) return 0;
  const at = afterRoutes(api);
  return (flags & 1) == 0 ? at : afterTexts(afterTexts(afterTexts(afterTexts(at)))) + 5;
}

// @ts-ignore: decorator
@inline
export function jwtIssuers(jwt: usize): usize { return jwt; }
/** A list of lists, one for each issuer. */
// @ts-ignore: decorator
@inline
export function jwtAudiences(jwt: usize): usize { return afterTexts(jwt); }
export function jwtConsumerClaims(jwt: usize): usize {
  const lists = jwtAudiences(jwt);
  let list = first(lists);
  for (let n = count(lists); n > 0; n--) list = afterTexts(list);
  return list;
}
/** Texts, empty where there is no such claim. */
// @ts-ignore: decorator
@inline
export function jwtTierClaim(jwt: usize): usize { return afterTexts(jwtConsumerClaims(jwt)); }
// @ts-ignore: decorator
@inline
export function jwtScopeClaim(jwt: usize): usize { return next(jwtTierClaim(jwt)); }
// @ts-ignore: decorator
@inline
export function jwtAdmitsUnknown(jwt: usize): bool { return (load<u8>(next(jwtScopeClaim(jwt))) & 1) != 0; }
