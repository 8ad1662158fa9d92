/** Real Envoys in the states that the doctor tells apart: for its end-to-end tests and for the recordings that the checks are tested on. */
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileSnapshot } from "../../control/sync/compile.ts";
import { extensionDiscovery, pluginFilter, type EnvoyObject, type PluginOptions } from "../../tools/envoy/bootstrap.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import { Gateway } from "../kit/gateway.ts";
import { newest } from "../kit/envoySetups.ts";
import { filterModule } from "../kit/filterModule.ts";
import { makeFolder, removeFolder } from "../kit/folders.ts";

export const environment = "shop";

export const file: FileInput = {
  version: 1,
  environment,
  apis: [{ id: "orders", hosts: ["*"], paths: ["/orders"], upstream: { service: "echo.test", port: 80 } }],
  tiers: [{ id: "gold", limits: [{ name: "day", kind: "quota", period: "day", limit: 1000 }] }],
  consumers: [{ id: "acme", tier: "gold" }],
};

/** The configuration of a plugin that calls control by the cluster `control`. */
export const withControl = (more: object = {}): EnvoyObject => ({
  environment,
  control: { cluster: "control", authority: "control.test", timeoutMs: 1000, waitMs: 2000 },
  ...more,
});

/** The configuration of a plugin that has its snapshot with it. */
export const standalone = (more: object = {}): EnvoyObject => ({
  environment,
  snapshot: compileSnapshot(fillEnvironment(file, environment)).toString("base64"),
  ...more,
});

const url = (type: string): string => `type.googleapis.com/${type}`;

/** Verifies tokens, as a RequestAuthentication does. */
export const jwtFilter: EnvoyObject = {
  name: "envoy.filters.http.jwt_authn",
  typed_config: {
    "@type": url("envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"),
    providers: {
      issuer: {
        issuer: "https://issuer.test",
        local_jwks: {
          inline_string: JSON.stringify({
            keys: [
              {
                ...generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" }),
                kid: "1",
                alg: "ES256",
              },
            ],
          }),
        },
        payload_in_metadata: "payload",
      },
    },
    rules: [
      {
        match: { prefix: "/" },
        requires: { requires_any: { requirements: [{ provider_name: "issuer" }, { allow_missing: {} }] } },
      },
    ],
  },
};

/** Decides on a claim, as an AuthorizationPolicy does. */
export const rbacFilter: EnvoyObject = {
  name: "envoy.filters.http.rbac",
  typed_config: {
    "@type": url("envoy.extensions.filters.http.rbac.v3.RBAC"),
    rules: {
      action: "DENY",
      policies: {
        admins: {
          permissions: [{ any: true }],
          principals: [{ header: { name: "x-tollgate-tier", string_match: { exact: "banned" } } }],
        },
      },
    },
  },
};

/** What Istio's CUSTOM authorization puts first: it marks and decides nothing. */
export const markingFilter: EnvoyObject = {
  name: "envoy.filters.http.rbac",
  typed_config: {
    "@type": url("envoy.extensions.filters.http.rbac.v3.RBAC"),
    shadow_rules: { action: "DENY", policies: {} },
    shadow_rules_stat_prefix: "istio_ext_authz_",
  },
};

/** What Istio's agent puts in the place of a plugin whose module it couldn't fetch. */
const denyAll: EnvoyObject = {
  "@type": url("envoy.extensions.filters.http.rbac.v3.RBAC"),
  rules: {},
  rules_stat_prefix: "wasm-default-deny",
};

/** A filter by discovery from a file, whose content this is. */
function discovered(folder: string, name: string, resource: EnvoyObject): EnvoyObject {
  const path = join(folder, `${name}.json`);
  writeFileSync(path, JSON.stringify(resource));
  const types = ["envoy.extensions.filters.http.wasm.v3.Wasm", "envoy.extensions.filters.http.rbac.v3.RBAC"];
  return {
    name,
    config_discovery: {
      config_source: { resource_api_version: "V3", path_config_source: { path } },
      type_urls: types.map(url),
    },
  };
}

export interface StartOptions {
  plugin?: Partial<PluginOptions>;
  before?: EnvoyObject[];
  after?: EnvoyObject[];
  syncPort?: number;
  gatewayToken?: string;
}

export async function startGateway(
  configuration: EnvoyObject,
  { plugin = {}, before = [], after = [], syncPort, gatewayToken }: StartOptions = {},
): Promise<Gateway> {
  return Gateway.start({
    setup: newest,
    nodeId: "edge-1",
    gatewayToken: gatewayToken ?? "none",
    ...(syncPort === undefined ? {} : { syncPort }),
    listeners: [
      { configuration, plugin, listener: { name: "0.0.0.0_8080", filtersBefore: before, filtersAfter: after } },
    ],
  });
}

/** A second plugin, as a filter. */
export async function secondPlugin(configuration: EnvoyObject, name = "tollgate-canary"): Promise<EnvoyObject> {
  return pluginFilter({ wasmPath: await filterModule(), configuration, name });
}

/** Plugins as Istio delivers them: by discovery, one of them replaced by a filter that refuses everybody. */
export async function startDiscovered(): Promise<{ gateway: Gateway; stop(): Promise<void> }> {
  const folder = makeFolder("doctor");
  const name = "extensions.istio.io.wasmplugin.istio-system.tollgate";
  const plugin: PluginOptions = { wasmPath: await filterModule(), configuration: standalone(), name };
  const missing = "extensions.istio.io.wasmplugin.istio-system.tollgate-missing";
  const refusing = {
    resources: [{ "@type": url("envoy.config.core.v3.TypedExtensionConfig"), name: missing, typed_config: denyAll }],
  };
  const gateway = await Gateway.start({
    setup: newest,
    nodeId: "edge-1",
    gatewayToken: "none",
    listeners: [
      {
        configuration: {},
        plugin: { ...plugin, discoveryPath: written(folder, "good.json", extensionDiscovery(plugin)) },
        listener: { name: "0.0.0.0_8080" },
      },
      {
        configuration: standalone(),
        listener: { name: "0.0.0.0_8443", filtersBefore: [discovered(folder, missing, refusing)] },
      },
    ],
  });
  return {
    gateway,
    stop: async () => {
      await gateway.stop();
      removeFolder(folder);
    },
  };
}

function written(folder: string, name: string, content: EnvoyObject): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(content));
  return path;
}
