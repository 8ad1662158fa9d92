/** Writes APIs as `tollgate.yaml`, with comments that say where things come from and what they leave out. */
import { Document, isMap, isSeq, type Node, type YAMLMap, type YAMLSeq } from "yaml";
import type { MadeApi, MadeRoute } from "./apis.ts";
import { operationList } from "./apis.ts";
import type { KeySource, ReadApi } from "./model.ts";

/** What the plugin asks when its configuration doesn't say. */
const standardKeySources = new Set(["header x-api-key", "bearer"]);

export interface WriteInput {
  read: ReadApi;
  apis: readonly MadeApi[];
  environment: string | undefined;
}

export function apisYaml({ read, apis, environment }: WriteInput): string {
  const file = {
    version: 1,
    ...(environment === undefined ? {} : { environment }),
    apis: apis.map(({ api, routes }) => ({ ...api, routes: routes.map(({ route }) => route) })),
  };
  const document = new Document(file, { version: "1.2", aliasDuplicateObjects: false });
  document.commentBefore = comment(heading(read, apis));
  const list = document.getIn(["apis"]) as YAMLSeq<YAMLMap>;
  list.items.forEach((node, index) => {
    if (index > 0) node.spaceBefore = true;
    layOut(node, apis[index]!);
  });
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

/** The places of keys that the plugin doesn't ask by itself. */
export function unusualKeySources(sources: readonly KeySource[]): KeySource[] {
  return sources.filter((source) => !standardKeySources.has(sourceText(source).toLowerCase()));
}

export function keySourcesText(sources: readonly KeySource[]): string {
  return `[${sources
    .map(
      (source) =>
        `{${Object.entries(source)
          .map(([name, value]) => `${name}: ${typeof value === "string" ? JSON.stringify(value) : String(value)}`)
          .join("")}}`,
    )
    .join(", ")}]`;
}

function sourceText(source: KeySource): string {
  return "bearer" in source ? "bearer" : Object.entries(source).flat().join(" ");
}

function heading(read: ReadApi, apis: readonly MadeApi[]): string[] {
  const name = [read.title, read.version].filter((part) => part !== "").join(" ");
  const scoped = apis.some(
    ({ api, routes }) => api.scopes !== undefined || routes.some(({ route }) => route.scopes !== undefined),
  );
  return [
    `APIs of ${name === "" ? "an OpenAPI document" : name}, made by \`tollgate import openapi\`.`,
    "Paths are prefixes on segment borders: a template counts up to its first parameter, and what is below a path belongs to it.",
    "Of an API, methods are those that any of its paths takes.",
    ...(scoped ? ["Scopes are those that the document asks of tokens; of a key, its tier must have them."] : []),
    ...(unusualKeySources(read.keySources).length > 0
      ? [
          `The document's keys come from other places than the plugin's usual ones; its configuration needs keySources: ${keySourcesText(read.keySources)}`,
        ]
      : []),
  ];
}

function layOut(node: YAMLMap, { api, routes, upstreamKnown, limitsLeftOut }: MadeApi): void {
  for (const name of ["hosts", "methods", "upstream", "auth", "scopes"]) flow(node.get(name, true));
  for (const limit of items(node.get("limits", true))) flow(limit);
  const cors = node.get("cors", true);
  if (isMap(cors)) for (const { value } of cors.items) flow(value);
  const paths = node.get("paths", true);
  if (api.paths.length === 1) flow(paths);
  if (!upstreamKnown)
    before(node, "upstream", ["OpenAPI doesn't say where the service runs in the mesh: --service, --port."]);
  if (api.auth!.mode === "none") {
    const limits =
      limitsLeftOut.length === 0 ? [] : [`Left out, since there is no caller to count: ${limitsLeftOut.join(", ")}.`];
    before(node, "auth", [
      "Everybody may call, as the document says; claims that a client forges are removed all the same.",
      ...limits,
    ]);
  }
  if (api.hosts.includes("*")) before(node, "hosts", ["The document names no host: --host."]);
  items(node.get("routes", true)).forEach((item, index) => {
    const made = routes[index]!;
    if (!isMap(item)) return;
    item.commentBefore = comment(routeComment(made));
    const limits = items(item.get("limits", true));
    if (limits.length === 0) {
      flow(item);
      return;
    }
    for (const name of ["methods", "scopes"]) flow(item.get(name, true));
    for (const limit of limits) flow(limit);
  });
}

function routeComment({ operations, remarks }: MadeRoute): string[] {
  return [
    operationList(operations),
    ...(remarks.length === 0 ? [] : [`A prefix can't tell these apart: ${remarks.join("; ")}.`]),
  ];
}

function before(node: YAMLMap, name: string, lines: readonly string[]): void {
  const pair = node.items.find(({ key }) => String(key) === name);
  if (pair !== undefined) (pair.key as Node).commentBefore = comment(lines);
}

function items(node: unknown): unknown[] {
  return isSeq(node) ? node.items : [];
}

function flow(node: unknown): void {
  if (isMap(node) || isSeq(node)) node.flow = true;
}

function comment(lines: readonly string[]): string {
  return lines.map((line) => ` ${line}`).join("\n");
}
