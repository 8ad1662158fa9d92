/** Parts that not everybody wants: kustomize components, to be listed under `components` of an overlay. */
import { stringify } from "yaml";
import type { EnvironmentSpec } from "../../../control/domain/model.ts";
import type { ManifestFile, ManifestOptions } from "../model.ts";
import { gatewayLabels } from "./hosts.ts";
import { identityFiles } from "./identity.ts";
import { kustomization } from "./kustomization.ts";
import { controlHost, pluginName } from "./names.ts";
import { trafficExtension } from "./plugin.ts";

export function componentFiles(spec: EnvironmentSpec, options: ManifestOptions): ManifestFile[] {
  return [
    ...(hasTrafficExtension(options) ? extension(spec, options) : []),
    ...filteredClusters(options),
    ...meshIdentity(spec, options),
  ];
}

/** Istio 1.29 hasn't got it yet. */
function hasTrafficExtension({ istioVersion: { major, minor } }: ManifestOptions): boolean {
  return major > 1 || minor >= 30;
}

/** The same plugin by the newer API, and away with the older one's. */
function extension(spec: EnvironmentSpec, options: ManifestOptions): ManifestFile[] {
  const folder = "components/traffic-extension";
  return [
    kustomization(
      folder,
      "The filter as TrafficExtension in place of the WasmPlugin. See first whether Istio has it: kubectl get crd trafficextensions.extensions.istio.io",
      {
        resources: ["plugin.yaml"],
        patches: [
          {
            patch: stringify({
              $patch: "delete",
              apiVersion: "extensions.istio.io/v1alpha1",
              kind: "WasmPlugin",
              metadata: { name: pluginName, namespace: options.gateway.namespace },
            }),
          },
        ],
      },
      "Component",
      new Map([["/patches", "Both together would be two filters."]]),
    ),
    { path: `${folder}/plugin.yaml`, documents: [trafficExtension(spec, options)] },
  ];
}

function filteredClusters(options: ManifestOptions): ManifestFile[] {
  const folder = "components/filtered-clusters";
  const { gateway } = options;
  return [
    kustomization(
      folder,
      "For meshes whose istiod has PILOT_FILTER_GATEWAY_CLUSTER_CONFIG=true: gateways then get clusters of routes alone, and control has no route.",
      { resources: ["control-cluster.yaml"] },
      "Component",
    ),
    {
      path: `${folder}/control-cluster.yaml`,
      documents: [
        {
          comment:
            "Changes nothing in Envoy: its annotation makes istiod keep control's cluster at the gateway. A route would do so as well, and open control to the gateway's callers.",
          object: {
            apiVersion: "networking.istio.io/v1alpha3",
            kind: "EnvoyFilter",
            metadata: {
              name: "tollgate-control-cluster",
              namespace: gateway.namespace,
              annotations: { "envoyfilter.istio.io/referenced-services": controlHost(options) },
            },
            spec: { workloadSelector: { labels: gatewayLabels(options) } },
          },
        },
      ],
    },
  ];
}

function meshIdentity(spec: EnvironmentSpec, options: ManifestOptions): ManifestFile[] {
  const folder = "components/mesh-identity";
  const files = identityFiles(spec, options);
  if (files.length === 0) return [];
  return [
    kustomization(
      folder,
      "Services decide by the internal token. From then on nobody else gets in: look at who calls them first.",
      { resources: files.map(({ path }) => path) },
      "Component",
    ),
    ...files.map(({ path, documents }) => ({ path: `${folder}/${path}`, documents })),
  ];
}
