/** Flask and Django on Werkzeug's server, installed from Python's package index into `.tollgate/backends`. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { findPip } from "../../devstack/envoy/install.ts";
import { withLock } from "../../devstack/envoy/lock.ts";
import { projectRoot } from "../../control/projectPaths.ts";
import type { Backend, MissingBackend } from "./backend.ts";
import { startServer } from "./server.ts";

const installTimeoutMs = 300_000;
const names = ["Flask", "Django"];
const source = join(import.meta.dirname, "python");

export async function pythonBackends(): Promise<(Backend | MissingBackend)[]> {
  let packages: string;
  try {
    packages = await ensurePackages();
  } catch (error) {
    return names.map((name) => ({
      name,
      missing: `it can't be installed from Python's package index: ${(error as Error).message.trim().split("\n").at(-1)}`,
    }));
  }
  const server = await startServer("python3", [join(source, "serve.py")], {
    PYTHONPATH: packages,
    PYTHONDONTWRITEBYTECODE: "1",
  });
  return server.ports.map((port, index) => ({ name: names[index]!, port, close: server.stop }));
}

/** The folder with the packages of requirements.txt. */
async function ensurePackages(): Promise<string> {
  const requirements = join(source, "requirements.txt");
  const home = join(projectRoot(), ".tollgate", "backends");
  const name = `python-${createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 16)}`;
  const folder = join(home, name);
  if (existsSync(folder)) return folder;
  await mkdir(home, { recursive: true });
  return withLock(join(home, `.lock-${name}`), installTimeoutMs, async () => {
    if (existsSync(folder)) return folder;
    console.error("Flask and Django are being installed into .tollgate/backends, once.");
    const scratch = await mkdtemp(join(home, ".install-"));
    try {
      const [pip, ...args] = await findPip(scratch, process.env);
      const target = join(scratch, "packages");
      await promisify(execFile)(
        pip,
        [
          ...args,
          "install",
          "--quiet",
          "--no-deps",
          "--no-compile",
          "--only-binary=:all:",
          "--target",
          target,
          "-r",
          requirements,
        ],
        {
          timeout: installTimeoutMs,
          env: { ...process.env, PIP_DISABLE_PIP_VERSION_CHECK: "1", PIP_ROOT_USER_ACTION: "ignore" },
        },
      );
      await rename(target, folder);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
    return folder;
  });
}
