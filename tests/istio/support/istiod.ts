/** An unmodified istiod as a child process, that takes its configuration from a stand-in for the Kubernetes API and speaks xDS without TLS. */
import { spawn, type ChildProcess } from "node:child_process";
import { openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { endWithUs, isRunning, stopProcess } from "../../kit/process.ts";
import { freePorts } from "../../kit/ports.ts";
import { eventually, Hopeless } from "../../kit/eventually.ts";

/** What istiod would add for its own sidecars, which an Envoy without Istio's extensions refuses; and what needs a real cluster. */
const environment = {
  ENABLE_CA_SERVER: "false",
  INJECTION_WEBHOOK_CONFIG_NAME: "",
  PILOT_ENABLE_ALPN_FILTER: "false",
  PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER: "false",
  PILOT_ENABLE_IP_AUTOALLOCATE: "false",
  PILOT_ENABLE_METADATA_EXCHANGE: "false",
  PILOT_ENABLE_TELEMETRY_LABEL: "false",
  POD_NAME: "istiod-0",
  POD_NAMESPACE: "istio-system",
  VALIDATION_WEBHOOK_CONFIG_NAME: "",
};

export interface IstiodOptions {
  /** pilot-discovery */
  binary: string;
  /** keeps its files and log */
  folder: string;
  kubeconfig: string;
  gatewayApi: boolean;
  /** more of the mesh's configuration */
  meshConfig: object;
  /** more of its environment */
  env: Record<string, string>;
}

export class Istiod {
  private child: ChildProcess | undefined;

  private constructor(
    private readonly options: IstiodOptions,
    readonly grpcPort: number,
    private readonly httpPort: number,
    private readonly monitoringPort: number,
  ) {}

  static async start(options: IstiodOptions): Promise<Istiod> {
    const [grpc = 0, http = 0, monitoring = 0] = await freePorts(3);
    const istiod = new Istiod(options, grpc, http, monitoring);
    await istiod.start();
    return istiod;
  }

  /** Starts it, again on the same ports, and waits until it is ready. */
  async start(): Promise<void> {
    const { binary, folder, kubeconfig, gatewayApi, meshConfig, env } = this.options;
    // Certificates come to a gateway from Istio's agent, which isn't here: an Envoy that was told to use them would wait for them for ever.
    const mesh = {
      ...meshConfig,
      enableAutoMtls: false,
      defaultProviders: {},
      accessLogFile: "",
      enableTracing: false,
      enablePrometheusMerge: false,
      defaultConfig: { discoveryAddress: `127.0.0.1:${this.grpcPort}` },
    };
    writeFileSync(join(folder, "mesh.yaml"), stringify(mesh));
    writeFileSync(join(folder, "kubeconfig"), kubeconfig);
    const log = openSync(join(folder, "istiod.log"), "a");
    const args = [
      "discovery",
      "--registries=Kubernetes",
      "--kubeconfig",
      join(folder, "kubeconfig"),
      "--meshConfig",
      join(folder, "mesh.yaml"),
      "--networksConfig=",
      `--grpcAddr=127.0.0.1:${this.grpcPort}`,
      `--httpAddr=127.0.0.1:${this.httpPort}`,
      `--monitoringAddr=127.0.0.1:${this.monitoringPort}`,
      "--httpsAddr=",
      "--secureGRPCAddr=",
      "--ctrlz_port=0",
      "--domain=cluster.local",
    ];
    const child = spawn(binary, args, {
      cwd: folder,
      stdio: ["ignore", log, log],
      env: { ...process.env, ...environment, ...env, HOME: folder, PILOT_ENABLE_GATEWAY_API: String(gatewayApi) },
    });
    endWithUs(child);
    this.child = child;
    try {
      await eventually("istiod to be ready", async () => {
        if (!isRunning(child)) throw new Hopeless(`istiod ended with ${child.exitCode ?? child.signalCode}`);
        return (await fetch(`http://127.0.0.1:${this.httpPort}/ready`)).ok;
      });
    } catch (error) {
      await this.stop();
      throw new Error(`${(error as Error).message}\n${this.log().slice(-4000)}`, { cause: error });
    }
  }

  /**
   * Of the one proxy that is connected: the push that it has taken; undefined while something is on its way, or was refused. Clusters don't count:
   * Envoy says that it took them once all are warm, and one with TLS waits for certificates that come from Istio's agent.
   */
  async taken(): Promise<string | undefined> {
    const [proxy] = (await (await fetch(`http://127.0.0.1:${this.httpPort}/debug/syncz`)).json()) as Record<
      string,
      string
    >[];
    if (
      proxy === undefined ||
      ["listener", "route"].some(
        (kind) => proxy[`${kind}_sent`] === undefined || proxy[`${kind}_sent`] !== proxy[`${kind}_acked`],
      )
    )
      return undefined;
    // A version is the push's, with a UUID of each answer behind it.
    const [listeners, routes] = [proxy["listener_sent"]!.slice(0, -36), proxy["route_sent"]!.slice(0, -36)];
    return listeners === routes ? listeners : undefined;
  }

  /** How often a gateway has refused what it was sent. */
  refusals(): number {
    return this.log().split("ACK ERROR").length - 1;
  }

  log(): string {
    return readFileSync(join(this.options.folder, "istiod.log"), "utf8");
  }

  /** Stands still from now on: connections stay, nothing is answered. */
  freeze(): void {
    this.child!.kill("SIGSTOP");
  }

  thaw(): void {
    this.child!.kill("SIGCONT");
  }

  async stop(): Promise<void> {
    if (this.child !== undefined) await stopProcess(this.child);
  }
}
