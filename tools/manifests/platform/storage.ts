/** Where control keeps its data: an overlay for each answer, on top of the base. */
import type { KubernetesObject, ManifestFile, ManifestOptions } from "../model.ts";
import { kustomization } from "./kustomization.ts";
import { controlName, controlSecret, controlSecretKeys, controlSelector } from "./names.ts";
import { secretVariable } from "./control.ts";

export function storageFiles(options: ManifestOptions): ManifestFile[] {
  return [...sqlite(options), ...postgresValkey(options)];
}

function patch({ namespace }: ManifestOptions, spec: Record<string, unknown>): KubernetesObject {
  return { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: controlName, namespace }, spec };
}

function sqlite(options: ManifestOptions): ManifestFile[] {
  const { namespace } = options;
  return [
    kustomization(
      "overlays/sqlite",
      "Control with its embedded database: one replica, one volume. Gateways serve on while it's away; changes wait.",
      {
        resources: ["../../base", "data.yaml"],
        patches: [{ path: "control.yaml" }],
      },
    ),
    {
      path: "overlays/sqlite/data.yaml",
      documents: [
        {
          comment: "SQLite needs a local disk or a block device, no network file system: its log is shared memory.",
          object: {
            apiVersion: "v1",
            kind: "PersistentVolumeClaim",
            metadata: { name: controlName, namespace },
            spec: { accessModes: ["ReadWriteOncePod"], resources: { requests: { storage: "10Gi" } } },
          },
          comments: new Map([
            [
              "/spec/accessModes",
              "A second process on the same file would hear of its changes only after a while: one pod at a time.",
            ],
          ]),
        },
      ],
    },
    {
      path: "overlays/sqlite/control.yaml",
      documents: [
        {
          comment: "The database stays when the pod goes.",
          object: patch(options, {
            replicas: 1,
            template: {
              spec: { volumes: [{ name: "data", emptyDir: null, persistentVolumeClaim: { claimName: controlName } }] },
            },
          }),
        },
      ],
    },
  ];
}

function postgresValkey(options: ManifestOptions): ManifestFile[] {
  const { namespace } = options;
  return [
    kustomization(
      "overlays/postgres-valkey",
      [
        "Control for production: replicas over PostgreSQL, the counters of limits in Valkey or Redis.",
        `The Secret ${controlSecret} has two keys more: ${controlSecretKeys.databaseUrl} (postgres://…) and ${controlSecretKeys.redisUrl} (rediss://…). What both servers must be set to for limits to hold: docs/operate/operations.md, Counters.`,
      ].join("\n"),
      {
        resources: ["../../base", "replicas.yaml"],
        patches: [{ path: "control.yaml" }],
      },
    ),
    {
      path: "overlays/postgres-valkey/replicas.yaml",
      documents: [
        {
          comment:
            "As many replicas as gateways' calls need. One is enough to serve; the others are for its being away.",
          object: {
            apiVersion: "autoscaling/v2",
            kind: "HorizontalPodAutoscaler",
            metadata: { name: controlName, namespace },
            spec: {
              scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: controlName },
              minReplicas: 3,
              maxReplicas: 10,
              metrics: [
                {
                  type: "Resource",
                  resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 70 } },
                },
              ],
              behavior: { scaleDown: { stabilizationWindowSeconds: 300 } },
            },
          },
          comments: new Map([
            ["/spec/behavior", "A replica that goes moves its gateways' calls to the others: not at every lull."],
          ]),
        },
        {
          comment: "Nodes may be drained one after the other.",
          object: {
            apiVersion: "policy/v1",
            kind: "PodDisruptionBudget",
            metadata: { name: controlName, namespace },
            spec: { maxUnavailable: 1, selector: { matchLabels: controlSelector } },
          },
        },
      ],
    },
    {
      path: "overlays/postgres-valkey/control.yaml",
      documents: [
        {
          comment:
            "How many there are, the HorizontalPodAutoscaler says: so no `replicas` here, which every apply would go back to.",
          object: patch(options, {
            strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
            template: {
              spec: {
                topologySpreadConstraints: ["topology.kubernetes.io/zone", "kubernetes.io/hostname"].map(
                  (topologyKey) => ({
                    maxSkew: 1,
                    topologyKey,
                    whenUnsatisfiable: "ScheduleAnyway",
                    labelSelector: { matchLabels: controlSelector },
                  }),
                ),
                containers: [
                  {
                    name: "control",
                    env: [
                      secretVariable("TOLLGATE_DATABASE_URL", controlSecretKeys.databaseUrl),
                      secretVariable("TOLLGATE_REDIS_URL", controlSecretKeys.redisUrl),
                    ],
                  },
                ],
              },
            },
          }),
          comments: new Map([
            ["/spec/strategy", "PostgreSQL has room for old and new side by side."],
            ["/spec/template/spec/topologySpreadConstraints", "A zone or a node may fail."],
            [
              "/spec/template/spec/containers/0/env",
              "Beside those of the base. For counters in PostgreSQL as well leave TOLLGATE_REDIS_URL out.",
            ],
          ]),
        },
      ],
    },
  ];
}
