/** The filter's module, compiled once for all test files that run at the same time. */
import { existsSync, mkdirSync, readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { withLock } from "../../devstack/envoy/lock.ts";
import { projectRoot } from "../../control/projectPaths.ts";

const compileTimeoutMs = 240_000;
const compiler = join(createRequire(import.meta.url).resolve("assemblyscript/package.json"), "..", "bin", "asc.js");

/** Gives the path of the compiled filter; `trap` is the build that traps on a request header. Compiles it when a source is newer. */
export async function filterModule(target: "release" | "trap" = "release"): Promise<string> {
  const root = projectRoot();
  const output = join(root, "build", target === "release" ? "tollgate.wasm" : `tollgate.${target}.wasm`);
  mkdirSync(join(root, "build"), { recursive: true });
  await withLock(join(root, "build", `.lock-${target}`), compileTimeoutMs, async () => {
    const newest = Math.max(newestUnder(join(root, "assembly")), modifiedMs(join(root, "asconfig.json")));
    if (existsSync(output) && modifiedMs(output) >= newest) return;
    const what =
      target === "release" ? ["assembly/index.ts", "--target", "release"] : ["--config", "tests/wasm/asconfig.json"];
    await promisify(execFile)(process.execPath, [compiler, ...what], { cwd: root });
    // asc leaves an output alone that would not change.
    const now = new Date();
    utimesSync(output, now, now);
  });
  return output;
}

function newestUnder(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Math.max(...entries.map((entry) => modifiedMs(join(entry.parentPath, entry.name))));
}

function modifiedMs(path: string): number {
  return statSync(path).mtimeMs;
}
