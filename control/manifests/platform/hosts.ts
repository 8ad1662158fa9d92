/** Filter and routes must find the same API for a request: what Istio leaves to them to read alike. */
import type { ManifestDocument, ManifestOptions } from "../model.ts";

/** `api.example.com.` is `api.example.com`: Envoy can say so to the filter and to its routes at once. */
export function hostDots(options: ManifestOptions): ManifestDocument {
  return {
    comment: [
      "`api.example.com.` is the host `api.example.com`, as for DNS: Envoy takes the dot away before filter and routes look. Without this both would take it for another host, of APIs of all hosts (`*`) alone.",
      "Istio has no setting of its own for it; the field is one of Envoy's stable API.",
    ].join("\n"),
    object: {
      apiVersion: "networking.istio.io/v1alpha3",
      kind: "EnvoyFilter",
      metadata: { name: "tollgate-host-dots", namespace: options.gateway.namespace },
      spec: {
        workloadSelector: { labels: gatewayLabels(options) },
        configPatches: [{
          applyTo: "NETWORK_FILTER",
          match: { context: "GATEWAY", listener: { filterChain: { filter: { name: "envoy.filters.network.http_connection_manager" } } } },
          patch: {
            operation: "MERGE",
            value: {
              typed_config: {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                strip_trailing_host_dot: true,
              },
            },
          },
        }],
      },
    },
  };
}

/** Labels of the gateway's pods. */
export function gatewayLabels({ routing, gateway }: ManifestOptions): Record<string, string> {
  return routing === "gateway-api" ? { "gateway.networking.k8s.io/gateway-name": gateway.name } : { ...gateway.selector };
}
