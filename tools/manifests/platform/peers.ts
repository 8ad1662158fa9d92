/** Inside the mesh: the filter on the pods of services whose APIs ask for a peer, a caller known by its certificate. */
import type { Api, EnvironmentSpec } from "../../../control/domain/model.ts";
import { type ManifestDocument, ManifestError, type ManifestOptions } from "../model.ts";
import {
  clusterService,
  controlCluster,
  controlHost,
  controlName,
  pluginName,
  sorted,
  peerSecret,
  tokenVariable,
  gatewaySecretKey,
} from "./names.ts";
import { type Service, serviceTarget, targetComment } from "./services.ts";
import { failComment, failStrategy, moduleUrl, urlComment, vm, vmComment } from "./plugin.ts";

/** Namespaces of services with APIs for peers. */
export function peerNamespaces({ apis }: Pick<EnvironmentSpec, "apis">): string[] {
  return sorted(apis.filter(({ auth }) => auth.mode === "mtls").map((api) => serviceOf(api).namespace));
}

/** The plugin on the pods of a service: one, however many of its APIs are for peers. By service: the first API's id and the documents. */
export function peerPlugins(
  spec: EnvironmentSpec,
  options: ManifestOptions,
): { api: string; documents: ManifestDocument[] }[] {
  const services = new Map<string, Api[]>();
  for (const api of spec.apis.filter(({ auth }) => auth.mode === "mtls")) {
    const { name, namespace } = serviceOf(api);
    services.set(`${namespace}/${name}`, [...(services.get(`${namespace}/${name}`) ?? []), api]);
  }
  return [...services.values()].map((apis) => ({
    api: apis[0]!.id,
    documents: [
      peerPlugin(apis, options),
      ...(options.meshProxy === "waypoint" ? [waypointCluster(serviceOf(apis[0]!), options)] : []),
    ],
  }));
}

/** A waypoint gets clusters of its own services and of what routes name alone: without this the filter there would never reach control. */
function waypointCluster(service: Service, options: ManifestOptions): ManifestDocument {
  return {
    comment:
      "Changes nothing in Envoy: its annotation makes istiod give control's cluster to the waypoint, which otherwise gets those of its own services alone.",
    object: {
      apiVersion: "networking.istio.io/v1alpha3",
      kind: "EnvoyFilter",
      metadata: {
        name: `tollgate-${service.namespace}.${service.name}-control`,
        namespace: "istio-system",
        annotations: { "envoyfilter.istio.io/referenced-services": controlHost(options) },
      },
      spec: { targetRefs: [{ group: "gateway.networking.k8s.io", kind: "GatewayClass", name: "istio-waypoint" }] },
    },
    comments: new Map([
      [
        "/spec/targetRefs",
        "Clusters are of a waypoint as a whole, so naming the Service here would be in vain. All waypoints can only be named in Istio's own namespace.",
      ],
    ]),
  };
}

function serviceOf(api: Api): Service {
  const service = clusterService(api.upstream.service);
  if (service === undefined)
    throw new ManifestError(
      `API \`${api.id}\`: auth.mode mtls needs an upstream in the mesh, and \`${api.upstream.service}\` is none: name it as <service>.<namespace>.svc.cluster.local.`,
    );
  return service;
}

function peerPlugin(apis: readonly Api[], options: ManifestOptions): ManifestDocument {
  const service = serviceOf(apis[0]!);
  const { name, namespace } = service;
  const { claims, ...rest } = (options.plugin ?? {}) as { claims?: { prefix?: string } };
  const waypoint = options.meshProxy === "waypoint";
  return {
    comment: [
      `The filter ${waypoint ? `at the waypoint of ${name}` : `on the pods of ${name}`}, for ${apis.map(({ id }) => id).join(", ")}: callers in the mesh are known by the certificate that mutual TLS has verified, and have tiers and limits.`,
      `Its gateway token is of a group of its own that sees these APIs alone (tollgate gateway-tokens create --group mesh${apis.map(({ id }) => ` --api ${id}`).join("")}), in the Secret ${peerSecret} of the namespace ${namespace}, key ${gatewaySecretKey}.`,
      waypoint
        ? `It comes to the waypoint as ${tokenVariable} by a ConfigMap that the waypoint's Gateway names in infrastructure.parametersRef, as base/platform/gateway-pods.yaml does for --routing gateway-api.`
        : `It comes to the sidecar by a container \`istio-proxy\` (image: auto) in the pods' template with ${tokenVariable} from that Secret.`,
    ].join("\n"),
    object: {
      apiVersion: "extensions.istio.io/v1alpha1",
      kind: "WasmPlugin",
      metadata: { name: `tollgate-${name}`, namespace },
      spec: {
        ...serviceTarget(service, options),
        // A waypoint has no other direction.
        ...(waypoint ? {} : { match: [{ mode: "SERVER" }] }),
        phase: "AUTHN",
        url: moduleUrl(options.image.module),
        ...(options.imagePullSecret === undefined ? {} : { imagePullSecret: options.imagePullSecret }),
        pluginName,
        failStrategy: failStrategy(options.istioVersion),
        ...vm,
        pluginConfig: {
          control: { cluster: controlCluster(options), authority: `${controlName}.${options.namespace}` },
          environment: options.environment,
          unknownApi: "allow",
          claims: { prefix: `${claims?.prefix ?? "x-tollgate-"}peer-` },
          ...(waypoint ? { peer: { source: "waypoint" } } : {}),
          ...rest,
        },
      },
    },
    comments: new Map([
      targetComment(service, options),
      ...(waypoint
        ? [
            [
              "/spec/pluginConfig/peer",
              "The connection here is the waypoint's own; the mesh hands the caller's identity on.",
            ] as const,
          ]
        : [["/spec/match", "What comes in alone: what the service itself calls is another's to decide."] as const]),
      ["/spec/url", urlComment(options.image.module)],
      ["/spec/failStrategy", failComment(options.istioVersion)],
      ["/spec/vmConfig", vmComment],
      ["/spec/pluginConfig/unknownApi", "The service may serve more than these APIs: the rest passes as before."],
      ["/spec/pluginConfig/claims", "Other names than at the gateway, whose claims this plugin would remove."],
    ]),
  };
}
