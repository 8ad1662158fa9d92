import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after } from "node:test";
import { runCli } from "../../cli/program.ts";
import { createLogger } from "../../control/logging.ts";
import { startControl, type Control } from "../../control/main.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { Program } from "../kit/process.ts";

export const root = resolve(import.meta.dirname, "../..");

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

const adminToken = "tga_for_tests_of_the_command_line";

/** A real control on free ports with an empty database, and the variables that lead the command line to it. */
export async function startTestControl(): Promise<{ control: Control; env: NodeJS.ProcessEnv; databaseUrl: string }> {
  const dataDir = temporaryFolder();
  const settings = {
    host: "127.0.0.1",
    controlPort: 0,
    syncPort: 0,
    dataDir,
    databaseUrl: `file:${join(dataDir, "tollgate.db")}`,
    adminToken,
    logLevel: "silent",
    leaseMs: 900_000,
    gatewaysPerToken: 250,
    redisWaitReplicas: 0,
    usageMinutesHours: 48,
  } as const;
  const control = await startControl(settings, createLogger("silent"));
  after(() => control.close());
  return {
    control,
    env: { TOLLGATE_URL: control.adminUrl, TOLLGATE_ADMIN_TOKEN: adminToken },
    databaseUrl: settings.databaseUrl,
  };
}

/** Writes a file into a folder and gives its path. */
export function writeIn(folder: string, name: string, text: string, mode = 0o644): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode });
  return path;
}

/** A process of the real program. */
export class Running extends Program {
  constructor(args: string[], env: NodeJS.ProcessEnv) {
    super(process.execPath, ["--import", "tsx", join(root, "cli/main.ts"), ...args], { cwd: root, env });
    after(() => this.stop());
  }

  /** Waits until standard output holds `text`; fails when the process ends before. */
  async says(text: string): Promise<void> {
    await this.until(`it said "${text}"`, () => this.stdout.includes(text));
  }
}
