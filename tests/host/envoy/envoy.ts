import { readFileSync } from "node:fs";
import type { Context, PluginOptions, Properties } from "./context.ts";
import { EventLoop } from "./eventLoop.ts";
import type { ClusterHandler } from "./httpCall.ts";
import type { LogLevel } from "./abi.ts";
import { Stats } from "./metrics.ts";
import { SharedData, SharedQueues, type QueueListener } from "./sharedState.ts";
import type { HostCall } from "./trace.ts";
import { Vm, type VmOptions } from "./vm.ts";

export interface EnvoyOptions {
  module: WebAssembly.Module;
  /** wall clock at the start, Unix milliseconds */
  wallMs?: number;
  /** seed of `random_get` */
  seed?: number;
  nodeId?: string;
  /** time that it shares with other processes; default: its own */
  loop?: EventLoop;
  /** defaults for every VM */
  vm?: VmOptions;
}

export interface LogLine {
  level: LogLevel;
  message: string;
  thread: number;
  atMs: number;
}

const TRACE_MAX = 10_000;
const CANARY_THREAD = -1;
const MONOTONIC_START_MS = 1_000_000;

/** One simulated Envoy process: what its VMs share, its clock and its event loop. */
export class Envoy {
  readonly module: WebAssembly.Module;
  readonly loop: EventLoop;
  readonly sharedData = new SharedData();
  readonly queues = new SharedQueues();
  readonly stats = new Stats();
  readonly clusters = new Map<string, ClusterHandler>();
  readonly logs: LogLine[] = [];
  readonly traps: Error[] = [];
  /** things that a module must not do and that Envoy doesn't report by a status */
  readonly violations: string[] = [];
  /** host calls made outside any callback */
  readonly strayCalls: HostCall[] = [];
  readonly vms: Vm[] = [];
  nodeProperties: Properties;
  /** properties of every stream, unless a request gives its own */
  streamProperties: Properties = { "source.address": "192.0.2.1:40000" };
  /** false: host calls are not kept, for long runs */
  recording = true;
  /** how much time each look at a clock takes, milliseconds: lets code that works in time slices end them */
  clockStepMs = 0;
  #wallStartMs = 0;
  #random: number;
  readonly #vmDefaults: VmOptions;

  constructor(options: EnvoyOptions) {
    this.module = options.module;
    this.loop = options.loop ?? new EventLoop();
    this.wallMs = options.wallMs ?? Date.UTC(2026, 10, 1) + this.loop.nowMs;
    this.#random = options.seed ?? 1;
    this.#vmDefaults = options.vm ?? {};
    this.nodeProperties = { "xds.node.id": options.nodeId ?? "node-1", "xds.node.cluster": "gateway" };
  }

  get nowMs(): number {
    return this.loop.nowMs;
  }

  /** Unix milliseconds. */
  get wallMs(): number {
    return this.#wallStartMs + this.loop.nowMs;
  }

  /** Sets the wall clock; the monotonic one goes on as before. */
  set wallMs(wallMs: number) {
    this.#wallStartMs = wallMs - this.loop.nowMs;
  }

  wallNanoseconds(): bigint {
    this.loop.drift(this.clockStepMs);
    return BigInt(Math.round(this.wallMs * 1e3)) * 1000n;
  }

  monotonicNanoseconds(): bigint {
    this.loop.drift(this.clockStepMs);
    return BigInt(Math.round((MONOTONIC_START_MS + this.loop.nowMs) * 1e3)) * 1000n;
  }

  randomByte(): number {
    // xorshift32
    let x = this.#random | 0 || 1;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    return (x >>> 8) & 0xff;
  }

  /** Keeps a host call with the context that it acted on, the oldest of very many aside. */
  record(context: Context | undefined, call: HostCall): void {
    if (!this.recording) return;
    const trace = context?.trace ?? this.strayCalls;
    if (trace.length >= TRACE_MAX) trace.splice(0, TRACE_MAX / 2);
    trace.push(call);
  }

  cluster(name: string, handler: ClusterHandler): void {
    this.clusters.set(name, handler);
  }

  /** Starts a VM on a thread of its own. */
  newVm(options: VmOptions = {}): Vm {
    const merged = { ...this.#vmDefaults, ...options };
    const taken = new Set(this.vms.filter((vm) => vm.alive).map((vm) => vm.thread));
    let thread = merged.thread ?? 0;
    if (merged.thread === undefined) while (taken.has(thread)) thread++;
    const vm = new Vm(this, thread, merged);
    this.vms.push(vm);
    return vm;
  }

  /**
   * Tries a plugin configuration in a VM that is thrown away, as Envoy does before it takes one over.
   * False: Envoy keeps the configuration that it has.
   */
  accepts(configuration: unknown, plugin: PluginOptions = {}): boolean {
    const canary = new Vm(this, CANARY_THREAD, { ...this.#vmDefaults, dispatches: false });
    const { accepted } = canary.newRoot(configuration, plugin);
    canary.kill();
    return accepted;
  }

  /** Runs all that is due now. */
  pump(): void {
    this.loop.pump();
  }

  /** Moves the clocks on, running what comes due on the way. */
  advance(ms: number): void {
    this.loop.advance(ms);
  }

  /** A long time passes during which nothing runs; what came due runs afterwards, once. */
  sleep(ms: number): void {
    this.loop.drift(ms);
    this.pump();
  }

  /** Moves on in steps until `condition` holds. Throws after `limitMs`. */
  until(condition: () => boolean, limitMs = 60_000, stepMs = 10): void {
    const endMs = this.nowMs + limitMs;
    this.pump();
    while (!condition()) {
      if (this.nowMs >= endMs) throw new Error(`not within ${limitMs} ms: ${condition.toString()}\n${this.logTail()}`);
      this.advance(stepMs);
    }
  }

  /** The process is killed: its VMs are gone at once, and what they shared with it. */
  kill(): void {
    const vmIds = new Set(this.vms.map((vm) => vm.vmId));
    for (const vm of [...this.vms]) vm.kill();
    for (const vmId of vmIds) this.sharedData.drop(vmId);
  }

  /** Wakes whichever VM of that vm_id lives on the listener's thread by then. */
  wake(vmId: string, listener: QueueListener, token: number): void {
    this.loop.post(0, () => {
      const vm = this.vms.find(
        (other) => other.alive && other.dispatches && other.vmId === vmId && other.thread === listener.thread,
      );
      const context = vm?.contexts.get(listener.contextId);
      if (vm !== undefined && context !== undefined) vm.call(context, "proxy_on_queue_ready", context.id, token);
    });
  }

  vmGone(vm: Vm): void {
    const at = this.vms.indexOf(vm);
    if (at >= 0) this.vms.splice(at, 1);
  }

  /** The last log lines, for messages of failed tests. */
  logTail(lines = 20): string {
    return this.logs
      .slice(-lines)
      .map((line) => `[${line.atMs}] ${line.level} ${line.message}`)
      .join("\n");
  }
}

const modules = new Map<string, WebAssembly.Module>();

/** Compiles a Wasm file, once per path and test process. */
export function loadModule(path: string): WebAssembly.Module {
  let module = modules.get(path);
  if (module === undefined) modules.set(path, (module = new WebAssembly.Module(readFileSync(path))));
  return module;
}
