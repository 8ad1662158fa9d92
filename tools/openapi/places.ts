/**
 * From path templates to prefixes. What falls on one prefix and method is merged, and strictly: a caller needs all that any of the merged
 * operations asks for, since a prefix can't tell them apart and a gateway that lets too much through fails silently.
 */
import type { AuthMode, FailureMode, Limit } from "../../control/domain/model.ts";
import type { Operation } from "./model.ts";
import type { Source } from "./source.ts";
import { endsAt, instance, readTemplate, segmentsOf, type Template } from "./templates.ts";

/** What the gateway does with calls of one method below a prefix. */
export interface Treatment {
  mode: AuthMode;
  failureMode: FailureMode;
  scopes: readonly string[];
  cost: number;
  limits: readonly Limit[];
  /** what it was merged of */
  operations: readonly Operation[];
  /** what the merging cost, for a comment */
  remarks: readonly string[];
}

/** By prefix, then by method. */
export type Places = Map<string, Map<string, Treatment>>;

interface Served {
  operation: Operation;
  template: Template;
}

type Found = Map<string, Map<string, Set<Served>>>;

/** More prefixes than this come only of templates that multiply each other. */
const prefixesMax = 20_000;

/** The prefixes of one host's operations: each with the base path below which it's served. */
export function placesOf(source: Source, served: readonly { basePath: string; operation: Operation }[]): Places {
  const all = served.map(({ basePath, operation }) => readServed(source, basePath, operation));
  const found: Found = new Map();
  for (const one of all) add(found, one.template.prefix, one);
  const direct = new Set(
    [...found].flatMap(([prefix, methods]) => [...methods.keys()].map((method) => `${method} ${prefix}`)),
  );
  addInstances(source, found, all);
  for (const methods of found.values()) mergeHead(methods);
  const places: Places = new Map(
    [...found].map(([prefix, methods]) => [
      prefix,
      new Map(
        [...methods].map(([method, set]) => [
          method,
          merge(
            [...set].map(({ operation }) => operation),
            prefix,
          ),
        ]),
      ),
    ]),
  );
  prune(places, direct);
  return places;
}

/** Prefixes in the order in which people look for them: parents before children. */
export function inOrder(prefixes: Iterable<string>): string[] {
  return [...prefixes].sort((a, b) => {
    const [left, right] = [segmentsOf(a), segmentsOf(b)];
    for (const [index, text] of left.entries()) {
      const other = right[index];
      if (other === undefined) return 1;
      if (text !== other) return text < other ? -1 : 1;
    }
    return left.length - right.length;
  });
}

/** The prefixes above one, the nearest first. */
export function* above(prefix: string): Generator<string> {
  const segments = segmentsOf(prefix);
  for (let length = segments.length - 1; length >= 0; length--) yield `/${segments.slice(0, length).join("/")}`;
}

export function classOf({ mode, failureMode }: Pick<Treatment, "mode" | "failureMode">): string {
  return `${mode} ${failureMode}`;
}

/** Are scopes, cost and limits the same? */
function sameRules(a: Treatment, b: Treatment): boolean {
  return rulesOf(a) === rulesOf(b);
}

export function rulesOf({ scopes, cost, limits }: Pick<Treatment, "scopes" | "cost" | "limits">): string {
  return JSON.stringify([scopes, cost, limits]);
}

function readServed(source: Source, basePath: string, operation: Operation): Served {
  const template = readTemplate(`${basePath}${operation.template}`);
  if (template.fault !== undefined)
    source.note(
      operation.at.slice(0, 2),
      `\`${operation.template}\` is cut at \`${template.prefix}\`: ${template.fault}.`,
    );
  return { operation, template };
}

function add(found: Found, prefix: string, served: Served): boolean {
  const methods = found.get(prefix) ?? new Map<string, Set<Served>>();
  found.set(prefix, methods);
  const { method } = served.operation;
  const set = methods.get(method) ?? new Set();
  methods.set(method, set);
  if (set.has(served)) return false;
  set.add(served);
  return true;
}

/** Templates are also served below the longer prefixes of others: there they need entries of their own, or others' rules would hold for them. */
function addInstances(source: Source, found: Found, all: readonly Served[]): void {
  const concrete = new Set(
    all.filter(({ template }) => template.literals === template.segments.length).map(({ template }) => template.prefix),
  );
  const open = all.filter(({ template }) => template.literals < template.segments.length);
  const waiting = [...found.keys()];
  for (let prefix = waiting.pop(); prefix !== undefined; prefix = waiting.pop()) {
    for (const served of open) {
      const place = instance(served.template, prefix);
      // Where a path of the document is just this prefix, OpenAPI prefers it to the template.
      if (place === undefined || (place === prefix && concrete.has(prefix) && endsAt(served.template, prefix)))
        continue;
      const isNew = !found.has(place);
      add(found, place, served);
      if (isNew) waiting.push(place);
      if (found.size > prefixesMax)
        source.refuse(
          served.operation.at.slice(0, 2),
          "The templates of this document lead to more prefixes than can be told apart.",
          "Import parts of it.",
        );
    }
  }
}

/** What takes GET takes HEAD: two operations on one prefix would be one. */
function mergeHead(methods: Map<string, Set<Served>>): void {
  const get = methods.get("GET");
  const head = methods.get("HEAD");
  if (get === undefined || head === undefined) return;
  for (const served of head) get.add(served);
  methods.delete("HEAD");
}

/** Drops entries that no template has by itself where what is above holds for them already. */
function prune(places: Places, direct: ReadonlySet<string>): void {
  for (const prefix of inOrder(places.keys()).reverse()) {
    const methods = places.get(prefix)!;
    for (const [method, treatment] of [...methods]) {
      if (!direct.has(`${method} ${prefix}`) && isCovered(places, prefix, method, treatment)) methods.delete(method);
    }
    if (methods.size === 0) places.delete(prefix);
  }
}

/** Without this entry, would the method be decided by one above into which the same operations were merged? */
function isCovered(places: Places, prefix: string, method: string, treatment: Treatment): boolean {
  // What lies between must lead to the same API: an API at a longer path that doesn't take the method answers 405.
  const between = new Set(
    [...places.get(prefix)!].filter(([other]) => other !== method).map(([, other]) => classOf(other)),
  );
  for (const parent of above(prefix)) {
    const methods = places.get(parent);
    if (methods === undefined) continue;
    const covering = taking(methods, method);
    for (const other of covering === undefined || between.size > 0 ? methods.values() : []) between.add(classOf(other));
    if (covering === undefined) continue;
    return (
      between.size <= 1 &&
      [...between].every((name) => name === classOf(covering)) &&
      treatment.operations.every((operation) => covering.operations.includes(operation))
    );
  }
  return false;
}

/** Would the prefix above that takes the method treat it the same, with none of another class between? */
export function isInherited(places: Places, prefix: string, method: string, treatment: Treatment): boolean {
  for (const parent of above(prefix)) {
    const methods = places.get(parent);
    if (methods === undefined) continue;
    if ([...methods.values()].some((other) => classOf(other) !== classOf(treatment))) return false;
    const same = taking(methods, method);
    if (same !== undefined) return sameRules(same, treatment);
  }
  return false;
}

/** What takes GET takes HEAD. */
function taking(methods: ReadonlyMap<string, Treatment>, method: string): Treatment | undefined {
  return methods.get(method) ?? (method === "HEAD" ? methods.get("GET") : undefined);
}

const failureOrder: readonly FailureMode[] = ["closed", "local", "open"];

/** The strictest of several operations. */
function merge(operations: readonly Operation[], prefix: string): Treatment {
  const remarks: string[] = [];
  const modes = [...new Set(operations.map(({ mode }) => mode))];
  const asking = modes.filter((mode) => mode !== "none");
  const mode = asking.length > 1 ? "key-or-jwt" : (asking[0] ?? "none");
  if (modes.length > 1)
    remarks.push(
      modes.includes("none")
        ? "some are open to everybody: a credential is needed for all"
        : "they ask for different credentials: either is taken for all",
    );
  const failureModes = [...new Set(operations.map(({ failureMode }) => failureMode))].sort(
    (a, b) => failureOrder.indexOf(a) - failureOrder.indexOf(b),
  );
  if (failureModes.length > 1) remarks.push(`their failure modes differ: ${failureModes[0]} holds for all`);
  const scopes = [...new Set(operations.flatMap((operation) => operation.scopes))].sort();
  if (operations.some((operation) => operation.scopes.length < scopes.length))
    remarks.push(`their scopes differ: ${scopes.join(", ")} ${scopes.length === 1 ? "is" : "are"} needed for all`);
  const costs = [...new Set(operations.map(({ cost }) => cost))].sort((a, b) => b - a);
  if (costs.length > 1) remarks.push(`their costs differ: each costs ${costs[0]}`);
  const { limits, differ } = mergeLimits(operations);
  if (differ) remarks.push("their limits differ: those of all hold for each");
  if (prefix === "/" && mode === "none")
    remarks.push("as a prefix it is every path that no other one takes: all of those are open to everybody");
  return { mode, failureMode: failureModes[0]!, scopes, cost: costs[0]!, limits, operations, remarks };
}

/** By name; of two that differ only in how much they allow the lower, else the first. */
function mergeLimits(operations: readonly Operation[]): { limits: Limit[]; differ: boolean } {
  const byName = new Map<string, Limit>();
  for (const limit of operations.flatMap((operation) => operation.limits)) {
    const before = byName.get(limit.name);
    const alike =
      before !== undefined && JSON.stringify({ ...before, limit: 0 }) === JSON.stringify({ ...limit, limit: 0 });
    if (before === undefined || (alike && limit.limit < before.limit)) byName.set(limit.name, limit);
  }
  const limits = [...byName.values()];
  return {
    limits,
    differ: operations.some((operation) => JSON.stringify(operation.limits) !== JSON.stringify(limits)),
  };
}
