/** Istio's own kinds: Gateway, VirtualService, DestinationRule, ServiceEntry. */
import type { Api } from "../../../control/domain/model.ts";
import type { ManifestFile, ManifestOptions } from "../model.ts";
import { delegatesOf } from "./delegates.ts";
import { subsetRules } from "./destinationRule.ts";
import { hostRoutes } from "./hostRoutes.ts";
import { gatewaysOf, istioGateways } from "./istioGateway.ts";
import { groupHosts, planHosts } from "./plan.ts";
import { serviceEntries } from "./serviceEntry.ts";
import { tlsOfHosts } from "./tls.ts";
import { virtualServices } from "./virtualService.ts";

export function istioFiles(apis: readonly Api[], options: ManifestOptions): ManifestFile[] {
  const plans = planHosts(apis);
  const points = plans.flatMap(({ places }) => places.flatMap((place) => place.points));
  const delegates = new Map(apis.map((api) => [api, delegatesOf(api, points)]));
  const allHosts = plans.map(({ host }) => host);
  const hostGroups = groupHosts(plans, ({ host }) => JSON.stringify(gatewaysOf(host, allHosts, options)));
  const entries = serviceEntries(apis, options);
  return [
    { path: "platform/gateway.yaml", documents: istioGateways(tlsOfHosts(apis), options) },
    {
      path: "platform/hosts.yaml",
      documents: hostGroups.map(({ hosts, plan }) =>
        hostRoutes(hosts, gatewaysOf(plan.host, allHosts, options), plan, delegates, options),
      ),
    },
    ...apis.flatMap((api) => [
      { path: `apis/${api.id}/route.yaml`, documents: virtualServices(api, delegates.get(api)!, options) },
      { path: `apis/${api.id}/destination.yaml`, documents: subsetRules(api, options) },
      { path: `apis/${api.id}/service-entry.yaml`, documents: entries.has(api) ? [entries.get(api)!] : [] },
    ]),
  ];
}
