/** Envoy bootstraps for the benchmarks: one listener, one route, one upstream; the systems differ in their filters alone. */

const http = "type.googleapis.com/envoy.extensions.filters.http";

export type Filter = Record<string, unknown>;

export interface BootstrapOptions {
  filters: Filter[];
  /** absent: the Envoy answers every request itself, as the benchmarks' upstream does */
  upstreamPort?: number;
  clusters?: unknown[];
  /** more of the one route's action, such as `rate_limits` */
  routeAction?: Record<string, unknown>;
  /** a file that gets a line of this format for each request */
  accessLog?: { path: string; format: string };
}

/** A bootstrap with free ports (0) for the listener and the admin interface. */
export function bootstrap({
  filters,
  upstreamPort,
  clusters = [],
  routeAction = {},
  accessLog,
}: BootstrapOptions): unknown {
  const action =
    upstreamPort === undefined
      ? { direct_response: { status: 200, body: { inline_string: "ok" } } }
      : { route: { cluster: "upstream", ...routeAction } };
  return {
    admin: { address: address(0) },
    static_resources: {
      listeners: [
        {
          name: "listener",
          address: address(0),
          filter_chains: [
            {
              filters: [
                {
                  name: "envoy.filters.network.http_connection_manager",
                  typed_config: {
                    "@type":
                      "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    stat_prefix: "ingress",
                    normalize_path: true,
                    merge_slashes: true,
                    access_log: accessLog === undefined ? [] : [fileAccessLog(accessLog)],
                    route_config: {
                      name: "routes",
                      virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, ...action }] }],
                    },
                    http_filters: [
                      ...filters,
                      { name: "envoy.filters.http.router", typed_config: { "@type": `${http}.router.v3.Router` } },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [...(upstreamPort === undefined ? [] : [cluster("upstream", upstreamPort)]), ...clusters],
    },
  };
}

export function cluster(name: string, port: number): Record<string, unknown> {
  return {
    name,
    type: "STATIC",
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }] },
  };
}

/** A cluster that is spoken to in HTTP/2, as gRPC needs it. */
export function grpcCluster(name: string, port: number): Record<string, unknown> {
  const options = {
    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    explicit_http_config: { http2_protocol_options: {} },
  };
  return {
    ...cluster(name, port),
    typed_extension_protocol_options: { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options },
  };
}

export function wasmFilter(
  name: string,
  wasmPath: string,
  configuration: string,
  environmentVariables: Record<string, string> = {},
): Filter {
  return {
    name: "envoy.filters.http.wasm",
    typed_config: {
      "@type": `${http}.wasm.v3.Wasm`,
      config: {
        name,
        root_id: name,
        configuration: { "@type": "type.googleapis.com/google.protobuf.StringValue", value: configuration },
        vm_config: {
          runtime: "envoy.wasm.runtime.v8",
          code: { local: { filename: wasmPath } },
          environment_variables: { key_values: environmentVariables },
        },
      },
    },
  };
}

/** Envoy's own filter, with the keys in its configuration as they are (it has no digests). */
export function apiKeyAuthFilter(keys: readonly string[], clientOf: (index: number) => string): Filter {
  return {
    name: "envoy.filters.http.api_key_auth",
    typed_config: {
      "@type": `${http}.api_key_auth.v3.ApiKeyAuth`,
      credentials: keys.map((key, index) => ({ key, client: clientOf(index) })),
      key_sources: [{ header: "x-api-key" }],
      forwarding: { header: "x-tollgate-consumer", hide_credentials: true },
    },
  };
}

export function luaFilter(source: string): Filter {
  return {
    name: "envoy.filters.http.lua",
    typed_config: { "@type": `${http}.lua.v3.Lua`, default_source_code: { inline_string: source } },
  };
}

/** Envoy's own limiter in its simplest form: one bucket for all requests of the Envoy. */
export function localRateLimitFilter(perMinute: number): Filter {
  const all = { default_value: { numerator: 100, denominator: "HUNDRED" } };
  return {
    name: "envoy.filters.http.local_ratelimit",
    typed_config: {
      "@type": `${http}.local_ratelimit.v3.LocalRateLimit`,
      stat_prefix: "local_ratelimit",
      token_bucket: { max_tokens: perMinute, tokens_per_fill: perMinute, fill_interval: "60s" },
      filter_enabled: all,
      filter_enforced: all,
      enable_x_ratelimit_headers: "DRAFT_VERSION_03",
    },
  };
}

/** Asks a ratelimit service on `clusterName` for every request; `rate_limits` of the route say about what. */
export function rateLimitFilter(clusterName: string, domain: string): Filter {
  return {
    name: "envoy.filters.http.ratelimit",
    typed_config: {
      "@type": `${http}.ratelimit.v3.RateLimit`,
      domain,
      timeout: "5s",
      failure_mode_deny: true,
      enable_x_ratelimit_headers: "DRAFT_VERSION_03",
      rate_limit_service: { transport_api_version: "V3", grpc_service: { envoy_grpc: { cluster_name: clusterName } } },
    },
  };
}

export function extAuthzFilter(clusterName: string): Filter {
  return {
    name: "envoy.filters.http.ext_authz",
    typed_config: {
      "@type": `${http}.ext_authz.v3.ExtAuthz`,
      transport_api_version: "V3",
      grpc_service: { envoy_grpc: { cluster_name: clusterName }, timeout: "5s" },
    },
  };
}

function fileAccessLog({ path, format }: { path: string; format: string }): unknown {
  return {
    name: "envoy.access_loggers.file",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
      path,
      log_format: { text_format_source: { inline_string: format } },
    },
  };
}

function address(port: number): unknown {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}
