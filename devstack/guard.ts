import { spawn, type ChildProcess } from "node:child_process";
import { moduleCommand, systemEnvironment } from "./programs.ts";

/**
 * A small process that outlives ours only to end our children: a kill -9 leaves us no chance to do it. It learns of our end when
 * the channel between us closes.
 */
export class Guard {
  readonly #process: ChildProcess;

  constructor() {
    const { command, args } = moduleCommand("devstack/guardProcess");
    this.#process = spawn(command, args, {
      env: systemEnvironment(process.env),
      detached: true,
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    this.#process.on("error", () => undefined); // without a guard all else still works
    this.#process.unref();
    this.#process.channel?.unref();
  }

  watch(pid: number): void {
    this.#send({ watch: pid });
  }

  forget(pid: number): void {
    this.#send({ forget: pid });
  }

  /** Lets the guard go; it ends what it still watches. */
  close(): void {
    if (this.#process.connected) this.#process.disconnect();
  }

  #send(message: GuardMessage): void {
    if (this.#process.connected) this.#process.send(message, () => undefined);
  }
}

export type GuardMessage = { watch: number } | { forget: number };
