/** The kinds of Kubernetes objects that the stand-in knows: what istiod asks for, and what manifests have beside it. */

const groups: Record<string, Record<string, string>> = {
  v1: {
    ConfigMap: "configmaps",
    Endpoints: "endpoints",
    Event: "events",
    Namespace: "namespaces",
    Node: "nodes",
    PersistentVolumeClaim: "persistentvolumeclaims",
    Pod: "pods",
    Secret: "secrets",
    Service: "services",
    ServiceAccount: "serviceaccounts",
  },
  "admissionregistration.k8s.io/v1": {
    MutatingWebhookConfiguration: "mutatingwebhookconfigurations",
    ValidatingWebhookConfiguration: "validatingwebhookconfigurations",
  },
  "apiextensions.k8s.io/v1": { CustomResourceDefinition: "customresourcedefinitions" },
  "apps/v1": { DaemonSet: "daemonsets", Deployment: "deployments", StatefulSet: "statefulsets" },
  "autoscaling/v2": { HorizontalPodAutoscaler: "horizontalpodautoscalers" },
  "certificates.k8s.io/v1beta1": { ClusterTrustBundle: "clustertrustbundles" },
  "coordination.k8s.io/v1": { Lease: "leases" },
  "discovery.k8s.io/v1": { EndpointSlice: "endpointslices" },
  "extensions.istio.io/v1alpha1": { TrafficExtension: "trafficextensions", WasmPlugin: "wasmplugins" },
  "gateway.networking.k8s.io/v1": {
    BackendTLSPolicy: "backendtlspolicies",
    Gateway: "gateways",
    GatewayClass: "gatewayclasses",
    GRPCRoute: "grpcroutes",
    HTTPRoute: "httproutes",
    ListenerSet: "listenersets",
    TLSRoute: "tlsroutes",
  },
  "gateway.networking.k8s.io/v1beta1": { ReferenceGrant: "referencegrants" },
  "networking.istio.io/v1": {
    DestinationRule: "destinationrules",
    Gateway: "gateways",
    ServiceEntry: "serviceentries",
    Sidecar: "sidecars",
    VirtualService: "virtualservices",
    WorkloadEntry: "workloadentries",
    WorkloadGroup: "workloadgroups",
  },
  "networking.istio.io/v1alpha3": { EnvoyFilter: "envoyfilters" },
  "networking.istio.io/v1beta1": { ProxyConfig: "proxyconfigs" },
  "networking.k8s.io/v1": { Ingress: "ingresses", IngressClass: "ingressclasses", NetworkPolicy: "networkpolicies" },
  "policy/v1": { PodDisruptionBudget: "poddisruptionbudgets" },
  "security.istio.io/v1": {
    AuthorizationPolicy: "authorizationpolicies",
    PeerAuthentication: "peerauthentications",
    RequestAuthentication: "requestauthentications",
  },
  "telemetry.istio.io/v1": { Telemetry: "telemetries" },
};

/** Groups whose kinds istiod uses only where their definitions are installed. */
const definedGroups = [
  "extensions.istio.io",
  "gateway.networking.k8s.io",
  "networking.istio.io",
  "security.istio.io",
  "telemetry.istio.io",
];
const clusterWide = new Set([
  "namespaces",
  "nodes",
  "customresourcedefinitions",
  "gatewayclasses",
  "ingressclasses",
  "mutatingwebhookconfigurations",
  "validatingwebhookconfigurations",
  "clustertrustbundles",
]);

export interface Kind {
  group: string;
  version: string;
  kind: string;
  plural: string;
}

const kinds: Kind[] = Object.entries(groups).flatMap(([groupVersion, names]) => {
  const slash = groupVersion.indexOf("/");
  return Object.entries(names).map(([kind, plural]) => ({
    group: groupVersion.slice(0, Math.max(slash, 0)),
    version: groupVersion.slice(slash + 1),
    kind,
    plural,
  }));
});

/** The kind of an object, whichever version its author wrote. Throws for a kind that this cluster doesn't have. */
export function kindOf(apiVersion: string, kind: string): Kind {
  const slash = apiVersion.indexOf("/");
  const group = apiVersion.slice(0, Math.max(slash, 0));
  const found = kinds.find((one) => one.group === group && one.kind === kind);
  if (found === undefined) throw new Error(`tests/istio/kubernetes/kinds.ts has no ${kind} of ${apiVersion}`);
  return found;
}

export function kindByPlural(group: string, plural: string): Kind | undefined {
  return kinds.find((one) => one.group === group && one.plural === plural);
}

export function isNamespaced(plural: string): boolean {
  return !clusterWide.has(plural);
}

/** The definitions that istiod looks for before it watches a kind. */
export function definedKinds(): Kind[] {
  return kinds.filter(({ group }) => definedGroups.includes(group));
}
