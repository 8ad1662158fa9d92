/**
 * `npm run format`: formats every source file with Biome; `--check` names those that would change. Biome doesn't parse AssemblyScript's
 * decorators of functions and variables, so that code is formatted in a copy where they are comments.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { readJson, root } from "./prepare.mjs";

const check = process.argv.includes("--check");
const biome = join(root, "node_modules", ".bin", "biome");
const decorators = /^([ \t]*)((?:@(?:inline|lazy|unmanaged|final|global|unsafe|operator(?:\.\w+)?|external(?:\.js)?)(?:\([^)\n]*\))?[ \t]*)+)(?=\n|\w)/gm;
const hidden = /\/\*(@\w[^*]*)\*\//g;

const { status } = spawnSync(biome, ["format", ...(check ? [] : ["--write"]), "."], { cwd: root, stdio: "inherit" });
const unformatted = formatAssemblyScript();
for (const path of check ? unformatted : []) console.error(`${path} isn't formatted.`);
if (status !== 0 || (check && unformatted.length > 0)) {
  console.error("Run `npm run format`.");
  process.exitCode = 1;
}

/** The AssemblyScript files that formatting changes; writes them unless it only checks. */
function formatAssemblyScript() {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-format-"));
  try {
    const { formatter, javascript } = readJson("biome.json");
    writeFileSync(join(folder, "biome.json"), JSON.stringify({ formatter, javascript, linter: { enabled: false } }));
    const paths = sources();
    for (const path of paths) {
      const plain = readFileSync(join(root, path), "utf8").replace(decorators, (_, indent, names) => `${indent}/*${names.trimEnd()}*/${/\s$/.test(names) ? " " : ""}`);
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), plain);
    }
    const run = spawnSync(biome, ["format", "--write", "."], { cwd: folder, encoding: "utf8" });
    if (run.status !== 0) throw new Error(`AssemblyScript can't be formatted:\n${run.stderr}`);
    return paths.filter((path) => {
      const formatted = readFileSync(join(folder, path), "utf8").replace(hidden, "$1");
      if (formatted === readFileSync(join(root, path), "utf8")) return false;
      if (!check) writeFileSync(join(root, path), formatted);
      return true;
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function sources() {
  const listed = spawnSync("git", ["ls-files", "-co", "--exclude-standard", "assembly", "tests/unit", "tests/wasm", "bench/hello", "bench/empty"], { cwd: root, encoding: "utf8" });
  return listed.stdout.split("\n").filter((path) => path.endsWith(".ts"));
}
