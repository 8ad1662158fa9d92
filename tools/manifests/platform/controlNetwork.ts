/** Who may reach control: by address, by mutual TLS, by identity. Each holds where another is missing. */
import type { EnvironmentSpec } from "../../../control/domain/model.ts";
import type { ManifestDocument, ManifestOptions } from "../model.ts";
import { syncNamespaces } from "./control.ts";
import { adminPort, controlName, controlSelector, sorted, syncPort } from "./names.ts";

export function controlNetworkDocuments(spec: EnvironmentSpec, options: ManifestOptions): ManifestDocument[] {
  return [peerAuthentication(options), authorization(spec, options), networkPolicy(spec, options)];
}

function peerAuthentication({ namespace }: ManifestOptions): ManifestDocument {
  return {
    comment: "Gateway tokens and what control answers cross the network: by mutual TLS alone.",
    object: {
      apiVersion: "security.istio.io/v1",
      kind: "PeerAuthentication",
      metadata: { name: controlName, namespace },
      spec: { selector: { matchLabels: controlSelector }, mtls: { mode: "STRICT" } },
    },
  };
}

function authorization(spec: EnvironmentSpec, options: ManifestOptions): ManifestDocument {
  const { gateways, verifiers } = syncNamespaces(spec, options);
  const from = (namespaces: readonly string[]) => [{ source: { namespaces } }];
  return {
    comment:
      "Beside the tokens that control asks for: the sync port is for gateways, the admin API for control's own namespace, by the identity that mutual TLS has proven.",
    object: {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: controlName, namespace: options.namespace },
      spec: {
        selector: { matchLabels: controlSelector },
        action: "ALLOW",
        rules: [
          { from: from(gateways), to: [{ operation: { ports: [String(syncPort)], paths: ["/sync/*"] } }] },
          { from: from([options.namespace]), to: [{ operation: { ports: [String(adminPort)] } }] },
          ...(verifiers.length === 0
            ? []
            : [
                {
                  from: from(verifiers),
                  to: [
                    { operation: { ports: [String(syncPort)], methods: ["GET"], paths: ["/.well-known/tollgate/*"] } },
                  ],
                },
              ]),
        ],
      },
    },
    ...(verifiers.length === 0
      ? {}
      : { comments: new Map([["/spec/rules/2", "Services' proxies fetch the public keys of internal tokens."]]) }),
  };
}

function networkPolicy(spec: EnvironmentSpec, options: ManifestOptions): ManifestDocument {
  const { gateways, verifiers } = syncNamespaces(spec, options);
  const from = (namespaces: readonly string[]) =>
    namespaces.map((name) => ({ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } } }));
  return {
    comment: "The same for what isn't in the mesh. Only what comes in: where the database is, only its URL says.",
    object: {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: controlName, namespace: options.namespace },
      spec: {
        podSelector: { matchLabels: controlSelector },
        policyTypes: ["Ingress"],
        ingress: [
          { from: from(sorted([...gateways, ...verifiers])), ports: [{ protocol: "TCP", port: syncPort }] },
          { from: from([options.namespace]), ports: [{ protocol: "TCP", port: adminPort }] },
          {
            ports: [
              { protocol: "TCP", port: 15020 },
              { protocol: "TCP", port: 15021 },
            ],
          },
        ],
      },
    },
    comments: new Map([
      ["/spec/ingress/2", "The sidecar's agent: metrics for Prometheus, wherever it runs, and the kubelet's probes."],
    ]),
  };
}
