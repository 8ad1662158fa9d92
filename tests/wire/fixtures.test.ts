import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import { compileSnapshot } from "../../control/sync/compile.ts";
import { decodeFrames, type DecodedFrame } from "../../control/sync/reader.ts";
import { encodeFrames } from "./encode.ts";
import { callErrors, fixtureBytes, fixtures } from "./fixtures.ts";
import { fixtureFolder, goldenFiles, specFromJson } from "./golden.ts";

const read = (name: string): Buffer => readFileSync(new URL(name, fixtureFolder));
const readJson = <T>(name: string): T => JSON.parse(read(name).toString()) as T;
const withoutBytes = ({ frameBytes: _, ...frame }: DecodedFrame) => frame;

test("the committed fixtures are those of the code (else: npm run generate:wire)", () => {
  const files = goldenFiles();
  assert.deepEqual(readdirSync(fixtureFolder).sort(), [...files.keys()].sort());
  for (const [name, bytes] of files) assert.ok(bytes.equals(read(name)), `${name} differs`);
});

for (const [name, fixture] of Object.entries(fixtures)) {
  describe(name, () => {
    const golden = readJson<{ frames: unknown[]; error?: { offset: number; reason: string } }>(`${name}.json`);
    const expected = golden.frames.map(specFromJson);
    test("decodes to its JSON", () => {
      const decoded = decodeFrames(read(`${name}.bin`));
      assert.deepEqual(decoded.frames.map(withoutBytes), expected);
      assert.deepEqual(
        decoded.ok ? undefined : { offset: decoded.error.offset, reason: decoded.error.reason },
        golden.error,
      );
    });
    const plain = fixture.encode === undefined && fixture.patch === undefined && fixture.cutBytes === undefined;
    if (plain) test("its JSON encodes to it", () => assert.ok(encodeFrames(expected).equals(read(`${name}.bin`))));
  });
}

for (const [name, fixture] of Object.entries(callErrors)) {
  test(name, () => {
    const decoded = decodeFrames(fixtureBytes(fixture));
    assert.deepEqual(decoded.frames.map(withoutBytes), fixture.frames);
    assert.deepEqual(
      decoded.ok ? undefined : { offset: decoded.error.offset, reason: decoded.error.reason },
      fixture.error,
    );
  });
}

test("a compiled snapshot", () => {
  const { spec } = readJson<{ spec: EnvironmentSpec }>("compiled.json");
  const bytes = read("compiled.bin");
  assert.ok(compileSnapshot(spec).equals(bytes));
  const decoded = decodeFrames(bytes);
  assert.ok(decoded.ok);
  const [manifest, ...pages] = decoded.frames;
  assert.equal(manifest?.type, "manifest");
  assert.deepEqual(manifest?.type === "manifest" && manifest.counts, {
    pageCount: 1,
    keyCount: 5,
    consumerCount: 2,
    tierCount: 2,
    apiCount: 2,
    limitCount: 2,
    totalBytes: pages[0]?.frameBytes,
  });
  assert.ok(
    pages.every(
      (page) => page.type === "page" && page.epoch === manifest?.epoch && page.version === 1n && page.timeMs === 0,
    ),
  );
});
