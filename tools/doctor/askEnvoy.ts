/** What an Envoy's admin page tells. Only reading calls are made. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { ask, whyNot } from "./ask.ts";
import type { EnvoyEvidence, Json, JsonObject, Unreached } from "./evidence.ts";
import { list, object, text } from "./json.ts";
import { readDump } from "./dump.ts";
import { pluginsOf } from "./plugins.ts";
import { worthASecondLook } from "./stats.ts";

/** Counters of other things are many, and tell nothing here. */
const statsPath = `/stats?format=json&filter=${encodeURIComponent("^(wasm|wasmcustom|cluster|listener_manager|cluster_manager|extension_config_discovery|.*wasm-default-deny)")}`;

/** `waitMs` is how long to wait for a second look at counters of failures, when some aren't zero; 0: never. */
export async function askEnvoy(url: string, waitMs: number): Promise<EnvoyEvidence | Unreached> {
  const base = url.replace(/\/+$/, "");
  const read = async (path: string): Promise<JsonObject> => {
    const { answer } = await ask(`${base}${path}`);
    if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}: ${answer.body.slice(0, 200)}`);
    return object(JSON.parse(answer.body));
  };
  try {
    const { answer, clock } = await ask(`${base}/server_info`);
    if (answer.status !== 200 || !answer.body.startsWith("{"))
      return { url, unreached: `it answered ${answer.status}, and not as Envoy's admin page does` };
    const [configDump, clusters, certs, stats] = await Promise.all([
      read("/config_dump"),
      read("/clusters?format=json"),
      read("/certs"),
      read(statsPath),
    ]);
    const evidence: EnvoyEvidence = {
      url,
      clock,
      serverInfo: slimInfo(object(JSON.parse(answer.body) as Json)),
      configDump: slimDump(configDump),
      clusters,
      certs,
      stats: values(stats),
      texts: texts(stats),
      moduleFiles: await digests(configDump),
    };
    if (waitMs > 0 && worthASecondLook(evidence.stats)) {
      const startMs = performance.now();
      await sleep(waitMs);
      evidence.later = { stats: values(await read(statsPath)), afterMs: Math.round(performance.now() - startMs) };
    }
    return evidence;
  } catch (error) {
    return { url, unreached: whyNot(error) };
  }
}

function values(stats: JsonObject): Record<string, number> {
  const found: Record<string, number> = {};
  // Most counters are zero, which is what a missing one counts as; not so those of the Wasm runtime.
  for (const { name, value } of list(stats["stats"]))
    if (typeof name === "string" && typeof value === "number" && (value !== 0 || name.startsWith("wasm.")))
      found[name] = value;
  return found;
}

function texts(stats: JsonObject): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { name, value } of list(stats["stats"]))
    if (typeof name === "string" && typeof value === "string" && name.endsWith(".version_text")) found[name] = value;
  return found;
}

/** Digests of modules that are files here too, be it because Envoy runs here or because the path is the same. */
async function digests(configDump: JsonObject): Promise<Record<string, string>> {
  const files = readDump(configDump)
    .chains.flatMap(pluginsOf)
    .flatMap(({ module }) => module.file ?? []);
  const found: Record<string, string> = {};
  for (const file of new Set(files)) {
    const content = await readFile(file).catch(() => undefined);
    if (content !== undefined) found[file] = createHash("sha256").update(content).digest("hex");
  }
  return found;
}

/** What the checks read of it: the rest is the command line and a list of all that was compiled into Envoy. */
function slimInfo(info: JsonObject): JsonObject {
  const { id, cluster } = object(info["node"]) as { id: Json; cluster: Json };
  return {
    version: info["version"] ?? null,
    state: info["state"] ?? null,
    uptime_current_epoch: info["uptime_current_epoch"] ?? null,
    node: { id, cluster },
  };
}

/** The sections that the checks read. Others repeat them (bootstrap), or may hold what isn't to be saved (secrets, routes). */
function slimDump(configDump: JsonObject): JsonObject {
  const wanted = /\.(?:Listeners|Clusters|Ecds)ConfigDump$/;
  return { configs: list(configDump["configs"]).filter((section) => wanted.test(text(section["@type"]))) };
}
