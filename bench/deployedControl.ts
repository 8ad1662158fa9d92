/** Control as its image runs it: built, and with the image's settings of Node. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../control/envoy/paths.ts";
import { ControlProcess, type ControlOptions } from "../tests/envoy/support/control.ts";

let built = false;

/** Builds it before the first start. */
export async function startDeployedControl({ env = {}, ...options }: ControlOptions = {}): Promise<ControlProcess> {
  if (!built) execFileSync("npm", ["run", "--silent", "build:control"], { cwd: projectRoot(), stdio: ["ignore", "ignore", "inherit"] });
  built = true;
  return ControlProcess.start({ ...options, nodeArgs: [join("bin", "tollgate.mjs")], env: { NODE_OPTIONS: nodeOptions(), ...env } });
}

function nodeOptions(): string {
  const found = /^ENV NODE_OPTIONS="(.+)"$/m.exec(readFileSync(join(projectRoot(), "deploy", "Containerfile"), "utf8"));
  if (found === null) throw new Error("deploy/Containerfile has no line `ENV NODE_OPTIONS=\"…\"`");
  return found[1]!;
}
