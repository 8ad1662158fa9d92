/** The Gateway API: Gateway, HTTPRoute, ReferenceGrant; with Istio's DestinationRule and ServiceEntry for what it has no kinds for. */
import type { Api } from "../../../control/domain/model.ts";
import { type ManifestDocument, ManifestError, type ManifestFile, type ManifestOptions } from "../model.ts";
import { hostPolicies } from "./destinationRule.ts";
import { checkHttpRoute, httpRoutes } from "./httpRoute.ts";
import { hostName, ownLabels } from "./names.ts";
import { planHosts } from "./plan.ts";
import { referenceGrants } from "./referenceGrant.ts";
import { serviceEntries } from "./serviceEntry.ts";
import { type HostTls, tlsOfHosts } from "./tls.ts";

export function gatewayApiFiles(apis: readonly Api[], options: ManifestOptions): ManifestFile[] {
  for (const api of apis) checkHttpRoute(api);
  const plans = planHosts(apis);
  const tls = tlsOfHosts(apis);
  const policies = hostPolicies(apis, options);
  const entries = serviceEntries(apis, options);
  const sectionsOf = (host: string): string[] => {
    const its = tls.get(host);
    return its === undefined
      ? [plainListener]
      : its.redirect
        ? [tlsListener(its.owner)]
        : [plainListener, tlsListener(its.owner)];
  };
  return [
    { path: "platform/gateway.yaml", documents: [gateway(tls, options), ...redirects(tls, options)] },
    ...apis.flatMap((api) => [
      { path: `apis/${api.id}/route.yaml`, documents: httpRoutes(api, plans, sectionsOf, options) },
      { path: `apis/${api.id}/reference-grant.yaml`, documents: referenceGrants(api, options) },
      { path: `apis/${api.id}/destination.yaml`, documents: policies.get(api) ?? [] },
      { path: `apis/${api.id}/service-entry.yaml`, documents: entries.has(api) ? [entries.get(api)!] : [] },
    ]),
  ];
}

const plainListener = "http";
const tlsListener = (host: string): string => hostName(host).replace("tollgate", "https");
const maxListeners = 64;

function gateway(tls: ReadonlyMap<string, HostTls | undefined>, options: ManifestOptions): ManifestDocument {
  const allowedRoutes = { namespaces: { from: "Same" } };
  const secured = [...tls].flatMap(([host, its]) => (its?.owner === host ? [its] : []));
  if (secured.length >= maxListeners) {
    throw new ManifestError(
      `traffic.tls: ${secured.length} hosts have certificates, and a Gateway has at most ${maxListeners} listeners. Use a certificate for \`*.suffix\`, or --routing istio.`,
    );
  }
  return {
    comment:
      "What the gateway listens on: one Gateway for all APIs, with their routes in its own namespace. Certificates are Secrets there.",
    object: {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: options.gateway.name, namespace: options.gateway.namespace, labels: { ...ownLabels } },
      spec: {
        gatewayClassName: "istio",
        listeners: [
          { name: plainListener, port: 80, protocol: "HTTP", allowedRoutes },
          ...secured.map(({ owner, credentialName }) => ({
            name: tlsListener(owner),
            ...(owner === "*" ? {} : { hostname: owner }),
            port: 443,
            protocol: "HTTPS",
            tls: { mode: "Terminate", certificateRefs: [{ name: credentialName }] },
            allowedRoutes,
          })),
        ],
      },
    },
  };
}

/** Plain HTTP of hosts that want HTTPS. */
function redirects(tls: ReadonlyMap<string, HostTls | undefined>, options: ManifestOptions): ManifestDocument[] {
  const hosts = [...tls].flatMap(([host, its]) => (its?.redirect === true ? [host] : []));
  const named = hosts.filter((host) => host !== "*");
  const groups: string[][] = [
    ...Array.from({ length: Math.ceil(named.length / 16) }, (_, index) => named.slice(index * 16, index * 16 + 16)),
    ...(hosts.includes("*") ? [[]] : []),
  ];
  return groups.map((hostnames, index) => ({
    comment: "A key must not travel in the clear: on plain HTTP these hosts lead to HTTPS alone.",
    object: {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "HTTPRoute",
      metadata: {
        name: `tollgate--redirect${index === 0 ? "" : `--${index + 1}`}`,
        namespace: options.gateway.namespace,
        labels: { ...ownLabels },
      },
      spec: {
        parentRefs: [{ name: options.gateway.name, sectionName: plainListener }],
        ...(hostnames.length === 0 ? {} : { hostnames }),
        rules: [{ filters: [{ type: "RequestRedirect", requestRedirect: { scheme: "https", statusCode: 301 } }] }],
      },
    },
  }));
}
