import { Document, isScalar, visit } from "yaml";
import type { EnvironmentSpec } from "../control/domain/model.ts";
import { envoyBootstrap, type EnvoyObject } from "../tools/envoy/bootstrap.ts";
import { jwtAuthn } from "../tools/envoy/jwtAuthn.ts";
import { routesOf } from "../tools/envoy/routes.ts";
import { controlCluster, pluginConfiguration } from "../devstack/gateway.ts";

export interface EnvoyConfigInput {
  spec: EnvironmentSpec;
  listen: { host: string; port: number };
  admin: { host: string; port: number };
  wasmPath: string;
  accessLog: string;
  trustedHops: number;
  plugin: EnvoyObject;
  /** control's sync port; absent with `snapshot` */
  sync?: { host: string; port: number };
  /** base64: a gateway without control */
  snapshot?: string;
  /** in place of the upstreams of the APIs */
  upstream?: { host: string; port: number };
  /** JSON in place of YAML with comments */
  json: boolean;
}

/** Why a setting is there, by its name: shown above its first use. */
const comments: Record<string, string> = {
  admin: "Envoy's own page: keep it private, it shows this configuration.",
  normalize_path: "Path matching is only as good as the path: Envoy and the filter must see what the upstream sees.",
  strip_trailing_host_dot: "`api.example.com.` is `api.example.com`, to the filter and to the routes alike.",
  use_remote_address:
    "The caller's address is that of the connection; of X-Forwarded-For only as many hops as xff_num_trusted_hops says.",
  http_protocol_options: "Trailers may hold forged claims too: Envoy passes them on, the filter removes those.",
  providers:
    "Whose tokens are taken. Envoy verifies them and leaves their claims in the request's metadata, where the filter looks; audiences are compared there, by API.",
  rules:
    "As the filter finds APIs: a bad token is refused here, a missing one by the filter. Make this file again when an API's issuers change.",
  host_env_keys:
    "The gateway token comes from Envoy's environment, never from this file. Envoy refuses the filter where it's unset.",
  configuration: "The plugin's configuration, as JSON.",
  failure_policy: "Should the filter trap, requests are refused until a new instance is there.",
};

/** An Envoy configuration for the file's APIs: the filter, a route to each API's upstream, the way to control. */
export function envoyConfigYaml(input: EnvoyConfigInput): string {
  const routes = input.upstream === undefined ? routesOf(input.spec.apis) : undefined;
  const tokens = jwtAuthn(input.spec.apis);
  const bootstrap = envoyBootstrap({
    adminHost: input.admin.host,
    adminPort: input.admin.port,
    listeners: [
      {
        name: "gateway",
        ...input.listen,
        accessLog: input.accessLog,
        trustedHops: input.trustedHops,
        ...(tokens === undefined ? {} : { filtersBefore: [tokens.filter] }),
        plugin: {
          wasmPath: input.wasmPath,
          configuration: pluginConfiguration({
            environment: input.spec.environment,
            plugin: input.plugin,
            ...(input.snapshot === undefined ? {} : { snapshot: input.snapshot }),
          }),
          ...(input.snapshot === undefined ? {} : { hostEnvironment: [] }),
        },
        ...(routes === undefined ? {} : { virtualHosts: routes.virtualHosts }),
      },
    ],
    clusters: [
      ...(routes?.clusters ?? [{ name: "upstream", ...input.upstream! }]),
      ...(tokens?.clusters ?? []),
      ...(input.sync === undefined ? [] : [{ name: controlCluster, ...input.sync }]),
    ],
  });
  return input.json ? `${JSON.stringify(bootstrap, null, 2)}\n` : commented(bootstrap, heading(input));
}

function heading(input: EnvoyConfigInput): string {
  const start =
    input.snapshot === undefined
      ? "TOLLGATE_GATEWAY_TOKEN=<gateway token> envoy -c <this file>"
      : "envoy -c <this file>";
  return [
    ` Envoy with Tollgate for the environment ${input.spec.environment}, made by \`tollgate envoy-config\`.`,
    ` Start: ${start}`,
    ...(input.snapshot === undefined
      ? [" A token: tollgate gateway-tokens create --group <name>"]
      : [" Keys and APIs are in `snapshot`: make this file again when tollgate.yaml changes."]),
  ].join("\n");
}

function commented(bootstrap: EnvoyObject, head: string): string {
  const document = new Document(bootstrap);
  document.commentBefore = head;
  const left = new Map(Object.entries(comments));
  visit(document, {
    Pair(_, pair) {
      if (!isScalar(pair.key)) return;
      const comment = left.get(String(pair.key.value));
      if (comment === undefined) return;
      left.delete(String(pair.key.value));
      pair.key.commentBefore = ` ${comment}`;
    },
  });
  return document.toString({ lineWidth: 0 });
}
