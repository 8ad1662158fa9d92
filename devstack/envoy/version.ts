import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { withoutTollgate } from "../../control/secrets.ts";

/** What is installed when no Envoy is found, and the oldest of the oldest supported minor version. Both are tested. */
export const defaultEnvoyVersion = "1.40.0";
export const oldestEnvoyVersion = "1.36.4";

const oldestMinor = 36;
const newestMinor = 40;

/** `major.minor.patch` of an Envoy binary, by its own account. Throws when it can't be run or doesn't answer as Envoy does. */
export async function readEnvoyVersion(binary: string): Promise<string> {
  const { stdout } = await promisify(execFile)(binary, ["--version"], {
    timeout: 20_000,
    env: withoutTollgate(process.env),
  });
  const version = /\/(\d+\.\d+\.\d+)[^/]*\//.exec(stdout)?.[1];
  if (version === undefined)
    throw new Error(`its --version says ${JSON.stringify(stdout.trim().slice(0, 120))}, which no Envoy does`);
  return version;
}

/** What to tell of a version outside 1.36 to 1.40; undefined inside. */
export function versionWarning(version: string): string | undefined {
  const [major, minor] = version.split(".").map(Number);
  if (major === 1 && minor !== undefined && minor >= oldestMinor && minor <= newestMinor) return undefined;
  return `Envoy ${version} is outside the supported range, 1.${oldestMinor} to 1.${newestMinor}: it may work, it isn't tested.`;
}

/** Orders two `major.minor.patch` versions, for sort. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split(".").map(Number));
  for (let part = 0; part < 3; part++) {
    const difference = (left?.[part] ?? 0) - (right?.[part] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
