/** Starts control as a process, on free ports. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

const program = fileURLToPath(new URL("./serve.ts", import.meta.url));
const readyTimeoutMs = 60_000;

export interface ControlProcess {
  child: ChildProcess;
  adminUrl: string;
  syncUrl: string;
  stdout: () => string;
  stderr: () => string;
  /** the exit code, null when a signal ended it */
  ended: Promise<number | null>;
}

/** Starts it with these variables; doesn't wait until it's ready. Killed after the test. */
export function spawnControl(t: TestContext, env: Record<string, string>): Omit<ControlProcess, "adminUrl" | "syncUrl"> {
  const variables = { PATH: process.env["PATH"] ?? "", TOLLGATE_CONTROL_PORT: "0", TOLLGATE_SYNC_PORT: "0", ...env };
  const child = spawn(process.execPath, ["--import", "tsx", program], { env: variables, stdio: ["ignore", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => (out += String(chunk)));
  child.stderr.on("data", (chunk) => (err += String(chunk)));
  const ended = once(child, "close").then(([code]) => code as number | null);
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return { child, stdout: () => out, stderr: () => err, ended };
}

/** Starts it and waits until it's ready. */
export async function startControlProcess(t: TestContext, env: Record<string, string>): Promise<ControlProcess> {
  const started = spawnControl(t, env);
  const deadline = Date.now() + readyTimeoutMs;
  for (;;) {
    const line = started.stdout().split("\n").find((text) => text.includes('"control is ready"'));
    if (line !== undefined) return { ...started, ...(JSON.parse(line) as { adminUrl: string; syncUrl: string }) };
    assert.ok(started.child.exitCode === null && Date.now() < deadline, `control didn't start: ${started.stderr()}${started.stdout()}`);
    await sleep(20);
  }
}
