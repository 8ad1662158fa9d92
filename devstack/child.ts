import { spawn, type ChildProcess } from "node:child_process";
import { createWriteStream, type WriteStream } from "node:fs";
import { once } from "node:events";
import type { Guard } from "./guard.ts";

const tailLines = 12;

export interface ChildOptions {
  /** for people: "Envoy", "control" */
  name: string;
  command: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  /** gets all that the child writes */
  logPath: string;
  guard: Guard;
}

/** How a child ended: `exit code 1`, `signal SIGKILL`, or why it couldn't be started. */
export type Ending = string;

/** A child process in a group of its own (a Ctrl-C of the terminal reaches only us), its output in a file, its last lines at hand. */
export class Child {
  readonly name: string;
  readonly logPath: string;
  /** settles when the process is gone and its output is read */
  readonly ended: Promise<Ending>;
  readonly #process: ChildProcess;
  readonly #tail: string[] = [];
  #running = true;

  constructor(options: ChildOptions) {
    this.name = options.name;
    this.logPath = options.logPath;
    const log = createWriteStream(options.logPath, { flags: "w" });
    log.on("error", () => undefined); // a full disk must not end the gateway
    this.#process = spawn(options.command, options.args, {
      env: options.env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const { pid } = this.#process;
    if (pid !== undefined) options.guard.watch(pid);
    this.#keep(this.#process.stdout!, log);
    this.#keep(this.#process.stderr!, log);
    this.ended = this.#wait(log).finally(() => {
      this.#running = false;
      if (pid !== undefined) options.guard.forget(pid);
    });
  }

  get running(): boolean {
    return this.#running;
  }

  /** the last lines of its output */
  get tail(): string[] {
    return [...this.#tail];
  }

  /** Asks it to end, and after `graceMs` makes it. */
  async stop(graceMs: number): Promise<void> {
    if (!this.#running) return;
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), graceMs);
    await this.ended;
    clearTimeout(timer);
  }

  async #wait(log: WriteStream): Promise<Ending> {
    try {
      const [code, signal] = (await once(this.#process, "close")) as [number | null, NodeJS.Signals | null];
      return signal === null ? `exit code ${code}` : `signal ${signal}`;
    } catch (error) {
      return (error as Error).message;
    } finally {
      log.end();
    }
  }

  #keep(stream: NodeJS.ReadableStream, log: WriteStream): void {
    let partial = "";
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      log.write(text);
      const lines = (partial + text).split("\n");
      partial = lines.pop()!.slice(-4096);
      this.#tail.push(...lines.filter((line) => line.trim() !== ""));
      this.#tail.splice(0, this.#tail.length - tailLines);
    });
    stream.on("end", () => {
      if (partial.trim() !== "") this.#tail.push(partial);
    });
  }
}
