/**
 * The part of an API's requests that a rule of an AuthorizationPolicy can name and that surely belongs to it: a rule that denies must never
 * reach a request that the filter gives to another API. Where the two can't be told apart the rule leaves the request to the filter.
 */
import type { Api } from "../../domain/model.ts";
import { sorted } from "./names.ts";

export interface Operation {
  hosts?: string[];
  notHosts?: string[];
  paths?: string[];
  notPaths?: string[];
  methods?: string[];
  notMethods?: string[];
}

/** One operation for each of the API's hosts, those that differ in nothing else together. Empty: nothing surely belongs to it. */
export function territory(api: Api, apis: readonly Api[]): Operation[] {
  return groupByRest(api.hosts.flatMap((host) => territoryAt(host, api, apis) ?? []));
}

function territoryAt(host: string, api: Api, apis: readonly Api[]): Operation | undefined {
  const others = apis.filter((other) => other !== api);
  // A more exact host comes first, and may pass the request on: its requests are left to the filter.
  const closer = others.map((other) => ({ ...other, hosts: other.hosts.filter((one) => one !== host && within(one, host)) })).filter(({ hosts }) => hosts.length > 0);
  const exact = closer.flatMap(({ hosts }) => hosts.filter((one) => !one.startsWith("*")));
  const rivals = others.filter(({ hosts }) => hosts.includes(host));
  const taken = [
    ...rivals.flatMap(({ paths }) => paths.filter((path) => api.paths.some((own) => own !== path && under(path, own)))),
    // `*.example.com` with a port can't be excluded by name.
    ...closer.filter(({ hosts }) => hosts.some((one) => one.startsWith("*"))).flatMap(({ paths }) => paths),
  ];
  if (taken.includes("/")) return undefined;
  // APIs at the same path differ by method, and the filter alone knows HEAD and preflights of both.
  const shared = rivals.some(({ paths }) => paths.some((path) => api.paths.includes(path)));
  return {
    ...(host === "*" ? {} : { hosts: hostForms([host]) }),
    ...(exact.length === 0 ? {} : { notHosts: hostForms(sorted(exact)) }),
    ...(api.paths.includes("/") ? {} : { paths: pathForms(api.paths) }),
    ...(taken.length === 0 ? {} : { notPaths: pathForms(sorted(taken)) }),
    ...methodsOf(api, shared),
  };
}

/** A preflight carries no key and no token, and passes where the API allows it. */
function methodsOf(api: Api, shared: boolean): Pick<Operation, "methods" | "notMethods"> {
  if (api.methods.length === 0 || !shared) return api.cors === undefined ? {} : { notMethods: ["OPTIONS"] };
  const methods = api.methods.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method])).filter((method) => api.cors === undefined || method !== "OPTIONS");
  // An empty list would mean any method.
  return methods.length === 0 ? { notMethods: ["*"] } : { methods: sorted(methods) };
}

/** Operations that differ in their host alone become one. */
function groupByRest(operations: readonly Operation[]): Operation[] {
  const groups = new Map<string, Operation>();
  for (const operation of operations) {
    const { hosts, ...rest } = operation;
    const key = `${hosts === undefined} ${JSON.stringify(rest)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, operation);
    else if (hosts !== undefined) groups.set(key, { ...group, hosts: sorted([...group.hosts!, ...hosts]) });
  }
  return [...groups.values()];
}

/** Istio compares a host as it was sent: with a port, or without. `*.example.com` with a port can't be said; the filter knows it. */
function hostForms(hosts: readonly string[]): string[] {
  return hosts.flatMap((host) => (host.startsWith("*") ? [host] : [host, `${host}:*`]));
}

/** A prefix that ends on a segment's border. */
export function pathForms(paths: readonly string[]): string[] {
  return sorted(paths).flatMap((path) => (path === "/" ? ["/*"] : [path, `${path}/*`]));
}

/** Is the host pattern `one` among what `wide` takes? */
function within(one: string, wide: string): boolean {
  return wide === "*" || (wide.startsWith("*.") && one !== "*" && one.endsWith(wide.slice(1)));
}

function under(path: string, prefix: string): boolean {
  return prefix === "/" || path === prefix || path.startsWith(`${prefix}/`);
}
