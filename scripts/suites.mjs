/** The suites of `npm test`, and which test files a name on its command line means. */
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { root } from "./prepare.mjs";

/** Suites that aren't a folder of test files for Node. */
export const commands = ["typecheck", "generated", "lint", "format", "unit"];

/**
 * Files of these suites wait for windows, leases and processes more than they compute: twice as many run side by side as there are processors.
 * Files of the others compute; one runs on each processor.
 */
const waiting = new Set(["control", "control-sync", "counters", "usage", "cli", "envoy", "istio", "doctor"]);
/** Files of these take turns: they write to the same places, or measure. */
const alone = new Set(["bench", "image", "manifests"]);
const waitingMost = 6;

/** In the order in which a mistake shows soonest; those that aren't named follow by name. */
const order = [
  "wire",
  "host",
  "control",
  "store",
  "control-sync",
  "counters",
  "usage",
  "cli",
  "image",
  "fuzz",
  "envoy",
];

/** What `npm run test:quick` runs: all that needs no Envoy, no other server and no build tool beyond Node. */
export const quick = [...commands, "wire", "tests/store/sqlite.test.ts", "control"];

/** The folders of tests/ with test files, each with its files' paths from the project's folder. */
export function nodeSuites() {
  return readdirSync(join(root, "tests"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({ name, files: testFiles(join("tests", name)) }))
    .filter(({ files }) => files.length > 0)
    .sort((a, b) => place(a.name) - place(b.name) || (a.name < b.name ? -1 : 1));
}

/** How many files of a suite run at once. */
export function filesAtOnce(suite) {
  const processors = availableParallelism();
  if (alone.has(suite)) return 1;
  return waiting.has(suite) ? Math.min(waitingMost, 2 * processors) : Math.min(waitingMost, processors);
}

/**
 * What names mean: `[{ name, files }]`, one for each suite that has any of them, in the order of the suites; commands have no files. A name is
 * a suite's, a test file's path, or a part of the paths of test files. Without names: everything. Throws an Error for a name that means nothing.
 */
export function choose(names) {
  const all = [...commands.map((name) => ({ name, files: undefined })), ...nodeSuites()];
  if (names.length === 0) return all;
  const chosen = new Map();
  for (const name of names) {
    const found = matching(all, name);
    if (found.length === 0) throw new Error(`There is no suite or test file ${name}.`);
    for (const { name: suite, files } of found) {
      if (files === undefined) chosen.set(suite, undefined);
      else chosen.set(suite, new Set([...(chosen.get(suite) ?? []), ...files]));
    }
  }
  return all
    .filter(({ name }) => chosen.has(name))
    .map(({ name, files }) => ({ name, files: files?.filter((file) => chosen.get(name).has(file)) }));
}

function matching(all, name) {
  const suites = all.filter((suite) => suite.name === name);
  if (suites.length > 0) return suites;
  const part = name.replace(/^\.\//, "");
  const exact = existsSync(join(root, part)) && part.endsWith(".test.ts");
  return all
    .filter(({ files }) => files !== undefined)
    .map(({ name: suite, files }) => ({
      name: suite,
      files: files.filter((file) => (exact ? file === part : file.includes(part))),
    }))
    .filter(({ files }) => files.length > 0);
}

function testFiles(folder) {
  return readdirSync(join(root, folder), { recursive: true })
    .filter((path) => path.endsWith(".test.ts"))
    .map((path) => join(folder, path))
    .sort();
}

function place(name) {
  return order.includes(name) ? order.indexOf(name) : order.length;
}
