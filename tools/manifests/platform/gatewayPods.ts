/** With the Gateway API istiod makes the gateway's pods itself: what they need beyond that comes from a ConfigMap that the Gateway names. */
import { stringify } from "yaml";
import type { KubernetesObject, ManifestDocument, ManifestFile, ManifestOptions } from "../model.ts";
import { gatewaySecret, gatewaySecretKey, tokenVariable } from "./names.ts";
import { rotationComment } from "./install.ts";

const configName = ({ gateway }: ManifestOptions): string => `${gateway.name}-pods`;

export function gatewayPods(options: ManifestOptions): ManifestDocument {
  const env = [{ name: tokenVariable, valueFrom: { secretKeyRef: { name: gatewaySecret, key: gatewaySecretKey } } }];
  const deployment = { spec: { template: { spec: { containers: [{ name: "istio-proxy", env }] } } } };
  const scale = { spec: { minReplicas: 2, maxReplicas: 10 } };
  return {
    comment: `What istiod adds to the pods of the Gateway ${options.gateway.name}: the gateway token, and how many there are.\n${rotationComment}`,
    object: {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: configName(options), namespace: options.gateway.namespace },
      data: { deployment: stringify(deployment), horizontalPodAutoscaler: stringify(scale) },
    },
  };
}

/** Makes the Gateway of the Gateway API name that ConfigMap. */
export function withGatewayPods(files: readonly ManifestFile[], options: ManifestOptions): ManifestFile[] {
  return files.map((file) => ({
    ...file,
    documents: file.documents.map((document) =>
      isGateway(document.object, options) ? named(document, options) : document,
    ),
  }));
}

function isGateway({ apiVersion, kind, metadata }: KubernetesObject, { gateway }: ManifestOptions): boolean {
  return kind === "Gateway" && apiVersion.startsWith("gateway.networking.k8s.io/") && metadata.name === gateway.name;
}

function named(document: ManifestDocument, options: ManifestOptions): ManifestDocument {
  const spec = document.object["spec"] as Record<string, unknown>;
  const infrastructure = {
    ...(spec["infrastructure"] as object | undefined),
    parametersRef: { group: "", kind: "ConfigMap", name: configName(options) },
  };
  return {
    ...document,
    object: { ...document.object, spec: { ...spec, infrastructure } },
    comments: new Map([
      ...(document.comments ?? []),
      ["/spec/infrastructure", "The gateway token of its pods: without it Envoy refuses the plugin."],
    ]),
  };
}
