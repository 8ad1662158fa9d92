import { HeaderMapType } from "./abi.ts";
import type { CallResponse } from "./httpCall.ts";
import { HeaderMap } from "./headerMap.ts";
import type { ClientResponse, LocalResponse } from "./localResponse.ts";
import { describe, type HostCall } from "./trace.ts";

/** Values of `proxy_get_property` by path, parts joined with a dot: `source.address`, `node.id`. */
export type Properties = Record<string, string | Buffer>;

/** What root contexts and streams have in common: an id in their VM, and the host calls made in their name. */
export abstract class Context {
  readonly id: number;
  readonly trace: HostCall[] = [];
  /** times that the host called the guest's malloc for this context */
  mallocs = 0;
  properties: Properties = {};
  destroyed = false;

  constructor(id: number) {
    this.id = id;
  }

  abstract get root(): RootContext;

  /** The header map of that type, undefined when there is none at this moment. `writable` maps are only the stream's own. */
  map(type: number, writable: boolean): HeaderMap | undefined {
    if (writable) return undefined;
    const response = this.root.callResponse;
    if (type === HeaderMapType.HttpCallResponseHeaders) return response?.headers;
    if (type === HeaderMapType.HttpCallResponseTrailers) return response?.trailers;
    return undefined;
  }

  /** The host calls so far, one line each, in order. */
  get calls(): string[] {
    return this.trace.map(describe);
  }
}

export interface PluginOptions {
  pluginName?: string;
  rootId?: string;
  /** Envoy's `fail_open`: requests pass when the VM has trapped */
  failOpen?: boolean;
  properties?: Properties;
}

/** One plugin configuration in one VM. */
export class RootContext extends Context {
  readonly configuration: Buffer;
  readonly options: PluginOptions;
  /** on_vm_start and on_configure answered true; else Envoy refuses the configuration */
  accepted = false;
  /** the configuration was dropped; the context lives on as long as a stream of it does */
  closing = false;
  /** set while on_configure runs */
  configuring = false;
  /** set while on_http_call_response runs */
  callResponse: CallResponse | undefined;
  tickPeriodMs = 0;
  cancelTick: (() => void) | undefined;
  readonly openStreams = new Set<Stream>();
  readonly cancelCalls = new Set<() => void>();
  nextCallToken = 1;

  constructor(id: number, configuration: Buffer, options: PluginOptions) {
    super(id);
    this.configuration = configuration;
    this.options = options;
    this.properties = {
      plugin_name: options.pluginName ?? "",
      plugin_root_id: options.rootId ?? "",
      ...options.properties,
    };
  }

  override get root(): RootContext {
    return this;
  }
}

/** Where a request is: on its way upstream, held by the filter, answered by Envoy itself, or gone. */
export type StreamState = "forwarded" | "held" | "answered";

/** One request. */
export class Stream extends Context {
  readonly #root: RootContext;
  /** as the upstream (or, after a refusal, the access log) sees them */
  readonly headers: HeaderMap;
  trailers: HeaderMap | undefined;
  state: StreamState = "held";
  /** it was held first and went on later */
  resumed = false;
  /** when it came, and when it went on or was answered */
  readonly cameAtMs: number;
  decidedAtMs: number | undefined;
  /** the client has gone away, or the request is complete */
  ended = false;
  localResponse: LocalResponse | undefined;
  /** what the client gets: of the upstream, or of Envoy itself, as the filter leaves it */
  response: ClientResponse | undefined;
  /** set while on_response_headers runs */
  responseAvailable = false;
  headersAvailable = false;
  trailersAvailable = false;
  trailersDelivered = false;

  constructor(
    id: number,
    root: RootContext,
    headers: HeaderMap,
    trailers: HeaderMap | undefined,
    properties: Properties,
    cameAtMs: number,
  ) {
    super(id);
    this.cameAtMs = cameAtMs;
    this.#root = root;
    this.headers = headers;
    this.trailers = trailers;
    this.properties = properties;
  }

  override get root(): RootContext {
    return this.#root;
  }

  override map(type: number, writable: boolean): HeaderMap | undefined {
    if (type === HeaderMapType.RequestHeaders) return this.headersAvailable ? this.headers : undefined;
    if (type === HeaderMapType.RequestTrailers) return this.trailersAvailable ? this.trailers : undefined;
    if (type === HeaderMapType.ResponseHeaders) return this.responseAvailable ? this.response?.headers : undefined;
    return super.map(type, writable);
  }
}
