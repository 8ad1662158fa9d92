/** Who can call whom in a module, read from its text. */
export interface CallGraph {
  /** function by export name */
  exports: Map<string, string>;
  /** functions called by each function; indirect calls count as calls of everything in a table */
  callees: Map<string, Set<string>>;
  /** functions that hold a `memory.grow` */
  growers: Set<string>;
}

const NAME = String.raw`\$("[^"]*"|[^\s()]+)`;
const FUNCTION = new RegExp(String.raw`^ *\(func ${NAME}`);
const EXPORT = new RegExp(String.raw`\(export "([^"]+)" \(func ${NAME}\)\)`);
const CALL = new RegExp(String.raw`(?:^|[\s(])(?:return_)?call ${NAME}`, "g");
const REFERENCE = new RegExp(NAME, "g");

/** Reads what Binaryen writes: one instruction or more a line, functions named. */
export function readCallGraph(wat: string): CallGraph {
  const graph: CallGraph = { exports: new Map(), callees: new Map(), growers: new Set() };
  const inTables = new Set<string>();
  const indirect: string[] = [];
  let current = "";
  for (const line of wat.split("\n")) {
    const opened = FUNCTION.exec(line)?.[1];
    if (opened !== undefined) {
      current = opened;
      graph.callees.set(current, new Set());
      continue;
    }
    if (/^ *\(elem /.test(line))
      for (const [, name] of line.replace(/^ *\(elem \$\S+/, "").matchAll(REFERENCE)) inTables.add(name!);
    const exported = EXPORT.exec(line);
    if (exported !== null) graph.exports.set(exported[1]!, exported[2]!);
    const callees = graph.callees.get(current);
    if (callees === undefined) continue;
    for (const [, callee] of line.matchAll(CALL)) callees.add(callee!);
    if (/call_indirect|call_ref/.test(line)) indirect.push(current);
    if (line.includes("memory.grow")) graph.growers.add(current);
  }
  for (const caller of indirect) for (const name of inTables) graph.callees.get(caller)!.add(name);
  return graph;
}

/** Gives the shortest way from an export to a function that `forbidden` names, as function names; undefined when there is none. */
export function pathTo(
  graph: CallGraph,
  exportName: string,
  forbidden: (name: string) => boolean,
): string[] | undefined {
  const start = graph.exports.get(exportName);
  if (start === undefined) throw new Error(`the module has no export ${exportName}`);
  const cameFrom = new Map<string, string | undefined>([[start, undefined]]);
  for (const name of cameFrom.keys()) {
    if (forbidden(name)) {
      const path = [name];
      for (let step = cameFrom.get(name); step !== undefined; step = cameFrom.get(step)) path.unshift(step);
      return path;
    }
    for (const callee of graph.callees.get(name) ?? []) if (!cameFrom.has(callee)) cameFrom.set(callee, name);
  }
  return undefined;
}
