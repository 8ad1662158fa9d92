import { Context, RootContext, Stream, type PluginOptions, type Properties } from "./context.ts";
import type { Envoy } from "./envoy.ts";
import { HeaderMap, type HeaderInput } from "./headerMap.ts";
import { hostImports } from "./imports.ts";
import { clientResponse } from "./localResponse.ts";
import { VmMetrics } from "./metrics.ts";

export interface VmOptions {
  /** Envoy's thread: 0 is the main one. One VM of a vm_id lives on a thread at a time. Default: the next free one */
  thread?: number;
  vmId?: string;
  vmConfiguration?: string;
  environment?: Record<string, string>;
  /** false: as the template VM that Envoy clones from, which neither ticks nor wakes */
  dispatches?: boolean;
}

export interface RequestOptions {
  headers: HeaderInput;
  /** delivered when the headers went on; absent: none */
  trailers?: HeaderInput;
  endOfStream?: boolean;
  properties?: Properties;
}

export interface UpstreamResponse {
  status?: number;
  headers?: HeaderInput;
  body?: string;
}

const CONTINUE = 0;
const STOP = 1;

/** One Wasm VM on one thread of the simulated Envoy: instantiates the module and calls it as proxy-wasm-cpp-host does. */
export class Vm {
  readonly envoy: Envoy;
  readonly thread: number;
  readonly vmId: string;
  readonly vmConfiguration: Buffer;
  readonly environment: Record<string, string>;
  readonly dispatches: boolean;
  readonly metrics: VmMetrics;
  readonly contexts = new Map<number, Context>();
  /** live root contexts, oldest first */
  readonly roots: RootContext[] = [];
  /** sizes that the host asked the guest's malloc for, in order; clear it as you like */
  readonly mallocSizes: number[] = [];
  /** set once a callback trapped: the module is not called again */
  trap: Error | undefined;
  killed = false;
  /** on_vm_start is running */
  starting = false;
  current: Context | undefined;
  effectiveId = 0;
  stopIteration = false;
  #exports: Record<string, unknown> = {};
  #malloc: (bytes: number) => number = () => 0;
  #inMalloc = false;
  #afterCall: (() => void)[] = [];
  #nextContextId = 1;

  constructor(envoy: Envoy, thread: number, options: VmOptions) {
    this.envoy = envoy;
    this.thread = thread;
    this.vmId = options.vmId ?? "";
    this.vmConfiguration = Buffer.from(options.vmConfiguration ?? "");
    this.environment = options.environment ?? {};
    this.dispatches = options.dispatches ?? true;
    this.metrics = new VmMetrics(envoy.stats);
    this.#instantiate();
  }

  /** The guest's linear memory; take it anew after each call, for it may grow. */
  get memory(): Buffer {
    return Buffer.from((this.#exports["memory"] as WebAssembly.Memory).buffer);
  }

  get memoryBytes(): number {
    return (this.#exports["memory"] as WebAssembly.Memory).buffer.byteLength;
  }

  /** It can be called: neither trapped nor killed. */
  get alive(): boolean {
    return this.trap === undefined && !this.killed;
  }

  /** Whether the module has that callback. */
  exports(name: string): boolean {
    return typeof this.#exports[name] === "function";
  }

  /** Loads a plugin configuration: context_create, on_vm_start, on_configure. Look at `accepted`; a refused one is gone. */
  newRoot(configuration: unknown, options: PluginOptions = {}): RootContext {
    const bytes = Buffer.isBuffer(configuration)
      ? configuration
      : Buffer.from(typeof configuration === "string" ? configuration : JSON.stringify(configuration));
    const root = new RootContext(this.#nextContextId++, bytes, options);
    this.contexts.set(root.id, root);
    this.roots.push(root);
    this.call(root, "proxy_on_context_create", root.id, 0);
    this.starting = true;
    const started = this.call(root, "proxy_on_vm_start", root.id, this.vmConfiguration.length) ?? 1;
    this.starting = false;
    root.configuring = true;
    const configured = started === 0 ? 0 : (this.call(root, "proxy_on_configure", root.id, bytes.length) ?? 1);
    root.configuring = false;
    root.accepted = this.alive && started !== 0 && configured !== 0;
    if (!root.accepted) this.#destroyRoot(root, false);
    return root;
  }

  /** Drops a plugin configuration. Its root context goes when its last stream has ended. */
  closeRoot(root: RootContext): void {
    root.closing = true;
    if (root.openStreams.size === 0) this.#destroyRoot(root, true);
  }

  /** Lets a root context's timer fire now, outside its period. */
  tick(root: RootContext): void {
    if (!root.destroyed) this.call(root, "proxy_on_tick", root.id);
  }

  /** Sets a root context's tick period in milliseconds; 0 stops it. */
  setTickPeriod(root: RootContext, periodMs: number): void {
    root.cancelTick?.();
    root.cancelTick = undefined;
    root.tickPeriodMs = periodMs;
    if (periodMs === 0 || !this.dispatches) return;
    root.cancelTick = this.envoy.loop.post(periodMs, () => {
      if (root.destroyed || !this.alive) return;
      this.tick(root);
      if (this.alive && !root.destroyed && root.tickPeriodMs > 0) this.setTickPeriod(root, root.tickPeriodMs);
    });
  }

  /** A request arrives: context_create and on_request_headers, then, unless held, the trailers. */
  request(root: RootContext, options: RequestOptions): Stream {
    if (root.destroyed) throw new Error("this root context is gone: Envoy would not send it a request");
    const headers = HeaderMap.from(options.headers);
    const trailers = options.trailers === undefined ? undefined : HeaderMap.from(options.trailers);
    const properties = { ...this.envoy.streamProperties, ...options.properties };
    const stream = new Stream(this.#nextContextId++, root, headers, trailers, properties, this.envoy.nowMs);
    this.contexts.set(stream.id, stream);
    root.openStreams.add(stream);
    this.call(stream, "proxy_on_context_create", stream.id, root.id);
    stream.headersAvailable = true;
    if (!this.alive) {
      this.#failStream(stream);
      return stream;
    }
    if (!this.exports("proxy_on_request_headers")) {
      this.#goOn(stream);
      return stream;
    }
    const endOfStream = (options.endOfStream ?? true) && trailers === undefined;
    const status = this.#callFilter(stream, "proxy_on_request_headers", stream.id, headers.size, endOfStream ? 1 : 0);
    if (status === undefined) this.#failStream(stream);
    else if (status === CONTINUE) this.#goOn(stream);
    return stream;
  }

  /** Trailers arrive after the body. A held stream sees them when it goes on. */
  trailers(stream: Stream, trailers: HeaderInput): void {
    stream.trailers = HeaderMap.from(trailers);
    if (stream.state === "forwarded") this.#goOn(stream);
  }

  /** The upstream's response to a request that went on: on_response_headers, then it's the client's. */
  respond(stream: Stream, { status = 200, headers = [], body = "" }: UpstreamResponse = {}): Stream {
    if (stream.state !== "forwarded" || stream.response !== undefined)
      throw new Error(`a stream that is ${stream.state} has no upstream that could respond`);
    const map = HeaderMap.from(headers);
    map.set(":status", String(status));
    stream.response = { status, headers: map, body };
    this.#encode(stream, body === "");
    return stream;
  }

  /** The stream is over: complete, or its client has gone. on_log, on_done and on_delete where exported. */
  end(stream: Stream): void {
    if (stream.destroyed) return;
    stream.ended = true;
    stream.headersAvailable = false;
    stream.trailersAvailable = false;
    this.call(stream, "proxy_on_log", stream.id);
    this.call(stream, "proxy_on_done", stream.id);
    this.call(stream, "proxy_on_delete", stream.id);
    stream.destroyed = true;
    this.contexts.delete(stream.id);
    const root = stream.root;
    root.openStreams.delete(stream);
    if (root.closing && root.openStreams.size === 0) this.#destroyRoot(root, true);
  }

  /** The VM is gone at once, as when its thread's Envoy is replaced: no callback, no answer, its calls are given up. */
  kill(): void {
    this.killed = true;
    for (const root of this.roots) this.#forget(root);
    this.envoy.vmGone(this);
  }

  /** Calls an export in a context's name. Gives its result, undefined when it has none, isn't there, or the VM can't be called. */
  call(context: Context, name: string, ...args: number[]): number | undefined {
    const result = this.#enter(context, name, args);
    this.#runAfterCall();
    return result;
  }

  /** Copies bytes into the guest by its own malloc. Gives the address; 0 for no bytes, which need no malloc. */
  copyIn(bytes: Buffer): number {
    if (bytes.length === 0) return 0;
    this.mallocSizes.push(bytes.length);
    const context = this.contextInEffect();
    if (context !== undefined) context.mallocs++;
    this.#inMalloc = true;
    const at = this.#malloc(bytes.length) >>> 0;
    this.#inMalloc = false;
    if (at === 0 || at + bytes.length > this.memoryBytes) return 0;
    bytes.copy(this.memory, at);
    return at;
  }

  /** Host calls act on the effective context, or on the called one when that is gone. */
  contextInEffect(): Context | undefined {
    return (this.effectiveId === 0 ? undefined : this.contexts.get(this.effectiveId)) ?? this.current;
  }

  /** malloc may call nothing but the log and the clock. */
  restrict(name: string): void {
    if (this.#inMalloc) throw new WebAssembly.RuntimeError(`${name} called from malloc: restricted_callback`);
  }

  continueStream(context: Context | undefined): void {
    if (!(context instanceof Stream)) return;
    context.headersAvailable = false;
    context.trailersAvailable = false;
    this.#afterCall.push(() => {
      if (context.destroyed) return;
      if (context.state !== "held") this.envoy.violations.push(`continue_stream on a stream that is ${context.state}`);
      else {
        context.resumed = true;
        this.#goOn(context);
      }
    });
  }

  answerLocally(context: Context | undefined, response: NonNullable<Stream["localResponse"]>): void {
    this.stopIteration = true;
    if (!(context instanceof Stream)) return;
    this.#afterCall.push(() => {
      if (context.destroyed) return;
      if (context.state === "answered" || context.state === "forwarded")
        return void this.envoy.violations.push(`send_local_response on a stream that is ${context.state}`);
      context.state = "answered";
      context.decidedAtMs = this.envoy.nowMs;
      context.localResponse = response;
      context.response = clientResponse(response, context.headers);
      this.#encode(context, context.response.body === "");
    });
  }

  /** Response headers pass the filter on their way to the client, those of Envoy's own answers too. */
  #encode(stream: Stream, endOfStream: boolean): void {
    if (!this.exports("proxy_on_response_headers")) return;
    stream.responseAvailable = true;
    const status = this.call(
      stream,
      "proxy_on_response_headers",
      stream.id,
      stream.response!.headers.size,
      endOfStream ? 1 : 0,
    );
    stream.responseAvailable = false;
    if (status !== CONTINUE && this.alive) this.envoy.violations.push("on_response_headers held the response");
  }

  /** A filter callback: its status, taken before what it asked for is done; a local response stops the stream whatever it returns. */
  #callFilter(stream: Stream, name: string, ...args: number[]): number | undefined {
    const result = this.#enter(stream, name, args);
    const status = result !== undefined && this.stopIteration ? STOP : result;
    this.#runAfterCall();
    return status;
  }

  #enter(context: Context, name: string, args: number[]): number | undefined {
    const exported = this.#exports[name];
    if (!this.alive || typeof exported !== "function") return undefined;
    const outer = { current: this.current, effectiveId: this.effectiveId };
    this.current = context;
    this.effectiveId = 0;
    try {
      return (exported as (...args: number[]) => number | undefined)(...args);
    } catch (error) {
      this.#trapped(error);
      return undefined;
    } finally {
      this.current = outer.current;
      this.effectiveId = outer.effectiveId;
    }
  }

  #goOn(stream: Stream): void {
    stream.decidedAtMs ??= this.envoy.nowMs;
    stream.headersAvailable = false;
    stream.state = "forwarded";
    if (stream.trailers === undefined || stream.trailersDelivered) return;
    stream.trailersDelivered = true;
    if (!this.exports("proxy_on_request_trailers")) return;
    stream.trailersAvailable = true;
    stream.state = "held";
    const status = this.#callFilter(stream, "proxy_on_request_trailers", stream.id, stream.trailers.size);
    if (status === undefined) this.#failStream(stream);
    else if (status === CONTINUE) {
      stream.trailersAvailable = false;
      stream.state = "forwarded";
    }
  }

  #failStream(stream: Stream): void {
    if (stream.root.options.failOpen === true) {
      stream.state = "forwarded";
      return;
    }
    stream.state = "answered";
    stream.localResponse = {
      status: 503,
      details: "wasm_fail_stream",
      headers: [],
      body: Buffer.alloc(0),
      grpcStatus: 14,
    };
    stream.response = clientResponse(stream.localResponse, stream.headers);
  }

  #runAfterCall(): void {
    this.stopIteration = false;
    for (let action = this.#afterCall.shift(); action !== undefined; action = this.#afterCall.shift()) action();
  }

  #trapped(error: unknown): void {
    // a host function that throws something else is a mistake of the host or of the test
    if (
      !(error instanceof WebAssembly.RuntimeError) &&
      !(error instanceof RangeError && /call stack/i.test(error.message))
    )
      throw error;
    this.trap = error as Error;
    this.#inMalloc = false;
    this.envoy.traps.push(this.trap);
    for (const root of this.roots) this.#forget(root);
    this.envoy.vmGone(this);
  }

  /** Without root contexts left a VM is gone too, unless its only one was refused. */
  #destroyRoot(root: RootContext, mayEndVm: boolean): void {
    if (root.destroyed) return;
    this.call(root, "proxy_on_done", root.id);
    this.call(root, "proxy_on_delete", root.id);
    this.#forget(root);
    root.destroyed = true;
    this.contexts.delete(root.id);
    this.roots.splice(this.roots.indexOf(root), 1);
    if (mayEndVm && this.roots.length === 0 && this.alive) {
      this.killed = true;
      this.envoy.vmGone(this);
    }
  }

  #forget(root: RootContext): void {
    root.cancelTick?.();
    root.cancelTick = undefined;
    for (const cancel of root.cancelCalls) cancel();
    root.cancelCalls.clear();
  }

  #instantiate(): void {
    const imports = hostImports(this);
    for (const { module, name } of WebAssembly.Module.imports(this.envoy.module))
      if (imports[module]?.[name] === undefined)
        throw new Error(`the module imports ${module}.${name}, which Envoy does not offer`);
    const instance = new WebAssembly.Instance(this.envoy.module, imports);
    this.#exports = instance.exports;
    if (!this.exports("proxy_abi_version_0_2_0") && !this.exports("proxy_abi_version_0_2_1"))
      throw new Error("Missing or unknown Proxy-Wasm ABI version");
    const malloc = this.#exports["malloc"] ?? this.#exports["proxy_on_memory_allocate"];
    if (typeof malloc !== "function") throw new Error("Wasm module is missing malloc function.");
    this.#malloc = malloc as (bytes: number) => number;
    const start = this.#exports["_initialize"] ?? this.#exports["_start"];
    if (typeof start === "function") start();
  }
}
