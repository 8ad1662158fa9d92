import { digestHex } from "../../control/domain/keys.ts";
import type { ApiInput, FileInput, LimitInput } from "../../control/domain/schema.ts";
import type { Pair, RequestOptions, Stream } from "./host.ts";
import {
  basicSpec,
  keyNamed,
  outcome,
  readyGateway,
  startWorker,
  type Gateway,
  type GatewayOptions,
} from "./support.ts";

/** A limit of the tier, 10 a minute for each key unless told. */
export function minute(limit = 10, more: Partial<LimitInput> = {}): LimitInput {
  return { name: "minute", kind: "rate", limit, windowSeconds: 60, ...more };
}

/** The basic environment, its tier with these limits and its keyed API with these settings. */
export function limitedSpec(limits: LimitInput[], api: Partial<ApiInput> = {}): FileInput {
  const spec = basicSpec();
  spec.tiers![0]!.limits = limits;
  Object.assign(spec.apis![0]!, api);
  return spec;
}

/** A gateway that has its table and has asked for nothing yet. */
export function limitedGateway(
  limits: LimitInput[],
  options: Omit<GatewayOptions, "spec"> & { api?: Partial<ApiInput> } = {},
): Gateway {
  return readyGateway({ ...options, spec: limitedSpec(limits, options.api) });
}

export interface Call {
  worker?: number;
  key?: string;
  path?: string;
  method?: string;
  headers?: Pair[];
  address?: string;
  request?: Partial<RequestOptions>;
}

/** A request with a key, the first one's unless told. */
export function send(
  gateway: Gateway,
  { worker = 0, key = "acme-1", path = "/x", method = "GET", headers = [], address, request = {} }: Call = {},
): Stream {
  const properties = address === undefined ? {} : { properties: { "source.address": address } };
  return gateway.get(path, [["x-api-key", keyNamed(key)], ...headers], { worker, method, ...properties, ...request });
}

/** What becomes of a request, once it's no longer held. */
export function settle(gateway: Gateway, stream: Stream, limitMs = 20_000): string {
  gateway.envoy.until(() => stream.state !== "held", limitMs, 1);
  return outcome(stream);
}

export function ask(gateway: Gateway, call: Call = {}): string {
  return settle(gateway, send(gateway, call));
}

/** Sends so many requests one after the other; gives how many had which outcome. */
export function askMany(
  gateway: Gateway,
  times: number,
  call: Call | ((i: number) => Call) = {},
): Record<string, number> {
  return tally(Array.from({ length: times }, (_, i) => ask(gateway, typeof call === "function" ? call(i) : call)));
}

export function tally(outcomes: string[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const one of outcomes) sums[one] = (sums[one] ?? 0) + 1;
  return sums;
}

/** The subject of a limit that counts keys. */
export function keySubject(id = "acme-1"): string {
  return digestHex(keyNamed(id)).slice(0, 32);
}

/** The worker's thread gets another VM in its place. */
export function replaceWorker(gateway: Gateway, worker: number): void {
  const old = gateway.workers[worker]!;
  old.vm.kill();
  gateway.workers[worker] = startWorker(gateway.envoy, gateway.configuration, { thread: old.vm.thread });
}

/** Calls of one kind since a moment. */
export function calls(gateway: Gateway, kind: "leases" | "usage" | "tokens", sinceMs = 0): number {
  return gateway.control.of(kind).filter(({ atMs }) => atMs >= sinceMs).length;
}
