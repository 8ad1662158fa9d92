import type { Api } from "../control/domain/model.ts";
import { jwtAuthn } from "../tools/envoy/jwtAuthn.ts";
import type { BootstrapOptions, EnvoyObject } from "../tools/envoy/bootstrap.ts";

export const controlCluster = "tollgate-control";

export interface GatewayOptions {
  environment: string;
  wasmPath: string;
  host: string;
  gatewayPort: number;
  envoyAdminPort: number;
  upstream: { host: string; port: number };
  /** control's sync port; absent with `snapshot` */
  sync?: { host: string; port: number };
  /** base64: a gateway without control */
  snapshot?: string;
  /** a file or stdout */
  accessLog: string;
  /** on top of what is said above, e.g. keySources */
  plugin?: EnvoyObject;
  /** whose tokens Envoy verifies; other changes of APIs arrive without a restart, these don't */
  apis?: readonly Api[];
}

/** Where callers may put a key on a local gateway: everywhere. In production header and bearer alone are the default. */
export const localKeySources = [{ header: "x-api-key" }, { bearer: true }, { query: "api_key" }, { cookie: "api_key" }];

/** The plugin's configuration for a gateway of one environment. */
export function pluginConfiguration(options: Pick<GatewayOptions, "environment" | "snapshot" | "plugin">): EnvoyObject {
  const control = { control: { cluster: controlCluster, authority: controlCluster } };
  return {
    environment: options.environment,
    ...(options.snapshot === undefined ? control : {}),
    ...options.plugin,
    ...(options.snapshot === undefined ? {} : { snapshot: options.snapshot }),
  };
}

/** One listener with the plugin, an upstream and the way to control. */
export function gatewayBootstrapOptions(options: GatewayOptions): BootstrapOptions {
  const tokens = jwtAuthn(options.apis ?? []);
  return {
    adminPort: options.envoyAdminPort,
    listeners: [
      {
        name: "gateway",
        host: options.host,
        port: options.gatewayPort,
        accessLog: options.accessLog,
        ...(tokens === undefined ? {} : { filtersBefore: [tokens.filter] }),
        plugin: {
          wasmPath: options.wasmPath,
          configuration: pluginConfiguration(options),
          // Envoy refuses a plugin whose environment variable is unset, and a gateway without control has no token.
          ...(options.snapshot === undefined ? {} : { hostEnvironment: [] }),
        },
      },
    ],
    clusters: [
      { name: "upstream", ...options.upstream },
      ...(tokens?.clusters ?? []),
      ...(options.sync === undefined ? [] : [{ name: controlCluster, ...options.sync }]),
    ],
  };
}
