/** One Envoy with a gateway for each of several environments, each configured as `tollgate envoy-config --standalone` writes it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { envoyConfigYaml } from "../../cli/envoyConfig.ts";
import { envoyArguments } from "../../tools/envoy/bootstrap.ts";
import { ensureEnvoy } from "../../devstack/envoy/install.ts";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import { compileSnapshot } from "../../control/sync/compile.ts";
import { endWithUs } from "../kit/process.ts";
import { send } from "../kit/http1.ts";
import { freePorts } from "../kit/ports.ts";
import { eventually } from "../kit/eventually.ts";
import { filterModule } from "../kit/filterModule.ts";

const startTimeoutMs = 120_000;

export interface Gateways {
  /** of each environment, in their order */
  ports: number[];
  stop(): Promise<void>;
}

export interface GatewaysOptions {
  /** of Envoy; default: the newest that is supported */
  version?: string;
  /** changes a gateway's listener, in Envoy's form */
  changeManager?: (manager: Record<string, unknown>, index: number) => void;
}

interface Listener {
  name: string;
  address: { socket_address: { port_value: number } };
  filter_chains: { filters: { typed_config: Record<string, unknown> }[] }[];
}

interface Config {
  static_resources: { listeners: Listener[]; clusters: { name: string }[] };
}

/** Starts Envoy and waits until its filters are there. Throws with the end of its log when it ends instead. */
export async function startGateways(
  specs: readonly EnvironmentSpec[],
  { version, changeManager }: GatewaysOptions = {},
): Promise<Gateways> {
  const [binary, wasmPath, [adminPort = 0]] = await Promise.all([ensureEnvoy(version), filterModule(), freePorts(1)]);
  const configs = specs.map((spec) => configOf(spec, wasmPath, adminPort));
  const listeners = configs.map(({ static_resources }, index) => {
    const listener = static_resources.listeners[0]!;
    const manager = listener.filter_chains[0]!.filters[0]!.typed_config;
    // Else a connection that Envoy ends over a malformed request stays open for another second.
    manager["delayed_close_timeout"] = "0.02s";
    changeManager?.(manager, index);
    return { ...listener, name: `gateway-${index}` };
  });
  const clusters = new Map(
    configs.flatMap(({ static_resources }) => static_resources.clusters).map((cluster) => [cluster.name, cluster]),
  );
  const folder = mkdtempSync(join(tmpdir(), "tollgate-differential-"));
  const configPath = join(folder, "envoy.json");
  writeFileSync(
    configPath,
    JSON.stringify({ ...configs[0], static_resources: { listeners, clusters: [...clusters.values()] } }),
  );
  const log = openSync(join(folder, "envoy.log"), "w");
  const child = spawn(binary, envoyArguments(configPath, 1, "warning"), { stdio: ["ignore", log, log] });
  endWithUs(child);
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const ports = await eventually(
      "Envoy to listen",
      async () => {
        if (child.exitCode !== null || child.signalCode !== null) return "ended";
        if ((await send(adminPort, { path: "/ready" })).status !== 200) return undefined;
        const { listener_statuses: found } = (await send(adminPort, { path: "/listeners?format=json" })).json<{
          listener_statuses: { name: string; local_address: { socket_address: { port_value: number } } }[];
        }>();
        return specs.map(
          (_, index) => found.find(({ name }) => name === `gateway-${index}`)!.local_address.socket_address.port_value,
        );
      },
      startTimeoutMs,
    );
    if (ports === "ended") throw new Error(`Envoy ended with ${child.exitCode ?? child.signalCode}`);
    return { ports, stop };
  } catch (error) {
    const message = `${(error as Error).message}\n${readFileSync(join(folder, "envoy.log"), "utf8").slice(-3000)}`;
    await stop();
    throw new Error(message, { cause: error });
  }
}

function configOf(spec: EnvironmentSpec, wasmPath: string, adminPort: number): Config {
  const text = envoyConfigYaml({
    spec,
    listen: { host: "127.0.0.1", port: 0 },
    admin: { host: "127.0.0.1", port: adminPort },
    wasmPath,
    accessLog: "/dev/null",
    trustedHops: 0,
    plugin: {},
    snapshot: compileSnapshot(spec).toString("base64"),
    json: true,
  });
  return JSON.parse(text) as Config;
}
