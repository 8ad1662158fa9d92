import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { wasmImage } from "../../tools/image/wasmImage.ts";
import { writeImage } from "../../tools/image/writeImage.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { readLayout } from "./layout.ts";
import { ensureTools, startRegistry } from "./registry.ts";
import { pullModule, push } from "./registryClient.ts";

const run = promisify(execFile);
const wasm = readFileSync(resolve(import.meta.dirname, "../../build/tollgate.wasm"));
const folder = temporaryFolder("image");
const image = wasmImage(wasm, "1.2.3");
const { layout } = await writeImage(image, join(folder, "image"));
const tools = await ensureTools();
const missing = "there is no Go on this machine to build a registry with";

test("pushed to a real registry, the module comes back as Istio pulls it: by digest and by tag", async (t) => {
  if (tools === undefined) return t.skip(`${missing}: the image was not pushed`);
  const host = await startRegistry(t, tools);
  await push(host, "tollgate/filter", "1.2.3", readLayout(layout));
  for (const reference of [image.digest, "1.2.3"]) {
    const pulled = await pullModule(host, "tollgate/filter", reference);
    assert.equal(pulled.digest, image.digest);
    assert.ok(pulled.wasm.equals(wasm));
  }
});

test("crane, with the library that Istio pulls with, pushes the layout, finds it sound and reads the module", async (t) => {
  if (tools === undefined) return t.skip(`${missing}: crane did not push the image`);
  const host = await startRegistry(t, tools);
  const name = `${host}/tollgate/filter`;
  const pushed = await run(tools.crane, ["push", "--insecure", layout, `${name}:1.2.3`]);
  assert.equal(pushed.stdout.trim(), `${name}@${image.digest}`);
  assert.equal((await run(tools.crane, ["digest", "--insecure", `${name}:1.2.3`])).stdout.trim(), image.digest);
  // Downloads every layer and compares digests, sizes and the uncompressed layer's.
  const sound = await run(tools.crane, ["validate", "--insecure", "--remote", `${name}@${image.digest}`]);
  assert.match(sound.stdout + sound.stderr, /^PASS: /m);
  const config = JSON.parse((await run(tools.crane, ["config", "--insecure", `${name}@${image.digest}`])).stdout) as {
    os: string;
  };
  assert.equal(config.os, "wasip1");
  const pulled = await pullModule(host, "tollgate/filter", image.digest);
  assert.ok(pulled.wasm.equals(wasm));
});

test("nothing else can be had, or put, under the digest", async (t) => {
  if (tools === undefined) return t.skip(`${missing}: nothing was tampered with`);
  const host = await startRegistry(t, tools);
  const read = readLayout(layout);
  const other = wasmImage(wasm.subarray(0, 100), "1.2.3");
  await push(host, "tollgate/filter", "1.2.3", read);
  const answer = await fetch(`http://${host}/v2/tollgate/filter/manifests/${other.digest}`);
  assert.equal(answer.status, 404);
  const forged = await fetch(`http://${host}/v2/tollgate/filter/manifests/${image.digest}`, {
    method: "PUT",
    headers: { "content-type": read.top.mediaType },
    body: Buffer.from("{}"),
  });
  assert.equal(forged.status, 400);
  assert.equal((await pullModule(host, "tollgate/filter", image.digest)).digest, image.digest);
});
