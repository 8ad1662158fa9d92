import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryFolder } from "../kit/folders.ts";
import { root, writeIn } from "./support.ts";

/** Runs a command in the project's folder; gives its exit code and its output. */
function run(command: string, args: string[], env: NodeJS.ProcessEnv = process.env): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(command, args, { cwd: root, env }, (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }));
  });
}

test("the reporter counts tests, and suites only when left out, and keeps why", async () => {
  const folder = temporaryFolder();
  const file = writeIn(folder, "sample.test.mjs", `
    import { describe, test } from "node:test";
    describe("suite", () => { test("good", () => {}); test("bad", () => { throw new Error("x"); }); });
    test("left out", { skip: "no database here" }, () => {});
    test("left out at run time", (t) => t.skip("no network here"));
    describe("a whole suite", { skip: "no server here" }, () => { test("one of it", () => {}); });
    test("later", { todo: true }, () => {});
  `);
  const counts = join(folder, "counts.json");
  // Inside a test run, node would take the inner one for a part of the outer.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { code } = await run(process.execPath, ["--test", `--test-reporter=${join(root, "scripts/countReporter.mjs")}`, `--test-reporter-destination=${counts}`, file], env);
  assert.equal(code, 1);
  const { failures, ...rest } = JSON.parse(readFileSync(counts, "utf8")) as { failures: { name: string; file: string; error: string }[] };
  assert.deepEqual(failures.map(({ name, file: path, error }) => [name, path, error.split("\n")[0]]), [["bad", file, "Error: x"]]);
  assert.deepEqual(rest, {
    passed: 1,
    failed: 1,
    skipped: ["left out: no database here", "left out at run time: no network here", "a whole suite: no server here", "later: no reason given"],
  });
});

test("npm test names its suites, and refuses one that isn't there", async () => {
  const list = await run(process.execPath, ["scripts/test.mjs", "--list"]);
  assert.equal(list.code, 0);
  for (const suite of ["typecheck", "generated", "unit", "wire", "host", "control", "cli", "envoy"]) assert.match(list.output, new RegExp(`\\b${suite}\\b`));
  const wrong = await run(process.execPath, ["scripts/test.mjs", "--only", "cli,nonsense"]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.output, /There is no suite nonsense\./);
});

test("the lock file asks for nothing that needs a newer Node than package.json says", () => {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as { packages: Record<string, { engines?: { node?: string }; optional?: boolean }> };
  const needsNewer = Object.entries(lock.packages).filter(([, { engines }]) => /^>=? ?2[1-9]/.test(engines?.node ?? ""));
  assert.deepEqual(needsNewer.map(([path]) => path), []);
});
