import assert from "node:assert/strict";
import { test } from "node:test";
import type { EnvironmentSpec, Key } from "../../control/domain/model.ts";
import { CompileError, compileSnapshot, MAX_COMPILED_BYTES } from "../../control/sync/compile.ts";
import { decodeFrames } from "../../control/sync/reader.ts";
import { compiledSpec } from "./fixtures.ts";

const empty: EnvironmentSpec = { version: 1, environment: "default", apis: [], tiers: [], consumers: [], keys: [] };
const key = (i: number): Key => ({
  id: `k${i}`,
  consumer: "acme",
  sha256: i.toString(16).padStart(64, "0"),
  state: "active",
  allowedCidrs: [],
  limits: [],
});

test("an empty environment compiles", () => {
  const decoded = decodeFrames(compileSnapshot(empty));
  assert.ok(decoded.ok);
  assert.deepEqual(
    decoded.frames.map((frame) => frame.type),
    ["manifest", "page"],
  );
});

test("the same content gives the same bytes, another gives another epoch", () => {
  assert.ok(compileSnapshot(compiledSpec).equals(compileSnapshot(structuredClone(compiledSpec))));
  const epoch = (spec: EnvironmentSpec) => compileSnapshot(spec).readBigUInt64LE(16);
  assert.notEqual(epoch(compiledSpec), epoch({ ...compiledSpec, keys: compiledSpec.keys.slice(1) }));
});

test("too much is refused, with how much and what to do", () => {
  const spec = {
    ...empty,
    consumers: [{ id: "acme", claims: {}, suspended: false }],
    keys: Array.from({ length: 5000 }, (_, i) => key(i)),
  };
  assert.throws(
    () => compileSnapshot(spec),
    (error) => {
      assert.ok(error instanceof CompileError);
      const [, bytes, over] = /has (\d+) bytes, (\d+) more than the 131072/.exec(error.message) ?? [];
      assert.equal(Number(bytes) - MAX_COMPILED_BYTES, Number(over));
      assert.match(error.message, /5000 keys.*remove expired and revoked keys/s);
      return true;
    },
  );
  assert.ok(compileSnapshot({ ...spec, keys: spec.keys.slice(0, 4000) }).length <= MAX_COMPILED_BYTES);
});

test("a name that leads nowhere is refused", () => {
  assert.throws(
    () => compileSnapshot({ ...empty, keys: [key(1)] }),
    /key "k1" names the consumer "acme", which is not there/,
  );
  assert.throws(
    () => compileSnapshot({ ...empty, tiers: [{ id: "t", scopes: [], apis: ["gone"], limits: [] }] }),
    /tier "t" names the API "gone"/,
  );
});
