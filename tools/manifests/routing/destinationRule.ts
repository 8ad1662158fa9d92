/** DestinationRules: subsets, load balancing, circuit breaking, TLS to the outside. */
import type { Api } from "../../../control/domain/model.ts";
import { type ManifestDocument, ManifestError, type ManifestOptions } from "../model.ts";
import { destinationsOf } from "./destination.ts";
import { objectName, ownLabels } from "./names.ts";
import { hasPolicy, trafficPolicy } from "./policy.ts";

interface Subset {
  name: string;
  labels?: Record<string, string>;
  trafficPolicy?: object;
}

const comment =
  "How the gateway treats the upstream of this API. It counts for the gateway's namespace alone, where it takes the place of what the service's owner has written.";

/** With Istio's own routes each API has subsets of its own, so that two with one upstream don't get each other's bounds. */
export function subsetRules(api: Api, { gateway }: ManifestOptions): ManifestDocument[] {
  const hosts = new Map<string, Map<string, Subset>>();
  for (const { destination, version } of destinationsOf(api, "istio")) {
    if (destination.subset === undefined) continue;
    const policy = trafficPolicy(api, version?.upstream === undefined);
    const subsets = hosts.get(destination.host) ?? new Map<string, Subset>();
    hosts.set(destination.host, subsets);
    subsets.set(destination.subset, {
      name: destination.subset,
      ...(version?.labels === undefined ? {} : { labels: version.labels }),
      ...(Object.keys(policy).length === 0 ? {} : { trafficPolicy: policy }),
    });
  }
  return [...hosts].map(([host, subsets], index) => ({
    comment,
    object: destinationRule(objectName(api, index), gateway.namespace, {
      host,
      exportTo: ["."],
      subsets: [...subsets.values()],
    }),
  }));
}

/** HTTPRoutes know no subsets: there a policy is the host's, and APIs with one upstream have to agree. */
export function hostPolicies(apis: readonly Api[], { gateway }: ManifestOptions): Map<Api, ManifestDocument[]> {
  const hosts = new Map<string, { api: Api; policy: object }>();
  const made = new Map<Api, ManifestDocument[]>();
  for (const api of apis) {
    for (const { destination, version } of destinationsOf(api, "gateway-api")) {
      const policy = hasPolicy(api) ? trafficPolicy(api, version?.upstream === undefined) : {};
      const before = hosts.get(destination.host);
      if (before !== undefined) {
        if (JSON.stringify(before.policy) === JSON.stringify(policy)) continue;
        throw new ManifestError(
          `API \`${api.id}\`: traffic.loadBalancing, consistentHash, circuitBreaking and external differ from those of API \`${before.api.id}\`, which has the same upstream ${destination.host}. An HTTPRoute has no subsets that could tell them apart: make them equal, or use --routing istio.`,
        );
      }
      hosts.set(destination.host, { api, policy });
      if (Object.keys(policy).length === 0) continue;
      const documents = made.get(api) ?? [];
      made.set(api, documents);
      documents.push({
        comment: `${comment}\nThe Gateway API has no words for it: istiod reads it beside HTTPRoutes too.`,
        object: destinationRule(objectName(api, documents.length), gateway.namespace, {
          host: destination.host,
          exportTo: ["."],
          trafficPolicy: policy,
        }),
      });
    }
  }
  return made;
}

function destinationRule(name: string, namespace: string, spec: object): ManifestDocument["object"] {
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "DestinationRule",
    metadata: { name, namespace, labels: { ...ownLabels } },
    spec,
  };
}
