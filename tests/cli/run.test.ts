import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { findEnvoy } from "../../devstack/envoy/find.ts";
import { eventually } from "../kit/eventually.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { startHttpServer } from "../kit/http.ts";
import { Running, writeIn } from "./support.ts";

const ports = ["CONTROL", "SYNC", "GATEWAY", "ENVOY_ADMIN", "UPSTREAM"].map((name) => `TOLLGATE_${name}_PORT`);
const envoy = await findEnvoy();

/** Variables for a stack on free ports with a state of its own. */
function environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { TOLLGATE_ADMIN_TOKEN: _, ...inherited } = process.env;
  return {
    ...inherited,
    ...Object.fromEntries(ports.map((name) => [name, "0"])),
    TOLLGATE_DATA_DIR: temporaryFolder(),
    TOLLGATE_ENVOY: envoy.path,
    TOLLGATE_ENVOY_CONCURRENCY: "1",
    ...more,
  };
}

async function started(env: NodeJS.ProcessEnv): Promise<Running> {
  const running = new Running(["run"], env);
  await running.says("npx tollgate keys list");
  return running;
}

const address = (running: Running, name: string): string =>
  new RegExp(`^ +${name} +(http\\S+)`, "m").exec(running.stdout)![1]!;
const keyOf = (running: Running, tier: string): string =>
  new RegExp(`^ +${tier} +(tg_\\S+)`, "m").exec(running.stdout)![1]!;

/** The ids of the processes that a stack has started, without tsx's compiler. Not by `ps`: small machines have none. */
function childrenOf(running: Running): number[] {
  const isChild = (pid: string): boolean => {
    try {
      return (
        readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ")[1] === String(running.child.pid) &&
        !commandOf(pid).includes("esbuild")
      );
    } catch {
      return false; // it has ended meanwhile
    }
  };
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && isChild(name))
    .map(Number);
}

function commandOf(pid: string | number): string {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
}

/** Does what a curl line says: not every machine has curl. */
async function follow(line: string): Promise<{ status: number; body: string }> {
  const headers = [...line.matchAll(/-H '([^:']+): ([^']+)'/g)].map(([, name, value]): [string, string] => [
    name!,
    value!,
  ]);
  const response = await fetch(/http:\S+/.exec(line)![0], { headers });
  return { status: response.status, body: await response.text() };
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

test("a stack starts, its keys and curl lines work, and it ends on Ctrl-C with 0 and without leftovers", async () => {
  const env = environment({ TOLLGATE_DATABASE_URL: "" });
  // A folder of an earlier version, open to all.
  chmodSync(env.TOLLGATE_DATA_DIR!, 0o755);
  writeIn(env.TOLLGATE_DATA_DIR!, "envoy.log", "", 0o644);
  const running = await started(env);
  const curls = running.stdout
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.startsWith("curl "));
  assert.equal(curls.length, 3);
  const [first, second, third] = await Promise.all(curls.map(follow));
  const echoed = JSON.parse(first!.body) as { path: string; headers: Record<string, string> };
  assert.equal(echoed.path, "/hello");
  assert.equal(echoed.headers["x-tollgate-tier"], "bronze");
  assert.equal(echoed.headers["x-tollgate-consumer"], "initech");
  assert.equal(echoed.headers["x-api-key"], undefined);
  const headers = (JSON.parse(second!.body) as typeof echoed).headers;
  assert.equal(headers["x-tollgate-tier"], "admin");
  assert.equal(headers["authorization"], undefined);
  assert.equal(third!.status, 401);
  assert.match(third!.body, /"reason": ?"key_missing"/);

  const gateway = address(running, "gateway");
  const status = async (path: string, init?: RequestInit): Promise<number> =>
    (await fetch(`${gateway}${path}`, init)).status;
  assert.equal(await status("/public/x"), 200);
  assert.equal(await status("/search", { method: "POST", headers: { "x-api-key": keyOf(running, "bronze") } }), 403);
  assert.equal(await status("/search", { method: "POST", headers: { "x-api-key": keyOf(running, "platinum") } }), 200);
  assert.equal(await status(`/x?api_key=${keyOf(running, "platinum")}`), 200);

  await eventually("the requests in the access log", () =>
    readFileSync(join(env.TOLLGATE_DATA_DIR!, "access.log"), "utf8").includes("key_missing") ? true : undefined,
  );
  assert.equal(
    readFileSync(join(env.TOLLGATE_DATA_DIR!, "access.log"), "utf8").includes("tg_default_"),
    false,
    "no key is in the access log",
  );

  const children = childrenOf(running);
  assert.equal(children.length, 3, "control, Envoy and the guard");
  const variables = (pid: number): string[] =>
    readFileSync(`/proc/${pid}/environ`, "utf8")
      .split("\0")
      .map((line) => line.split("=")[0]!)
      .filter((name) => name.startsWith("TOLLGATE_"));
  const named = (part: string): number => children.find((pid) => commandOf(pid).includes(part))!;
  assert.deepEqual(variables(named("envoy.json")), ["TOLLGATE_GATEWAY_TOKEN"]);
  assert.deepEqual(variables(named("guardProcess")), []);
  const dataDir = env.TOLLGATE_DATA_DIR!;
  for (const name of ["", ...readdirSync(dataDir)])
    assert.equal(statSync(join(dataDir, name)).mode & 0o077, 0, `${name} is for its user alone`);
  running.child.kill("SIGINT");
  assert.equal(await running.ended, 0);
  assert.match(running.stdout, /Stopping …\n$/);
  assert.equal(running.stderr, "");
  await eventually("the end of all processes", () => (children.some(lives) ? undefined : true));
  for (const name of ["access.log", "control.log", "envoy.log", "envoy.json", "tollgate.db"])
    assert.ok(existsSync(join(env.TOLLGATE_DATA_DIR!, name)), name);
  assert.doesNotMatch(
    readFileSync(join(env.TOLLGATE_DATA_DIR!, "envoy.json"), "utf8"),
    /tgg_/,
    "the gateway token stays out of Envoy's configuration",
  );
});

test("a second start keeps the state and replaces the keys", async () => {
  const env = environment({ TOLLGATE_ADMIN_TOKEN: "an-admin-token-of-my-own" });
  const first = await started(env);
  const old = keyOf(first, "bronze");
  assert.equal(first.stdout.includes("an-admin-token-of-my-own"), false, "a token that was given isn't repeated");
  const token = { authorization: "Bearer an-admin-token-of-my-own" };
  const made = await fetch(`${address(first, "admin API")}/v1/consumers`, {
    method: "POST",
    headers: { ...token, "content-type": "application/json" },
    body: JSON.stringify({ id: "mine", tier: "bronze" }),
  });
  assert.equal(made.status, 201);
  first.child.kill("SIGTERM");
  assert.equal(await first.ended, 0);

  const second = await started(env);
  const fresh = keyOf(second, "bronze");
  assert.notEqual(fresh, old);
  const ask = async (key: string): Promise<number> =>
    (await fetch(address(second, "gateway"), { headers: { "x-api-key": key } })).status;
  assert.equal(await ask(fresh), 200);
  assert.equal(await ask(old), 401);
  assert.equal((await fetch(`${address(second, "admin API")}/v1/consumers/mine`, { headers: token })).status, 200);
  second.child.kill("SIGINT");
  assert.equal(await second.ended, 0);
});

test("when Envoy or control dies, the stack says so with the last log lines and ends with 1", async () => {
  for (const [name, pattern] of [
    ["Envoy", /envoy/],
    ["control", /serve/],
  ] as const) {
    const running = await started(environment());
    const children = childrenOf(running);
    const victim = children.find((pid) => pattern.test(commandOf(pid)))!;
    process.kill(victim, "SIGKILL");
    assert.equal(await running.ended, 1);
    assert.match(
      running.stderr,
      new RegExp(
        `^${name} ended by itself \\(signal SIGKILL\\)\\.\n  Its last lines, all of them in .*${name.toLowerCase()}\\.log:\n    `,
      ),
    );
    await eventually("the end of all processes", () => (children.some(lives) ? undefined : true));
  }
});

test("a stack that is killed leaves no children", async () => {
  const running = await started(environment());
  const children = childrenOf(running);
  assert.equal(children.filter(lives).length, 3);
  running.child.kill("SIGKILL");
  await running.ended;
  await eventually("the end of all processes", () => (children.some(lives) ? undefined : true));
});

test("a file of one's own, of another environment", async () => {
  const file = writeIn(
    temporaryFolder(),
    "own.yaml",
    `version: 1
environment: staging
apis: [{id: all, hosts: ["*"], paths: [/], upstream: {service: all, port: 80}}]
tiers: [{id: gold}, {id: unused}]
consumers: [{id: me, tier: gold}]
`,
  );
  const running = new Running(["run", "-f", file], environment());
  await running.says("npx tollgate keys list");
  assert.match(keyOf(running, "gold"), /^tg_staging_/);
  assert.doesNotMatch(running.stdout, /^ +unused /m, "a tier without consumers has no key");
  running.child.kill("SIGINT");
  assert.equal(await running.ended, 0);
});

/** Runs a stack that can't start; gives what it says. */
async function refused(env: NodeJS.ProcessEnv, args: string[] = []): Promise<string> {
  const running = new Running(["run", ...args], env);
  assert.equal(await running.ended, 1);
  assert.doesNotMatch(running.stderr, /^ +at /m, "a stack trace is no message");
  return running.stderr;
}

test("a port in use: the variable is named", async () => {
  const { port, close } = await startHttpServer(() => undefined);
  after(close);
  for (const name of ports)
    assert.match(
      await refused(environment({ [name]: String(port) })),
      new RegExp(`Port ${port}, for [^]* is in use: set ${name} to another\\.`),
    );
});

test("a port that is no port, or the same for two: the variables are named", async () => {
  assert.match(
    await refused(environment({ TOLLGATE_GATEWAY_PORT: "80a" })),
    /TOLLGATE_GATEWAY_PORT is "80a"\.\n.*from 0 to 65535/,
  );
  const message = await refused(environment({ TOLLGATE_GATEWAY_PORT: "18081", TOLLGATE_SYNC_PORT: "18081" }));
  assert.match(
    message,
    /Port 18081 is meant for control's sync port \(TOLLGATE_SYNC_PORT\) and for the gateway \(TOLLGATE_GATEWAY_PORT\)/,
  );
});

test("a data folder that can't be written: the variable is named", async () => {
  const file = writeIn(temporaryFolder(), "file", "");
  assert.match(
    await refused(environment({ TOLLGATE_DATA_DIR: join(file, "data") })),
    /data.* can't be written[^]*TOLLGATE_DATA_DIR/,
  );
});

test("a broken file: every error with its place", async () => {
  const file = writeIn(
    temporaryFolder(),
    "broken.yaml",
    "version: 1\ntiers:\n  - {id: bronze, scops: [read]}\nconsumers:\n  - {id: a, tier: silver}\n",
  );
  assert.match(
    await refused(environment(), ["-f", file]),
    /broken\.yaml:3:\d+: tiers\[0\]\.scops: Unknown field `scops`\. Did you mean `scopes`\?/,
  );
  const syntax = writeIn(temporaryFolder(), "syntax.yaml", "version: 1\napis: [\n");
  assert.match(await refused(environment(), ["-f", syntax]), /syntax\.yaml:\d+:\d+: /);
  assert.match(await refused(environment(), ["-f", "/absent.yaml"]), /absent\.yaml can't be read[^]*tollgate run -f/);
});

test("no Envoy: the ways to get one are named", async () => {
  const path = temporaryFolder();
  const env = environment({ PATH: path, HOME: path, FUNC_E_DATA_HOME: "", FUNC_E_HOME: "" });
  assert.match(
    await refused({ ...env, TOLLGATE_ENVOY: join(path, "absent") }),
    /TOLLGATE_ENVOY is .*absent, which can't be used[^]*Point TOLLGATE_ENVOY/,
  );
});

test("a database that can't be opened: control's own words reach the reader", async () => {
  const message = await refused(environment({ TOLLGATE_DATABASE_URL: "mysql://nowhere" }));
  assert.match(message, /^control ended by itself \(exit code 1\)[^]*TOLLGATE_DATABASE_URL is neither/);
});
