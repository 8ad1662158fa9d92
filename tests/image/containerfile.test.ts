/**
 * deploy/Containerfile, carried out on this machine: what its last stage copies is laid into a folder, with the packages that its `npm ci`
 * installs, and the entry point is started there as its user. What a container engine adds (the base image, the file system) isn't tried.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, chownSync, cpSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { freePort } from "../kit/ports.ts";
import { Program } from "../kit/process.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { environmentOf, last, parseContainerfile, type Stage } from "./containerfile.ts";

const root = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);
const stages = parseContainerfile(readFileSync(join(root, "deploy/Containerfile"), "utf8"));
const [build, packages, final] = stages as [Stage, Stage, Stage];
const scratch = temporaryFolder("container");

test("the stages stand on a slim Node; what is copied from the project exists and isn't ignored", () => {
  assert.equal(stages.length, 3);
  for (const { base } of stages) assert.match(base, /^docker\.io\/library\/node:\d+-slim$/);
  const allowed = readFileSync(join(root, ".dockerignore"), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1));
  const copied = stages
    .flatMap(({ instructions }) => instructions)
    .filter(({ name, flags }) => name === "COPY" && flags["from"] === undefined)
    .flatMap(({ words }) => words.slice(0, -1));
  for (const path of copied) assert.ok(existsSync(join(root, path)), `${path} is copied and isn't there`);
  assert.deepEqual([...new Set(copied)].sort(), allowed.sort());
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  assert.ok(build.instructions.some(({ name, text }) => name === "RUN" && text === "npm run build"));
  assert.ok(scripts["build"] !== undefined);
});

test("it runs as a user by number that isn't root, with the data folder as the only volume and both ports", () => {
  assert.match(last(final, "USER").text, /^[1-9]\d*:[1-9]\d*$/);
  const env = environmentOf(final);
  assert.deepEqual(last(final, "VOLUME").words, [env["TOLLGATE_DATA_DIR"]]);
  assert.deepEqual(last(final, "EXPOSE").words, ["8090", "8091"]);
  assert.equal(env["TOLLGATE_HOST"], "0.0.0.0");
});

test("with production packages alone, read-only, as that user, control starts, is healthy and ends on SIGTERM", {
  timeout: 300_000,
}, async () => {
  const app = await layApp(join(scratch, "app"));
  assert.ok(!existsSync(join(app, "node_modules/typescript")), "a package of development is there");
  const [uid, gid] = last(final, "USER").text.split(":").map(Number) as [number, number];
  const dataDir = join(scratch, "data");
  mkdirSync(dataDir);
  const asUser = process.getuid?.() === 0;
  if (asUser) {
    chmodSync(scratch, 0o755);
    chownSync(dataDir, uid, gid);
  }
  readOnly(app);
  const [controlPort, syncPort] = [await freePort(), await freePort()];
  const env = {
    PATH: process.env["PATH"]!,
    ...environmentOf(final),
    TOLLGATE_DATA_DIR: dataDir,
    TOLLGATE_CONTROL_PORT: String(controlPort),
    TOLLGATE_SYNC_PORT: String(syncPort),
    TOLLGATE_ADMIN_TOKEN: "tga_for_tests_of_the_container",
  };
  const user = asUser ? { uid, gid } : {};
  const [program, ...args] = [...last(final, "ENTRYPOINT").words, ...last(final, "CMD").words].map((word) =>
    word.replace(/^\/app\//, `${app}/`),
  );
  const health = last(final, "HEALTHCHECK").words;
  const healthy = () =>
    run(health[0]!, health.slice(1), { cwd: app, env, ...user }).then(
      () => true,
      () => false,
    );

  assert.equal(await healthy(), false);
  const control = new Program(program!, args, { cwd: app, env, ...user });
  try {
    await control.until("it is ready", () => control.output.includes("control is ready"));
    assert.equal(await healthy(), true);
    const listed = await fetch(`http://127.0.0.1:${controlPort}/v1/environments`, {
      headers: { authorization: `Bearer ${env.TOLLGATE_ADMIN_TOKEN}` },
    });
    assert.equal(listed.status, 200);
    const { stdout } = await run(program!, [args[0]!, "--version"], { cwd: app, env, ...user });
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
    assert.equal(await control.stop("SIGTERM"), 0, control.output);
    assert.equal(await healthy(), false);
  } finally {
    await control.stop();
  }
});

/** Does what the last stage's COPY instructions say, and the packages stage's `npm ci`. */
async function layApp(app: string): Promise<string> {
  for (const path of ["dist/cli/main.js", "build/tollgate.wasm"])
    assert.ok(existsSync(join(root, path)), `${path} is missing: npm run build`);
  const installed = join(scratch, "packages");
  const places: Record<string, (path: string) => string> = {
    packages: (path) => path.replace(/^\/app\//, `${installed}/`),
    build: (path) => path.replace(/^\/build\//, `${root}/`),
  };
  mkdirSync(installed);
  mkdirSync(app);
  for (const { name, words, text } of packages.instructions) {
    if (name === "COPY") for (const path of words.slice(0, -1)) cpSync(join(root, path), join(installed, path));
    if (name === "RUN") {
      const [command, ...args] = text.split(/\s+/);
      await run(command!, args, {
        cwd: installed,
        env: { ...process.env, npm_config_prefer_offline: "true" },
        maxBuffer: 1 << 24,
      });
    }
  }
  for (const { name, words, flags } of final.instructions) {
    if (name !== "COPY") continue;
    const target = words.at(-1)!;
    for (const path of words.slice(0, -1)) {
      const source = flags["from"] === undefined ? join(root, path) : places[flags["from"]]!(path);
      cpSync(source, join(app, target.endsWith("/") ? join(target, basename(path)) : target), {
        recursive: true,
        verbatimSymlinks: true,
      });
    }
  }
  return app;
}

/** As under a read-only root: nobody may write, not even the owner. */
function readOnly(path: string): void {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return;
  if (stat.isDirectory()) for (const name of readdirSync(path)) readOnly(join(path, name));
  chmodSync(path, stat.isDirectory() ? 0o755 : stat.mode & 0o111 ? 0o555 : 0o444);
}
