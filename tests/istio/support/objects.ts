/** Kubernetes objects that a cluster has before Tollgate comes, and what its controllers would add: services, their endpoints, the gateway's own. */
import { gatewayAddress, gatewayNamespace, type GatewayKind } from "./gateway.ts";

export interface Endpoint {
  port: number;
  /** default 127.0.0.1. An endpoint with a version is a pod, whose labels are found by its address: one of its own */
  address?: string;
  version?: string;
}

/** A Service, and its endpoints. */
export function service(name: string, namespace: string, port: number, endpoints: readonly Endpoint[]): object[] {
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace },
      spec: { selector: { app: name }, ports: [{ name: "http", protocol: "TCP", port, targetPort: port }] },
    },
    ...endpoints.flatMap((endpoint, index) => endpointObjects(name, namespace, index, endpoint)),
  ];
}

/** Control's Service, as `tollgate manifests` writes it. */
export function controlService(): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "tollgate-control", namespace: "tollgate" },
    spec: { ports: [{ name: "http-sync", port: 8091, targetPort: "sync" }] },
  };
}

export function controlEndpoint(port: number): object {
  return endpointSlice("tollgate-control", "tollgate", 0, { port, name: "http-sync", address: "127.0.0.1" });
}

/** The gateway's Pod and Service; istiod learns from them that its port 80 is `httpPort` in the pod. */
export function gatewayService({ service: name, labels }: GatewayKind, httpPort: number): object[] {
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: gatewayNamespace, labels },
      spec: { selector: labels, ports: [{ name: "http2", protocol: "TCP", port: 80, targetPort: httpPort }] },
    },
    pod("gateway", gatewayNamespace, labels, gatewayAddress),
    endpointSlice(name, gatewayNamespace, 0, {
      port: httpPort,
      name: "http2",
      address: gatewayAddress,
      pod: "gateway",
    }),
  ];
}

/**
 * The service's pods have a proxy that listens on `port` itself, since no traffic is redirected to it here, and goes on to `upstreamPort`. Without
 * TLS: certificates come from Istio's agent.
 */
export function sidecar(name: string, namespace: string, port: number, upstreamPort: number): object[] {
  return [
    {
      apiVersion: "networking.istio.io/v1",
      kind: "Sidecar",
      metadata: { name, namespace },
      spec: {
        workloadSelector: { labels: { app: name } },
        ingress: [
          {
            port: { number: port, name: "http", protocol: "HTTP" },
            bind: "127.0.0.1",
            defaultEndpoint: `127.0.0.1:${upstreamPort}`,
          },
        ],
      },
    },
    {
      apiVersion: "security.istio.io/v1",
      kind: "PeerAuthentication",
      metadata: { name, namespace },
      spec: { selector: { matchLabels: { app: name } }, mtls: { mode: "DISABLE" } },
    },
  ];
}

function endpointObjects(
  name: string,
  namespace: string,
  index: number,
  { port, address = "127.0.0.1", version }: Endpoint,
): object[] {
  const podName = `${name}-${index}`;
  const slice = endpointSlice(name, namespace, index, {
    port,
    name: "http",
    address,
    ...(version === undefined ? {} : { pod: podName }),
  });
  return version === undefined ? [slice] : [slice, pod(podName, namespace, { app: name, version }, address)];
}

function pod(name: string, namespace: string, labels: Record<string, string>, address: string): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels },
    spec: { serviceAccountName: name, containers: [{ name: "main", image: "none" }] },
    status: {
      phase: "Running",
      podIP: address,
      podIPs: [{ ip: address }],
      conditions: [{ type: "Ready", status: "True" }],
    },
  };
}

function endpointSlice(
  service: string,
  namespace: string,
  index: number,
  endpoint: { port: number; name: string; address: string; pod?: string },
): object {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${service}-${index}`, namespace, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: [
      {
        addresses: [endpoint.address],
        conditions: { ready: true, serving: true, terminating: false },
        ...(endpoint.pod === undefined ? {} : { targetRef: { kind: "Pod", namespace, name: endpoint.pod } }),
      },
    ],
    ports: [{ name: endpoint.name, protocol: "TCP", port: endpoint.port }],
  };
}
