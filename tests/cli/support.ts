import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { runCli } from "../../control/cli/program.ts";
import { createLogger } from "../../control/logging.ts";
import { startControl, type Control } from "../../control/main.ts";

export const root = resolve(import.meta.dirname, "../..");
const deadlineMs = 60_000;

/** A folder that is gone when the file's tests are over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-cli-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command line in this process. */
export async function cli(args: string[], env: NodeJS.ProcessEnv = {}, input = ""): Promise<Outcome> {
  const outcome = { code: 0, stdout: "", stderr: "" };
  outcome.code = await runCli(args, {
    env,
    streams: { out: (text) => void (outcome.stdout += text), err: (text) => void (outcome.stderr += text) },
    readInput: async () => input,
  });
  return outcome;
}

export const adminToken = "tga_for_tests_of_the_command_line";

/** A real control on free ports with an empty database, and the variables that lead the command line to it. */
export async function startTestControl(): Promise<{ control: Control; env: NodeJS.ProcessEnv; databaseUrl: string }> {
  const dataDir = temporaryFolder();
  const settings = { host: "127.0.0.1", controlPort: 0, syncPort: 0, dataDir, databaseUrl: `file:${join(dataDir, "tollgate.db")}`, adminToken, logLevel: "silent", leaseMs: 900_000, gatewaysPerToken: 250, redisWaitReplicas: 0, usageMinutesHours: 48 } as const;
  const control = await startControl(settings, createLogger("silent"));
  after(() => control.close());
  return { control, env: { TOLLGATE_URL: control.adminUrl, TOLLGATE_ADMIN_TOKEN: adminToken }, databaseUrl: settings.databaseUrl };
}

/** Writes a file into a folder and gives its path. */
export function writeIn(folder: string, name: string, text: string, mode = 0o644): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode });
  return path;
}

/** Asks until the answer isn't undefined; fails with `what` after a minute. */
export async function eventually<T>(what: string, ask: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`Not within ${deadlineMs / 1000} s: ${what}`);
    await sleep(25);
  }
}

/** A process of the real program. */
export class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  stdout = "";
  stderr = "";

  constructor(args: string[], env: NodeJS.ProcessEnv) {
    this.child = spawn(process.execPath, ["--import", "tsx", join(root, "control/cli/main.ts"), ...args], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => void (this.stdout += text));
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => void (this.stderr += text));
    this.ended = new Promise((ended) => this.child.once("close", ended));
    after(() => void this.child.kill("SIGKILL"));
  }

  /** Waits until standard output holds `text`; fails when the process ends before. */
  async says(text: string): Promise<void> {
    await eventually(`"${text}" in ${this.stdout}${this.stderr}`, () => {
      if (this.stdout.includes(text)) return true;
      if (this.child.exitCode !== null) throw new Error(`It ended with ${this.child.exitCode} before it said "${text}":\n${this.stdout}${this.stderr}`);
      return undefined;
    });
  }
}
