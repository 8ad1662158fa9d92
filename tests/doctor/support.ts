/** Recordings of what real Envoys and a real control answered, and what a check says of them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  reached,
  type ControlEnvironment,
  type ControlEvidence,
  type EnvoyEvidence,
  type Evidence,
  type JsonObject,
} from "../../tools/doctor/evidence.ts";
import type { Check, Said, Status } from "../../tools/doctor/model.ts";
import { list, object } from "../../tools/doctor/json.ts";

export type Recording =
  | "healthy"
  | "token-refused"
  | "control-stopped"
  | "no-cluster"
  | "standalone"
  | "phase-authn"
  | "phase-authz"
  | "phase-stats"
  | "two-plugins"
  | "empty"
  | "discovered";

/** A recording whose both sides have answered; a copy, so that tests may change it. Where control wasn't asked, it's one that is well. */
export interface Recorded extends Evidence {
  envoy: EnvoyEvidence;
  control: ControlEvidence;
}

export function recorded(name: Recording): Recorded {
  const evidence = read(name);
  const { control } = evidence;
  const filled = reached(control) ? control : ({ ...read("healthy").control, environments: {} } as ControlEvidence);
  assert.ok(reached(evidence.envoy), `${name} has an Envoy's answers`);
  return { ...evidence, envoy: evidence.envoy, control: filled };
}

function read(name: Recording): Evidence {
  return JSON.parse(readFileSync(join(import.meta.dirname, "recorded", `${name}.json`), "utf8")) as Evidence;
}

/** The one finding of a check. */
function one(check: Check, evidence: Evidence): Said {
  const said = check.look(evidence);
  assert.equal(said.length, 1, JSON.stringify(said));
  return said[0]!;
}

/** Asserts that a check says one thing of this status and with these words, and that what is wrong has a remedy. */
export function says(check: Check, evidence: Evidence, status: Status, words: RegExp): void {
  const said = one(check, evidence);
  assert.equal(said.status, status, said.words);
  assert.match(said.words, words);
  assert.equal(said.remedy !== undefined && said.remedy !== "", status === "fault" || status === "warning");
}

/** The only environment of the recordings. */
export function shop(evidence: Recorded): ControlEnvironment {
  return evidence.control.environments["shop"]!;
}

/** The HTTP filters of a listener, to be changed. */
export function httpFilters(evidence: Recorded, listener = 0): JsonObject[] {
  const section = list(evidence.envoy.configDump["configs"]).find((one) =>
    String(one["@type"]).endsWith("ListenersConfigDump"),
  )!;
  const [chain] = list(object(list(section["static_listeners"])[listener]!["listener"])["filter_chains"]);
  const manager = object(list(chain!["filters"])[0]!["typed_config"]);
  return manager["http_filters"] as JsonObject[];
}

/** The Wasm plugin's own configuration message, to be changed. */
export function wasmConfig(evidence: Recorded, listener = 0): JsonObject {
  const filter = httpFilters(evidence, listener).find(({ name }) => String(name).startsWith("tollgate"))!;
  return object(object(filter["typed_config"])["config"]);
}

/** Changes the configuration that the filter reads. */
export function reconfigure(evidence: Recorded, change: (configuration: JsonObject) => JsonObject): void {
  const holder = object(wasmConfig(evidence)["configuration"]);
  holder["value"] = JSON.stringify(change(JSON.parse(String(holder["value"])) as JsonObject));
}
