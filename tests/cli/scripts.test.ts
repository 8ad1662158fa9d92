import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryFolder } from "../kit/folders.ts";
import { root, writeIn } from "./support.ts";
import { choose, quick } from "../../scripts/suites.mjs";

/** Runs a command in the project's folder; gives its exit code and its output. */
function run(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(command, args, { cwd: root, env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });
}

test("the reporter counts tests, and suites only when left out, and keeps why", async () => {
  const folder = temporaryFolder();
  const file = writeIn(
    folder,
    "sample.test.mjs",
    `
    import { describe, test } from "node:test";
    describe("suite", () => { test("good", () => {}); test("bad", () => { throw new Error("x"); }); });
    test("left out", { skip: "no database here" }, () => {});
    test("left out at run time", (t) => t.skip("no network here"));
    describe("a whole suite", { skip: "no server here" }, () => { test("one of it", () => {}); });
    test("later", { todo: true }, () => {});
  `,
  );
  const counts = join(folder, "counts.json");
  // Inside a test run, node would take the inner one for a part of the outer.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { code } = await run(
    process.execPath,
    [
      "--test",
      `--test-reporter=${join(root, "scripts/countReporter.mjs")}`,
      `--test-reporter-destination=${counts}`,
      file,
    ],
    env,
  );
  assert.equal(code, 1);
  const { failures, files, ...rest } = JSON.parse(readFileSync(counts, "utf8")) as {
    failures: { name: string; file: string; error: string }[];
    files: { file: string; seconds: number }[];
  };
  assert.deepEqual(
    files.map((one) => [one.file, one.seconds > 0]),
    [[file, true]],
  );
  assert.deepEqual(
    failures.map(({ name, file: path, error }) => [name, path, error.split("\n")[0]]),
    [["bad", file, "Error: x"]],
  );
  assert.deepEqual(rest, {
    passed: 1,
    failed: 1,
    skipped: [
      "left out: no database here",
      "left out at run time: no network here",
      "a whole suite: no server here",
      "later: no reason given",
    ],
  });
});

test("npm test names its suites, and refuses one that isn't there", async () => {
  const list = await run(process.execPath, ["scripts/test.mjs", "--list"]);
  assert.equal(list.code, 0);
  for (const suite of ["typecheck", "generated", "unit", "wire", "host", "control", "cli", "envoy"])
    assert.match(list.output, new RegExp(`\\b${suite}\\b`));
  const wrong = await run(process.execPath, ["scripts/test.mjs", "cli", "nonsense"]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.output, /There is no suite or test file nonsense\./);
});

test("a name on npm test's command line is a suite, a test file's path or a part of paths", () => {
  const [first, ...rest] = choose([]);
  assert.deepEqual([first!.name, first!.files], ["typecheck", undefined]);
  for (const { name, files } of rest)
    assert.ok(files === undefined || files.every((file) => file.startsWith(`tests/${name}/`)), name);
  assert.deepEqual(choose(["tests/wire/properties.test.ts"]), [
    { name: "wire", files: ["tests/wire/properties.test.ts"] },
  ]);
  assert.deepEqual(choose(["./tests/wire/properties.test.ts"]), choose(["wire/properties"]));
  assert.deepEqual(
    choose(["wire"]),
    rest.filter(({ name }) => name === "wire"),
  );
  assert.deepEqual(
    choose(["sqlite"]).map(({ name }) => name),
    ["store", "control-sync", "counters", "usage"],
  );
  assert.deepEqual(choose(["store/sqlite", "unit", "store"]), [
    { name: "unit", files: undefined },
    ...rest.filter(({ name }) => name === "store"),
  ]);
  assert.throws(
    () => choose(["tests/wire/absent.test.ts"]),
    /There is no suite or test file tests\/wire\/absent\.test\.ts\./,
  );
  assert.deepEqual(
    choose(quick).map(({ name, files }) => (name === "store" ? files : name)),
    ["typecheck", "generated", "lint", "format", "unit", "wire", "control", ["tests/store/sqlite.test.ts"]],
  );
});

test("the lock file asks for nothing that needs a newer Node than package.json says", () => {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { engines?: { node?: string }; optional?: boolean }>;
  };
  const needsNewer = Object.entries(lock.packages).filter(([, { engines }]) =>
    /^>=? ?2[1-9]/.test(engines?.node ?? ""),
  );
  assert.deepEqual(
    needsNewer.map(([path]) => path),
    [],
  );
});
