/**
 * Envoy's configuration for a gateway outside a mesh: local runs, tests, `tollgate envoy-config`. Plain objects in Envoy's JSON form.
 * In a mesh Istio writes this configuration, and Tollgate comes as a WasmPlugin.
 */

const types = {
  hcm: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
  router: "envoy.extensions.filters.http.router.v3.Router",
  wasm: "envoy.extensions.filters.http.wasm.v3.Wasm",
  fileLog: "envoy.extensions.access_loggers.file.v3.FileAccessLog",
  stdoutLog: "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
  upstreamTls: "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
  httpOptions: "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
  listener: "envoy.config.listener.v3.Listener",
  extension: "envoy.config.core.v3.TypedExtensionConfig",
  string: "google.protobuf.StringValue",
} as const;

export type EnvoyObject = Record<string, unknown>;

/** The filter in one place of a filter chain. */
export interface PluginOptions {
  wasmPath: string;
  /** the plugin's configuration; a string is given to the filter as it is */
  configuration: EnvoyObject | string;
  /** plugins of equal vmId, code and environment share VMs, shared data and queues; default "", as in Istio */
  vmId?: string;
  /** default: tollgate */
  name?: string;
  /** names of Envoy's environment variables that the VM sees; default TOLLGATE_GATEWAY_TOKEN. Envoy refuses the plugin where one is unset */
  hostEnvironment?: string[];
  /** what becomes of requests once the VM has trapped; default reload: closed until a new VM is there (about a second) */
  afterTrap?: "reload" | "closed";
  /** take the plugin from this file, which holds `extensionDiscovery(plugin)`, and again whenever another file is moved over it: as Istio's ECDS does */
  discoveryPath?: string;
}

export interface ListenerOptions {
  port: number;
  /** default 127.0.0.1 */
  host?: string;
  /** default: gateway-<port> */
  name?: string;
  plugin?: PluginOptions;
  /** other HTTP filters, before the plugin, in Envoy's form */
  filtersBefore?: EnvoyObject[];
  /** other HTTP filters, between the plugin and the router */
  filtersAfter?: EnvoyObject[];
  /** the cluster that every request goes to; default: the first cluster */
  cluster?: string;
  /** routes in place of that one, in Envoy's form */
  routes?: EnvoyObject[];
  /** virtual hosts in place of the one for all hosts, in Envoy's form */
  virtualHosts?: EnvoyObject[];
  /** collapse dot segments before any filter; default true */
  normalizePath?: boolean;
  /** make `//` one slash; default true */
  mergeSlashes?: boolean;
  /** what happens to %2F and %5C; default UNESCAPE_AND_FORWARD, so that filter and upstream see what routing saw */
  escapedSlashes?: "KEEP_UNCHANGED" | "REJECT_REQUEST" | "UNESCAPE_AND_REDIRECT" | "UNESCAPE_AND_FORWARD";
  /** a file, "stdout" or (default) none */
  accessLog?: string;
  /** request headers in the access log beside the usual ones */
  accessLogHeaders?: string[];
  /** headers of a request, beyond which Envoy itself refuses it; default: Envoy's, 100 */
  headersMax?: number;
  /** TLS on the listener, in Envoy's form */
  transportSocket?: EnvoyObject;
  /** proxies before Envoy whose X-Forwarded-For is believed; default 0 */
  trustedHops?: number;
}

export interface ClusterOptions {
  name: string;
  host: string;
  port: number;
  /** default: http1 */
  protocol?: "http1" | "http2";
  /** TLS to a server that proves this name by a certificate of these authorities (a PEM file) */
  tls?: { serverName: string; trustedCaPath: string };
}

export interface BootstrapOptions {
  /** 0 for any free port, -1 for none */
  adminPort: number;
  adminHost?: string;
  /** default: tollgate-local */
  nodeId?: string;
  listeners: ListenerOptions[];
  /** the first is where requests go */
  clusters: ClusterOptions[];
  /** take the listeners from this file, which holds `listenerDiscovery(…)`, and again whenever another file is moved over it */
  listenersPath?: string;
  /** runtime keys, e.g. `envoy.reloadable_features.…` */
  runtime?: EnvoyObject;
}

/** The whole configuration, for `envoy -c <file.json>`. */
export function envoyBootstrap(options: BootstrapOptions): EnvoyObject {
  const listeners = options.listeners.map((listener) => envoyListener(listener, options.clusters[0]?.name));
  return {
    node: { id: options.nodeId ?? "tollgate-local", cluster: "tollgate" },
    ...(options.adminPort < 0
      ? {}
      : { admin: { address: socketAddress(options.adminHost ?? "127.0.0.1", options.adminPort) } }),
    ...(options.runtime === undefined
      ? {}
      : { layered_runtime: { layers: [{ name: "static", static_layer: options.runtime }] } }),
    ...(options.listenersPath === undefined
      ? {}
      : { dynamic_resources: { lds_config: fileSource(options.listenersPath) } }),
    static_resources: {
      ...(options.listenersPath === undefined ? { listeners } : {}),
      clusters: options.clusters.map(envoyCluster),
    },
  };
}

/** The content of `listenersPath`. */
export function listenerDiscovery(listeners: ListenerOptions[], defaultCluster: string): EnvoyObject {
  return discovery(
    types.listener,
    listeners.map((listener) => envoyListener(listener, defaultCluster)),
  );
}

/** The content of a plugin's `discoveryPath`. */
export function extensionDiscovery(plugin: PluginOptions): EnvoyObject {
  return discovery(types.extension, [{ name: pluginName(plugin), typed_config: wasmConfig(plugin) }]);
}

/** One listener with its connection manager, in Envoy's form. */
function envoyListener(options: ListenerOptions, defaultCluster?: string): EnvoyObject {
  const name = options.name ?? `gateway-${options.port}`;
  const cluster = options.cluster ?? defaultCluster;
  if (cluster === undefined && options.routes === undefined && options.virtualHosts === undefined)
    throw new Error(`Listener ${name} needs a cluster or routes.`);
  return {
    name,
    address: socketAddress(options.host ?? "127.0.0.1", options.port),
    filter_chains: [
      {
        ...(options.transportSocket === undefined ? {} : { transport_socket: options.transportSocket }),
        filters: [
          {
            name: "envoy.filters.network.http_connection_manager",
            typed_config: {
              "@type": typeUrl(types.hcm),
              stat_prefix: name,
              codec_type: "AUTO",
              normalize_path: options.normalizePath ?? true,
              merge_slashes: options.mergeSlashes ?? true,
              strip_trailing_host_dot: true,
              path_with_escaped_slashes_action: options.escapedSlashes ?? "UNESCAPE_AND_FORWARD",
              use_remote_address: true,
              xff_num_trusted_hops: options.trustedHops ?? 0,
              http_protocol_options: { enable_trailers: true },
              ...(options.headersMax === undefined
                ? {}
                : { common_http_protocol_options: { max_headers_count: options.headersMax } }),
              upgrade_configs: [{ upgrade_type: "websocket" }],
              ...(options.accessLog === undefined
                ? {}
                : { access_log: [accessLog(options.accessLog, options.accessLogHeaders ?? [])] }),
              route_config: {
                name,
                ignore_port_in_host_matching: true,
                virtual_hosts: options.virtualHosts ?? [
                  {
                    name: "all",
                    domains: ["*"],
                    routes: options.routes ?? [{ match: { prefix: "/" }, route: { cluster } }],
                  },
                ],
              },
              http_filters: [
                ...(options.filtersBefore ?? []),
                ...(options.plugin === undefined ? [] : [pluginFilter(options.plugin)]),
                ...(options.filtersAfter ?? []),
                { name: "envoy.filters.http.router", typed_config: { "@type": typeUrl(types.router) } },
              ],
            },
          },
        ],
      },
    ],
  };
}

/** The HTTP filter that runs the plugin. */
export function pluginFilter(plugin: PluginOptions): EnvoyObject {
  if (plugin.discoveryPath === undefined) return { name: pluginName(plugin), typed_config: wasmConfig(plugin) };
  return {
    name: pluginName(plugin),
    config_discovery: { config_source: fileSource(plugin.discoveryPath), type_urls: [typeUrl(types.wasm)] },
  };
}

/** The arguments for an Envoy that shares its machine with others. */
export function envoyArguments(configPath: string, concurrency: number, logLevel = "warning"): string[] {
  return [
    "--config-path",
    configPath,
    "--concurrency",
    String(concurrency),
    "--disable-hot-restart",
    "--log-level",
    logLevel,
    "--log-format",
    "%Y-%m-%dT%T.%e %L %n %v",
  ];
}

function pluginName(plugin: PluginOptions): string {
  return plugin.name ?? "tollgate";
}

function wasmConfig(plugin: PluginOptions): EnvoyObject {
  const variables = plugin.hostEnvironment ?? ["TOLLGATE_GATEWAY_TOKEN"];
  return {
    "@type": typeUrl(types.wasm),
    config: {
      name: pluginName(plugin),
      root_id: pluginName(plugin),
      vm_config: {
        vm_id: plugin.vmId ?? "",
        runtime: "envoy.wasm.runtime.v8",
        code: { local: { filename: plugin.wasmPath } },
        ...(variables.length === 0 ? {} : { environment_variables: { host_env_keys: variables } }),
      },
      configuration: {
        "@type": typeUrl(types.string),
        value: typeof plugin.configuration === "string" ? plugin.configuration : JSON.stringify(plugin.configuration),
      },
      // Both refuse requests while there is no VM. `fail_open: false` means the same and is deprecated.
      failure_policy: plugin.afterTrap === "closed" ? "FAIL_CLOSED" : "FAIL_RELOAD",
    },
  };
}

function envoyCluster(cluster: ClusterOptions): EnvoyObject {
  const protocol =
    cluster.protocol === "http2"
      ? { http2_protocol_options: {} }
      : { http_protocol_options: { enable_trailers: true } };
  return {
    name: cluster.name,
    type: /^[\d.]+$|:/.test(cluster.host) ? "STATIC" : "STRICT_DNS",
    connect_timeout: "2s",
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": typeUrl(types.httpOptions),
        explicit_http_config: protocol,
      },
    },
    ...(cluster.tls === undefined ? {} : { transport_socket: upstreamTls(cluster.tls) }),
    load_assignment: {
      cluster_name: cluster.name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(cluster.host, cluster.port) } }] }],
    },
  };
}

function upstreamTls({ serverName, trustedCaPath }: NonNullable<ClusterOptions["tls"]>): EnvoyObject {
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": typeUrl(types.upstreamTls),
      sni: serverName,
      common_tls_context: {
        validation_context: {
          trusted_ca: { filename: trustedCaPath },
          match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: serverName } }],
        },
      },
    },
  };
}

/**
 * One JSON line a request. `%REQ` is read when the request is over, so what the filter removed is not there. Paths come without their query:
 * the filter never sees a request that Envoy itself refuses.
 */
function accessLog(destination: string, headers: string[]): EnvoyObject {
  const fields: Record<string, string> = {
    time: "%START_TIME%",
    method: "%REQ(:METHOD)%",
    path: "%PATH(NQ:PATH)%",
    originalPath: "%PATH(NQ:ORIG)%",
    host: "%REQ(:AUTHORITY)%",
    protocol: "%PROTOCOL%",
    status: "%RESPONSE_CODE%",
    details: "%RESPONSE_CODE_DETAILS%",
    flags: "%RESPONSE_FLAGS%",
    durationMs: "%DURATION%",
    bytesSent: "%BYTES_SENT%",
    client: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    requestId: "%REQ(X-REQUEST-ID)%",
    consumer: "%REQ(X-TOLLGATE-CONSUMER)%",
    tier: "%REQ(X-TOLLGATE-TIER)%",
    keyId: "%REQ(X-TOLLGATE-KEY-ID)%",
  };
  for (const header of headers) fields[header.toLowerCase()] = `%REQ(${header})%`;
  const format = { log_format: { json_format: fields } };
  return destination === "stdout"
    ? { name: "envoy.access_loggers.stdout", typed_config: { "@type": typeUrl(types.stdoutLog), ...format } }
    : {
        name: "envoy.access_loggers.file",
        typed_config: { "@type": typeUrl(types.fileLog), path: destination, ...format },
      };
}

function socketAddress(address: string, port: number): EnvoyObject {
  return { socket_address: { address, port_value: port } };
}

function fileSource(path: string): EnvoyObject {
  return { resource_api_version: "V3", path_config_source: { path } };
}

function discovery(type: string, resources: EnvoyObject[]): EnvoyObject {
  return { resources: resources.map((resource) => ({ "@type": typeUrl(type), ...resource })) };
}

function typeUrl(type: string): string {
  return `type.googleapis.com/${type}`;
}
