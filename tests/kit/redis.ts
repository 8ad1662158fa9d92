/** A real Redis or Valkey for tests, in a temporary folder. */
import { spawn, type ChildProcess } from "node:child_process";
import { connectRedis } from "../../control/counters/redisClient.ts";
import { eventually, Hopeless } from "./eventually.ts";
import { makeFolder, removeFolder } from "./folders.ts";
import { freePort, freePorts } from "./ports.ts";
import { endWithUs, isRunning, stopProcess } from "./process.ts";
import { findRedis } from "./redisProgram.ts";

export interface RedisServer {
  url: string;
  port: number;
  /** kills it as a crash would; what it had confirmed is on the disk */
  kill(): Promise<void>;
  /** connections stay, nothing is answered */
  freeze(): void;
  thaw(): void;
  /** starts it again over the same folder */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Durable as the guarantee needs it, unless arguments say otherwise. Throws, saying why, where there's no server. */
export async function startRedis(args: readonly string[] = []): Promise<RedisServer> {
  const { path, env } = await findRedis();
  const folder = makeFolder("redis");
  const port = await freePort();
  const settings = [
    "--port",
    String(port),
    "--bind",
    "127.0.0.1",
    "--dir",
    folder,
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--save",
    "",
    ...args,
  ];
  let child: ChildProcess;
  const start = async () => {
    child = spawn(path, settings, { stdio: "ignore", env });
    endWithUs(child);
    await ready(`redis://127.0.0.1:${port}`, child);
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    kill: () => stopProcess(child),
    freeze: () => void child.kill("SIGSTOP"),
    thaw: () => void child.kill("SIGCONT"),
    restart: start,
    async stop() {
      await stopProcess(child);
      removeFolder(folder);
    },
  };
}

/** A cluster of so many primaries. */
export async function startRedisCluster(primaries: number): Promise<{ url: string; stop(): Promise<void> }> {
  // A bus port of its own: unless told otherwise it's 10,000 above the port, where systems have their outgoing connections.
  const busPorts = await freePorts(primaries);
  const starts = await Promise.allSettled(
    busPorts.map((busPort) =>
      startRedis(["--cluster-enabled", "yes", "--cluster-port", String(busPort), "--cluster-node-timeout", "5000"]),
    ),
  );
  const servers = starts.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
  const stop = async () => void (await Promise.all(servers.map((server) => server.stop())));
  try {
    for (const start of starts) if (start.status === "rejected") throw start.reason;
    const slots = 16_384;
    await Promise.all(
      servers.map(async (server, index) => {
        const [from, to] = [Math.floor((index * slots) / primaries), Math.floor(((index + 1) * slots) / primaries) - 1];
        await command(server.port, ["CLUSTER", "ADDSLOTSRANGE", String(from), String(to)]);
        await command(server.port, ["CLUSTER", "SET-CONFIG-EPOCH", String(index + 1)]);
      }),
    );
    for (const [index, server] of servers.slice(1).entries())
      await command(servers[0]!.port, [
        "CLUSTER",
        "MEET",
        "127.0.0.1",
        String(server.port),
        String(busPorts[index + 1]),
      ]);
    for (const { port } of servers) {
      await eventually("the Redis cluster to come together", async () => {
        const whole = /cluster_state:ok[\s\S]*cluster_slots_ok:16384[\s\S]*cluster_known_nodes:(\d+)/.test(
          await command(port, ["CLUSTER", "INFO"]),
        );
        return whole && !(await command(port, ["CLUSTER", "NODES"])).includes("handshake");
      });
    }
    return { url: servers[0]!.url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function command(port: number, args: string[]): Promise<string> {
  const { createClient } = await import("@redis/client");
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return String(await client.sendCommand(args));
  } finally {
    await client.close();
  }
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  await eventually("Redis to answer", async () => {
    if (!isRunning(child)) throw new Hopeless(`Redis ended with ${child.exitCode ?? child.signalCode}`);
    const connection = await connectRedis(url, () => undefined).catch((error: unknown) => {
      if (/CLUSTERDOWN|slots|RootNodes/i.test(String((error as Error).cause ?? error))) return undefined;
      throw error;
    });
    await connection?.close();
    return true;
  });
}
