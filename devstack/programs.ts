import { fileURLToPath } from "node:url";

/**
 * The command line that runs another module of this program as a process of its own, from the sources (with the loader that
 * runs us) as well as from `dist/`. `module` is relative to the project (or `dist/`) and has no ending.
 */
export function moduleCommand(module: string, args: string[] = []): { command: string; args: string[] } {
  const ending = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const path = fileURLToPath(new URL(`../${module}.${ending}`, import.meta.url));
  return { command: process.execPath, args: [...process.execArgv, path, ...args] };
}

/** What programs need of the environment variables that don't read Tollgate's settings: no token, no database URL. */
export function systemEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(systemVariables.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}

const systemVariables = ["PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];
