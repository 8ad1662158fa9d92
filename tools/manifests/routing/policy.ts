/** An API's wishes for its upstream as a DestinationRule's traffic policy. */
import type { Api } from "../../../control/domain/model.ts";
import type { Traffic } from "../../../control/domain/trafficSchema.ts";
import { duration } from "./duration.ts";

const simpleBalancers = { roundRobin: "ROUND_ROBIN", leastRequest: "LEAST_REQUEST", random: "RANDOM" } as const;

/** Does the API ask for anything that only a DestinationRule says? */
export function hasPolicy(api: Api): boolean {
  return Object.keys(trafficPolicy(api, true)).length > 0;
}

/** The policy; `own`: towards the API's own upstream, which may be outside the mesh, and not towards that of a version. */
export function trafficPolicy(api: Api, own: boolean): Record<string, unknown> {
  const traffic: Traffic = api.traffic ?? {};
  return {
    ...loadBalancer(traffic),
    ...connectionPool(traffic.circuitBreaking),
    ...outlierDetection(traffic.circuitBreaking),
    ...(own && originatesTls(api)
      ? { tls: { mode: "SIMPLE", sni: api.upstream.service, subjectAltNames: [api.upstream.service] } }
      : {}),
  };
}

/** Does the gateway speak TLS to an upstream outside the mesh? */
export function originatesTls(api: Api): boolean {
  return api.traffic?.external !== undefined && api.traffic.external.tls !== false;
}

function loadBalancer({ loadBalancing, consistentHash }: Traffic): object {
  if (consistentHash !== undefined)
    return { loadBalancer: { consistentHash: { httpHeaderName: consistentHash.header } } };
  return loadBalancing === undefined ? {} : { loadBalancer: { simple: simpleBalancers[loadBalancing] } };
}

function connectionPool(breaking: Traffic["circuitBreaking"]): object {
  const { maxConnections, maxPendingRequests, maxRequests, maxRequestsPerConnection } = breaking ?? {};
  const http = compact({
    http1MaxPendingRequests: maxPendingRequests,
    http2MaxRequests: maxRequests,
    maxRequestsPerConnection,
  });
  const pool = compact({
    tcp: maxConnections === undefined ? undefined : { maxConnections },
    http: Object.keys(http).length === 0 ? undefined : http,
  });
  return Object.keys(pool).length === 0 ? {} : { connectionPool: pool };
}

function outlierDetection(breaking: Traffic["circuitBreaking"]): object {
  const { consecutive5xxErrors, intervalSeconds, baseEjectionSeconds, maxEjectionPercent } = breaking ?? {};
  const detection = compact({
    consecutive5xxErrors,
    interval: intervalSeconds === undefined ? undefined : duration(intervalSeconds),
    baseEjectionTime: baseEjectionSeconds === undefined ? undefined : duration(baseEjectionSeconds),
    maxEjectionPercent,
  });
  return Object.keys(detection).length === 0 ? {} : { outlierDetection: detection };
}

function compact(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
