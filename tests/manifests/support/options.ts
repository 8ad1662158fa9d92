import type { ManifestOptions } from "../../../tools/manifests/model.ts";

/** Options as the command's defaults are, or nearly. */
export function manifestOptions(options: Partial<ManifestOptions> = {}): ManifestOptions {
  return {
    routing: "istio",
    istioVersion: { major: 1, minor: 31 },
    namespace: "tollgate",
    gateway: { name: "tollgate", namespace: "istio-ingress", selector: { istio: "ingressgateway" } },
    image: {
      module: `registry.example.com/tollgate/module@sha256:${"1".repeat(64)}`,
      control: `registry.example.com/tollgate/control@sha256:${"2".repeat(64)}`,
    },
    environment: "default",
    keySources: [{ header: "x-api-key" }],
    trustDomain: "cluster.local",
    ...options,
  };
}
