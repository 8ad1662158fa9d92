/** `npm run generate`: runs every `generate:*` script of package.json. With --check it ends with 1 when that changed a file. */
import { spawnSync } from "node:child_process";
import { readJson, root } from "./prepare.mjs";

const check = process.argv.includes("--check");
const before = check ? state() : "";
for (const name of Object.keys(readJson("package.json").scripts).filter((script) => script.startsWith("generate:"))) {
  console.log(name);
  const { status } = spawnSync("npm", ["run", "--silent", name], { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
if (check && state() !== before) {
  console.error("Generated files were out of date and have been written anew: look at `git diff`, then commit them.");
  process.exit(1);
}

/** All that git sees changed, with its content. Outside a repository nothing can be compared. */
function state() {
  const git = (...args) => spawnSync("git", args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 }).stdout ?? "";
  return git("status", "--porcelain", "--untracked-files=all") + git("diff", "HEAD");
}
