/** serve, run, envoy-config, snapshot inspect: what needs no control elsewhere. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Command, Option } from "commander";
import { runControl } from "../../control/main.ts";
import { projectRoot, wasmPath } from "../../control/projectPaths.ts";
import { localKeySources } from "../../devstack/gateway.ts";
import { runStack } from "../../devstack/run.ts";
import { compileSnapshot } from "../../control/sync/compile.ts";
import { decodeFrames, type DecodedFrame } from "../../control/sync/reader.ts";
import { frameToJson } from "../../control/sync/json.ts";
import { optionsOf, print, environmentOf, type Context } from "../context.ts";
import { envoyConfigYaml } from "../envoyConfig.ts";
import { RefusedError } from "../failure.ts";
import { readSpec, withFile } from "../input.ts";
import { table } from "../output.ts";
import { hostAndPort, wholeNumber } from "../values.ts";
import { deliver, readPluginConfig } from "./files.ts";

type Address = { host: string; port: number };

export function addLocalCommands(program: Command, context: Context): void {
  program
    .command("serve")
    .description("Run the control plane until SIGTERM. Environment variables configure it.")
    .action(async () => {
      const exitCode = await runControl(context.env, (text) => context.streams.err(`${text}\n`));
      if (exitCode !== 0) throw new RefusedError("");
    });

  withFile(program.command("run"), join(projectRoot(), "examples", "demo", "tollgate.yaml"), "the demo's")
    .description("Run a control plane, an Envoy with the filter and a demo upstream on this machine until Ctrl-C.")
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ file: string }>(command);
      const stop = new AbortController();
      // Again and again: npm repeats a Ctrl-C that the terminal has sent to us already.
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());
      await runStack({
        file: resolve(options.file),
        env: context.env,
        say: (text) => context.streams.out(`${text}\n`),
        signal: stop.signal,
      });
    });

  withFile(program.command("envoy-config"), "tollgate.yaml")
    .description("Print an Envoy configuration with the filter for the APIs of a file, as YAML.")
    .option("--standalone", "Embed a snapshot of the file, so that no control plane is needed")
    .addOption(
      new Option("--listen <host:port>", "Address of the gateway listener")
        .argParser(hostAndPort)
        .default({ host: "127.0.0.1", port: 10000 }, "127.0.0.1:10000"),
    )
    .addOption(
      new Option("--admin <host:port>", "Address of the Envoy admin interface")
        .argParser(hostAndPort)
        .default({ host: "127.0.0.1", port: 9901 }, "127.0.0.1:9901"),
    )
    .addOption(
      new Option("--sync <host:port>", "Address of the control plane's sync port")
        .argParser(hostAndPort)
        .default({ host: "127.0.0.1", port: 8091 }, "127.0.0.1:8091"),
    )
    .option(
      "--upstream <host:port>",
      "Send every request to this address instead of the upstreams of the file",
      hostAndPort,
    )
    .addOption(
      new Option("--wasm <path>", "Path of the built filter, as Envoy sees it").default(
        wasmPath(),
        "the one built here",
      ),
    )
    .option("--access-log <path>", "File for the access log, or stdout", "stdout")
    .option("--plugin-config <path>", "YAML or JSON file with more plugin configuration")
    .option(
      "--trusted-hops <number>",
      "Number of trusted proxies in front of Envoy that set X-Forwarded-For",
      wholeNumber(0),
      0,
    )
    .option("-o, --output <path>", "Write to this file")
    .action(async (_options, command: Command) => {
      const options = optionsOf<EnvoyConfigOptions>(command);
      const plugin =
        options.pluginConfig === undefined
          ? { keySources: localKeySources }
          : await readPluginConfig(context, options.pluginConfig);
      const { spec } = await readSpec(context, options.file, environmentOf(context, options));
      const text = envoyConfigYaml({
        spec,
        listen: options.listen,
        admin: options.admin,
        wasmPath: options.wasm,
        accessLog: options.accessLog,
        trustedHops: options.trustedHops,
        plugin,
        json: options.json === true,
        ...(options.upstream === undefined ? {} : { upstream: options.upstream }),
        ...(options.standalone ? { snapshot: compileSnapshot(spec).toString("base64") } : { sync: options.sync }),
      });
      await deliver(context, text, options.output);
    });

  const snapshot = program
    .command("snapshot")
    .description("Inspect snapshots and other messages that the control plane sends to gateways.");
  snapshot
    .command("inspect <path>")
    .description(
      "Decode frames, base64-encoded frames, or a plugin configuration with a snapshot. Use - for standard input.",
    )
    .action(async (path: string, _options, command: Command) => {
      const options = optionsOf(command);
      const content = path === "-" ? Buffer.from(await context.readInput(), "latin1") : await readBytes(path);
      const decoded = decodeFrames(framesIn(content));
      print(context, options, decoded.frames.map(frameToJson), () => framesText(decoded.frames));
      if (!decoded.ok)
        throw new RefusedError(
          `${path}: at byte ${decoded.error.offset}: ${decoded.error.detail} (${decoded.error.reason})`,
        );
    });
}

interface EnvoyConfigOptions {
  file: string;
  standalone?: boolean;
  listen: Address;
  admin: Address;
  sync: Address;
  upstream?: Address;
  wasm: string;
  accessLog: string;
  pluginConfig?: string;
  trustedHops: number;
  output?: string;
}

async function readBytes(path: string): Promise<Buffer> {
  return readFile(path).catch((error: Error) => {
    throw new RefusedError(`${path} can't be read: ${error.message}`);
  });
}

/** The frames in any of the forms in which people have them. */
function framesIn(content: Buffer): Buffer {
  if (content.subarray(0, 4).toString("latin1") === "TGW1") return content;
  const text = content.toString("latin1").trim();
  if (!text.startsWith("{")) return Buffer.from(text, "base64");
  let snapshot: unknown;
  try {
    snapshot = (JSON.parse(text) as { snapshot?: unknown }).snapshot;
  } catch (error) {
    throw new RefusedError(`This is neither frames nor JSON: ${(error as Error).message}`);
  }
  if (typeof snapshot !== "string") throw new RefusedError("This configuration has no `snapshot`.");
  return Buffer.from(snapshot, "base64");
}

function framesText(frames: readonly DecodedFrame[]): string {
  return table(
    frames.map((frame, index) => ({ frame, index })),
    [
      { title: "FRAME", value: ({ index }) => index },
      { title: "TYPE", value: ({ frame }) => frame.type },
      { title: "EPOCH", value: ({ frame }) => frame.epoch.toString(16).padStart(16, "0") },
      { title: "VERSION", value: ({ frame }) => String(frame.version) },
      { title: "BYTES", value: ({ frame }) => frame.frameBytes },
      { title: "CONTENT", value: ({ frame }) => contentText(frame) },
    ],
  );
}

function contentText(frame: DecodedFrame): string {
  if (frame.type === "manifest") {
    const { pageCount, apiCount, tierCount, consumerCount, keyCount, limitCount } = frame.counts;
    return `${pageCount} pages: ${apiCount} apis, ${tierCount} tiers, ${consumerCount} consumers, ${keyCount} keys, ${limitCount} limits`;
  }
  if (frame.type !== "page" && frame.type !== "delta") return "";
  const counts = new Map<string, number>();
  for (const { type } of frame.records) counts.set(String(type), (counts.get(String(type)) ?? 0) + 1);
  const records = [...counts].map(([type, count]) => `${count} ${type}`).join(", ");
  return frame.type === "page"
    ? `page ${frame.index + 1} of ${frame.pageCount}: ${records}`
    : `from ${frame.base}${frame.more ? ", more follows" : ""}: ${records}`;
}
