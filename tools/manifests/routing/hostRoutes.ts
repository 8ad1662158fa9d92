/** One VirtualService for each host: which API is asked when. */
import type { Api } from "../../../control/domain/model.ts";
import type { ManifestDocument, ManifestOptions } from "../model.ts";
import type { Delegate } from "./delegates.ts";
import { askedMethodHeader, methodsOf } from "./methods.ts";
import { hostName, ownLabels } from "./names.ts";
import type { HostPlan, Place, Point } from "./plan.ts";

interface HttpRule {
  name: string;
  match: object[];
  delegate?: object;
  directResponse?: object;
  headers?: object;
}

export function hostRoutes(
  hosts: readonly string[],
  gateways: readonly string[],
  plan: HostPlan,
  delegates: ReadonlyMap<Api, readonly Delegate[]>,
  { gateway }: ManifestOptions,
): ManifestDocument {
  const http: HttpRule[] = [];
  const comments = new Map<string, string>();
  for (const place of plan.places) {
    for (const rule of rulesOfPlace(place, delegates, gateway.namespace)) {
      const last = http.at(-1);
      // Neighbours that lead to the same place are one rule.
      if (
        last !== undefined &&
        rule.delegate !== undefined &&
        JSON.stringify(last.delegate) === JSON.stringify(rule.delegate)
      )
        last.match.push(...rule.match);
      else {
        if (rule.directResponse !== undefined)
          comments.set(
            `/spec/http/${http.length}`,
            "No API here takes another method, and a shorter path must not get the request instead.",
          );
        http.push(rule);
      }
    }
  }
  return {
    comment:
      "Which API gets a request of these hosts: the longest path first, as the filter decides. A path is a prefix that ends on a segment's border: the path itself, or what begins with it and `/`.",
    object: {
      apiVersion: "networking.istio.io/v1",
      kind: "VirtualService",
      metadata: { name: hostName(plan.host), namespace: gateway.namespace, labels: { ...ownLabels } },
      spec: { hosts: [...hosts], gateways: [...gateways], exportTo: ["."], http },
    },
    comments,
  };
}

function rulesOfPlace(
  { path, points, shared }: Place,
  delegates: ReadonlyMap<Api, readonly Delegate[]>,
  namespace: string,
): HttpRule[] {
  const to = (point: Point, match: object[]): HttpRule => {
    const { name } = delegates
      .get(point.api)!
      .find(({ paths }) => paths.includes(point.preflight === true ? point.base : path))!;
    return { name: point.api.id, match, delegate: { name, namespace } };
  };
  const uris = uriMatches(path);
  const preflights = shared ? points.filter(({ api }) => api.cors !== undefined && api.methods.length > 0) : [];
  const rules = [
    // A preflight belongs to the API whose method it asks for.
    ...preflights.map((point) =>
      to(
        point,
        uris.map((match) => ({
          ...match,
          method: { exact: "OPTIONS" },
          headers: { [askedMethodHeader]: oneOf(methodsOf(point.api)) },
        })),
      ),
    ),
    ...points
      .filter(({ preflight }) => preflight === undefined)
      .map((point) => {
        const methods = methodsOf(point.api);
        if (!shared && point.api.cors !== undefined && methods.length > 0 && !methods.includes("OPTIONS"))
          methods.push("OPTIONS");
        return to(point, methods.length === 0 ? uris : uris.map((match) => ({ ...match, method: oneOf(methods) })));
      }),
  ];
  if (points.every(({ api, path: at, base }) => at === base && api.methods.length > 0)) {
    const allow = [...new Set(points.flatMap(({ api }) => methodsOf(api)))].join(", ");
    rules.push({
      name: "method-not-allowed",
      match: uris,
      directResponse: { status: 405 },
      headers: { response: { set: { allow } } },
    });
  }
  return rules;
}

function uriMatches(path: string): object[] {
  return path === "/" ? [{ uri: { prefix: "/" } }] : [{ uri: { exact: path } }, { uri: { prefix: `${path}/` } }];
}

function oneOf(texts: readonly string[]): object {
  return texts.length === 1
    ? { exact: texts[0]! }
    : { regex: texts.map((text) => text.replaceAll(/[^A-Za-z0-9]/g, "\\$&")).join("|") };
}
