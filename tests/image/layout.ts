/** Reads an OCI image layout back, by the specification and without the code that wrote it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string>;
}

export interface Manifest {
  schemaVersion: number;
  mediaType: string;
  config: Descriptor;
  layers: Descriptor[];
  annotations: Record<string, string>;
}

export interface ReadLayout {
  /** the one descriptor of index.json */
  top: Descriptor;
  manifest: Manifest;
  config: { architecture: string; os: string; rootfs: { type: string; diff_ids: string[] } };
  /** the layer as it is in the layout */
  layer: Buffer;
  blob(digest: string): Buffer;
}

export const digestOf = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** Reads a layout folder. Every descriptor has to fit its blob, and every blob has to be described. */
export function readLayout(folder: string): ReadLayout {
  assert.deepEqual(JSON.parse(readFileSync(join(folder, "oci-layout"), "utf8")), { imageLayoutVersion: "1.0.0" });
  const index = JSON.parse(readFileSync(join(folder, "index.json"), "utf8")) as {
    schemaVersion: number;
    mediaType: string;
    manifests: Descriptor[];
  };
  assert.equal(index.schemaVersion, 2);
  assert.equal(index.mediaType, "application/vnd.oci.image.index.v1+json");
  assert.equal(index.manifests.length, 1);
  const blobs = join(folder, "blobs", "sha256");
  const unsampled = new Set(readdirSync(blobs));
  const described = (descriptor: Descriptor): Buffer => {
    assert.match(descriptor.digest, /^sha256:[0-9a-f]{64}$/);
    const name = descriptor.digest.slice("sha256:".length);
    const bytes = readFileSync(join(blobs, name));
    assert.equal(bytes.length, descriptor.size);
    assert.equal(digestOf(bytes), descriptor.digest);
    unsampled.delete(name);
    return bytes;
  };
  const top = index.manifests[0]!;
  const manifest = JSON.parse(described(top).toString("utf8")) as Manifest;
  const config = JSON.parse(described(manifest.config).toString("utf8")) as ReadLayout["config"];
  const layers = manifest.layers.map(described);
  assert.equal(layers.length, 1);
  assert.deepEqual([...unsampled], [], "blobs that nothing describes");
  return {
    top,
    manifest,
    config,
    layer: layers[0]!,
    blob: (digest) => readFileSync(join(blobs, digest.slice("sha256:".length))),
  };
}

export interface TarEntry {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  type: string;
  bytes: Buffer;
}

/** The entries of a ustar archive; checks every header's checksum and the end. */
export function readTar(archive: Buffer): TarEntry[] {
  const entries: TarEntry[] = [];
  let at = 0;
  for (; archive[at] !== 0; ) {
    const header = archive.subarray(at, at + 512);
    const text = (from: number, length: number) => header.toString("latin1", from, from + length).replace(/\0.*$/s, "");
    const octal = (from: number, length: number) => parseInt(text(from, length).trim() || "0", 8);
    assert.equal(header.toString("latin1", 257, 265), "ustar\x0000");
    const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0);
    assert.equal(octal(148, 8), sum, "a header's checksum");
    const size = octal(124, 12);
    entries.push({
      name: text(0, 100),
      mode: octal(100, 8),
      uid: octal(108, 8),
      gid: octal(116, 8),
      mtime: octal(136, 12),
      type: text(156, 1),
      bytes: archive.subarray(at + 512, at + 512 + size),
    });
    at += 512 + Math.ceil(size / 512) * 512;
  }
  assert.ok(
    archive.length - at >= 1024 && archive.subarray(at).every((byte) => byte === 0),
    "two empty blocks at the end",
  );
  return entries;
}

/** What Istio's agent takes out of a layer: the first file that is called plugin.wasm. */
export function moduleOf(layer: Buffer): Buffer {
  const entry = readTar(gunzipSync(layer)).find(({ name }) => name.split("/").at(-1) === "plugin.wasm");
  assert.ok(entry !== undefined, "plugin.wasm is not in the layer");
  return entry.bytes;
}
