/** Filter, routes and policies must find the same API for a request: what Istio leaves to them to read alike. */
import type { ManifestDocument, ManifestOptions } from "../model.ts";

/** `api.example.com.` and `api.example.com:8443` are `api.example.com`: Envoy can say so to the filter, its routes and policies at once. */
export function hostForm(options: ManifestOptions): ManifestDocument {
  return {
    comment: [
      "`api.example.com.` and `api.example.com:8443` are the host `api.example.com`: Envoy removes the dot and the port before filter, routes and policies look. Without this the filter refuses the dot,",
      "and a policy can't tell `*.example.com` with a port from other hosts. Upstreams see the host without its port.",
      "Istio has no setting of its own for either; the fields are of Envoy's stable API.",
    ].join("\n"),
    object: {
      apiVersion: "networking.istio.io/v1alpha3",
      kind: "EnvoyFilter",
      metadata: { name: "tollgate-host-form", namespace: options.gateway.namespace },
      spec: {
        workloadSelector: { labels: gatewayLabels(options) },
        configPatches: [
          {
            applyTo: "NETWORK_FILTER",
            match: {
              context: "GATEWAY",
              listener: { filterChain: { filter: { name: "envoy.filters.network.http_connection_manager" } } },
            },
            patch: {
              operation: "MERGE",
              value: {
                typed_config: {
                  "@type":
                    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                  strip_trailing_host_dot: true,
                  strip_any_host_port: true,
                },
              },
            },
          },
        ],
      },
    },
  };
}

/** Labels of the gateway's pods. */
export function gatewayLabels({ routing, gateway }: ManifestOptions): Record<string, string> {
  return routing === "gateway-api"
    ? { "gateway.networking.k8s.io/gateway-name": gateway.name }
    : { ...gateway.selector };
}
