/**
 * From prefixes to APIs. An API has one answer to who may call it and what happens when allowance can't be had; so each such class has an
 * API, and a prefix whose methods differ in class is shared by several, each with the methods that are its own.
 */
import { countsCaller } from "../../control/domain/subjects.ts";
import type { ApiInput, RouteInput } from "../../control/domain/schema.ts";
import { exportedLimit } from "./limitOut.ts";
import type { Operation, ReadApi } from "./model.ts";
import { above, classOf, inOrder, isInherited, type Places, placesOf, rulesOf, type Treatment } from "./places.ts";
import type { Source } from "./source.ts";

export interface ApiOptions {
  /** in place of the title */
  id?: string;
  upstream?: { service?: string; port?: number };
}

/** A route with what it was made of, for a comment. */
export interface MadeRoute {
  route: RouteInput;
  operations: readonly Operation[];
  remarks: readonly string[];
}

export interface MadeApi {
  api: Omit<ApiInput, "routes">;
  routes: readonly MadeRoute[];
  /** whether the document says where it's served */
  upstreamKnown: boolean;
  /** limits of the document that count callers, which a keyless API doesn't know */
  limitsLeftOut: readonly string[];
}

const pathsMax = 256;
const routesMax = 500;
/** A record may have 256 KiB. */
const bytesMax = 200 * 1024;
const idMax = 63;
const standardPort = 8080;

export function makeApis(source: Source, read: ReadApi, options: ApiOptions): MadeApi[] {
  const base = options.id ?? read.extension.id ?? slug(read.title);
  const ids = new Ids(base);
  const families = familiesOf(read.operations);
  const made = families.flatMap(({ hosts, served }) => {
    const places = placesOf(source, served);
    const groups = groupsOf(places);
    return groups.flatMap((group) =>
      partsOf(source, group, places).map((part) =>
        madeApi(source, read, options, { hosts, part, group, id: ids.next(group, groups), base }),
      ),
    );
  });
  noteRepeatedLimits(source, made);
  return made;
}

/** A limit belongs to one route: what a path's or a shared operation's limit becomes on several of them isn't one count. */
function noteRepeatedLimits(source: Source, made: readonly MadeApi[]): void {
  const owners = new Map<string, MadeRoute[]>();
  for (const owner of made.flatMap(({ routes }) => routes)) {
    for (const limit of owner.route.limits ?? [])
      owners.set(JSON.stringify(limit), [...(owners.get(JSON.stringify(limit)) ?? []), owner]);
  }
  for (const [text, routes] of owners) {
    if (routes.length < 2) continue;
    const { name } = JSON.parse(text) as { name: string };
    source.note(
      routes[0]!.operations[0]!.at,
      `The limit \`${name}\` is on ${routes.length} routes, and each of them counts for itself.`,
      "Put it into the document's own x-tollgate for one count over all of an API.",
    );
  }
}

/** Hosts that serve the same operations below the same base paths. */
function familiesOf(
  operations: readonly Operation[],
): { hosts: string[]; served: { basePath: string; operation: Operation }[] }[] {
  const byHost = new Map<string, { basePath: string; operation: Operation }[]>();
  for (const operation of operations) {
    for (const { host = "*", basePath } of operation.origins) {
      const served = byHost.get(host) ?? [];
      byHost.set(host, served);
      served.push({ basePath, operation });
    }
  }
  const numbers = new Map(operations.map((operation, index) => [operation, index]));
  const families = new Map<string, { hosts: string[]; served: { basePath: string; operation: Operation }[] }>();
  for (const [host, served] of byHost) {
    const name = served
      .map(({ basePath, operation }) => `${basePath} ${numbers.get(operation)}`)
      .sort()
      .join("\n");
    const family = families.get(name);
    if (family === undefined) families.set(name, { hosts: [host], served });
    else family.hosts.push(host);
  }
  return [...families.values()];
}

interface Group {
  /** an operation's class, which all of it have */
  sample: Treatment;
  /** of a group that shares its prefixes with others: the methods that are its own */
  shared: readonly string[] | undefined;
  /** prefix → its methods in this group */
  places: Map<string, Map<string, Treatment>>;
  /** the prefixes that the API has to name: no other one of the group stands for them */
  paths: string[];
}

function groupsOf(places: Places): Group[] {
  const groups = new Map<string, Group>();
  const namesAt = new Map<string, string>();
  for (const prefix of inOrder(places.keys())) {
    const methods = places.get(prefix)!;
    const classes = new Map<string, Map<string, Treatment>>();
    for (const [method, treatment] of methods) {
      const name = classOf(treatment);
      classes.set(name, (classes.get(name) ?? new Map<string, Treatment>()).set(method, treatment));
    }
    const names = [...classes].map(([name, own]) => {
      const shared = classes.size > 1 ? [...own.keys()].sort() : undefined;
      const key = shared === undefined ? name : `${name} ${shared.join(",")}`;
      const group = groups.get(key) ?? { sample: [...own.values()][0]!, shared, places: new Map(), paths: [] };
      groups.set(key, group);
      group.places.set(prefix, own);
      return key;
    });
    const here = names.sort().join("\n");
    namesAt.set(prefix, here);
    const parent = [...above(prefix)].find((candidate) => namesAt.has(candidate));
    if (parent === undefined || namesAt.get(parent) !== here)
      for (const name of names) groups.get(name)!.paths.push(prefix);
  }
  // The largest first: it gets the plain id.
  return [...groups.values()].sort(
    (a, b) => Number(a.shared !== undefined) - Number(b.shared !== undefined) || b.places.size - a.places.size,
  );
}

interface Part {
  paths: string[];
  routes: MadeRoute[];
}

/** A group in as many parts as the limits of an API's size ask for; nearly always one. */
function partsOf(source: Source, group: Group, places: Places): Part[] {
  const parts: Part[] = [];
  let bytes = 0;
  for (const path of group.paths) {
    let routes = routesBelow(group, path);
    if (routes.length > routesMax)
      routes = routes.filter(({ route, operations }) => !isRedundant(route, operations, places));
    if (routes.length > routesMax)
      source.refuse(
        routes[routesMax]!.operations[0]!.at,
        `There are more than ${routesMax} routes below \`${path}\`.`,
        "Import parts of the document.",
      );
    const more = Buffer.byteLength(JSON.stringify([path, routes.map(({ route }) => route)]));
    const last = parts.at(-1);
    if (
      last === undefined ||
      last.paths.length === pathsMax ||
      last.routes.length + routes.length > routesMax ||
      bytes + more > bytesMax
    ) {
      parts.push({ paths: [path], routes });
      bytes = more;
    } else {
      last.paths.push(path);
      last.routes.push(...routes);
      bytes += more;
    }
  }
  return parts;
}

/** The routes whose longest path among the group's is this one. */
function routesBelow(group: Group, path: string): MadeRoute[] {
  const routes: MadeRoute[] = [];
  const paths = new Set(group.paths);
  for (const [prefix, methods] of group.places) {
    if ((paths.has(prefix) ? prefix : [...above(prefix)].find((candidate) => paths.has(candidate))) !== path) continue;
    const byRules = new Map<string, [string, Treatment][]>();
    for (const entry of methods) byRules.set(rulesOf(entry[1]), [...(byRules.get(rulesOf(entry[1])) ?? []), entry]);
    for (const entries of byRules.values()) routes.push(madeRoute(prefix, entries));
  }
  return routes;
}

function madeRoute(path: string, entries: readonly [string, Treatment][]): MadeRoute {
  const { scopes, cost, limits } = entries[0]![1];
  return {
    route: {
      path,
      methods: entries.map(([method]) => method),
      ...(scopes.length === 0 ? {} : { scopes: [...scopes] }),
      ...(cost === 1 ? {} : { cost }),
      ...(limits.length === 0 ? {} : { limits: limits.map(exportedLimit) }),
    },
    operations: [...new Set(entries.flatMap(([, { operations }]) => operations))],
    remarks: [...new Set(entries.flatMap(([, { remarks }]) => remarks))],
  };
}

function isRedundant({ path, methods }: RouteInput, operations: readonly Operation[], places: Places): boolean {
  return (methods ?? []).every((method) => {
    const treatment = places.get(path)?.get(method);
    return treatment !== undefined && operations.length > 0 && isInherited(places, path, method, treatment);
  });
}

interface Making {
  hosts: readonly string[];
  part: Part;
  group: Group;
  id: string;
  /** the id of the first of them, which also names the service as long as nobody says otherwise */
  base: string;
}

function madeApi(
  source: Source,
  read: ReadApi,
  options: ApiOptions,
  { hosts, part, group, id, base }: Making,
): MadeApi {
  const { extension } = read;
  const { mode, failureMode } = group.sample;
  for (const { route, operations, remarks } of part.routes) {
    if (remarks.length > 0)
      source.note(
        operations[0]!.at,
        `${operationList(operations)} ${operations.length === 1 ? "is" : "are"} one route, \`${route.methods!.join(",")} ${route.path}\`: ${remarks.join("; ")}.`,
      );
  }
  const common = (part.routes[0]?.route.scopes ?? []).filter((scope) =>
    part.routes.every(({ route }) => route.scopes?.includes(scope)),
  );
  const scopes = mode === "none" ? [] : [...new Set([...(extension.scopes ?? []), ...common])].sort();
  const routes = part.routes.map(({ route, ...rest }) => ({ ...rest, route: withoutScopes(route, scopes) }));
  const limits = (extension.limits ?? []).filter(({ subject = "key" }) => mode !== "none" || !countsCaller(subject));
  const upstream = { ...extension.upstream, ...options.upstream };
  const methods = [...new Set(part.routes.flatMap(({ route }) => route.methods ?? []))].sort();
  return {
    api: {
      id,
      ...nameOf(extension.name ?? read.title),
      hosts: [...hosts],
      paths: part.paths,
      methods: group.shared === undefined ? methods : [...group.shared],
      upstream: {
        service: upstream.service ?? base.replaceAll(/[._]+/g, "-").replace(/-+$/, ""),
        port: upstream.port ?? standardPort,
      },
      auth: { mode },
      ...(scopes.length === 0 ? {} : { scopes }),
      ...(failureMode === "closed" ? {} : { failureMode }),
      ...(extension.rateLimitHeaders === undefined ? {} : { rateLimitHeaders: extension.rateLimitHeaders }),
      ...(extension.legacyHeaders === undefined ? {} : { legacyHeaders: extension.legacyHeaders }),
      ...(limits.length === 0 ? {} : { limits }),
      ...(extension.cors === undefined ? {} : { cors: extension.cors }),
    },
    routes,
    limitsLeftOut: (extension.limits ?? []).filter((limit) => !limits.includes(limit)).map(({ name }) => name),
    upstreamKnown: upstream.service !== undefined && upstream.port !== undefined,
  };
}

/** Scopes of the API are asked for on every route anyway. */
function withoutScopes(route: RouteInput, ofApi: readonly string[]): RouteInput {
  const { path, methods, scopes: own = [], ...rest } = route;
  const scopes = own.filter((scope) => !ofApi.includes(scope));
  return { path, ...(methods === undefined ? {} : { methods }), ...(scopes.length === 0 ? {} : { scopes }), ...rest };
}

const operationsShown = 5;

/** `GET /pets, POST /pets and 3 more`. */
export function operationList(operations: readonly Operation[]): string {
  const names = [...new Set(operations.map(({ method, template }) => `${method} ${template}`))];
  const shown = names.slice(0, names.length > operationsShown + 1 ? operationsShown : names.length);
  const more = names.length - shown.length;
  const last = more > 0 ? `${more} more` : shown.pop()!;
  return shown.length === 0 ? last : `${shown.join(", ")} and ${last}`;
}

function nameOf(title: string): { name?: string } {
  const name = [...title]
    .slice(0, 200)
    .join("")
    .replaceAll(/[\ud800-\udfff]/g, "");
  return name === "" ? {} : { name };
}

/** An id of a title: `Pet Store (v2)` is `pet-store-v2`. */
function slug(title: string): string {
  const text = title
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[\u0300-\u036f']/g, "")
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 40)
    .replace(/^-+|-+$/g, "");
  return text === "" ? "api" : text;
}

/** Ids that say how the APIs of one document differ, each once. */
class Ids {
  readonly #base: string;
  readonly #given = new Set<string>();

  constructor(base: string) {
    this.#base = base;
  }

  next(group: Group, groups: readonly Group[]): string {
    const [first] = groups;
    const { mode, failureMode } = group.sample;
    const words =
      group === first
        ? []
        : [
            ...(mode === first!.sample.mode ? [] : [mode === "none" ? "public" : mode]),
            ...(failureMode === first!.sample.failureMode ? [] : [failureMode]),
            ...(group.shared ?? []).map((method) => method.toLowerCase()),
          ];
    const wanted = [this.#base, ...words].join("-");
    for (let number = 1; ; number++) {
      const suffix = number === 1 ? "" : `-${number}`;
      const id = `${wanted.slice(0, idMax - suffix.length)}${suffix}`;
      if (this.#given.has(id)) continue;
      this.#given.add(id);
      return id;
    }
  }
}
