/** Kubernetes objects that a cluster has before Tollgate comes: services, their endpoints, the gateway's own. */
import { gatewayAddress, gatewayLabels, gatewayNamespace } from "./gateway.ts";

interface ServiceOptions {
  name: string;
  namespace: string;
  /** the Service's; `endpoints` have their own */
  port: number;
  endpoints: Endpoint[];
}

export interface Endpoint {
  port: number;
  /** default 127.0.0.1. An endpoint with a version is a pod, whose labels are found by its address: one of its own */
  address?: string;
  version?: string;
}

/** A Service, and an EndpointSlice for each of its processes on this machine. */
export function service({ name, namespace, port, endpoints }: ServiceOptions): object[] {
  const selector = { app: name };
  return [
    { apiVersion: "v1", kind: "Service", metadata: { name, namespace }, spec: { type: "ClusterIP", clusterIP: clusterAddress(name), clusterIPs: [clusterAddress(name)], selector, ports: [{ name: "http", protocol: "TCP", port, targetPort: port }] } },
    ...endpoints.flatMap((endpoint, index) => endpointObjects(name, namespace, index, endpoint)),
  ];
}

/** The gateway's Pod and Service; istiod learns from them that its port 80 is `httpPort` in the pod. */
export function gatewayService(httpPort: number): object[] {
  const name = "istio-ingressgateway";
  const port = { name: "http2", protocol: "TCP", port: 80 };
  const metadata = { name, namespace: gatewayNamespace };
  return [
    { apiVersion: "v1", kind: "Service", metadata: { ...metadata, labels: gatewayLabels }, spec: { type: "ClusterIP", clusterIP: clusterAddress(name), clusterIPs: [clusterAddress(name)], selector: gatewayLabels, ports: [{ ...port, targetPort: httpPort }] } },
    pod("gateway", gatewayNamespace, gatewayLabels, gatewayAddress),
    endpointSlice(name, gatewayNamespace, 0, { port: httpPort, name: port.name, address: gatewayAddress, pod: "gateway" }),
  ];
}

function endpointObjects(name: string, namespace: string, index: number, { port, address = "127.0.0.1", version }: Endpoint): object[] {
  const podName = `${name}-${index}`;
  const labels = { app: name, ...(version === undefined ? {} : { version }) };
  const slice = endpointSlice(name, namespace, index, { port, name: "http", address, ...(version === undefined ? {} : { pod: podName }) });
  return version === undefined ? [slice] : [slice, pod(podName, namespace, labels, address)];
}

function pod(name: string, namespace: string, labels: Record<string, string>, address: string): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels },
    spec: { serviceAccountName: name, containers: [{ name: "main", image: "none" }] },
    status: { phase: "Running", podIP: address, podIPs: [{ ip: address }], conditions: [{ type: "Ready", status: "True" }] },
  };
}

function endpointSlice(service: string, namespace: string, index: number, endpoint: { port: number; name: string; address: string; pod?: string }): object {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${service}-${index}`, namespace, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: [{
      addresses: [endpoint.address],
      conditions: { ready: true, serving: true, terminating: false },
      ...(endpoint.pod === undefined ? {} : { targetRef: { kind: "Pod", namespace, name: endpoint.pod } }),
    }],
    ports: [{ name: endpoint.name, protocol: "TCP", port: endpoint.port }],
  };
}

/** Any address of 10.96.0.0/16, the same for the same name. */
function clusterAddress(name: string): string {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.charCodeAt(0)) % 65_000;
  return `10.96.${sum >> 8}.${(sum & 255) || 1}`;
}
