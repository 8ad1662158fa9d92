/** The filter on the gateway: one WasmPlugin, or one TrafficExtension in its place. */
import { type EnvironmentSpec, takesTokens } from "../../../control/domain/model.ts";
import type { PluginConfiguration } from "../../../control/domain/pluginSchema.ts";
import type { IstioVersion, ManifestDocument, ManifestOptions } from "../model.ts";
import { controlCluster, controlName, pluginName, tokenVariable } from "./names.ts";

/** What both kinds say, each in its own place. */
interface Plugin {
  phase: "AUTHN" | "AUTHZ";
  failStrategy: "FAIL_CLOSE" | "FAIL_RELOAD";
  configuration: Record<string, unknown>;
}

/** FAIL_RELOAD is known from Istio 1.27 on. */
export function failStrategy({ major, minor }: IstioVersion): Plugin["failStrategy"] {
  return major > 1 || minor >= 27 ? "FAIL_RELOAD" : "FAIL_CLOSE";
}

/** The sources that the filter is told: the ones that were chosen, or those that go with tokens. */
function keySourcesOf(
  spec: Pick<EnvironmentSpec, "apis">,
  options: ManifestOptions,
): NonNullable<PluginConfiguration["keySources"]> {
  return (
    options.keySources ?? (usesTokens(spec) ? [{ header: "x-api-key" }] : [{ header: "x-api-key" }, { bearer: true }])
  );
}

function usesTokens({ apis }: Pick<EnvironmentSpec, "apis">): boolean {
  return apis.some(({ auth }) => takesTokens(auth.mode));
}

/** The plugin's configuration on a gateway. */
function gatewayConfiguration(spec: EnvironmentSpec, options: ManifestOptions): Record<string, unknown> {
  const { claims, ...rest } = (options.plugin ?? {}) as { claims?: Record<string, unknown> };
  const withToken = spec.internalToken?.enabled === true ? { token: "x-tollgate-token", ...claims } : claims;
  return {
    control: { cluster: controlCluster(options), authority: `${controlName}.${options.namespace}` },
    environment: options.environment,
    keySources: keySourcesOf(spec, options),
    ...(withToken === undefined ? {} : { claims: withToken }),
    ...rest,
  };
}

export function wasmPlugin(spec: EnvironmentSpec, options: ManifestOptions): ManifestDocument {
  const { phase, failStrategy, configuration } = pluginOf(spec, options);
  const comments = commentsOf(spec, options, "/spec");
  return {
    comment: [
      "The filter on the gateway: keys, tiers, limits and claims. One for all APIs: a second one would remove the claims that the first has set.",
      "components/traffic-extension (Istio newer than 1.29) has the same for the API that succeeds WasmPlugin: apply one of the two, never both.",
    ].join("\n"),
    object: {
      apiVersion: "extensions.istio.io/v1alpha1",
      kind: "WasmPlugin",
      metadata: { name: pluginName, namespace: options.gateway.namespace },
      spec: {
        ...gatewayTarget(options),
        phase,
        priority: 1000,
        ...module(options),
        failStrategy,
        ...vm,
        pluginConfig: configuration,
      },
    },
    comments,
  };
}

export function trafficExtension(spec: EnvironmentSpec, options: ManifestOptions): ManifestDocument {
  const { phase, failStrategy, configuration } = pluginOf(spec, options);
  return {
    comment:
      "The filter on the gateway, as TrafficExtension: the API that succeeds WasmPlugin. Never apply both: the second would remove the claims that the first has set.",
    object: {
      apiVersion: "extensions.istio.io/v1alpha1",
      kind: "TrafficExtension",
      metadata: { name: pluginName, namespace: options.gateway.namespace },
      spec: {
        ...gatewayTarget(options),
        phase,
        priority: 1000,
        wasm: { ...module(options), failStrategy, ...vm, pluginConfig: configuration },
      },
    },
    comments: commentsOf(spec, options, "/spec/wasm"),
  };
}

/** Which gateway a policy is for: a Gateway of the Gateway API by name, else pods by label. */
export function gatewayTarget({
  routing,
  gateway,
}: ManifestOptions): { targetRefs: unknown[] } | { selector: { matchLabels: Record<string, string> } } {
  if (routing === "gateway-api")
    return { targetRefs: [{ group: "gateway.networking.k8s.io", kind: "Gateway", name: gateway.name }] };
  return { selector: { matchLabels: { ...gateway.selector } } };
}

/** Where the module comes from. */
function module({ image, imagePullSecret }: ManifestOptions): Record<string, unknown> {
  return { url: moduleUrl(image.module), ...(imagePullSecret === undefined ? {} : { imagePullSecret }), pluginName };
}

/** The gateway token from Envoy's own environment. */
export const vm = { vmConfig: { env: [{ name: tokenVariable, valueFrom: "HOST" }] } } as const;

export const vmComment =
  "The gateway token comes from the environment of Envoy's container, where a Secret puts it. Never write it into pluginConfig: Envoy's admin page shows that.\nWithout the variable Envoy refuses the plugin, and the gateway stays closed.";

export function failComment(version: IstioVersion): string {
  return failStrategy(version) === "FAIL_RELOAD"
    ? "Should the filter's VM fail, requests are refused until a new one is there, about a second later."
    : "Should the filter's VM fail, requests of its worker are refused until the pod starts anew. From Istio 1.27 on FAIL_RELOAD ends that after about a second.";
}

function pluginOf(spec: EnvironmentSpec, options: ManifestOptions): Plugin {
  return {
    phase: usesTokens(spec) ? "AUTHZ" : "AUTHN",
    failStrategy: failStrategy(options.istioVersion),
    configuration: gatewayConfiguration(spec, options),
  };
}

function commentsOf(spec: EnvironmentSpec, options: ManifestOptions, module: string): ReadonlyMap<string, string> {
  const tokens = usesTokens(spec);
  return new Map<string, string>([
    [
      "/spec/phase",
      tokens
        ? "After Istio has verified tokens, which the filter needs, and before its AuthorizationPolicies, which see the filter's claims. In STATS they would see the client's: never use that."
        : "Before everything that decides on who calls, so that policies see the filter's claims and nobody sees the key. In STATS policies would see claims that the client forged: never use that.",
    ],
    ["/spec/priority", "First among plugins of the phase: the others see claims and no keys."],
    [`${module}/url`, urlComment(options.image.module)],
    [`${module}/failStrategy`, failComment(options.istioVersion)],
    [`${module}/vmConfig`, vmComment],
    [
      `${module}/pluginConfig/control/cluster`,
      "As Istio calls the cluster of control's Service. With PILOT_FILTER_GATEWAY_CLUSTER_CONFIG gateways get it by components/filtered-clusters.",
    ],
    ...(tokens
      ? ([
          [
            `${module}/pluginConfig/keySources`,
            "No keys by `Authorization`: Istio verifies tokens there before the filter runs, and would refuse `Bearer tg_…` as a broken one.",
          ],
        ] as const)
      : []),
  ]);
}

export function moduleUrl(image: string): string {
  return /^[a-z]+:\/\//.test(image) ? image : `oci://${image}`;
}

export function urlComment(image: string): string {
  return image.startsWith("file://")
    ? "A file in Envoy's container: for trying out. In production name an image by its digest."
    : "By digest: a tag can be moved, and two gateways that pull it at different times would run different filters. `npm run image` prints it.";
}
