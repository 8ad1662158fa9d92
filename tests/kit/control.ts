/** Control as a process of its own, that can be killed without warning and started again on the same ports and data. */
import { spawn, type ChildProcess } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../control/projectPaths.ts";
import { makeFolder, removeFolder } from "./folders.ts";
import { endWithUs, isRunning, stopProcess } from "./process.ts";
import { freePorts } from "./ports.ts";
import { eventually, Hopeless } from "./eventually.ts";

export interface ControlOptions {
  /** kept after `remove` when given; default: a new temporary folder */
  dataDir?: string;
  /** default: free ones */
  ports?: { admin: number; sync: number };
  /** more of its environment */
  env?: Record<string, string>;
  /** so far is its clock ahead of everybody else's; default 0 */
  clockAheadMs?: number;
  /** arguments of Node, instead of those that run it from its sources; `clockAheadMs` then does nothing */
  nodeArgs?: string[];
}

export const adminToken = "an-admin-token-for-tests";

export class ControlProcess {
  private child: ChildProcess | undefined;

  private constructor(
    readonly adminPort: number,
    readonly syncPort: number,
    readonly dataDir: string,
    private readonly temporary: boolean,
    private readonly options: ControlOptions,
  ) {}

  /** Finds ports and a folder; `start` starts the process. */
  static async prepare(options: ControlOptions = {}): Promise<ControlProcess> {
    const [admin = 0, sync = 0] = options.ports ? [options.ports.admin, options.ports.sync] : await freePorts(2);
    return new ControlProcess(
      admin,
      sync,
      options.dataDir ?? makeFolder("control"),
      options.dataDir === undefined,
      options,
    );
  }

  static async start(options: ControlOptions = {}): Promise<ControlProcess> {
    const control = await ControlProcess.prepare(options);
    await control.start();
    return control;
  }

  /** Starts the process and waits until it is ready. */
  async start(): Promise<void> {
    const log = openSync(join(this.dataDir, "control.log"), "a");
    const { env = {}, clockAheadMs = 0 } = this.options;
    const clock = clockAheadMs === 0 ? [] : ["--import", "./tests/kit/shiftedClock.ts"];
    const nodeArgs = this.options.nodeArgs ?? ["--import", "tsx", ...clock, "cli/main.ts"];
    const child = spawn(process.execPath, [...nodeArgs, "serve"], {
      cwd: projectRoot(),
      stdio: ["ignore", log, log],
      env: {
        ...process.env,
        TOLLGATE_CONTROL_PORT: String(this.adminPort),
        TOLLGATE_SYNC_PORT: String(this.syncPort),
        TOLLGATE_DATA_DIR: this.dataDir,
        TOLLGATE_ADMIN_TOKEN: adminToken,
        TOLLGATE_DATABASE_URL: "",
        TOLLGATE_LOG_LEVEL: "info",
        TEST_CLOCK_AHEAD_MS: String(clockAheadMs),
        ...env,
      },
    });
    endWithUs(child);
    this.child = child;
    await eventually("control to be ready", async () => {
      if (!isRunning(child))
        throw new Hopeless(`control ended with ${child.exitCode ?? child.signalCode}:\n${this.log().slice(-2000)}`);
      return (await fetch(`http://127.0.0.1:${this.adminPort}/readyz`)).ok ? "ready" : undefined;
    });
  }

  /** kill -9: nothing is flushed, nobody is told. */
  async kill(): Promise<void> {
    await this.end("SIGKILL");
  }

  /** Ends it in good order. */
  async stop(): Promise<void> {
    await this.end("SIGTERM");
  }

  /** Kills it, and deletes its data unless the folder was given. */
  async remove(): Promise<void> {
    await this.kill();
    if (this.temporary) removeFolder(this.dataDir);
  }

  get pid(): number {
    return this.child!.pid!;
  }

  log(): string {
    return readFileSync(join(this.dataDir, "control.log"), "utf8");
  }

  /** One call of the admin API; gives the answer's JSON. Throws unless its status is 2xx. */
  async call<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    contentType = "application/json",
  ): Promise<T> {
    const answer = await fetch(`http://127.0.0.1:${this.adminPort}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${adminToken}`,
        ...(body === undefined ? {} : { "content-type": contentType }),
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${text.slice(0, 1000)}`);
    return (text === "" ? {} : JSON.parse(text)) as T;
  }

  /** What it tells Prometheus. */
  async metrics(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.adminPort}/metrics`)).text();
  }

  /** Creates an environment with these records, and gives a gateway token for it. */
  async createEnvironment(environment: string, file: unknown): Promise<string> {
    await this.call("POST", "/v1/environments", { id: environment });
    await this.call("POST", `/v1/apply?environment=${environment}`, file);
    return this.createGatewayToken(environment);
  }

  async createGatewayToken(environment: string, more: { group?: string; apis?: string[] } = {}): Promise<string> {
    return (
      await this.call<{ token: string }>("POST", `/v1/gateway-tokens?environment=${environment}`, {
        group: "edge",
        ...more,
      })
    ).token;
  }

  private async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    if (this.child !== undefined) await stopProcess(this.child, signal);
  }
}
