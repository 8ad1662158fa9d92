/** An Envoy on a configuration of the command line, its key and how to ask it: for the tests of what users start by themselves. */
import { spawn } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { after } from "node:test";
import { startDemoUpstream } from "../../control/stack/demoUpstream.ts";
import { cli, eventually, root, writeIn } from "./support.ts";

/** The key of examples/standalone, made for it and published there. */
export const standaloneKey = "tg_default_StandaloneExampleOnly00000_1yMtKz";

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

/** Writes Envoy's configuration of examples/standalone before a demo upstream, made by `tollgate envoy-config`. */
export async function standaloneGateway(folder: string): Promise<{ configPath: string; url: string }> {
  const upstream = await startDemoUpstream(0);
  after(() => upstream.close());
  const [listen, admin] = [await freePort(), await freePort()];
  const outcome = await cli(["envoy-config", "-f", join(root, "examples/standalone/tollgate.yaml"), "--standalone",
    "--listen", `127.0.0.1:${listen}`, "--admin", `127.0.0.1:${admin}`, "--upstream", `127.0.0.1:${upstream.port}`]);
  if (outcome.code !== 0) throw new Error(outcome.stderr);
  return { configPath: writeIn(folder, "envoy.yaml", outcome.stdout), url: `http://127.0.0.1:${listen}` };
}

/** Starts a program that ends with the test, asks the gateway with the key until it admits, then once without: the two answers. */
export async function tryGateway(url: string, command: string, args: string[], env: NodeJS.ProcessEnv): Promise<{ admitted: string; refusedStatus: number }> {
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => void (output += text));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  child.once("error", (error) => void (output += error.message));
  try {
    const admitted = await eventually("an answer of the gateway", async () => {
      if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}:\n${output}`);
      const response = await fetch(`${url}/hello`, { headers: { "x-api-key": standaloneKey } }).catch(() => undefined);
      return response?.status === 200 ? response.text() : undefined;
    });
    return { admitted, refusedStatus: (await fetch(`${url}/hello`)).status };
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
}
