/** Control as its image runs it: built, and with the image's settings of Node. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../control/projectPaths.ts";
import { ControlProcess, type ControlOptions } from "../tests/kit/control.ts";
import { environmentOf, parseContainerfile } from "../tests/image/containerfile.ts";

let built = false;

/** Builds it before the first start. */
export async function startDeployedControl({ env = {}, ...options }: ControlOptions = {}): Promise<ControlProcess> {
  if (!built)
    execFileSync("npm", ["run", "--silent", "build:control"], {
      cwd: projectRoot(),
      stdio: ["ignore", "ignore", "inherit"],
    });
  built = true;
  return ControlProcess.start({
    ...options,
    nodeArgs: [join("bin", "tollgate.mjs")],
    env: { NODE_OPTIONS: nodeOptions(), TOLLGATE_GATEWAYS_PER_TOKEN: "10000", ...env },
  });
}

function nodeOptions(): string {
  const image = parseContainerfile(readFileSync(join(projectRoot(), "deploy", "Containerfile"), "utf8")).at(-1)!;
  return environmentOf(image)["NODE_OPTIONS"]!;
}
