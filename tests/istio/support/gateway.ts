/** A real Envoy as a proxy of a mesh, its ingress gateway or a service's sidecar: it gets listeners, routes, clusters and plugins from istiod over ADS. */
import { spawn, type ChildProcess } from "node:child_process";
import { openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureEnvoy } from "../../../devstack/envoy/install.ts";
import { envoyArguments } from "../../../tools/envoy/bootstrap.ts";
import { endWithUs, isRunning, stopProcess } from "../../kit/process.ts";
import { send, type Http1Request, type Response } from "../../kit/http1.ts";
import { eventually, Hopeless } from "../../kit/eventually.ts";

/** Differs from every endpoint's address: istiod takes a node with an endpoint's address for that endpoint, and gives it no listeners. */
export const gatewayAddress = "10.9.9.9";
export const gatewayNamespace = "istio-ingress";

/** How istiod and policies know a gateway. */
export interface GatewayKind {
  /** its Service */
  service: string;
  labels: Record<string, string>;
}

/** One that was installed by itself. */
export const installedGateway: GatewayKind = {
  service: "tollgate",
  labels: { app: "tollgate", istio: "ingressgateway" },
};
/** One that istiod would have made of the Gateway API's object `tollgate`. */
export const madeGateway: GatewayKind = {
  service: "tollgate-istio",
  labels: { "gateway.networking.k8s.io/gateway-name": "tollgate" },
};

/** What istiod knows a proxy by. */
export interface ProxyNode {
  type: "router" | "sidecar";
  /** its Pod's */
  name: string;
  namespace: string;
  address: string;
  labels: Record<string, string>;
}

export const gatewayNode = ({ labels }: GatewayKind): ProxyNode => ({
  type: "router",
  name: "gateway",
  namespace: gatewayNamespace,
  address: gatewayAddress,
  labels,
});

export interface ProxyOptions {
  node: ProxyNode;
  /** keeps its files and log */
  folder: string;
  istiodPort: number;
  adminPort: number;
  /** where istiod will have it listen for HTTP: a gateway by its Service's target port, a sidecar by its Sidecar object */
  httpPort: number;
  workers: number;
  env: Record<string, string>;
}

export class MeshProxy {
  private child: ChildProcess | undefined;

  private constructor(private readonly options: ProxyOptions) {}

  get adminPort(): number {
    return this.options.adminPort;
  }

  /** Starts Envoy and waits until it lives; its listeners come when istiod sends them. */
  static async start(options: ProxyOptions): Promise<MeshProxy> {
    const proxy = new MeshProxy(options);
    await proxy.start();
    return proxy;
  }

  async start(): Promise<void> {
    const { workers, env, adminPort } = this.options;
    const configPath = this.path("json");
    writeFileSync(configPath, JSON.stringify(bootstrap(this.options)));
    const log = openSync(this.path("log"), "a");
    // As Istio's agent starts it: a connection of a listener that was replaced is closed with its next answer.
    const more = ["--drain-strategy", "immediate", "--drain-time-s", "45", "--file-flush-interval-msec", "20"];
    const child = spawn(await ensureEnvoy(), [...envoyArguments(configPath, workers, "info"), ...more], {
      stdio: ["ignore", log, log],
      env: { ...process.env, ...env },
    });
    endWithUs(child);
    this.child = child;
    await eventually("Envoy's admin to answer", async () => {
      if (!isRunning(child))
        throw new Hopeless(`Envoy ended with ${child.exitCode ?? child.signalCode}\n${this.log().slice(-3000)}`);
      return (await send(adminPort, { path: "/server_info" })).status === 200;
    });
  }

  port(): number {
    return this.options.httpPort;
  }

  /** One request on a connection of its own. */
  send(request: Http1Request = {}): Promise<Response> {
    return send(this.port(), request);
  }

  async admin(path: string): Promise<string> {
    return (await send(this.options.adminPort, { path })).body;
  }

  /** The names of the HTTP filters of the listener for HTTP, in order. */
  async filters(): Promise<string[]> {
    const dump = JSON.parse(await this.admin("/config_dump?resource=dynamic_listeners")) as ListenersDump;
    const listeners = (dump.configs ?? [])
      .map((one) => one.active_state?.listener)
      .filter((one) => one?.address?.socket_address?.port_value === this.options.httpPort);
    const managers = listeners.flatMap((one) => one?.filter_chains ?? []).flatMap(({ filters }) => filters);
    return managers.flatMap(({ typed_config }) => (typed_config.http_filters ?? []).map(({ name }) => name));
  }

  async stat(name: string): Promise<number> {
    const { stats } = JSON.parse(
      await this.admin(`/stats?format=json&filter=${encodeURIComponent(`^${name.replaceAll(".", "\\.")}$`)}`),
    ) as { stats: { name?: string; value?: number }[] };
    return stats.find((one) => one.name === name)?.value ?? 0;
  }

  log(): string {
    return readFileSync(this.path("log"), "utf8");
  }

  private path(ending: string): string {
    return join(this.options.folder, `envoy-${this.options.node.name}.${ending}`);
  }

  async stop(): Promise<void> {
    if (this.child !== undefined) await stopProcess(this.child);
  }
}

interface ListenersDump {
  configs?: {
    active_state?: {
      listener: {
        address?: { socket_address?: { port_value: number } };
        filter_chains?: { filters: { typed_config: { http_filters?: { name: string }[] } }[] }[];
      };
    };
  }[];
}

function bootstrap({ node, istiodPort, adminPort }: ProxyOptions): object {
  const ads = { ads: {}, resource_api_version: "V3" };
  return {
    node: {
      id: `${node.type}~${node.address}~${node.name}.${node.namespace}~${node.namespace}.svc.cluster.local`,
      cluster: node.name,
      metadata: {
        CLUSTER_ID: "Kubernetes",
        INSTANCE_IPS: node.address,
        INTERCEPTION_MODE: "NONE",
        ISTIO_VERSION: "1.31.0",
        LABELS: node.labels,
        MESH_ID: "cluster.local",
        NAME: node.name,
        NAMESPACE: node.namespace,
        SERVICE_ACCOUNT: node.name,
      },
    },
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: adminPort } } },
    dynamic_resources: {
      lds_config: ads,
      cds_config: ads,
      ads_config: {
        api_type: "GRPC",
        transport_api_version: "V3",
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: "xds-grpc" } }],
      },
    },
    static_resources: {
      clusters: [
        {
          name: "xds-grpc",
          type: "STATIC",
          connect_timeout: "1s",
          typed_extension_protocol_options: {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
              "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: "xds-grpc",
            endpoints: [
              {
                lb_endpoints: [
                  { endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: istiodPort } } } },
                ],
              },
            ],
          },
        },
      ],
    },
  };
}
