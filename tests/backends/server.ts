/** A backend's server as a child process. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { endWithUs } from "../kit/process.ts";

export interface Server {
  ports: number[];
  stop: () => Promise<void>;
}

/** Starts a program that prints its ports in one line once it listens, and ends when its input does. Throws with its output when it ends before. */
export async function startServer(command: string, args: string[], env: Record<string, string> = {}): Promise<Server> {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
  endWithUs(child);
  let output = "";
  const ports = await new Promise<number[]>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      const line = /^(\d+(?: \d+)*)\n/m.exec(output);
      if (line !== null) resolve(line[1]!.split(" ").map(Number));
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output = `${output}${text}`.slice(-4000)));
    child.once("error", reject);
    child.once("close", (code) => reject(new Error(`${command} ended with ${code}: ${output}`)));
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  return { ports, stop };
}
