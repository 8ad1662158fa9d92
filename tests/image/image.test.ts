import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { storedGzip } from "../../tools/image/gzip.ts";
import { tar } from "../../tools/image/tar.ts";
import { wasmImage } from "../../tools/image/wasmImage.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { digestOf, moduleOf, readLayout, readTar } from "./layout.ts";

const root = resolve(import.meta.dirname, "../..");
const folder = temporaryFolder("image");
const wasmPath = join(root, "build/tollgate.wasm");
const wasm = readFileSync(wasmPath);
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };

/** Builds the image as `npm run image` does, in a process of its own. Gives the digest that it printed. */
async function build(name: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--import", "tsx", join(root, "tools/image/main.ts"), "--output", join(folder, name)],
    { cwd: root, env: { ...process.env, ...env } },
  );
  return stdout.trimEnd().split("\n").at(-1)!;
}

const digest = await build("first");

test("the layout is one by the OCI specification, and holds Istio's kind of image", () => {
  const { top, manifest, config, layer } = readLayout(join(folder, "first"));
  assert.equal(top.digest, digest);
  assert.equal(top.mediaType, "application/vnd.oci.image.manifest.v1+json");
  assert.deepEqual(top.annotations, { "org.opencontainers.image.ref.name": version });
  assert.equal(manifest.schemaVersion, 2);
  assert.equal(manifest.mediaType, top.mediaType);
  assert.equal(manifest.config.mediaType, "application/vnd.oci.image.config.v1+json");
  assert.equal(manifest.layers[0]!.mediaType, "application/vnd.oci.image.layer.v1.tar+gzip");
  assert.equal(manifest.annotations["module.wasm.image/variant"], "compat");
  assert.equal(manifest.annotations["org.opencontainers.image.version"], version);
  assert.deepEqual([config.architecture, config.os, config.rootfs.type], ["wasm", "wasip1", "layers"]);
  assert.deepEqual(config.rootfs.diff_ids, [digestOf(gunzipSync(layer))]);
});

test("the layer holds plugin.wasm alone, which is build/tollgate.wasm byte by byte", () => {
  const { layer } = readLayout(join(folder, "first"));
  const entries = readTar(gunzipSync(layer));
  assert.deepEqual(
    entries.map(({ bytes: _, ...entry }) => entry),
    [{ name: "plugin.wasm", mode: 0o644, uid: 0, gid: 0, mtime: 0, type: "0" }],
  );
  assert.ok(moduleOf(layer).equals(wasm));
  // gzip's header: no name, no time, no operating system.
  assert.deepEqual([...layer.subarray(0, 10)], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
});

test("the archive holds the layout, file by file", () => {
  const entries = readTar(readFileSync(join(folder, "first.tar")));
  assert.deepEqual(
    entries.slice(0, 2).map(({ name }) => name),
    ["oci-layout", "index.json"],
  );
  assert.equal(entries.length, 5);
  for (const { name, bytes } of entries) assert.ok(bytes.equals(readFileSync(join(folder, "first", name))), name);
});

test("a second build elsewhere, at another time of day and in another language, has the same digest and the same archive", async () => {
  assert.equal(
    await build("second", {
      TZ: "Pacific/Kiritimati",
      LANG: "tr_TR.UTF-8",
      SOURCE_DATE_EPOCH: "1234567890",
      USER: "someone",
    }),
    digest,
  );
  assert.ok(readFileSync(join(folder, "second.tar")).equals(readFileSync(join(folder, "first.tar"))));
});

test("building again replaces what was there", async () => {
  assert.equal(await build("first"), digest);
  assert.equal(readLayout(join(folder, "first")).top.digest, digest);
});

test("the digest follows from module and version alone: a known module has a known digest on every machine", () => {
  const known = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  assert.equal(
    wasmImage(known, "1.2.3").digest,
    "sha256:03159d1ae38fe96d0f438ff766b238c0267fde8028069843de7ca5b251ae88e0",
  );
  assert.notEqual(wasmImage(known, "1.2.4").digest, wasmImage(known, "1.2.3").digest);
  assert.notEqual(wasmImage(known.subarray(1), "1.2.3").digest, wasmImage(known, "1.2.3").digest);
  assert.equal(`sha256:${wasmImage(known, "1.2.3").moduleSha256}`, digestOf(known));
});

test("gzip's stored blocks hold any length", () => {
  for (const length of [0, 1, 0xfffe, 0xffff, 0x10000, 0x1fffe, 200_000]) {
    const bytes = Buffer.alloc(length, "tollgate");
    assert.ok(gunzipSync(storedGzip(bytes)).equals(bytes), String(length));
  }
});

test("an archive refuses names that a header can't hold", () => {
  assert.throws(() => tar([{ name: "a".repeat(101), bytes: wasm }]), /no name for an archive/);
  assert.throws(() => tar([{ name: "größe", bytes: wasm }]), /no name for an archive/);
});
