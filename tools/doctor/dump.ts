/** Envoy's /config_dump, as far as the checks need it: filter chains with their HTTP filters in order, clusters, refused updates. */
import type { Json, JsonObject } from "./evidence.ts";
import { at, list, object, text, texts } from "./json.ts";

export interface HttpFilter {
  name: string;
  /** the configuration's message type, such as `envoy.extensions.filters.http.rbac.v3.RBAC`; "" when there is no configuration */
  type: string;
  config: JsonObject;
  /** it comes by extension discovery (ECDS), as Istio's plugins do */
  discovered: boolean;
  /** the types that discovery allows */
  allowedTypes: string[];
}

/** The HTTP filters of one connection manager. */
export interface Chain {
  /** where it is, for people */
  place: string;
  filters: HttpFilter[];
}

interface Refusal {
  what: string;
  details: string;
}

export interface Dump {
  chains: Chain[];
  clusters: Set<string>;
  /** the newest version of what came by discovery, by name, whether Envoy has taken it or not */
  extensionVersions: Map<string, string>;
  /** updates that Envoy refused and whose predecessor is in force */
  refusals: Refusal[];
}

const connectionManager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

export function readDump(dump: JsonObject): Dump {
  const sections = list(dump["configs"]);
  const of = (type: string): JsonObject[] => sections.filter((section) => text(section["@type"]).endsWith(`.${type}`));
  const extensions = new Map<string, { type: string; config: JsonObject }>();
  const extensionVersions = new Map<string, string>();
  for (const section of of("EcdsConfigDump")) {
    for (const entry of list(section["ecds_filters"])) {
      const extension = object(entry["ecds_filter"]);
      extensions.set(text(extension["name"]), unwrap(extension["typed_config"]));
      extensionVersions.set(text(extension["name"]), text(entry["version_info"]));
    }
  }
  const listeners = of("ListenersConfigDump");
  const clusters = of("ClustersConfigDump");
  return {
    chains: listeners.flatMap((section) => listenersOf(section)).flatMap((listener) => chainsOf(listener, extensions)),
    clusters: new Set(clusters.flatMap(clusterNames)),
    extensionVersions,
    refusals: [
      ...listeners.flatMap((section) => refusalsOf("listener", list(section["dynamic_listeners"]))),
      ...clusters.flatMap((section) =>
        refusalsOf("cluster", [
          ...list(section["dynamic_active_clusters"]),
          ...list(section["dynamic_warming_clusters"]),
        ]),
      ),
    ],
  };
}

function listenersOf(section: JsonObject): JsonObject[] {
  return [
    ...list(section["static_listeners"]).map((entry) => object(entry["listener"])),
    // One that is warming isn't in force, but is what comes next: without an active one it's what is wanted.
    ...list(section["dynamic_listeners"]).map((entry) =>
      object(at(entry, "active_state", "listener") ?? at(entry, "warming_state", "listener")),
    ),
  ].filter((listener) => Object.keys(listener).length > 0);
}

function chainsOf(
  listener: JsonObject,
  extensions: ReadonlyMap<string, { type: string; config: JsonObject }>,
): Chain[] {
  const found: Chain[] = [];
  const name = text(listener["name"]) || addressOf(listener);
  const filterChains = [
    ...list(listener["filter_chains"]),
    ...("default_filter_chain" in listener ? [object(listener["default_filter_chain"])] : []),
  ];
  const httpChains = filterChains.flatMap((chain) =>
    list(chain["filters"])
      .map(({ typed_config: config }) => unwrap(config))
      .filter(({ type }) => type === connectionManager)
      .map(({ config }) => ({ chainName: text(chain["name"]), config })),
  );
  for (const [index, { chainName, config }] of httpChains.entries()) {
    const which = httpChains.length === 1 ? "" : `, chain ${chainName || index + 1}`;
    found.push({
      place: `listener ${name}${which}`,
      filters: list(config["http_filters"]).map((filter) => filterOf(filter, extensions)),
    });
  }
  return found;
}

function filterOf(
  filter: JsonObject,
  extensions: ReadonlyMap<string, { type: string; config: JsonObject }>,
): HttpFilter {
  const name = text(filter["name"]);
  const discovery = filter["config_discovery"];
  if (discovery === undefined) return { name, ...unwrap(filter["typed_config"]), discovered: false, allowedTypes: [] };
  const { type, config } = extensions.get(name) ?? unwrap(at(discovery, "default_config"));
  return { name, type, config, discovered: true, allowedTypes: texts(at(discovery, "type_urls")).map(messageType) };
}

/** A configuration's type and content, also of one that stands in a TypedStruct. */
function unwrap(any: Json | undefined): { type: string; config: JsonObject } {
  const config = object(any);
  const type = messageType(text(config["@type"]));
  if (type.endsWith(".TypedStruct"))
    return { type: messageType(text(config["type_url"])), config: object(config["value"]) };
  return { type, config };
}

function messageType(url: string): string {
  return url.slice(url.lastIndexOf("/") + 1);
}

function clusterNames(section: JsonObject): string[] {
  const entries = ["static_clusters", "dynamic_active_clusters", "dynamic_warming_clusters"].flatMap((kind) =>
    list(section[kind]),
  );
  return entries.map((entry) => text(at(entry, "cluster", "name")));
}

function refusalsOf(kind: string, entries: readonly JsonObject[]): Refusal[] {
  return entries.flatMap((entry) => {
    const details = text(at(entry, "error_state", "details"));
    const name = text(entry["name"]) || text(at(entry, "cluster", "name"));
    return details === "" ? [] : [{ what: `${kind} ${name}`, details }];
  });
}

function addressOf(listener: JsonObject): string {
  const address = object(at(listener, "address", "socket_address"));
  return `${text(address["address"])}:${String(address["port_value"] ?? "")}`;
}
