/** Envoy processes under measurement: start, ports, CPU time, resident memory, stop. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { endWithUs } from "../tests/kit/process.ts";
import { cpuMicrosOf, peakResidentBytesOf, residentBytesOf } from "./processFigures.ts";

export interface Answer {
  status: number;
  headers: NodeJS.Dict<string | string[]>;
  body: string;
}

export interface EnvoyOptions {
  /** workers; default 1 */
  concurrency?: number;
  deadlineMs?: number;
  /** more of the command line */
  args?: readonly string[];
}

export class EnvoyProcess {
  private constructor(
    readonly port: number,
    readonly adminPort: number,
    readonly startedAtMs: number,
    private readonly child: ChildProcess,
    private readonly folder: string,
  ) {}

  /** Starts Envoy and waits until its listener is known. Throws with the end of Envoy's log when it does not come up. */
  static async start(envoyPath: string, bootstrap: unknown, options: EnvoyOptions = {}): Promise<EnvoyProcess> {
    const folder = mkdtempSync(join(tmpdir(), "tollgate-bench-"));
    const configPath = join(folder, "envoy.json");
    const adminAddressPath = join(folder, "admin");
    const logPath = join(folder, "envoy.log");
    writeFileSync(configPath, JSON.stringify(bootstrap));
    const log = openSync(logPath, "w");
    const startedAtMs = performance.now();
    const child = spawn(
      envoyPath,
      [
        "-c",
        configPath,
        "--concurrency",
        String(options.concurrency ?? 1),
        "--disable-hot-restart",
        "--admin-address-path",
        adminAddressPath,
        "-l",
        "warning",
        ...(options.args ?? []),
      ],
      { stdio: ["ignore", log, log] },
    );
    endWithUs(child);
    const fail = (reason: string): never => {
      child.kill("SIGKILL");
      const tail = readFileSync(logPath, "utf8").slice(-2000);
      rmSync(folder, { recursive: true, force: true });
      throw new Error(`Envoy ${reason}:\n${tail}`);
    };
    const deadline = startedAtMs + (options.deadlineMs ?? 60_000);
    let adminPort = 0;
    for (;;) {
      if (child.exitCode !== null) fail(`ended with code ${child.exitCode}`);
      if (performance.now() > deadline) fail("did not start in time");
      if (adminPort === 0 && existsSync(adminAddressPath))
        adminPort = Number(readFileSync(adminAddressPath, "utf8").split(":")[1] ?? 0);
      if (adminPort !== 0) {
        const port = await listenerPort(adminPort);
        if (port !== 0) return new EnvoyProcess(port, adminPort, startedAtMs, child, folder);
      }
      await sleep(2);
    }
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** User and system time spent since the start, in microseconds. */
  cpuMicros(): number {
    return cpuMicrosOf(this.pid);
  }

  residentBytes(): number {
    return residentBytesOf(this.pid);
  }

  /** The most that was ever resident since the start. */
  peakResidentBytes(): number {
    return peakResidentBytesOf(this.pid);
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return get(this.port, path, headers);
  }

  admin(path: string): Promise<Answer> {
    return get(this.adminPort, path, {});
  }

  /** Asks until the answer has the status, and gives the milliseconds from the process's start to that answer. */
  async until(status: number, path: string, headers: Record<string, string>, deadlineMs = 120_000): Promise<number> {
    let last = "no answer";
    while (performance.now() - this.startedAtMs < deadlineMs) {
      try {
        const answer = await this.get(path, headers);
        if (answer.status === status) return performance.now() - this.startedAtMs;
        last = `${answer.status} ${answer.body}`;
      } catch (error) {
        last = String(error);
      }
      await sleep(5);
    }
    throw new Error(`No ${status} for ${path} within ${deadlineMs} ms; last: ${last}\n${this.log().slice(-2000)}`);
  }

  log(): string {
    return readFileSync(join(this.folder, "envoy.log"), "utf8");
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = once(this.child, "exit");
      this.child.kill("SIGKILL");
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function listenerPort(adminPort: number): Promise<number> {
  try {
    const answer = await get(adminPort, "/listeners?format=json", {});
    const listeners = JSON.parse(answer.body) as {
      listener_statuses?: { local_address?: { socket_address?: { port_value?: number } } }[];
    };
    return listeners.listener_statuses?.[0]?.local_address?.socket_address?.port_value ?? 0;
  } catch {
    return 0;
  }
}

function get(port: number, path: string, headers: Record<string, string>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port, path, headers, agent: false, timeout: 30_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
      response.on("error", reject);
    });
    call.on("timeout", () => call.destroy(new Error("timed out")));
    call.on("error", reject);
    call.end();
  });
}
