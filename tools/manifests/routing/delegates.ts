/**
 * What a host's VirtualService leaves to an API's own ones. Istio leaves the order of several VirtualServices of one host open; so one for
 * the host says which API is asked when, and delegates the rest.
 */
import type { Api } from "../../../control/domain/model.ts";
import { objectName } from "./names.ts";
import type { Point } from "./plan.ts";
import { rulesAt, type Rule } from "./versions.ts";

export interface Delegate {
  name: string;
  /** the paths that lead to it */
  paths: readonly string[];
  rules: readonly Rule[];
}

const isBase = ({ path, base }: Point): boolean => path === base;

/** An API's delegates: one for all paths whose rules are the same. Paths that no request reaches have none. */
export function delegatesOf(api: Api, points: readonly Point[]): Delegate[] {
  const found = new Map<string, { paths: string[]; rules: Rule[] }>();
  const own = points.filter((point) => point.api === api && point.preflight === undefined);
  for (const point of [...own.filter(isBase), ...own.filter((point) => !isBase(point))]) {
    const rules = rulesAt(point);
    const key = JSON.stringify(
      rules.map(({ headers, targets, rewrite }) => [
        headers,
        targets.map(({ version, weight }) => [version?.name, weight]),
        rewrite,
      ]),
    );
    const same = found.get(key);
    if (same === undefined) found.set(key, { paths: [point.path], rules });
    else if (!same.paths.includes(point.path)) same.paths.push(point.path);
  }
  return [...found.values()].map(({ paths, rules }, index) => ({ name: objectName(api, index), paths, rules }));
}
