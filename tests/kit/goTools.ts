/** Go programs that tests need, built from a go.mod of their own under tests/ and kept in .tollgate/ under the hash of what names their versions. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { withLock } from "../../devstack/envoy/lock.ts";
import { projectRoot } from "../../control/projectPaths.ts";

const buildTimeoutMs = 900_000;
const run = promisify(execFile);

/**
 * The paths of the tools by program name, or undefined when there is no Go to build them with. `module` is a folder of tests/ with go.mod and
 * go.sum. A build that fails throws. `onBuild` is told once before a build.
 */
export async function goTools(
  module: string,
  packages: readonly string[],
  onBuild?: () => void,
): Promise<Record<string, string> | undefined> {
  const source = join(projectRoot(), "tests", module);
  const hash = createHash("sha256");
  for (const name of ["go.mod", "go.sum"]) hash.update(readFileSync(join(source, name)));
  const sum = hash.digest("hex").slice(0, 16);
  const home = join(projectRoot(), ".tollgate", module);
  const folder = join(home, sum);
  const tools = Object.fromEntries(packages.map((path) => [programName(path), join(folder, programName(path))]));
  if (existsSync(folder)) return tools;
  if (
    !(await run("go", ["version"]).then(
      () => true,
      () => false,
    ))
  )
    return undefined;
  await mkdir(home, { recursive: true });
  return withLock(join(home, `.lock-${sum}`), buildTimeoutMs, async () => {
    if (existsSync(folder)) return tools;
    onBuild?.();
    const scratch = await mkdtemp(join(home, ".build-"));
    try {
      // Without debug information linking takes half the time and the programs half the room.
      const args = ["build", "-mod=readonly", "-buildvcs=false", "-ldflags=-s -w", "-o", `${scratch}/`, ...packages];
      await run("go", args, { cwd: source, timeout: buildTimeoutMs, maxBuffer: 1 << 26 });
      await rename(scratch, folder);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
    return tools;
  });
}

/** A package's program is called as its folder; a major version at the end is no folder. */
function programName(path: string): string {
  return basename(path.replace(/\/v\d+$/, ""));
}
