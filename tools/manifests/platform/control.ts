/** The control service: what holds wherever its data is. Overlays add the database (storage.ts). */
import { createHash } from "node:crypto";
import type { EnvironmentSpec } from "../../../control/domain/model.ts";
import type { ManifestDocument, ManifestOptions } from "../model.ts";
import {
  adminName,
  adminPort,
  clusterService,
  controlName,
  controlSecret,
  controlSecretKeys,
  controlSelector,
  sorted,
  syncPort,
} from "./names.ts";
import { peerNamespaces } from "./peers.ts";

const dataFolder = "/var/lib/tollgate";
const labels = { ...controlSelector, "app.kubernetes.io/part-of": "tollgate" } as const;

export function namespaceDocument({ namespace }: ManifestOptions): ManifestDocument {
  return {
    comment:
      "Where control runs. With sidecars, since gateways reach its sync port by mutual TLS. With revisions of Istio: istio.io/rev in place of istio-injection.",
    object: {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: namespace, labels: { "istio-injection": "enabled" } },
    },
  };
}

export function controlDocuments(spec: EnvironmentSpec, options: ManifestOptions): ManifestDocument[] {
  const settings = settingsOf();
  return [
    serviceAccount(options),
    configMap(settings, options),
    deployment(settings, options),
    syncService(spec, options),
    adminService(options),
  ];
}

/** Only what differs from control's own defaults, or from its image's. */
function settingsOf(): Record<string, string> {
  return {
    TOLLGATE_HOST: "0.0.0.0",
    TOLLGATE_CONTROL_PORT: String(adminPort),
    TOLLGATE_SYNC_PORT: String(syncPort),
    TOLLGATE_DATA_DIR: dataFolder,
    TOLLGATE_LOG_LEVEL: "info",
  };
}

function serviceAccount({ namespace }: ManifestOptions): ManifestDocument {
  return {
    comment: "Control's identity in the mesh. It asks nothing of the Kubernetes API, so no token of it is mounted.",
    object: {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: controlName, namespace, labels },
      automountServiceAccountToken: false,
    },
  };
}

function configMap(settings: Record<string, string>, { namespace }: ManifestOptions): ManifestDocument {
  return {
    comment: "Control's settings that are no secrets: docs/reference/configuration.md has them all.",
    object: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: controlName, namespace, labels }, data: settings },
  };
}

function deployment(settings: Record<string, string>, { namespace, image }: ManifestOptions): ManifestDocument {
  const probe = (path: string) => ({ httpGet: { path, port: "admin" } });
  const container = "/spec/template/spec/containers/0";
  return {
    comment: [
      "The control service. As it stands here its database is gone with the pod: apply an overlay.",
      `The Secret ${controlSecret} is made by hand or by a secret manager, with the key ${controlSecretKeys.adminToken}: 16 to 256 printable ASCII characters, e.g. of \`openssl rand -hex 32\`.`,
    ].join("\n"),
    object: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: controlName, namespace, labels },
      spec: {
        strategy: { type: "Recreate" },
        selector: { matchLabels: controlSelector },
        template: {
          metadata: {
            labels: {
              ...labels,
              app: controlName,
              version: versionOf(image.control),
              "sidecar.istio.io/inject": "true",
            },
            annotations: {
              "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true",
              "prometheus.io/scrape": "true",
              "prometheus.io/port": String(adminPort),
              "prometheus.io/path": "/metrics",
              "tollgate.dev/settings": createHash("sha256").update(JSON.stringify(settings)).digest("hex").slice(0, 16),
            },
          },
          spec: {
            serviceAccountName: controlName,
            automountServiceAccountToken: false,
            securityContext: {
              runAsNonRoot: true,
              runAsUser: 1000,
              runAsGroup: 1000,
              fsGroup: 1000,
              seccompProfile: { type: "RuntimeDefault" },
            },
            terminationGracePeriodSeconds: 30,
            containers: [
              {
                name: "control",
                image: image.control,
                args: ["serve"],
                envFrom: [{ configMapRef: { name: controlName } }],
                env: [secretVariable("TOLLGATE_ADMIN_TOKEN", controlSecretKeys.adminToken)],
                ports: [
                  { name: "admin", containerPort: adminPort },
                  { name: "sync", containerPort: syncPort },
                ],
                startupProbe: { ...probe("/healthz"), periodSeconds: 2, failureThreshold: 60 },
                livenessProbe: { ...probe("/healthz"), periodSeconds: 10, timeoutSeconds: 3, failureThreshold: 3 },
                readinessProbe: { ...probe("/readyz"), periodSeconds: 5, timeoutSeconds: 3, failureThreshold: 2 },
                resources: { requests: { cpu: "250m", memory: "256Mi" }, limits: { memory: "1Gi" } },
                securityContext: {
                  allowPrivilegeEscalation: false,
                  readOnlyRootFilesystem: true,
                  capabilities: { drop: ["ALL"] },
                },
                volumeMounts: [{ name: "data", mountPath: dataFolder }],
              },
            ],
            volumes: [{ name: "data", emptyDir: { sizeLimit: "1Gi" } }],
          },
        },
      },
    },
    comments: new Map([
      [
        "/spec/strategy",
        "One after the other: two processes must not write one SQLite file. Overlays with PostgreSQL replace it.",
      ],
      ["/spec/template/metadata/labels/app", "With `version`, what Kiali and Istio's metrics call it."],
      [
        "/spec/template/metadata/annotations/proxy.istio.io~1config",
        "Control asks its database at the start: not before the sidecar lets it out.",
      ],
      [
        "/spec/template/metadata/annotations/prometheus.io~1scrape",
        "The sidecar's agent adds control's metrics to its own: PeerAuthentication STRICT keeps Prometheus from the port itself.",
      ],
      ["/spec/template/metadata/annotations/tollgate.dev~1settings", "Of the ConfigMap: other settings roll the pods."],
      [`${container}/image`, "By digest in production: a tag can be moved."],
      [`${container}/env`, "Secrets by reference alone."],
      [
        `${container}/startupProbe`,
        "The first start makes the database's tables, and replicas that start together wait for each other.",
      ],
      [`${container}/readinessProbe`, "503 while the database or the counter store doesn't answer."],
      [
        `${container}/resources`,
        "Two encoded snapshots of each environment have to fit. No CPU limit: gateways wait for its answers.",
      ],
      [`${container}/volumeMounts`, "The only folder that control writes; with PostgreSQL it must be there as well."],
    ]),
  };
}

/** What telemetry calls the running version: the image's tag, or the beginning of its digest. */
function versionOf(image: string): string {
  const [, tag, digest] =
    /^[^@]*?(?::([A-Za-z0-9][A-Za-z0-9._-]{0,62}))?(?:@sha256:([0-9a-f]{12})[0-9a-f]*)?$/.exec(image) ?? [];
  return (tag ?? digest ?? "unknown").replace(/[._-]+$/, "");
}

/** A variable of control's container from its Secret. */
export function secretVariable(name: string, key: string): Record<string, unknown> {
  return { name, valueFrom: { secretKeyRef: { name: controlSecret, key } } };
}

/** Namespaces that reach the sync port beside the gateway's: for tokens' JWKS, and of plugins on services' pods. */
export function syncNamespaces(
  spec: EnvironmentSpec,
  { gateway }: ManifestOptions,
): { gateways: string[]; verifiers: string[] } {
  const verifiers =
    spec.internalToken?.enabled === true
      ? spec.apis.flatMap(({ upstream }) => clusterService(upstream.service)?.namespace ?? [])
      : [];
  return { gateways: sorted([gateway.namespace, ...peerNamespaces(spec)]), verifiers: sorted(verifiers) };
}

function syncService(spec: EnvironmentSpec, options: ManifestOptions): ManifestDocument {
  const { gateways, verifiers } = syncNamespaces(spec, options);
  return {
    comment:
      "The sync port, to which gateways connect. It must be known in the gateway's namespace, else Envoy has no cluster for it and the filter no keys.",
    object: {
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name: controlName,
        namespace: options.namespace,
        labels,
        annotations: { "networking.istio.io/exportTo": sorted([".", ...gateways, ...verifiers]).join(",") },
      },
      spec: {
        selector: controlSelector,
        ports: [{ name: "http-sync", port: syncPort, targetPort: "sync", appProtocol: "http" }],
      },
    },
    comments: new Map([
      [
        "/metadata/annotations/networking.istio.io~1exportTo",
        "Nobody else needs it, and what isn't exported costs other proxies nothing.",
      ],
    ]),
  };
}

function adminService({ namespace }: ManifestOptions): ManifestDocument {
  return {
    comment: "The admin API, for control's own namespace alone. From outside: kubectl port-forward.",
    object: {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: adminName, namespace, labels, annotations: { "networking.istio.io/exportTo": "." } },
      spec: {
        selector: controlSelector,
        ports: [{ name: "http-admin", port: adminPort, targetPort: "admin", appProtocol: "http" }],
      },
    },
  };
}
