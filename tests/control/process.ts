/** Starts control as a process, on free ports. */
import { fileURLToPath } from "node:url";
import type { TestContext } from "node:test";
import { Program } from "../kit/process.ts";

const program = fileURLToPath(new URL("./serve.ts", import.meta.url));

export class ControlProcess extends Program {
  adminUrl = "";
  syncUrl = "";

  constructor(env: Record<string, string>) {
    const variables = { PATH: process.env["PATH"] ?? "", TOLLGATE_CONTROL_PORT: "0", TOLLGATE_SYNC_PORT: "0", ...env };
    super(process.execPath, ["--import", "tsx", program], { env: variables });
  }
}

/** Starts it with these variables; doesn't wait until it's ready. Killed after the test. */
export function spawnControl(t: TestContext, env: Record<string, string>): ControlProcess {
  const control = new ControlProcess(env);
  t.after(() => control.stop());
  return control;
}

/** Starts it and waits until it's ready. */
export async function startControlProcess(t: TestContext, env: Record<string, string>): Promise<ControlProcess> {
  const control = spawnControl(t, env);
  const line = await control.until("it was ready", () =>
    control.stdout
      .split("\n")
      .slice(0, -1)
      .find((text) => text.includes('"control is ready"')),
  );
  const { adminUrl, syncUrl } = JSON.parse(line) as { adminUrl: string; syncUrl: string };
  return Object.assign(control, { adminUrl, syncUrl });
}
