/** ReferenceGrants: a route may lead into another namespace only where that namespace allows it. */
import type { Api } from "../../../control/domain/model.ts";
import type { ManifestDocument, ManifestOptions } from "../model.ts";
import { destinationsOf } from "./destination.ts";
import { objectName, ownLabels } from "./names.ts";

export function referenceGrants(api: Api, { gateway }: ManifestOptions): ManifestDocument[] {
  const services = new Map<string, Set<string>>();
  for (const { destination } of destinationsOf(api, "gateway-api")) {
    const { service } = destination;
    if (service === undefined || service.namespace === gateway.namespace) continue;
    services.set(service.namespace, (services.get(service.namespace) ?? new Set()).add(service.name));
  }
  return [...services].map(([namespace, names]) => ({
    comment: `Lets routes in the gateway's namespace lead to ${[...names].join(", ")}, and to nothing else in ${namespace}.`,
    object: {
      apiVersion: "gateway.networking.k8s.io/v1beta1",
      kind: "ReferenceGrant",
      metadata: { name: objectName(api), namespace, labels: { ...ownLabels } },
      spec: {
        from: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: gateway.namespace }],
        to: [...names].map((name) => ({ group: "", kind: "Service", name })),
      },
    },
  }));
}
