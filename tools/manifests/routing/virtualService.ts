/** An API's own VirtualServices: versions, rewriting, headers, time, retries, CORS. */
import type { Api, Cors } from "../../../control/domain/model.ts";
import type { HeaderChanges, Traffic } from "../../../control/domain/trafficSchema.ts";
import type { ManifestDocument, ManifestOptions } from "../model.ts";
import type { Delegate } from "./delegates.ts";
import { destinationOf } from "./destination.ts";
import { duration } from "./duration.ts";
import { corsMethods } from "./methods.ts";
import { ownLabels } from "./names.ts";
import type { Rule } from "./versions.ts";

export function virtualServices(
  api: Api,
  delegates: readonly Delegate[],
  { gateway }: ManifestOptions,
): ManifestDocument[] {
  return delegates.map(({ name, paths, rules }) => {
    const comments = new Map<string, string>();
    rules.forEach((rule, index) => {
      const at = `/spec/http/${index}`;
      if (rule.rewrite !== undefined)
        comments.set(
          `${at}/rewrite`,
          `The upstream sees \`${rule.rewrite.to}\` where the caller wrote \`${rule.rewrite.from}\`, at the path's beginning.`,
        );
      if (api.traffic?.retries !== undefined && index === 0)
        comments.set(`${at}/retries`, "A request is counted once, however often it's tried.");
      if (api.cors !== undefined && index === 0)
        comments.set(
          `${at}/corsPolicy`,
          "The filter lets a preflight through that these rules allow; Envoy answers it here.",
        );
    });
    return {
      comment: `The way of requests for ${paths.join(", ")}. The VirtualService of each host delegates to it: hosts, paths and methods are there.`,
      object: {
        apiVersion: "networking.istio.io/v1",
        kind: "VirtualService",
        metadata: { name, namespace: gateway.namespace, labels: { ...ownLabels } },
        spec: { exportTo: ["."], http: rules.map((rule) => httpRoute(api, rule)) },
      },
      comments,
    };
  });
}

function httpRoute(api: Api, rule: Rule): object {
  const traffic: Traffic = api.traffic ?? {};
  const name = rule.targets
    .map(({ version }) => version?.name)
    .filter((version) => version !== undefined)
    .join("-");
  const required = Object.entries(rule.headers);
  return {
    ...(name === "" ? {} : { name }),
    ...(required.length === 0
      ? {}
      : { match: [{ headers: Object.fromEntries(required.map(([header, value]) => [header, { exact: value }])) }] }),
    ...rewrite(api, rule),
    route: rule.targets.map(({ version, weight }) => {
      const { host, port, subset } = destinationOf(api, "istio", version);
      return {
        destination: { host, ...(subset === undefined ? {} : { subset }), port: { number: port } },
        ...(rule.targets.length === 1 ? {} : { weight }),
      };
    }),
    ...(traffic.timeoutSeconds === undefined ? {} : { timeout: duration(traffic.timeoutSeconds) }),
    ...retries(traffic.retries),
    ...(api.cors === undefined ? {} : { corsPolicy: corsPolicy(api, api.cors) }),
    ...headers(traffic.headers),
  };
}

function rewrite(api: Api, { rewrite: change, targets }: Rule): object {
  // A server outside the mesh knows itself by its own name alone.
  const authority =
    api.traffic?.external !== undefined && targets.every(({ version }) => version?.upstream === undefined)
      ? { authority: api.upstream.service }
      : {};
  if (change === undefined) return Object.keys(authority).length === 0 ? {} : { rewrite: authority };
  const literal = change.from.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  // What is rewritten to the root takes the slash along, so that `/orders` becomes `/` as `/orders/` does; from the root nothing but its slash is there.
  const uriRegexRewrite =
    change.from === "/"
      ? { match: "^/", rewrite: `${change.to}/` }
      : change.to === "/"
        ? { match: `^${literal}/?`, rewrite: "/" }
        : { match: `^${literal}`, rewrite: change.to };
  return { rewrite: { uriRegexRewrite, ...authority } };
}

function retries(wanted: Traffic["retries"]): object {
  if (wanted === undefined) return {};
  const { attempts, perTryTimeoutSeconds, on } = wanted;
  return {
    retries: {
      attempts,
      ...(perTryTimeoutSeconds === undefined ? {} : { perTryTimeout: duration(perTryTimeoutSeconds) }),
      ...(on === undefined ? {} : { retryOn: on.join(",") }),
    },
  };
}

function corsPolicy(api: Api, cors: Cors): object {
  return {
    allowOrigins: cors.allowOrigins.map(originMatch),
    allowMethods: corsMethods(api),
    ...(cors.allowHeaders.length === 0 ? {} : { allowHeaders: cors.allowHeaders }),
    ...(cors.exposeHeaders.length === 0 ? {} : { exposeHeaders: cors.exposeHeaders }),
    maxAge: cors.maxAgeSeconds === 0 ? "0s" : duration(cors.maxAgeSeconds),
    ...(cors.allowCredentials ? { allowCredentials: true } : {}),
  };
}

/** `*` stands for at least one byte of a host's name, as for the filter. */
function originMatch(origin: string): object {
  if (origin === "*" || !origin.includes("*")) return { exact: origin };
  return { regex: origin.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&").replace("*", "[A-Za-z0-9._-]+") };
}

function headers(wanted: Traffic["headers"]): object {
  const sides = (["request", "response"] as const).flatMap((side) => {
    const changes = operations(wanted?.[side]);
    return Object.keys(changes).length === 0 ? [] : [[side, changes] as const];
  });
  return sides.length === 0 ? {} : { headers: Object.fromEntries(sides) };
}

function operations({ set, add, remove }: HeaderChanges = {}): object {
  return {
    ...(set === undefined || Object.keys(set).length === 0 ? {} : { set }),
    ...(add === undefined || Object.keys(add).length === 0 ? {} : { add }),
    ...(remove === undefined || remove.length === 0 ? {} : { remove }),
  };
}
