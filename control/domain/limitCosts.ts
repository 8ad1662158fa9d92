import { applicableLimits, routeName } from "./applicableLimits.ts";
import type { Api, EnvironmentSpec, Limit, Route } from "./model.ts";
import type { ProblemPath, Report } from "./problem.ts";

interface Place {
  api: Api;
  route: Route;
}

/** Warns of limits that can never let a route's call pass, because it costs more than they allow at once. `apis`: those that are stored too. */
export function checkCosts(spec: EnvironmentSpec, apis: readonly Api[], report: Report): void {
  const dear = (some: readonly Api[]): Place[] =>
    some.flatMap((api) => api.routes.filter(({ cost }) => cost > 1).map((route) => ({ api, route })));
  const keyed = dear(apis.filter((api) => api.auth.mode !== "none"));
  const check = (limits: readonly Limit[], at: ProblemPath, places: (limit: Limit) => readonly Place[]) =>
    limits.forEach((limit, index) => {
      if (limit.mode !== "enforce" || limit.limit === 0) return;
      const most = Math.min(limit.limit, limit.smoothing?.burst ?? limit.limit);
      const never = places(limit).find(({ route }) => route.cost > most);
      if (never !== undefined) warn(limit, most, never, [...at, index], report);
    });

  spec.tiers.forEach((tier, index) => {
    const allowed = keyed.filter(({ api }) => tier.apis?.includes(api.id) ?? true);
    const applies = (limit: Limit, place: Place) =>
      applicableLimits({ tier, ...place }).some((found) => found.limit === limit);
    check(tier.limits, ["tiers", index, "limits"], (limit) => allowed.filter((place) => applies(limit, place)));
  });
  spec.apis.forEach((api, index) => {
    const own = dear([api]);
    check(api.limits, ["apis", index, "limits"], ({ name }) =>
      own.filter(({ route }) => route.limits.every((limit) => limit.name !== name)),
    );
    api.routes.forEach((route, routeIndex) => {
      check(route.limits, ["apis", index, "routes", routeIndex, "limits"], () =>
        own.filter((place) => place.route === route),
      );
    });
  });
  spec.keys.forEach((key, index) => {
    check(key.limits, ["keys", index, "limits"], () => keyed.filter(({ api }) => key.apis?.includes(api.id) ?? true));
  });
}

function warn(limit: Limit, most: number, { api, route }: Place, at: ProblemPath, report: Report): void {
  const allowance = most === limit.limit ? `\`limit\` ${most}` : `\`smoothing.burst\` ${most}`;
  const message = `A call of route \`${routeName(route)}\` of API \`${api.id}\` costs ${route.cost}, more than ${allowance}: it is always refused.`;
  report(at, message, "Raise the limit, or lower the route's `cost`.", "warning");
}
