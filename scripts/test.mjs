/**
 * `npm test`: makes ready what is missing, runs every suite, ends with the totals. `npm test -- NAME…` runs those suites or test files alone: a
 * name is a suite's, a file's path or a part of it. `--quick` stands for the names of the quick suites, `--coverage` runs all files as one suite
 * and adds the coverage of what they run, `--list` says which suites there are. A folder of tests/ with *.test.ts files is a suite.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { checkNode, ensureBuilt, ensureInstalled, root } from "./prepare.mjs";
import { choose, filesAtOnce, quick } from "./suites.mjs";

const testTimeoutMs = 1_200_000;
/** of each failure, shown again below the totals */
const failureLinesMax = 20;
/** How many of the slowest files are named after the totals of a run of several. */
const slowestShown = 10;

checkNode();
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { list: { type: "boolean" }, quick: { type: "boolean" }, coverage: { type: "boolean" } },
});
const chosen = chooseOrEnd();
ensureInstalled();
ensureBuilt();

const results = [];
for (const { name, files } of chosen) {
  console.log(`\n──── ${name} ────`);
  const started = performance.now();
  const counts = files === undefined ? await commands()[name]() : await runNodeTests(files, filesAtOnce(name));
  results.push({ name, ...counts, seconds: (performance.now() - started) / 1000 });
}
summarize(results);

/** What is to run; ends the program after `--list`, or when a name means nothing. */
function chooseOrEnd() {
  try {
    if (!values.list) return merged(choose([...(values.quick ? quick : []), ...positionals]));
  } catch (error) {
    console.error(error.message);
  }
  console.log(
    `Suites: ${choose([])
      .map(({ name }) => name)
      .join(", ")}`,
  );
  process.exit(values.list ? 0 : 2);
}

/** One coverage needs one run of all files. */
function merged(suites) {
  if (!values.coverage) return suites;
  return [{ name: "coverage", files: suites.flatMap(({ files = [] }) => files) }];
}

function commands() {
  return {
    typecheck: runCommand(["npm", "run", "--silent", "typecheck"]),
    generated: runCommand(["node", "scripts/generate.mjs", "--check"]),
    lint: runCommand(["npm", "run", "--silent", "lint"]),
    format: runCommand(["npm", "run", "--silent", "format:check"]),
    unit: runUnits,
  };
}

/** A suite of one check: the command ends with 0. */
function runCommand(command) {
  return async () => {
    const { code, output } = await run(command, true);
    return {
      passed: code === 0 ? 1 : 0,
      failed: code === 0 ? 0 : 1,
      skipped: [],
      failures: code === 0 ? [] : [{ name: command.join(" "), error: output }],
    };
  };
}

/** as-pect prints `Pass: 4 / 4` for each file. */
async function runUnits() {
  const { code, output } = await run(["npm", "run", "--silent", "test:unit"], true);
  let passed = 0;
  let failed = 0;
  for (const [, good, all] of output.replace(/\u001b\[\d+m/g, "").matchAll(/Pass: (\d+) \/ (\d+)/g)) {
    passed += Number(good);
    failed += Number(all) - Number(good);
  }
  // A file that doesn't compile prints no such line.
  if ((code !== 0 && failed === 0) || passed + failed === 0) failed++;
  // as-pect marks what fails so.
  const lines = output
    .replace(/\u001b\[\d+m/g, "")
    .split("\n")
    .filter((line) => /❌|\[(Actual|Expected|Message|Stack)\]|^(ERROR|FAILURE)/.test(line.trim()));
  return {
    passed,
    failed,
    skipped: [],
    failures: failed === 0 ? [] : [{ name: "npm run test:unit", error: lines.join("\n") }],
  };
}

async function runNodeTests(files, atOnce) {
  const results = join(root, "build", "test-results");
  mkdirSync(results, { recursive: true });
  const countsPath = join(results, `${process.pid}.json`);
  const { code } = await run([
    process.execPath,
    "--import",
    "tsx",
    "--test",
    `--test-timeout=${testTimeoutMs}`,
    `--test-concurrency=${atOnce}`,
    ...(values.coverage
      ? [
          "--experimental-test-coverage",
          "--test-coverage-include=cli/**",
          "--test-coverage-include=control/**",
          "--test-coverage-include=devstack/**",
          "--test-coverage-include=tools/**",
          "--enable-source-maps",
        ]
      : []),
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    "--test-reporter=./scripts/countReporter.mjs",
    `--test-reporter-destination=${countsPath}`,
    ...files,
  ]);
  const counts = readCounts(countsPath);
  rmSync(countsPath, { force: true });
  if (code !== 0 && counts.failed === 0) counts.failed++; // it ended before it could report
  return counts;
}

function readCounts(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    console.error(`The suite's counts can't be read: ${error.message}`);
    return { passed: 0, failed: 1, skipped: [], failures: [] };
  }
}

/** Runs a command to its end with its output shown; `keep` gives the output too. */
function run([command, ...args], keep = false) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ["ignore", keep ? "pipe" : "inherit", keep ? "pipe" : "inherit"],
    });
    // Ctrl-C reaches the whole group; a `kill` reaches only us.
    const stop = () => child.kill("SIGTERM");
    process.once("SIGTERM", stop);
    let output = "";
    for (const name of keep ? ["stdout", "stderr"] : []) {
      child[name].setEncoding("utf8").on("data", (text) => {
        output += text;
        process[name].write(text);
      });
    }
    child.on("error", (error) => console.error(error.message));
    child.on("close", (code, signal) => {
      process.off("SIGTERM", stop);
      if (signal === "SIGTERM") process.exit(143);
      resolve({ code: code ?? 1, output });
    });
  });
}

function summarize(all) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  const slowest = all
    .flatMap(({ files = [] }) => files)
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, slowestShown);
  if (slowest.length > 1)
    console.log(
      `\n──── slowest files ────\n${slowest.map(({ file, seconds }) => `${seconds.toFixed(1).padStart(7)} s  ${relative(root, file)}`).join("\n")}`,
    );
  console.log("\n──── totals ────");
  for (const { name, passed, failed, skipped, seconds } of all) {
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped.length;
    console.log(
      `${name.padEnd(14)} ${String(passed).padStart(5)} passed ${String(failed).padStart(4)} failed ${String(skipped.length).padStart(4)} skipped ${seconds.toFixed(1).padStart(8)} s`,
    );
  }
  for (const { coverage } of all)
    if (coverage !== undefined)
      console.log(
        `${((100 * coverage.covered) / coverage.lines).toFixed(1)} % of the lines of cli/, control/, devstack/ and tools/ were run (${coverage.covered} of ${coverage.lines})`,
      );
  for (const { name, skipped } of all) for (const test of skipped) console.log(`SKIPPED in ${name}: ${test}`);
  // A suite's own output may be thousands of lines up.
  for (const { name, failures = [] } of all)
    for (const one of failures)
      console.log(
        `FAILED in ${name}: ${one.name}${one.file === undefined ? "" : ` (${relative(root, one.file)})`}\n${one.error.split("\n").slice(0, failureLinesMax).join("\n").replace(/^/gm, "    ")}`,
      );
  process.exitCode = total.failed === 0 ? 0 : 1;
  console.log(
    `${total.passed} passed, ${total.failed} failed${total.skipped === 0 ? "" : `, ${total.skipped} skipped`}`,
  );
}
