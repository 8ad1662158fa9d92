/** The little of the OCI distribution protocol that a push and Istio's pull need. */
import assert from "node:assert/strict";
import type { Descriptor, Manifest, ReadLayout } from "./layout.ts";
import { digestOf, moduleOf } from "./layout.ts";

/** What Istio's agent (go-containerregistry) says that it takes. */
const accepted = [
  "application/vnd.docker.distribution.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v1+prettyjws",
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.index.v1+json",
].join(",");

/** Pushes a layout's image as `host/repository:tag`: blobs first, then the manifest that names them. */
export async function push(host: string, repository: string, tag: string, layout: ReadLayout): Promise<void> {
  const base = `http://${host}/v2/${repository}`;
  for (const { digest, size } of [layout.manifest.config, ...layout.manifest.layers]) {
    const begun = await fetch(`${base}/blobs/uploads/`, { method: "POST" });
    assert.equal(begun.status, 202);
    const place = new URL(begun.headers.get("location")!, base);
    place.searchParams.set("digest", digest);
    const bytes = layout.blob(digest);
    const sent = await fetch(place, {
      method: "PUT",
      headers: { "content-type": "application/octet-stream", "content-length": String(size) },
      body: bytes,
    });
    assert.equal(sent.status, 201, await sent.text());
    assert.equal(sent.headers.get("docker-content-digest"), digest);
  }
  const sent = await fetch(`${base}/manifests/${tag}`, {
    method: "PUT",
    headers: { "content-type": layout.top.mediaType },
    body: layout.blob(layout.top.digest),
  });
  assert.equal(sent.status, 201, await sent.text());
  assert.equal(sent.headers.get("docker-content-digest"), layout.top.digest);
}

/** Pulls as Istio's agent does: the manifest by tag or digest, its last layer, plugin.wasm out of that; all digests are checked. */
export async function pullModule(
  host: string,
  repository: string,
  reference: string,
): Promise<{ digest: string; wasm: Buffer }> {
  const base = `http://${host}/v2/${repository}`;
  assert.equal((await fetch(`http://${host}/v2/`)).status, 200);
  const answer = await fetch(`${base}/manifests/${reference}`, { headers: { accept: accepted } });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "application/vnd.oci.image.manifest.v1+json");
  const bytes = Buffer.from(await answer.arrayBuffer());
  const digest = digestOf(bytes);
  assert.equal(answer.headers.get("docker-content-digest"), digest);
  if (reference.startsWith("sha256:")) assert.equal(digest, reference);
  const manifest = JSON.parse(bytes.toString("utf8")) as Manifest;
  const layer = manifest.layers.at(-1)!;
  assert.equal(layer.mediaType, "application/vnd.oci.image.layer.v1.tar+gzip");
  return { digest, wasm: moduleOf(await pullBlob(base, layer)) };
}

async function pullBlob(base: string, { digest, size }: Descriptor): Promise<Buffer> {
  const answer = await fetch(`${base}/blobs/${digest}`);
  assert.equal(answer.status, 200);
  const bytes = Buffer.from(await answer.arrayBuffer());
  assert.equal(bytes.length, size);
  assert.equal(digestOf(bytes), digest);
  return bytes;
}
