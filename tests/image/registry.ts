/** A real OCI registry (CNCF distribution) and crane, built by Go from tests/registry/go.mod and kept in .tollgate/. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { makeFolder, removeFolder } from "../kit/folders.ts";
import { goTools } from "../kit/goTools.ts";
import { freePort } from "../kit/ports.ts";
import { Program } from "../kit/process.ts";

const packages = [
  "github.com/distribution/distribution/v3/cmd/registry",
  "github.com/google/go-containerregistry/cmd/crane",
];

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
  const folder = makeFolder("registry");
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(folder, "config.json");
  await writeFile(
    config,
    JSON.stringify({
      version: 0.1,
      log: { level: "error", accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(folder, "data") } },
      http: { addr: host },
    }),
  );
  const server = new Program(registry, ["serve", config], { env: { ...process.env, OTEL_TRACES_EXPORTER: "none" } });
  t.after(async () => {
    await server.stop();
    removeFolder(folder);
  });
  await server.until("its first answer", async () => (await fetch(`http://${host}/v2/`)).ok);
  return host;
}
