/** Where an API's requests go: a service of the cluster, or a name outside the mesh; a subset of it where the API has a policy of its own. */
import { dnsLabel } from "./names.ts";
import type { Api } from "../../../control/domain/model.ts";
import type { TrafficVersion } from "../../../control/domain/trafficSchema.ts";
import { ManifestError, type RoutingFlavour } from "../model.ts";
import { subsetName } from "./names.ts";
import { hasPolicy } from "./policy.ts";

export interface Destination {
  /** the full name */
  host: string;
  port: number;
  /** absent: outside the mesh */
  service?: { name: string; namespace: string };
  /** only of Istio's own routes */
  subset?: string;
}

const clusterName = new RegExp(`^(${dnsLabel})\\.(${dnsLabel})\\.svc(\\.[a-z0-9.-]+)?$`);

/** The destination of an API's version, or of what no version takes. Throws a ManifestError where its name leads nowhere. */
export function destinationOf(api: Api, flavour: RoutingFlavour, version?: TrafficVersion): Destination {
  const upstream = version?.upstream ?? api.upstream;
  const external = version?.upstream === undefined && api.traffic?.external !== undefined;
  const field = `API \`${api.id}\`: ${version?.upstream === undefined ? "upstream.service" : `the upstream.service of version \`${version.name}\``} \`${upstream.service}\``;
  const named = clusterName.exec(upstream.service);
  if (external && named !== null)
    throw new ManifestError(`${field} is a service of the cluster: remove traffic.external.`);
  if (!external && named === null) {
    throw new ManifestError(
      `${field} is not a service of the cluster. Give its full name (orders.shop.svc.cluster.local), or traffic.external when it is outside the mesh.`,
    );
  }
  const subset =
    flavour === "gateway-api"
      ? undefined
      : version?.labels !== undefined
        ? subsetName(api, version.name)
        : hasPolicy(api)
          ? subsetName(api)
          : undefined;
  return {
    host: named === null ? upstream.service : `${named[1]}.${named[2]}.svc${named[3] ?? ".cluster.local"}`,
    port: upstream.port,
    ...(named === null ? {} : { service: { name: named[1]!, namespace: named[2]! } }),
    ...(subset === undefined ? {} : { subset }),
  };
}

/** All destinations of an API, each with its version: that of the API itself when some request gets there. */
export function destinationsOf(
  api: Api,
  flavour: RoutingFlavour,
): { destination: Destination; version?: TrafficVersion }[] {
  const versions = api.traffic?.versions ?? [];
  const own = versions.some(({ match }) => match === undefined) ? [] : [{ destination: destinationOf(api, flavour) }];
  return [...own, ...versions.map((version) => ({ destination: destinationOf(api, flavour, version), version }))];
}
