/**
 * The OCI image of the filter: the "compat" variant of the Wasm image specification, which Istio's agent and Envoy Gateway pull. One
 * tar+gzip layer holds `plugin.wasm`. The digest depends on the module, the version and this file alone, not on time, machine or Node.
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "./canonicalJson.ts";
import { storedGzip } from "./gzip.ts";
import { tar, type TarFile } from "./tar.ts";

const mediaTypes = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip",
} as const;

/** By this name hosts look for the module. */
const moduleName = "plugin.wasm";

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string>;
}

export interface WasmImage {
  /** of the manifest: what `oci://…@sha256:…` names */
  digest: string;
  /** of the module itself: what Envoy and WasmPlugin's `sha256` compare for modules that aren't images */
  moduleSha256: string;
  /** the files of an OCI image layout, by path, in the order of an archive */
  files: readonly TarFile[];
}

/** Makes the image of a module. `version` is the release's; it becomes the tag that the layout suggests. */
export function wasmImage(wasm: Uint8Array, version: string): WasmImage {
  const blobs = new Map<string, Buffer>();
  const add = (mediaType: string, bytes: Buffer): Descriptor => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const archive = tar([{ name: moduleName, bytes: wasm }]);
  const layer = add(mediaTypes.layer, storedGzip(archive));
  const config = add(
    mediaTypes.config,
    jsonBytes({
      // Go's names for WebAssembly, as the image specification asks for; whoever loads a filter looks at neither.
      architecture: "wasm",
      os: "wasip1",
      config: {},
      rootfs: { type: "layers", diff_ids: [digestOf(archive)] },
    }),
  );
  const manifest = add(
    mediaTypes.manifest,
    jsonBytes({
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config,
      layers: [layer],
      annotations: {
        "module.wasm.image/variant": "compat",
        "org.opencontainers.image.description":
          "Tollgate's filter for Envoy: API keys, tiers, limits and identity claims.",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.title": "tollgate",
        "org.opencontainers.image.version": version,
      },
    }),
  );
  const index = jsonBytes({
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [{ ...manifest, annotations: { "org.opencontainers.image.ref.name": version } }],
  });
  return {
    digest: manifest.digest,
    moduleSha256: digestOf(wasm).slice("sha256:".length),
    files: [
      { name: "oci-layout", bytes: jsonBytes({ imageLayoutVersion: "1.0.0" }) },
      { name: "index.json", bytes: index },
      ...[...blobs]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([digest, bytes]) => ({ name: `blobs/${digest.replace(":", "/")}`, bytes })),
    ],
  };
}

function jsonBytes(value: unknown): Buffer {
  return Buffer.from(canonicalJson(value), "utf8");
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
