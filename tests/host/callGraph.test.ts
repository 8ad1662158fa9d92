import assert from "node:assert/strict";
import { test } from "node:test";
import { pathTo, readCallGraph } from "./callGraph.ts";

const graph = readCallGraph(`(module
 (type $0 (func))
 (table $0 3 3 funcref)
 (elem $0 (i32.const 1) $indirect $"odd name")
 (export "direct" (func $a))
 (export "through" (func $c))
 (export "clean" (func $d))
 (func $a (param $0 i32)
  call $b
 )
 (func $b (result i32)
  i32.const 1
  memory.grow
 )
 (func $c
  (call_indirect (type $0) (i32.const 1))
 )
 (func $indirect
  (drop (call $~lib/rt/tlsf/__alloc (i32.const 4) (i32.const 0)))
 )
 (func $"odd name")
 (func $~lib/rt/tlsf/__alloc (param $0 i32) (param $1 i32) (result i32)
  unreachable
 )
 (func $d
  return_call $"odd name"
 )
)`);
const allocates = (name: string): boolean => graph.growers.has(name) || name.startsWith("~lib/rt/");

test("direct calls are followed to memory.grow", () => {
  assert.deepEqual(pathTo(graph, "direct", allocates), ["a", "b"]);
});

test("an indirect call can go to everything in a table", () => {
  assert.deepEqual(pathTo(graph, "through", allocates), ["c", "indirect", "~lib/rt/tlsf/__alloc"]);
});

test("no path is no path, a missing export is an error", () => {
  assert.equal(pathTo(graph, "clean", allocates), undefined);
  assert.deepEqual([...graph.callees.get("d")!], ['"odd name"']);
  assert.throws(() => pathTo(graph, "none", allocates), /no export none/);
});
