/** An Envoy on a configuration of the command line, its key and how to ask it: for the tests of what users start by themselves. */
import { join } from "node:path";
import { after } from "node:test";
import { startDemoUpstream } from "../../devstack/demoUpstream.ts";
import { freePorts } from "../kit/ports.ts";
import { Program } from "../kit/process.ts";
import { cli, root, writeIn } from "./support.ts";

/** The key of examples/standalone, made for it and published there. */
const standaloneKey = "tg_default_StandaloneExampleOnly00000_1yMtKz";

/** Writes Envoy's configuration of examples/standalone before a demo upstream, made by `tollgate envoy-config`. */
export async function standaloneGateway(folder: string): Promise<{ configPath: string; url: string }> {
  const upstream = await startDemoUpstream(0);
  after(() => upstream.close());
  const [listen, admin] = await freePorts(2);
  const outcome = await cli([
    "envoy-config",
    "-f",
    join(root, "examples/standalone/tollgate.yaml"),
    "--standalone",
    "--listen",
    `127.0.0.1:${listen}`,
    "--admin",
    `127.0.0.1:${admin}`,
    "--upstream",
    `127.0.0.1:${upstream.port}`,
  ]);
  if (outcome.code !== 0) throw new Error(outcome.stderr);
  return { configPath: writeIn(folder, "envoy.yaml", outcome.stdout), url: `http://127.0.0.1:${listen}` };
}

/** Starts a program that ends with the test, asks the gateway with the key until it admits, then once without: the two answers. */
export async function tryGateway(
  url: string,
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv,
): Promise<{ admitted: string; refusedStatus: number }> {
  const program = new Program(command, args, { env });
  try {
    const admitted = await program.until("the gateway admits a request", async () => {
      const response = await fetch(`${url}/hello`, { headers: { "x-api-key": standaloneKey } }).catch(() => undefined);
      return response?.status === 200 ? response.text() : undefined;
    });
    return { admitted, refusedStatus: (await fetch(`${url}/hello`)).status };
  } finally {
    await program.stop("SIGTERM");
  }
}
