/** A gateway for a test: a real Envoy with the filter, an upstream behind it, and what each of them saw of a request. */
import { randomUUID } from "node:crypto";
import type { ClusterOptions, ListenerOptions, PluginOptions } from "../../tools/envoy/bootstrap.ts";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import { startDemoUpstream, type DemoUpstream, type EchoedRequest } from "../../devstack/demoUpstream.ts";
import { compileSnapshot } from "../../control/sync/compile.ts";
import { Envoy, type AccessLogLine } from "./envoy.ts";
import { environment } from "./fixture.ts";
import { send, type Http1Request, type Response } from "./http1.ts";
import { binaryOf, type Setup } from "./envoySetups.ts";
import { eventually } from "./eventually.ts";
import { filterModule } from "./filterModule.ts";

export interface GatewayOptions {
  setup: Setup;
  /** one for each listener: the plugin's configuration and what else differs from the bootstrap's defaults */
  listeners: {
    configuration: PluginOptions["configuration"];
    plugin?: Partial<PluginOptions>;
    listener?: Partial<ListenerOptions>;
  }[];
  /** the port of control's sync server */
  syncPort?: number;
  /** the port of an upstream that speaks HTTP/2, in place of the echo */
  http2UpstreamPort?: number;
  /** the port of another upstream in place of the echo */
  upstreamPort?: number;
  /** more clusters */
  clusters?: ClusterOptions[];
  gatewayToken?: string;
  /** what control calls this gateway begins with it; default: the bootstrap's */
  nodeId?: string;
  /** more of Envoy's environment */
  env?: Record<string, string>;
  target?: "release" | "trap";
  watchListeners?: boolean;
  /** request headers in the access log, beside those that the bootstrap writes and the keys' places */
  logHeaders?: string[];
}

/** What became of one request. */
export interface Exchange {
  response: Response;
  /** the request as the upstream received it; undefined when it was refused */
  seen: EchoedRequest | undefined;
  log: AccessLogLine;
}

/** Names the request in the access log: Envoy may replace `x-request-id`. */
const caseHeader = "x-test-case";
/** Where a key may stand: a key found under one of these in the access log is a leak. */
const keyPlaces = ["x-api-key", "x-other-key", "authorization", "proxy-authorization", "referer", "cookie", ":path"];

export class Gateway {
  private constructor(
    readonly envoy: Envoy,
    private readonly upstream: DemoUpstream,
  ) {}

  static async start(options: GatewayOptions): Promise<Gateway> {
    const [binary, wasmPath] = await Promise.all([binaryOf(options.setup), filterModule(options.target)]);
    const upstream = await startDemoUpstream(0);
    try {
      const envoy = await Envoy.start({
        binary,
        workers: options.setup.workers,
        watchListeners: options.watchListeners ?? false,
        env: { TOLLGATE_GATEWAY_TOKEN: options.gatewayToken ?? "", ...options.env },
        bootstrap: {
          ...(options.nodeId === undefined ? {} : { nodeId: options.nodeId }),
          listeners: options.listeners.map(({ configuration, plugin, listener }) => ({
            port: 0,
            accessLogHeaders: [caseHeader, ...keyPlaces, ...(options.logHeaders ?? [])],
            plugin: { wasmPath, configuration, ...plugin },
            ...listener,
          })),
          clusters: [
            options.http2UpstreamPort === undefined
              ? { name: "upstream", host: "127.0.0.1", port: options.upstreamPort ?? upstream.port }
              : { name: "upstream", host: "127.0.0.1", port: options.http2UpstreamPort, protocol: "http2" },
            ...(options.clusters ?? []),
            ...(options.syncPort === undefined ? [] : [{ name: "control", host: "127.0.0.1", port: options.syncPort }]),
          ],
        },
      });
      return new Gateway(envoy, upstream);
    } catch (error) {
      await upstream.close();
      throw error;
    }
  }

  port(listener = 0): number {
    return this.envoy.port(listener);
  }

  /** Sends one request on a connection of its own; `listener` by its place. */
  async exchange(request: Http1Request, listener = 0): Promise<Exchange> {
    const name = randomUUID();
    const response = await send(this.port(listener), {
      ...request,
      headers: [...(request.headers ?? []), [caseHeader, name]],
    });
    return { response, seen: echoed(response), log: await this.logOf(name) };
  }

  /** The same without waiting for the access log. */
  send(request: Http1Request, listener = 0): Promise<Response> {
    return send(this.port(listener), request);
  }

  logOf(name: string): Promise<AccessLogLine> {
    return this.envoy.logLine(caseHeader, name);
  }

  /** A metric of the filter: `tollgate.<environment>.<name>`. */
  metric(name: string, of = environment): Promise<number> {
    return this.envoy.stat(`wasmcustom.tollgate.${of}.${name}`);
  }

  /** Waits until a metric has the value: the filter adds its counts up and hands them over on a tick. */
  async metricReaches(name: string, wanted: number, of = environment): Promise<void> {
    let value = 0;
    try {
      await eventually(`${name} to be ${wanted}`, async () => (value = await this.metric(name, of)) === wanted);
    } catch (error) {
      throw new Error(`${(error as Error).message}; it is ${value}`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    await this.envoy.stop();
    await this.upstream.close();
  }
}

/** The configuration of a plugin that has its snapshot with it. */
export function standalone(spec: EnvironmentSpec, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { environment: spec.environment, snapshot: compileSnapshot(spec).toString("base64"), ...more };
}

/** What the echo says that it received, when the answer is the echo's. */
export function echoed(response: Response): EchoedRequest | undefined {
  return response.status === 200 && response.body.startsWith("{")
    ? response.json<EchoedRequest & Record<string, unknown>>()
    : undefined;
}

/** The reason of a refusal; undefined when the answer is none. */
export function reasonOf(response: Response): string | undefined {
  if (response.header("content-type") !== "application/problem+json") return undefined;
  return response.json<{ reason: string }>().reason;
}
