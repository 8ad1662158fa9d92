/** A real OCI registry (CNCF distribution) and crane, built by Go from tests/registry/go.mod and kept in .tollgate/. */
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { eventually } from "../kit/eventually.ts";
import { goTools } from "../kit/goTools.ts";

const packages = ["github.com/distribution/distribution/v3/cmd/registry", "github.com/google/go-containerregistry/cmd/crane"];

export interface Tools {
  registry: string;
  crane: string;
}

/** The tools, or undefined when there is no Go to build them with. A build that fails throws. */
export async function ensureTools(): Promise<Tools | undefined> {
  const found = await goTools("registry", packages);
  return found && { registry: found["registry"]!, crane: found["crane"]! };
}

/** Starts an empty registry for one test; gives its host and port. */
export async function startRegistry(t: TestContext, { registry }: Tools): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tollgate-registry-"));
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(folder, "config.json");
  await writeFile(config, JSON.stringify({ version: 0.1, log: { level: "error", accesslog: { disabled: true } }, storage: { filesystem: { rootdirectory: join(folder, "data") } }, http: { addr: host } }));
  const child = spawn(registry, ["serve", config], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, OTEL_TRACES_EXPORTER: "none" } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const ended = new Promise<void>((resolveEnd) => child.once("close", () => resolveEnd()));
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true, force: true });
  });
  await eventually("the registry's answer", async () => {
    if (child.exitCode !== null) throw new Error(`the registry ended: ${output}`);
    return (await fetch(`http://${host}/v2/`)).ok;
  }, 60_000);
  return host;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as { port: number };
  await new Promise((closed) => server.close(closed));
  return port;
}
