/** `npm run generate`: runs every `generate:*` script of package.json. `npm run generate:check` ends with 1 when that changed a file. */
import { spawnSync } from "node:child_process";
import { readJson, root } from "./prepare.mjs";

const check = process.argv.includes("--check");
const before = check ? state() : "";
const generators = Object.keys(readJson("package.json").scripts).filter(
  (script) => script.startsWith("generate:") && script !== "generate:check",
);
if (generators.length === 0) fail("package.json has no `generate:*` scripts: there is nothing to check.");
for (const name of generators) {
  console.log(name);
  const { status } = spawnSync("npm", ["run", "--silent", name], { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
if (check && state() !== before)
  fail("Generated files were out of date and have been rewritten: review `git diff`, then commit them.");

/** Everything git sees changed, with its content. */
function state() {
  const git = (...args) => {
    const { status, stdout } = spawnSync("git", args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
    if (status !== 0) fail("Generated files can be checked only in a git repository.");
    return stdout;
  };
  return git("status", "--porcelain", "--untracked-files=all") + git("diff", "HEAD");
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
