/** Tollgate's plugins in an Envoy: Wasm filters whose name, module or configuration says so. */
import type { Evidence, Json, JsonObject } from "./evidence.ts";
import { reached } from "./evidence.ts";
import { readDump, type Chain, type Dump, type HttpFilter } from "./dump.ts";
import { at, list, object, text, texts } from "./json.ts";

export interface Plugin {
  /** the filter's name */
  name: string;
  /** where it runs, for people */
  place: string;
  chain: Chain;
  /** its place in the chain */
  index: number;
  /** the configuration's JSON; undefined when it can't be read as such */
  configuration: JsonObject | undefined;
  module: Module;
  /** the names of Envoy's variables that the VM sees */
  hostVariables: string[];
  /** variables whose values stand in the configuration */
  givenVariables: JsonObject;
  failurePolicy: string;
}

export interface Module {
  /** a file of the gateway's machine */
  file?: string;
  /** where Envoy fetches it itself */
  url?: string;
  /** the digest that stands in Envoy's configuration */
  sha256?: string;
}

const wasm = "envoy.extensions.filters.http.wasm.v3.Wasm";

export interface Installed {
  dump: Dump;
  plugins: Plugin[];
}

/** Undefined when Envoy didn't answer. */
export function installed(evidence: Evidence): Installed | undefined {
  if (!reached(evidence.envoy)) return undefined;
  const dump = readDump(evidence.envoy.configDump);
  return { dump, plugins: dump.chains.flatMap(pluginsOf) };
}

export function pluginsOf(chain: Chain): Plugin[] {
  return chain.filters.flatMap((filter, index) => {
    const plugin = filter.type === wasm ? pluginOf(chain, filter, index) : undefined;
    return plugin === undefined ? [] : [plugin];
  });
}

/** The name of a filter that would be Tollgate's, had its configuration arrived. */
export function namedTollgate(name: string): boolean {
  return /tollgate/i.test(name);
}

function pluginOf(chain: Chain, filter: HttpFilter, index: number): Plugin | undefined {
  const config = object(filter.config["config"]);
  const vm = object(config["vm_config"]);
  const configuration = configurationOf(config["configuration"]);
  const module = moduleOf(object(vm["code"]));
  const names = [filter.name, text(config["name"]), text(config["root_id"]), module.file ?? "", module.url ?? ""];
  if (!names.some(namedTollgate) && !looksLikeOurs(configuration)) return undefined;
  return {
    name: filter.name,
    place: chain.place,
    chain,
    index,
    configuration,
    module,
    hostVariables: texts(at(vm, "environment_variables", "host_env_keys")),
    givenVariables: object(at(vm, "environment_variables", "key_values")),
    failurePolicy: text(config["failure_policy"]) || (config["fail_open"] === true ? "FAIL_OPEN" : ""),
  };
}

function looksLikeOurs(configuration: JsonObject | undefined): boolean {
  if (configuration === undefined || typeof configuration["environment"] !== "string") return false;
  return typeof configuration["snapshot"] === "string" || typeof at(configuration, "control", "cluster") === "string";
}

/** A StringValue with JSON, as Istio and Tollgate write it, or a Struct. Empty: an empty configuration. */
function configurationOf(any: Json | undefined): JsonObject | undefined {
  const value = object(any);
  if (!text(value["@type"]).endsWith(".StringValue"))
    return object(value["value"] ?? (value["@type"] === undefined ? any : {}));
  const content = text(value["value"]);
  if (content === "") return {};
  try {
    const parsed = JSON.parse(content) as Json;
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function moduleOf(code: JsonObject): Module {
  const file = text(at(code, "local", "filename"));
  const url = text(at(code, "remote", "http_uri", "uri"));
  const sha256 = text(at(code, "remote", "sha256")).toLowerCase();
  return { ...(file === "" ? {} : { file }), ...(url === "" ? {} : { url }), ...(sha256 === "" ? {} : { sha256 }) };
}

export function clusterOf({ configuration }: Plugin): string {
  return text(at(configuration, "control", "cluster"));
}

export function environmentOf({ configuration }: Plugin): string {
  return text(configuration?.["environment"]);
}

export function keySourcesOf({ configuration }: Plugin): JsonObject[] {
  return configuration?.["keySources"] === undefined
    ? [{ header: "x-api-key" }, { bearer: true }]
    : list(configuration["keySources"]);
}

/** A whole number of the plugin's configuration, or its default. */
export function numberOf(value: Json | undefined, standard: number): number {
  return typeof value === "number" ? value : standard;
}

/** Those that call a control, once for each way to it. */
export function callersOf(plugins: readonly Plugin[]): Plugin[] {
  const seen = new Map<string, Plugin>();
  for (const plugin of plugins)
    if (clusterOf(plugin) !== "")
      seen.set(
        `${environmentOf(plugin)} ${clusterOf(plugin)}`,
        seen.get(`${environmentOf(plugin)} ${clusterOf(plugin)}`) ?? plugin,
      );
  return [...seen.values()];
}
