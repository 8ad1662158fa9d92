/** Builds the peers that are Go programs, each from a module of its own under `bench/peers/`. */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectRoot } from "../control/projectPaths.ts";
import { Unavailable } from "./unavailable.ts";

const run = promisify(execFile);
/** The first build fetches and compiles some hundred packages. */
const buildTimeoutMs = 15 * 60_000;

const packages = {
  authz: ".",
  ratelimit: "github.com/envoyproxy/ratelimit/src/service_cmd",
} as const;

/** The program's path. Throws Unavailable when Go is missing or the program can't be built. */
export async function goProgram(name: keyof typeof packages): Promise<string> {
  await run("go", ["version"]).catch((error: unknown) => {
    throw new Unavailable("Go isn't on the PATH", { cause: error });
  });
  const folder = join(projectRoot(), "build", "bench", "peers");
  mkdirSync(folder, { recursive: true });
  const program = join(folder, name);
  const options = { cwd: join(projectRoot(), "bench", "peers", name), timeout: buildTimeoutMs, maxBuffer: 1 << 24 };
  await run("go", ["build", "-buildvcs=false", "-o", program, packages[name]], options).catch(
    (error: Error & { stderr?: string }) => {
      throw new Unavailable(
        `bench/peers/${name} can't be built: ${(error.stderr || error.message).trim().split("\n").slice(-3).join("; ")}`,
        { cause: error },
      );
    },
  );
  return program;
}
