/**
 * `npm run format`: formats every source file with Biome; `--check` names those that would change. Biome doesn't parse AssemblyScript's decorators on
 * functions and variables, so they become comments for the time of the formatting.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./prepare.mjs";

const check = process.argv.includes("--check");
const biome = join(root, "node_modules", ".bin", "biome");
const decorator = /^([ \t]*)((?:@(?:inline|lazy|unmanaged|final|global|unsafe|operator(?:\.\w+)?|external(?:\.js)?)(?:\([^)\n]*\))?[ \t]*)+)(?=\n|\w)/gm;
const hidden = /\/\*(@\w[^*]*)\*\//g;

const tracked = spawnSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: root, encoding: "utf8" }).stdout.split("\n");
const scripts = tracked.filter((path) => /^(?:assembly|tests\/unit|tests\/wasm|bench\/(?:hello|empty)|tests\/host\/fixtures)\/.*\.ts$/.test(path));
let changed = 0;
for (const path of scripts) {
  const text = readFileSync(join(root, path), "utf8");
  const plain = text.replace(decorator, (_, indent, names) => `${indent}/*${names.trimEnd()}*/${/\s$/.test(names) ? " " : ""}`);
  const { status, stdout, stderr } = spawnSync(biome, ["format", `--stdin-file-path=${path}`], { cwd: root, input: plain, encoding: "utf8" });
  if (status !== 0) {
    console.error(`${path}: ${stderr}`);
    process.exitCode = 1;
    continue;
  }
  const formatted = stdout.replace(hidden, "$1");
  if (formatted === text) continue;
  changed++;
  if (check) console.error(`${path} is not formatted: run \`npm run format\`.`);
  else writeFileSync(join(root, path), formatted);
}
console.log(changed);
