/** Compiles the benchmarks' own filters with the project's AssemblyScript. */
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Compiles `bench/<name>/index.ts`; gives the path of the module. Throws with the compiler's messages. */
export function compileFilter(name: "hello" | "empty"): string {
  runCompiler([`bench/${name}/index.ts`, "--config", "bench/asconfig.json", "--target", name]);
  return join(root, "build", "bench", `${name}.wasm`);
}

/** Compiles Tollgate's filter as it is released; gives the path of the module. */
export function compileTollgate(): string {
  runCompiler(["assembly/index.ts", "--target", "release"]);
  return join(root, "build", "tollgate.wasm");
}

function runCompiler(args: string[]): void {
  const manifestPath = createRequire(import.meta.url).resolve("assemblyscript/package.json");
  execFileSync(process.execPath, [join(dirname(manifestPath), "bin", "asc.js"), ...args], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
}
