/** The fixtures as files: a JSON that says what is in them, and the bytes next to it. */
import { compileSnapshot } from "../../control/sync/compile.ts";
import { frameFromJson, frameToJson } from "../../control/sync/json.ts";
import type { DecodedFrame } from "../../control/sync/reader.ts";
import type { FrameSpec } from "./encode.ts";
import { compiledSpec, fixtureBytes, fixtures, testKeys } from "./fixtures.ts";

export const fixtureFolder = new URL("./fixtures/", import.meta.url);

/** File names and contents, as `npm run generate:wire` writes them. */
export function goldenFiles(): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const [name, fixture] of Object.entries(fixtures)) {
    const bytes = fixtureBytes(fixture);
    const { description, error } = fixture;
    files.set(
      `${name}.json`,
      json({
        description,
        bytes: bytes.length,
        frames: fixture.frames.map(specToJson),
        ...(error === undefined ? {} : { error }),
      }),
    );
    files.set(`${name}.bin`, bytes);
  }
  files.set(
    "compiled.json",
    json({
      description: "compileSnapshot(spec); `keys` are those of the spec in the clear",
      keys: testKeys,
      spec: compiledSpec,
    }),
  );
  files.set("compiled.bin", compileSnapshot(compiledSpec));
  return files;
}

/** Reads a frame of a fixture's JSON. */
export function specFromJson(value: unknown): FrameSpec {
  return frameFromJson(value) as FrameSpec;
}

function specToJson(spec: FrameSpec): unknown {
  return frameToJson(spec as DecodedFrame);
}

function json(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
}
