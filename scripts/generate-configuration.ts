/**
 * Makes the tables of `docs/reference/configuration.md`, and `schema/plugin.schema.json`, of what the code itself uses: the schemas of
 * tollgate.yaml and of the plugin, the tables of variables, the metrics that both sides register.
 * `tsx scripts/generate-configuration.ts` writes them; with `--check` it only says whether they are up to date (exit code 1 when not).
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { TSchema } from "@sinclair/typebox";
import { Registry } from "prom-client";
import { pluginRules, PluginSchema } from "../control/domain/pluginSchema.ts";
import {
  ApiSchema,
  AuthJwtSchema,
  ConsumerSchema,
  CorsSchema,
  FileSchema,
  KeySchema,
  LimitSchema,
  RouteSchema,
  TierSchema,
} from "../control/domain/schema.ts";
import { TrafficSchema, VersionSchema } from "../control/domain/trafficSchema.ts";
import type { Services } from "../control/http/context.ts";
import { installMetrics } from "../control/http/metrics.ts";
import type { App } from "../control/http/typeProvider.ts";
import { type Setting, settings } from "../control/settings.ts";
import { portRoles } from "../devstack/settings.ts";
import { syncMetrics } from "../control/sync/metrics.ts";
import { markdownTable, publish, readText, withPart } from "./generated.ts";

interface ObjectSchema extends TSchema {
  properties: Record<string, TSchema>;
  required?: string[] | undefined;
}

/** Objects with a section of their own; an optional copy of a schema has the same properties. */
const sections = new Map<unknown, string>([
  [ApiSchema.properties, "an API"],
  [RouteSchema.properties, "a route"],
  [AuthJwtSchema.properties, "tokens"],
  [CorsSchema.properties, "CORS"],
  [TrafficSchema.properties, "traffic"],
  [VersionSchema.properties, "a version"],
  [TierSchema.properties, "a tier"],
  [ConsumerSchema.properties, "a consumer"],
  [KeySchema.properties, "a key"],
  [LimitSchema.properties, "a limit"],
]);

const isObject = (schema: TSchema): schema is ObjectSchema => schema["properties"] !== undefined;
const code = (text: string): string => `\`${text}\``;

/** `1 to 8`, `at most 8`, `1 and more`. */
function between(least: unknown, most: unknown): string {
  if (most === undefined) return `${String(least)} and more`;
  return least === undefined ? `at most ${String(most)}` : `${String(least)} to ${String(most)}`;
}

/** What a field takes, in a few words. */
function takes(schema: TSchema): string {
  if (schema["const"] !== undefined) return code(JSON.stringify(schema["const"]));
  if (schema["enum"] !== undefined) return (schema["enum"] as string[]).map(code).join(", ");
  switch (schema["type"]) {
    case "string":
      return schema["maxLength"] === undefined || (schema["maxLength"] as number) > 10_000
        ? "text"
        : `text (${between(schema["minLength"], schema["maxLength"])} characters)`;
    case "integer":
      return `whole number (${between(schema["minimum"], schema["maximum"] === Number.MAX_SAFE_INTEGER ? undefined : schema["maximum"])})`;
    case "number":
      return `number (${between(schema["minimum"], schema["maximum"])})`;
    case "boolean":
      return "`true`, `false`";
    case "array": {
      const items = schema["items"] as TSchema;
      const count = schema["maxItems"] === undefined ? "" : ` (${between(schema["minItems"], schema["maxItems"])})`;
      return `list${count} of ${isObject(items) ? linkTo(items) : takes(items)}`;
    }
    case "object":
      return isObject(schema) ? linkTo(schema) : "fields with texts";
    default:
      throw new Error(`no words for ${JSON.stringify(schema).slice(0, 200)}`);
  }
}

function linkTo(schema: ObjectSchema): string {
  const name = sections.get(schema.properties);
  return name === undefined ? "fields" : `[${name}](#${name.toLowerCase().replaceAll(" ", "-")})`;
}

/** One row for each field; those of an object without a section of its own follow it as `object.field`. */
function fieldRows(schema: ObjectSchema, under = ""): string[][] {
  return Object.entries(schema.properties).flatMap(([name, field]) => {
    const path = under + name;
    const items = field["items"] as TSchema | undefined;
    const inner = isObject(field) ? field : items !== undefined && isObject(items) ? items : undefined;
    // tollgate.yaml's schema tells defaults in its descriptions: an editor that fills them in would fill the file with them
    const [, meaning, told] = /^(.*?)(?: ?Default: (.*)\.)?$/s.exec(
      String(field["description"] ?? items?.["description"] ?? ""),
    )!;
    const standard = field["default"] === undefined ? told : JSON.stringify(field["default"]);
    const row = [
      code(path),
      standard !== undefined ? code(standard) : schema.required?.includes(name) ? "required" : "",
      takes(field),
      meaning!,
    ];
    const nested =
      inner === undefined || sections.has(inner.properties)
        ? []
        : fieldRows(inner, inner === field ? `${path}.` : `${path}[].`);
    return [row, ...nested];
  });
}

function fieldTable(schema: ObjectSchema): string {
  return markdownTable(["field", "default", "takes", "meaning"], fieldRows(schema));
}

const file = [
  "### The file\n",
  fieldTable(FileSchema),
  ...[
    ApiSchema,
    RouteSchema,
    AuthJwtSchema,
    CorsSchema,
    TrafficSchema,
    VersionSchema,
    TierSchema,
    ConsumerSchema,
    KeySchema,
    LimitSchema,
  ].flatMap((schema) => {
    const name = sections.get(schema.properties)!;
    return [`\n### ${name[0]!.toUpperCase()}${name.slice(1)}\n`, `${schema.description!}\n`, fieldTable(schema)];
  }),
].join("\n");

const plugin = [fieldTable(PluginSchema), "\nBeyond that:\n", ...pluginRules.map((rule) => `- ${rule}`)].join("\n");

const variableTable = (rows: [name: string, setting: Setting][]): string =>
  markdownTable(
    ["variable", "default", "meaning"],
    rows.map(([name, { standard, unset, meaning }]) => [
      code(name),
      standard === undefined ? (unset ?? "") : code(standard),
      meaning,
    ]),
  );

const variables = variableTable(Object.entries(settings));

const localVariables: Record<string, Setting> = {
  ...Object.fromEntries(
    Object.values(portRoles).map(({ variable, standard, purpose }) => [
      variable,
      { standard: String(standard), meaning: `The port of ${purpose} in the local stack.` },
    ]),
  ),
  TOLLGATE_ENVOY: {
    unset: "`envoy` on the PATH, func-e's, or one that is installed",
    meaning: "The Envoy binary of the local stack.",
  },
  TOLLGATE_ENVOY_CONCURRENCY: { standard: "2", meaning: "Workers of the local stack's Envoy, 1 to 256." },
  TOLLGATE_URL: {
    standard: "http://127.0.0.1:8090",
    meaning: "Where commands reach control's admin API; `--url` wins.",
  },
  TOLLGATE_ENVIRONMENT: {
    unset: "the file's, else `default`",
    meaning: "The environment that commands work on; `--environment` wins.",
  },
  TOLLGATE_GATEWAY_TOKEN: {
    unset: "the plugin is refused",
    meaning: "In Envoy's environment: the gateway token. Another name is possible: `control.tokenEnv`.",
  },
};

const counters: Record<string, string> = {
  admitted: "Requests that went on with a good key.",
  keyless: "Requests that went on to a keyless API.",
  passed: "Requests of no API that went on, with `unknownApi: allow`.",
  preflight: "CORS preflights that went on.",
  held: "Requests that had to wait, for a snapshot or for allowance; what became of them is counted too.",
  unchecked: "Requests that went on without a decision, with `failureMode: open`.",
  sync_ok: "Good answers of control to watches and pages.",
  sync_failed: "Calls to control that failed, and answers that could not be used.",
  leases_ok: "Calls for allowance that control answered.",
  leases_failed:
    "Calls for allowance that failed, answers that could not be used, and limits that control doesn't know.",
  usage_ok: "Batches of usage that control has taken.",
  usage_failed: "Calls with usage that failed, and batches that had to be given up.",
  overshoot: "Requests that went on without allowance, because their API's `failureMode` is `open`.",
  local_share: "Requests that went on by a share that was charged beforehand, with `failureMode: local`.",
  tokens_ok: "Calls for internal tokens that control answered.",
  tokens_failed: "Calls for internal tokens that failed, and answers that could not be used.",
};
const gauges: Record<string, string> = {
  snapshot_version: "The version by which a worker decides. Every serving worker sets it in turn.",
  snapshot_age_seconds: "Seconds since control last answered; while all is well at most `control.waitMs` and a little.",
  keys: "Keys in a worker's table, the revoked and expired ones included.",
  counters: "Counters in a worker's memory; `maxCounters` bounds them.",
};

/** The names in the filter's own lists. Throws when one has no meaning here, or a meaning no name. */
function filterNames(list: string, meanings: Record<string, string>): string[] {
  const found = new RegExp(`const ${list} = \\[([^\\]]*)\\]`).exec(readText("assembly/telemetry.ts"))?.[1];
  const names = [...(found ?? "").matchAll(/"([^"]+)"/g)].map(([, name]) => name!);
  if (names.sort().join() !== Object.keys(meanings).sort().join())
    throw new Error(`the meanings here and \`${list}\` in assembly/telemetry.ts differ: ${names.join(", ")}`);
  return Object.keys(meanings);
}

const filterMetrics = markdownTable(
  ["metric", "kind", "meaning"],
  [
    ...filterNames("plain", counters).map((name) => [code(name), "counter", counters[name]!]),
    ["`refused.<reason>`", "counter", "Requests answered in the upstream's place, by [reason](reasons.md)."],
    ["`observed.<reason>`", "counter", "With `mode: observe`: requests that would have been refused."],
    ...filterNames("gauges", gauges).map((name) => [code(name), "gauge", gauges[name]!]),
  ],
);

/** What control registers, asked of the code that registers it. */
function controlMetrics(): string {
  const registry = new Registry();
  installMetrics({ addHook: () => undefined } as unknown as App, { registry } as Services);
  syncMetrics(registry, { parked: () => 0, environments: () => [] });
  const metrics = registry.getMetricsAsArray() as unknown as {
    name: string;
    help: string;
    labelNames: string[];
    constructor: { name: string };
  }[];
  const rows = metrics.map(({ name, help, labelNames, constructor }) => [
    code(name),
    constructor.name.toLowerCase(),
    labelNames.map(code).join(", "),
    help,
  ]);
  return markdownTable(
    ["metric", "kind", "labels", "meaning"],
    rows.sort(([a], [b]) => (a! < b! ? -1 : 1)),
  );
}

/** Throws when the code reads a variable that no table names. */
function checkVariables(): void {
  const known = new Set([...Object.keys(settings), ...Object.keys(localVariables)]);
  for (const folder of ["cli", "control", "devstack", "tools"]) {
    const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
    for (const path of paths) {
      for (const [name] of readText(join(folder, path)).matchAll(/\bTOLLGATE_[A-Z_]+\b/g)) {
        if (!known.has(name)) throw new Error(`${folder}/${path} names ${name}, which is in no table of variables`);
      }
    }
  }
}

checkVariables();
const parts: Record<string, string> = {
  file,
  plugin,
  variables,
  "local-variables": variableTable(Object.entries(localVariables).filter(([name]) => !(name in settings))),
  "filter-metrics": filterMetrics,
  "control-metrics": controlMetrics(),
};
publish([
  [
    "docs/reference/configuration.md",
    Object.entries(parts).reduce(
      (document, [name, part]) => withPart(document, name, part),
      readText("docs/reference/configuration.md"),
    ),
  ],
  [
    "schema/plugin.schema.json",
    `${JSON.stringify({ $schema: "http://json-schema.org/draft-07/schema#", ...PluginSchema }, null, 2)}\n`,
  ],
]);
