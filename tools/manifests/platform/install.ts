/** What of Istio itself has to be set: an overlay for `istioctl install -f`. */
import type { EnvironmentSpec } from "../../../control/domain/model.ts";
import type { ManifestFile, ManifestOptions } from "../model.ts";
import { accessLogProvider, gatewaySecret, gatewaySecretKey, tokenVariable } from "./names.ts";
import { accessLogLabels } from "./telemetry.ts";

/** The gateway token of Envoy's container. */
const tokenFromSecret = {
  name: tokenVariable,
  valueFrom: { secretKeyRef: { name: gatewaySecret, key: gatewaySecretKey } },
} as const;

export const rotationComment = [
  `The Secret ${gatewaySecret} is in this gateway's namespace. Of a group two tokens may be valid, so that none is missing while it's replaced:`,
  "1. tollgate gateway-tokens create --group <group>; put it into the Secret. 2. kubectl rollout restart the gateway: Envoy reads its environment at the start alone.",
  "3. tollgate gateway-tokens list: the old one's LAST USED stands still. 4. tollgate gateway-tokens delete <old id>.",
].join("\n");

export function installFile(spec: EnvironmentSpec, options: ManifestOptions): ManifestFile {
  const { gateway, routing } = options;
  const ownGateway = routing === "istio";
  return {
    path: "istio/install.yaml",
    documents: [
      {
        comment: [
          "What Tollgate needs of Istio: istioctl install -f istio/install.yaml. A second `-f` adds settings, but its lists (ingressGateways, env) replace these: write such changes here.",
          ...(ownGateway
            ? [
                `Make the namespace ${gateway.namespace} and its Secret ${gatewaySecret} first: the gateway doesn't start without.`,
              ]
            : ["The gateway itself comes by the Gateway API (base/platform)."]),
        ].join("\n"),
        object: {
          apiVersion: "install.istio.io/v1alpha1",
          kind: "IstioOperator",
          metadata: { name: "tollgate", namespace: "istio-system" },
          spec: {
            profile: "default",
            meshConfig: {
              trustDomain: options.trustDomain,
              pathNormalization: { normalization: "DECODE_AND_MERGE_SLASHES" },
              extensionProviders: [
                {
                  name: accessLogProvider,
                  envoyFileAccessLog: { path: "/dev/stdout", logFormat: { labels: accessLogLabels(options) } },
                },
              ],
            },
            components: {
              ingressGateways: ownGateway
                ? [standardGatewayOff(options), ingressGateway(options)].filter((one) => one !== undefined)
                : [{ name: standardGateway, enabled: false }],
            },
            values: {
              pilot: {
                env: {
                  PILOT_FILTER_GATEWAY_CLUSTER_CONFIG: "false",
                  ...(spec.internalToken?.enabled === true ? { PILOT_JWT_ENABLE_REMOTE_JWKS: "hybrid" } : {}),
                },
              },
            },
          },
        },
        comments: new Map([
          [
            "/spec/meshConfig/pathNormalization",
            "Envoy, the filter and services must see the same path: dot segments, `//` and escaped slashes are gone before anybody decides on it.",
          ],
          [
            "/spec/meshConfig/extensionProviders",
            "JSON with who called, by which key, and the reason of a refusal (response_code_details is tollgate_<reason>). The Telemetry in base/platform switches it on.",
          ],
          [
            "/spec/values/pilot/env/PILOT_FILTER_GATEWAY_CLUSTER_CONFIG",
            "Istio's default, and needed: control has no route, and without its cluster the filter has no keys. If you must have it true: components/filtered-clusters.",
          ],
          ...(spec.internalToken?.enabled === true
            ? ([
                [
                  "/spec/values/pilot/env/PILOT_JWT_ENABLE_REMOTE_JWKS",
                  "Proxies fetch the keys of internal tokens from control, over mutual TLS; istiod can't, and goes on fetching those of issuers outside the mesh.",
                ],
              ] as const)
            : []),
          ...(ownGateway ? gatewayComments(gateway.namespace === "istio-system" ? 0 : 1) : []),
        ]),
      },
    ],
  };
}

const standardGateway = "istio-ingressgateway";

/** The profile's own gateway would be a second one, without a token. */
function standardGatewayOff({ gateway }: ManifestOptions): Record<string, unknown> | undefined {
  return gateway.namespace === "istio-system" ? undefined : { name: standardGateway, enabled: false };
}

function ingressGateway({ gateway }: ManifestOptions): Record<string, unknown> {
  return {
    name: gateway.namespace === "istio-system" ? standardGateway : `${gateway.name}-gateway`,
    namespace: gateway.namespace,
    enabled: true,
    label: { ...gateway.selector },
    k8s: {
      env: [tokenFromSecret],
      resources: { requests: { cpu: "500m", memory: "512Mi" }, limits: { memory: "2Gi" } },
      hpaSpec: {
        minReplicas: 2,
        maxReplicas: 10,
        metrics: [
          { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 70 } } },
        ],
      },
      podDisruptionBudget: { minAvailable: 1 },
    },
  };
}

function gatewayComments(index: number): (readonly [string, string])[] {
  const at = `/spec/components/ingressGateways/${index}`;
  return [
    ...(index === 1
      ? [
          [
            "/spec/components/ingressGateways/0",
            "The profile's own, in istiod's namespace: a gateway belongs into one of its own.",
          ] as const,
        ]
      : []),
    [`${at}/label`, "By these labels the Gateway, the plugin and the policies find it."],
    [`${at}/k8s/env`, rotationComment],
    [
      `${at}/k8s/resources`,
      "About 51 MB for each worker and a million keys, and 36 MB once; for a moment three times that at a full reload (docs/operate/operations.md, Capacity).",
    ],
  ];
}
