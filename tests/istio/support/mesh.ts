/** A mesh without a cluster: istiod, an ingress gateway that it programs, Tollgate's control and services behind the gateway. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { FileInput } from "../../../control/domain/schema.ts";
import { ControlProcess } from "../../kit/control.ts";
import { freePorts } from "../../kit/ports.ts";
import { filterModule } from "../../kit/filterModule.ts";
import { KubernetesApi } from "../kubernetes/server.ts";
import { istioTools } from "../tools.ts";
import { makeFolder, removeFolder } from "../../kit/folders.ts";
import { type HttpServer } from "../../kit/http.ts";
import { gatewayNode, installedGateway, madeGateway, MeshProxy } from "./gateway.ts";
import { Istiod } from "./istiod.ts";
import { controlEndpoint, controlService, gatewayService, service, sidecar, type Endpoint } from "./objects.ts";
import { startUpstream } from "./upstream.ts";

/** As a gateway's, it is no endpoint's. */
const sidecarAddress = "10.9.9.10";

/** A Service that echoes. */
export interface ServiceOptions {
  name: string;
  namespace: string;
  /** an endpoint for each, whose pod has it as label; default: one endpoint without */
  versions?: string[];
  /** a proxy stands before its one endpoint, as the pod's sidecar; default false */
  sidecar?: boolean;
  /** of an upstream on 127.0.0.1 that is there already, in place of one that echoes */
  port?: number;
}

export interface MeshOptions {
  /** what control has in the environment `default` */
  file: FileInput;
  services: ServiceOptions[];
  /** the Gateway API is there, and the gateway is one of its own */
  gatewayApi?: boolean;
  /** `tollgate manifests` writes control's Service and all that is Tollgate's */
  manifests?: boolean;
  /** more of the mesh's configuration */
  meshConfig?: object;
  /** more of istiod's environment */
  istiodEnv?: Record<string, string>;
  /** default 2 */
  workers?: number;
  /** there before istiod starts: name and objects */
  objects?: Record<string, object[]>;
}

export class Mesh {
  readonly upstreams = new Map<string, HttpServer>();
  kubernetes!: KubernetesApi;
  istiod!: Istiod;
  gateway!: MeshProxy;
  /** by service */
  readonly sidecars = new Map<string, MeshProxy>();
  control!: ControlProcess;
  modulePath = "";
  readonly folder = makeFolder("mesh");
  private readonly sidecarPorts = new Map<string, { namespace: string; port: number }>();
  private readonly cluster = join(this.folder, "cluster");

  private constructor(private readonly options: MeshOptions) {}

  static async start(options: MeshOptions): Promise<Mesh> {
    const mesh = new Mesh(options);
    try {
      await mesh.start();
    } catch (error) {
      await mesh.stop();
      throw error;
    }
    return mesh;
  }

  private async start(): Promise<void> {
    const {
      services,
      gatewayApi = false,
      manifests = false,
      meshConfig = {},
      istiodEnv = {},
      objects = {},
      file,
      workers = 2,
    } = this.options;
    const tools = (await istioTools())!;
    mkdirSync(this.cluster);
    const [adminPort = 0, httpPort = 0] = await freePorts(2);
    [this.control, this.modulePath] = await Promise.all([ControlProcess.prepare(), filterModule()]);
    const kind = gatewayApi ? madeGateway : installedGateway;
    this.put("gateway", gatewayService(kind, httpPort));
    this.put("control-endpoint", [controlEndpoint(this.control.syncPort)]);
    if (!manifests) this.put("control", [controlService()]);
    const sidecarPorts = await freePorts(2 * services.filter(({ sidecar }) => sidecar === true).length);
    for (const one of services)
      await (one.sidecar === true ? this.addSidecarService(one, sidecarPorts.pop()!) : this.addService(one));
    for (const [name, some] of Object.entries(objects)) this.put(name, some);
    this.kubernetes = await KubernetesApi.start({ folder: this.cluster, gatewayApi });
    const kubeconfig = this.kubernetes.kubeconfig();
    const [istiod, token] = await Promise.all([
      Istiod.start({
        binary: tools.pilotDiscovery,
        folder: this.folder,
        kubeconfig,
        gatewayApi,
        meshConfig,
        env: istiodEnv,
      }),
      this.control.start().then(() => this.prepareControl(file)),
    ]);
    this.istiod = istiod;
    const env = { TOLLGATE_GATEWAY_TOKEN: token };
    const common = { folder: this.folder, istiodPort: istiod.grpcPort, workers, env };
    this.gateway = await MeshProxy.start({ ...common, node: gatewayNode(kind), adminPort, httpPort });
    for (const [name, { namespace, port }] of this.sidecarPorts) {
      const node = { type: "sidecar", name, namespace, address: sidecarAddress, labels: { app: name } } as const;
      this.sidecars.set(
        name,
        await MeshProxy.start({ ...common, node, adminPort: sidecarPorts.pop()!, httpPort: port }),
      );
    }
  }

  /** Writes a file of objects, or replaces it. */
  put(name: string, objects: object[]): void {
    const draft = join(this.folder, "draft");
    writeFileSync(draft, objects.map((object) => `---\n${stringify(object)}`).join(""));
    renameSync(draft, join(this.cluster, `${name}.yaml`));
  }

  remove(name: string): void {
    rmSync(join(this.cluster, `${name}.yaml`));
  }

  async stop(): Promise<void> {
    await Promise.all([
      this.gateway?.stop(),
      ...[...this.sidecars.values()].map((one) => one.stop()),
      this.istiod?.stop(),
      this.control?.remove(),
      ...[...this.upstreams.values()].map((one) => one.close()),
    ]);
    await this.kubernetes?.close();
    removeFolder(this.folder);
  }

  private async addService({ name, namespace, versions, port }: ServiceOptions): Promise<void> {
    if (port !== undefined) return this.put(`service-${name}`, service(name, namespace, 8080, [{ port }]));
    const endpoints: Endpoint[] = [];
    for (const version of versions ?? [undefined]) {
      const fullName = version === undefined ? name : `${name}-${version}`;
      const address = version === undefined ? "127.0.0.1" : `127.0.0.${10 + this.upstreams.size}`;
      const upstream = await startUpstream(fullName, address);
      this.upstreams.set(fullName, upstream);
      endpoints.push({ port: upstream.port, address, ...(version === undefined ? {} : { version }) });
    }
    this.put(`service-${name}`, service(name, namespace, 8080, endpoints));
  }

  private async addSidecarService({ name, namespace }: ServiceOptions, port: number): Promise<void> {
    const upstream = await startUpstream(name, "127.0.0.1");
    this.upstreams.set(name, upstream);
    this.sidecarPorts.set(name, { namespace, port });
    this.put(`service-${name}`, [
      ...service(name, namespace, 8080, [{ port }]),
      ...sidecar(name, namespace, port, upstream.port),
    ]);
  }

  private async prepareControl(file: FileInput): Promise<string> {
    await this.control.call("POST", "/v1/apply?environment=default", file);
    return this.control.createGatewayToken("default");
  }
}
