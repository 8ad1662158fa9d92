import { reasons } from "../../protocol/reasons.ts";
import assert from "node:assert/strict";
import { digestHex, issueKey } from "../../control/domain/keys.ts";
import type { FileInput, KeyInput } from "../../control/domain/schema.ts";
import {
  Envoy,
  loadModule,
  type EnvoyOptions,
  type HeaderInput,
  type Pair,
  type RequestOptions,
  type RootContext,
  type Stream,
  type Vm,
  type VmOptions,
} from "./host.ts";
import { SimulatedControl, type ControlOptions } from "./simulatedControl.ts";

/** The filter, as `npm run build:wasm` makes it. */
export function filterModule(): WebAssembly.Module {
  return loadModule("build/tollgate.wasm");
}

/** A well-formed key of an environment, always the same for the same name. */
export function keyNamed(name: string, environment = "default"): string {
  const bytes = Buffer.from(digestHex(name), "hex");
  let at = 0;
  return issueKey(environment, (limit) => bytes[at++ % bytes.length]! % limit).key;
}

/** The record of `keyNamed(id)`. */
export function keyRecord(id: string, consumer: string, more: Partial<KeyInput> = {}): KeyInput {
  return { id, consumer, sha256: digestHex(keyNamed(id)), ...more };
}

const upstream = { service: "echo.demo.svc.cluster.local", port: 8080 };

/** A keyed API under `/`, a keyless one under `/public`, a tier, a consumer with a claim, and its key `acme-1`. */
export function basicSpec(): FileInput {
  return {
    version: 1,
    environment: "default",
    apis: [
      { id: "echo", hosts: ["*"], paths: ["/"], upstream, auth: { mode: "key" } },
      { id: "public", hosts: ["*"], paths: ["/public"], upstream, auth: { mode: "none" } },
    ],
    tiers: [{ id: "bronze", scopes: ["read"] }],
    consumers: [{ id: "acme", tier: "bronze", claims: { org: "acme-corp" } }],
    keys: [keyRecord("acme-1", "acme")],
  };
}

/** The plugin's configuration for a simulated control in the cluster `control`. */
export function pluginConfiguration(more: object = {}): Record<string, unknown> {
  return { control: { cluster: "control", authority: "tollgate-control" }, environment: "default", ...more };
}

export interface GatewayOptions {
  spec?: FileInput;
  configuration?: Record<string, unknown>;
  /** VMs of workers; the main thread's comes on top */
  workers?: number;
  control?: ControlOptions;
  envoy?: Partial<EnvoyOptions>;
  /** another Envoy of the same control, in the same time; `spec` and `control` are its */
  beside?: Gateway;
}

export interface Worker {
  vm: Vm;
  root: RootContext;
}

/** A simulated Envoy with its main thread's VM and its workers', and a simulated control. */
export interface Gateway {
  envoy: Envoy;
  control: SimulatedControl;
  configuration: Record<string, unknown>;
  main: Worker;
  workers: Worker[];
  /** A request to a worker, the first unless told. */
  get(
    path: string,
    headers?: HeaderInput,
    options?: Partial<RequestOptions> & { worker?: number; method?: string; host?: string },
  ): Stream;
}

const TOKEN = "tgg_simulated";
const started: Gateway[] = [];

/** After each test: every gateway is as `assertSoundGateway` wants it. */
export function assertSound(): void {
  for (const gateway of started) assertSoundGateway(gateway);
}

/** Nothing has trapped, nothing was asked of Envoy that it doesn't take, calls of lanes are as documented, and no key or token was logged. */
function assertSoundGateway({ envoy, control }: Gateway): void {
  assert.deepEqual(envoy.traps, []);
  assert.deepEqual(envoy.violations, []);
  assert.deepEqual(control.counters.oddCalls, []);
  for (const { message } of envoy.logs) assert.doesNotMatch(message, /tg_[a-z0-9-]+_[0-9A-Za-z]{6}|tgg_/);
  envoy.logs.length = 0;
}

/** Ends a gateway of which a test needs many, so that its memory is free. */
export function endGateway(gateway: Gateway): void {
  assertSoundGateway(gateway);
  for (const vm of [...gateway.envoy.vms]) vm.kill();
  started.splice(started.indexOf(gateway), 1);
}

/** A VM on a thread (a new one unless told), with one plugin configuration in it. */
export function startWorker(envoy: Envoy, configuration: unknown, options: VmOptions = {}): Worker {
  const vm = envoy.newVm(options);
  return { vm, root: addRoot(vm, configuration) };
}

/** One more configuration in a VM: of the same plugin, unless another name is given. */
export function addRoot(vm: Vm, configuration: unknown, pluginName = "tollgate"): RootContext {
  const root = vm.newRoot(configuration, { pluginName, rootId: pluginName });
  assert.ok(root.accepted, `the configuration was refused:\n${vm.envoy.logTail()}`);
  return root;
}

/** Starts a gateway; nothing has been loaded yet, for no time has passed. */
export function startGateway(options: GatewayOptions = {}): Gateway {
  const { beside } = options;
  // Envoys of one control differ in what they draw
  const apart =
    beside === undefined
      ? {}
      : { loop: beside.envoy.loop, seed: started.length + 1000, nodeId: `node-${started.length + 1}` };
  const envoy = new Envoy({
    module: filterModule(),
    vm: { environment: { TOLLGATE_GATEWAY_TOKEN: TOKEN } },
    ...apart,
    ...options.envoy,
  });
  const control =
    beside?.control ?? new SimulatedControl(options.spec ?? basicSpec(), { token: TOKEN, ...options.control });
  control.serve(envoy);
  const configuration = options.configuration ?? pluginConfiguration();
  const worker = (): Worker => startWorker(envoy, configuration);
  const main = worker();
  const workers = Array.from({ length: options.workers ?? 1 }, worker);
  const gateway: Gateway = {
    envoy,
    control,
    configuration,
    main,
    workers,
    get(path, headers = [], { worker = 0, method = "GET", host = "api.example.com", ...request } = {}) {
      const { vm, root } = gateway.workers[worker]!;
      return vm.request(root, { headers: requestHeaders(path, headers, method, host), ...request });
    },
  };
  started.push(gateway);
  return gateway;
}

/** The headers of a request as Envoy's filters see them, pseudo-headers first. */
export function requestHeaders(path: string, more: HeaderInput = [], method = "GET", host = "api.example.com"): Pair[] {
  const base: Pair[] = [
    [":authority", host],
    [":path", path],
    [":method", method],
    [":scheme", "http"],
  ];
  const given: Pair[] = Array.isArray(more)
    ? [...(more as readonly Pair[])]
    : Object.entries(more).flatMap(([name, values]) =>
        (typeof values === "string" ? [values] : [...values]).map((value): Pair => [name, value]),
      );
  return [...base, ...given];
}

/** A gateway whose workers serve: each has had a request and has its table. */
export function readyGateway(options: GatewayOptions = {}): Gateway {
  const gateway = startGateway(options);
  const first = gateway.workers.map((_, worker) => gateway.get("/warm-up", { "x-api-key": "none" }, { worker }));
  gateway.envoy.until(() => first.every((stream) => stream.state !== "held"));
  first.forEach((stream, worker) => gateway.workers[worker]!.vm.end(stream));
  return gateway;
}

/** The counters `tollgate.<environment>.*` that are not 0, after a tick has handed them over. */
export function counters({ envoy }: Pick<Gateway, "envoy">, environment = "default"): Record<string, number> {
  envoy.advance(500);
  const prefix = `tollgate.${environment}.`;
  const all = [...envoy.stats.counters].filter(([name, value]) => name.startsWith(prefix) && value !== 0n);
  return Object.fromEntries(all.map(([name, value]) => [name.slice(prefix.length), Number(value)]));
}

/** `retry-after` is what the table of reasons says; limits that are exhausted work theirs out. */
function assertRetryAfter(code: string, headers: readonly (readonly [string, string])[]): void {
  const reason = reasons.find((one) => one.code === code);
  if (reason === undefined || reason.status === 429) return;
  const sent = headers.filter(([name]) => name === "retry-after").map(([, value]) => value);
  const expected = reason.retryAfterSeconds === undefined ? [] : [String(reason.retryAfterSeconds)];
  if (sent.join() !== expected.join())
    throw new Error(
      `${code}: retry-after is ${sent.join() || "absent"}, the table of reasons says ${expected.join() || "none"}`,
    );
}

/** The problem's `reason` when a request was refused, else "admitted" or "held". */
export function outcome(stream: Stream): string {
  if (stream.state === "forwarded") return "admitted";
  if (stream.state === "held") return "held";
  const { details, body, headers } = stream.localResponse!;
  const reason = details === "wasm_fail_stream" ? "trap" : details.replace(/^tollgate_/, "");
  const text = body.toString();
  if (text.startsWith("{") && (JSON.parse(text) as { reason?: string }).reason !== reason)
    throw new Error(`details ${details} but body ${text}`);
  assertRetryAfter(reason, headers);
  return reason;
}
