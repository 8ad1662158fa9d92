/** Envoy bootstraps for the benchmarks: one listener, one route, one upstream; the systems differ in their filters alone. */

const http = "type.googleapis.com/envoy.extensions.filters.http";

export type Filter = Record<string, unknown>;

export interface BootstrapOptions {
  filters: Filter[];
  /** absent: the Envoy answers every request itself, as the benchmarks' upstream does */
  upstreamPort?: number;
  clusters?: unknown[];
}

/** A bootstrap with free ports (0) for the listener and the admin interface. */
export function bootstrap({ filters, upstreamPort, clusters = [] }: BootstrapOptions): unknown {
  const action = upstreamPort === undefined ? { direct_response: { status: 200, body: { inline_string: "ok" } } } : { route: { cluster: "upstream" } };
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
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    stat_prefix: "ingress",
                    normalize_path: true,
                    merge_slashes: true,
                    route_config: { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, ...action }] }] },
                    http_filters: [...filters, { name: "envoy.filters.http.router", typed_config: { "@type": `${http}.router.v3.Router` } }],
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

export function cluster(name: string, port: number): unknown {
  return { name, type: "STATIC", load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }] } };
}

export function wasmFilter(name: string, wasmPath: string, configuration: string, environmentVariables: Record<string, string> = {}): Filter {
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
  return { name: "envoy.filters.http.lua", typed_config: { "@type": `${http}.lua.v3.Lua`, default_source_code: { inline_string: source } } };
}

function address(port: number): unknown {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}
