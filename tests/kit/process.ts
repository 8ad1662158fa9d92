/** Child processes of tests: started, read, stopped. They don't outlive the test process, however it ends (short of SIGKILL). */
import { spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { eventually, Hopeless } from "./eventually.ts";

/** each child with the signal that ends it */
const children = new Map<ChildProcess, NodeJS.Signals>();
let watching = false;

/** Sends the child a signal when this process ends. */
export function endWithUs(child: ChildProcess, endSignal: NodeJS.Signals = "SIGKILL"): void {
  if (!watching) {
    watching = true;
    process.once("exit", () => {
      for (const [one, signal] of children) one.kill(signal);
    });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
  children.set(child, endSignal);
  child.once("exit", () => children.delete(child));
}

/** Whether the process still runs. */
export function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/** Sends a signal to a process that still runs, and waits for its end. */
export async function stopProcess(child: ChildProcess, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
  if (!isRunning(child) || child.pid === undefined) return;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
}

/** A process whose output is kept. */
export class Program {
  readonly child: ChildProcess;
  /** the exit code once all output is read; null when a signal ended it */
  readonly ended: Promise<number | null>;
  stdout = "";
  stderr = "";
  private readonly name: string;
  private over = false;

  /** `stdin`: to be written by the test; else there's none. */
  constructor(
    command: string,
    args: readonly string[],
    { stdin = "ignore", ...options }: Omit<SpawnOptions, "stdio"> & { stdin?: "pipe" | "ignore" } = {},
  ) {
    this.name = [command, ...args].join(" ");
    this.child = spawn(command, args, { ...options, stdio: [stdin, "pipe", "pipe"] });
    endWithUs(this.child);
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => void (this.stdout += text));
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => void (this.stderr += text));
    this.child.on("error", (error) => void (this.stderr += error.message));
    this.ended = new Promise((resolve) => this.child.once("close", resolve));
    this.child.once("close", () => (this.over = true));
  }

  /** What it wrote so far to both streams. */
  get output(): string {
    return this.stdout + this.stderr;
  }

  /** Waits like `eventually`, but fails at once, with the output, when the process ends before. */
  until<T>(what: string, attempt: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
    return eventually(what, async () => {
      const running = !this.over;
      const found = await Promise.resolve()
        .then(attempt)
        .catch((error: unknown) => {
          if (running) throw error;
        });
      if (found !== undefined && found !== false) return found;
      if (!running)
        throw new Hopeless(
          `${this.name} ended with ${this.child.exitCode ?? this.child.signalCode} before ${what}:\n${this.output}`,
        );
      return undefined;
    }).catch((error: Error) => {
      throw error instanceof Hopeless ? error : new Error(`${error.message}\n${this.output}`, { cause: error });
    });
  }

  /** Sends a signal, and waits for the end of the process and its output. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<number | null> {
    this.child.kill(signal);
    return this.ended;
  }
}
