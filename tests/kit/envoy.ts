/** A real Envoy as a child process, with its log, access log, statistics and files that it watches. */
import { spawn, type ChildProcess } from "node:child_process";
import { openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  envoyArguments,
  envoyBootstrap,
  listenerDiscovery,
  type BootstrapOptions,
  type ListenerOptions,
} from "../../tools/envoy/bootstrap.ts";
import { makeFolder, removeFolder } from "./folders.ts";
import { endWithUs, isRunning, stopProcess } from "./process.ts";
import { send } from "./http1.ts";
import { freePorts } from "./ports.ts";
import { eventually, Hopeless } from "./eventually.ts";

export interface EnvoyOptions {
  binary: string;
  workers: number;
  /** without adminPort; a listener's port 0 is replaced by a free one */
  bootstrap: Omit<BootstrapOptions, "adminPort" | "listenersPath">;
  /** the listeners come from a watched file, so that `replaceListeners` can change them */
  watchListeners?: boolean;
  env?: Record<string, string>;
  logLevel?: string;
}

/** One line of the access log that the bootstrap defines. */
export type AccessLogLine = Record<string, string | number | null>;

export class Envoy {
  readonly adminPort: number;
  private readonly child: ChildProcess;
  private readonly folder: string;
  private listeners: ListenerOptions[];
  private readonly watched: boolean;
  private readonly defaultCluster: string;

  private constructor(
    child: ChildProcess,
    folder: string,
    adminPort: number,
    listeners: ListenerOptions[],
    watched: boolean,
    defaultCluster: string,
  ) {
    this.child = child;
    this.folder = folder;
    this.adminPort = adminPort;
    this.listeners = listeners;
    this.watched = watched;
    this.defaultCluster = defaultCluster;
  }

  /** Starts Envoy and waits until it listens. Throws with the end of its log when it ends instead. */
  static async start(options: EnvoyOptions): Promise<Envoy> {
    const folder = makeFolder("envoy");
    const listenersPath = join(folder, "listeners.json");
    const [adminPort = 0, ...ports] = await freePorts(1 + options.bootstrap.listeners.length);
    const listeners = options.bootstrap.listeners.map((listener, index) => ({
      name: `gateway-${index}`,
      accessLog: join(folder, "access.log"),
      ...listener,
      port: listener.port === 0 ? ports[index]! : listener.port,
    }));
    const defaultCluster = options.bootstrap.clusters[0]!.name;
    const watched = options.watchListeners ?? false;
    if (watched) writeFileSync(listenersPath, JSON.stringify(listenerDiscovery(listeners, defaultCluster)));
    const bootstrap = envoyBootstrap({
      ...options.bootstrap,
      adminPort,
      listeners,
      ...(watched ? { listenersPath } : {}),
    });
    const configPath = join(folder, "envoy.json");
    writeFileSync(configPath, JSON.stringify(bootstrap));
    const log = openSync(join(folder, "envoy.log"), "w");
    const child = spawn(
      options.binary,
      [...envoyArguments(configPath, options.workers, options.logLevel ?? "info"), "--file-flush-interval-msec", "20"],
      {
        stdio: ["ignore", log, log],
        env: { ...process.env, ...options.env },
      },
    );
    endWithUs(child);
    const envoy = new Envoy(child, folder, adminPort, listeners, watched, defaultCluster);
    try {
      await eventually("Envoy to listen", async () => {
        if (!isRunning(child)) throw new Hopeless(`Envoy ended with ${child.exitCode ?? child.signalCode}`);
        return (await send(adminPort, { path: "/ready" })).status === 200 ? "ready" : undefined;
      });
    } catch (error) {
      const message = `${(error as Error).message}\n${envoy.log().slice(-3000)}`;
      await envoy.stop();
      throw new Error(message, { cause: error });
    }
    return envoy;
  }

  /** The port of a listener, by its place. */
  port(index = 0): number {
    return this.listeners[index]!.port;
  }

  get pid(): number {
    return this.child.pid!;
  }

  alive(): boolean {
    return isRunning(this.child);
  }

  log(): string {
    return readFileSync(join(this.folder, "envoy.log"), "utf8");
  }

  accessLogText(): string {
    try {
      return readFileSync(join(this.folder, "access.log"), "utf8");
    } catch {
      return "";
    }
  }

  accessLog(): AccessLogLine[] {
    return this.accessLogText()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as AccessLogLine);
  }

  /** The access log's line whose field has this value, once it is written. */
  async logLine(field: string, value: string): Promise<AccessLogLine> {
    return eventually(`the access log's line with ${field} ${value}`, () =>
      this.accessLog().find((line) => line[field] === value),
    );
  }

  /** All counters and gauges whose name contains `part`. */
  async stats(part = ""): Promise<Map<string, number>> {
    const { body } = await send(this.adminPort, { path: "/stats?type=Counters" });
    const gauges = await send(this.adminPort, { path: "/stats?type=Gauges" });
    const found = new Map<string, number>();
    for (const line of `${body}\n${gauges.body}`.split("\n")) {
      const colon = line.lastIndexOf(": ");
      if (colon > 0 && line.includes(part)) found.set(line.slice(0, colon), Number(line.slice(colon + 2)));
    }
    return found;
  }

  /** One counter or gauge; 0 while it does not exist. */
  async stat(name: string): Promise<number> {
    return (await this.stats(name)).get(name) ?? 0;
  }

  async admin(path: string): Promise<string> {
    return (await send(this.adminPort, { path })).body;
  }

  /** Changes the watched listeners: Envoy takes the new ones over or refuses them. Ports and names stay. */
  replaceListeners(change: (listener: ListenerOptions, index: number) => ListenerOptions): void {
    if (!this.watched) throw new Error("this Envoy does not watch its listeners");
    this.listeners = this.listeners.map(change);
    const fresh = join(this.folder, "listeners.next.json");
    writeFileSync(fresh, JSON.stringify(listenerDiscovery(this.listeners, this.defaultCluster)));
    renameSync(fresh, join(this.folder, "listeners.json"));
  }

  /** Replaces the listeners and waits until Envoy says that it took them over or refused them. */
  async reload(change: (listener: ListenerOptions, index: number) => ListenerOptions): Promise<"accepted" | "refused"> {
    const before = await this.stats("listener_manager.lds.");
    this.replaceListeners(change);
    return eventually("Envoy to read its listeners again", async () => {
      const now = await this.stats("listener_manager.lds.");
      const grown = (name: string): boolean =>
        (now.get(`listener_manager.lds.${name}`) ?? 0) > (before.get(`listener_manager.lds.${name}`) ?? 0);
      if (grown("update_rejected")) return "refused";
      return grown("update_success") ? "accepted" : undefined;
    });
  }

  async stop(): Promise<void> {
    await stopProcess(this.child);
    removeFolder(this.folder);
  }
}
