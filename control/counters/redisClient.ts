/** The connection to Redis or Valkey, a single server or a cluster, behind the few calls that the store needs. */
import { createClient, createCluster, ErrorReply } from "@redis/client";
import { Deadlines } from "./deadlines.ts";
import type { Script } from "./redisScripts.ts";
import { CountersUnavailable } from "./store.ts";

export type Reply = string | number | null | Reply[];

export interface RedisConnection {
  cluster: boolean;
  /** `key` names the node; the command need not have it */
  send(key: string, args: string[]): Promise<Reply>;
  run(script: Script, keys: string[], args: string[]): Promise<Reply>;
  publish(channel: string, text: string): Promise<void>;
  subscribe(channel: string, heard: (text: string) => void): Promise<void>;
  close(): Promise<void>;
}

const commandTimeoutMs = 5000;
/** To a server that stands still no more are sent than this. */
const commandsMost = 10_000;
const reconnectMaxMs = 1000;

/** Replies that say that it can't be done now: it starts, fails over, has no memory, can't write its file or has too few replicas. */
const passingReply =
  /^(LOADING|READONLY|CLUSTERDOWN|TRYAGAIN|MASTERDOWN|MOVED|ASK|BUSY|OOM|MISCONF|NOREPLICAS|UNKILLABLE)\b/;

/**
 * Connects. `onLost` hears of lost connections, which heal by themselves. Throws when there's no server that answers. Commands are given
 * up after `timeoutMs`; the server may carry them out yet.
 */
export async function connectRedis(
  url: string,
  onLost: (error: Error) => void,
  timeoutMs = commandTimeoutMs,
): Promise<RedisConnection> {
  const socket = {
    connectTimeout: timeoutMs,
    reconnectStrategy: (retries: number) => Math.min(reconnectMaxMs, 50 * 2 ** Math.min(retries, 6)),
  };
  // Nothing waits for a reconnection: the lane hears at once that it should send its call again.
  const settings = { disableOfflineQueue: true, commandsQueueMaxLength: commandsMost, commandOptions: { timeout: 0 } };
  const single = createClient({ url, socket: { ...socket, reconnectStrategy: false }, ...settings });
  single.on("error", () => undefined);
  try {
    await single.connect();
  } catch (error) {
    throw new CountersUnavailable({ cause: error });
  }
  let cluster: boolean;
  try {
    cluster = /cluster_enabled:1/.test(await single.info("cluster"));
  } finally {
    await single.close();
  }
  return cluster
    ? openCluster(url, socket, settings, onLost, timeoutMs)
    : openSingle(url, socket, settings, onLost, timeoutMs);
}

type SocketSettings = { connectTimeout: number; reconnectStrategy: (retries: number) => number };
type ClientSettings = {
  disableOfflineQueue: boolean;
  commandsQueueMaxLength: number;
  commandOptions: { timeout: number };
};

async function openSingle(
  url: string,
  socket: SocketSettings,
  settings: ClientSettings,
  onLost: (error: Error) => void,
  timeoutMs: number,
): Promise<RedisConnection> {
  const client = createClient({ url, socket, ...settings });
  client.on("error", onLost);
  await client.connect();
  // A connection that listens takes no other commands.
  const listener = createClient({ url, socket });
  listener.on("error", () => undefined);
  return connection(false, timeoutMs, (_key, args) => client.sendCommand(args), {
    publish: (channel, text) => client.publish(channel, text),
    async subscribe(channel, heard) {
      if (!listener.isOpen) await listener.connect();
      await listener.subscribe(channel, heard);
    },
    async close() {
      if (listener.isOpen) listener.destroy();
      await client.close();
    },
  });
}

async function openCluster(
  url: string,
  socket: SocketSettings,
  settings: ClientSettings,
  onLost: (error: Error) => void,
  timeoutMs: number,
): Promise<RedisConnection> {
  const { username, password, protocol } = new URL(url);
  const credentials = {
    ...(username === "" ? {} : { username: decodeURIComponent(username) }),
    ...(password === "" ? {} : { password: decodeURIComponent(password) }),
  };
  const tls = protocol === "rediss:" ? { tls: true as const } : {};
  const cluster = createCluster({
    rootNodes: [{ url }],
    defaults: { ...credentials, ...settings, socket: { ...socket, ...tls } },
  });
  cluster.on("error", onLost);
  cluster.on("node-error", onLost);
  await cluster.connect();
  return connection(true, timeoutMs, (key, args) => cluster.sendCommand(key, false, args), {
    publish: (channel, text) => cluster.publish(channel, text),
    async subscribe(channel, heard) {
      await cluster.subscribe(channel, heard);
    },
    close: () => cluster.close(),
  });
}

interface Others {
  publish(channel: string, text: string): Promise<unknown>;
  subscribe(channel: string, heard: (text: string) => void): Promise<void>;
  close(): Promise<unknown>;
}

function connection(
  cluster: boolean,
  timeoutMs: number,
  raw: (key: string, args: string[]) => Promise<unknown>,
  others: Others,
): RedisConnection {
  const deadlines = new Deadlines(timeoutMs);
  const answered = async <T>(command: () => Promise<T>): Promise<T> => {
    try {
      return await deadlines.of(command());
    } catch (error) {
      throw judged(error);
    }
  };
  const send = async (key: string, args: string[]) => (await answered(() => raw(key, args))) as Reply;
  return {
    cluster,
    send,
    async run({ sha, text }, keys, args) {
      const rest = [String(keys.length), ...keys, ...args];
      try {
        return await send(keys[0]!, ["EVALSHA", sha, ...rest]);
      } catch (error) {
        if (!(error instanceof ErrorReply) || !error.message.startsWith("NOSCRIPT")) throw error;
        return send(keys[0]!, ["EVAL", text, ...rest]);
      }
    },
    async publish(channel, text) {
      await answered(() => others.publish(channel, text));
    },
    subscribe: others.subscribe,
    async close() {
      await others.close();
    },
  };
}

/** Whatever isn't a reply means that none came. */
function judged(error: unknown): unknown {
  if (error instanceof ErrorReply && !passingReply.test(error.message)) return error;
  return new CountersUnavailable({ cause: error });
}
