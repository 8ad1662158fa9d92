import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { openStore } from "../../control/store/open.ts";
import { SqlUsage } from "../../control/usage/usage.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { cli, startTestControl, writeIn } from "./support.ts";

const { env, databaseUrl } = await startTestControl();
const folder = temporaryFolder();
const run = (...args: string[]) => cli(args, env);
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

const file = `version: 1
apis: [{id: echo, hosts: ["*"], paths: [/], upstream: {service: up, port: 80}, routes: [{path: /search, cost: 5}]}]
tiers:
  - id: bronze
    limits:
      - {name: day, kind: quota, limit: 1000, period: day, subject: consumer}
      - {name: minute, kind: rate, limit: 60, windowSeconds: 60}
      - {name: near, kind: rate, limit: 5, windowSeconds: 1, enforcement: gateway}
      - {name: trial, kind: quota, limit: 9, period: 30d}
consumers: [{id: acme, tier: bronze}]
keys: [{id: k1, consumer: acme, sha256: ${sha256("k1")}}]
`;

/** Puts usage into control's database as a gateway would, through its sync port, in one batch. */
async function use(): Promise<void> {
  const store = await openStore(databaseUrl, (error) => assert.fail(error));
  const wire = (await store.snapshotRead("default", async (reader) => ({
    api: (await reader.apiById("echo"))!.wireId,
    consumer: (await reader.consumerById("acme"))!.wireId,
  })))!;
  const usage = new SqlUsage(store.dialect);
  const minute = Math.floor(Date.now() / 60_000);
  await usage.record("default", "edge~1", 1n, 1n, [
    {
      minute,
      ...wire,
      route: undefined,
      digest: sha256("k1").slice(0, 32),
      counts: [
        [0, 4],
        [1, 4],
        [9, 4],
        [18, 4],
      ],
    },
    {
      minute,
      ...wire,
      route: 0,
      digest: sha256("k1").slice(0, 32),
      counts: [
        [0, 1],
        [1, 5],
        [2, 1],
        [12, 1],
        [24, 1],
      ],
    },
    {
      minute,
      api: 0,
      route: undefined,
      consumer: 0,
      digest: "0".repeat(32),
      counts: [
        [64 + 12, 3],
        [128 + 24, 2],
      ],
    },
  ]);
  await usage.settle();
  await usage.close();
  await store.close();
}

test("usage: a table, CSV, JSON", async () => {
  assert.match((await run("usage")).stdout, /^Nothing was counted from \S+Z to \S+Z\.\n$/);
  assert.equal((await run("apply", "-f", writeIn(folder, "t.yaml", file))).code, 0);
  await use();
  const lines = (await run("usage", "--group", "api,route")).stdout.split("\n");
  assert.match(lines[0]!, /^\S+Z to \S+Z$/);
  assert.deepEqual(
    lines.slice(1).map((line) => line.split(/ {2,}/)),
    [
      [
        "API",
        "ROUTE",
        "ADMITTED",
        "COST",
        "REFUSED",
        "OVERSHOOT",
        "OBSERVED",
        "2XX",
        "3XX",
        "4XX",
        "5XX",
        "P50 MS",
        "P90 MS",
        "P99 MS",
      ],
      ["echo", "-", "4", "4", "0", "0", "0", "4", "0", "0", "0", "3.5", "4.7", "5"],
      ["-", "-", "0", "0", "3", "0", "2", "0", "0", "0", "0", "-", "-", "-"],
      ["echo", "/search", "1", "5", "0", "1", "0", "0", "0", "0", "1", "375", "475", "497.5"],
      ["In all 5 admitted at a cost of 9, 3 refused: unknown_key 3."],
      ["Only noted, in observe mode or by shadow limits: rate_limited 2."],
      [""],
    ],
  );
  assert.match(
    (await run("usage", "--group", "reason", "--by", "day", "--since", "2d")).stdout,
    /^TIME +REASON +REFUSED +OBSERVED\n\S+T00:00:00Z +unknown_key +3 +0\n/m,
  );
  assert.match((await run("usage", "--group", "status", "--key", "k1")).stdout, /^STATUS +ANSWERS\n2xx +4\n5xx +1\n/m);
  assert.match(
    (await run("usage", "--csv", "--group", "key", "--consumer", "acme", "--by", "hour")).stdout,
    /^time,key,admitted,[^\r]*\r\n\S+Z,k1,5,9,1,0,0,0,0,0,4,0,0,1,\S+\r\n$/,
  );
  assert.equal(
    (JSON.parse((await run("usage", "--json")).stdout) as { totals: { admitted: number } }).totals.admitted,
    5,
  );
});

test("usage: what can't be", async () => {
  assert.match((await run("usage", "--by", "week")).stderr, /Allowed choices are minute, hour, day, total/);
  assert.equal((await run("usage", "--by", "week")).code, 2);
  assert.deepEqual(await run("usage", "--csv", "--json"), {
    code: 2,
    stdout: "",
    stderr: "Give --json or --csv, not both.\n",
  });
  const gone = await run("usage", "--by", "minute", "--since", "30d");
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /Minutes are kept from \S+ on\.[^]*\(status 422, usage_minutes_gone\)/);
  assert.match((await run("usage", "--since", "soon")).stderr, /`from` is `soon`\. Give a time such as /);
});

test("quota: shown, granted, reset", async () => {
  const rows = (text: string) =>
    text
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/));
  const shown = rows((await run("quota", "show", "--key", "k1")).stdout);
  assert.deepEqual(
    shown.map((row) => row.slice(0, 11)),
    [
      ["LIMIT", "COUNTS BY", "OF", "PER", "AMOUNT", "EXTRA", "USED", "HELD", "REMAINING", "COUNTED", "DIFFERENCE"],
      ["day", "consumer", "tier bronze", "day", "1000", "0", "0", "0", "1000", "9", "-9"],
      ["minute", "key", "tier bronze", "60 s", "60", "0", "0", "0", "60", ...shown[2]!.slice(9, 11)],
      ["near", "key", "tier bronze", "1 s", "5", "-", "-", "-", "-", "-", "-"],
      ["trial", "key", "tier bronze", "30d", "9", "0", "-", "-", "-", "-", "-"],
    ],
  );
  assert.deepEqual(shown.map((row) => row[11]).slice(3), ["in each gateway", "not yet used"]);
  assert.match(shown[1]![11]!, /T00:00:00Z$/);

  const granted = await run("quota", "grant", "50", "--consumer", "acme");
  assert.match(
    granted.stdout,
    /^50 granted to acme on day\.\nLIMIT [^]*\nday +consumer +tier bronze +day +1000 +50 +0 +0 +1050 /,
  );
  const pending = await run("quota", "grant", "3", "--key", "k1", "--limit", "trial");
  assert.match(pending.stdout, /^trial +key +tier bronze +30d +9 +3 +- /m);
  const reset = await run("quota", "reset", "--consumer", "acme");
  assert.match(reset.stdout, /^day of acme reset\.\n[^]*\nday +consumer +tier bronze +day +1000 +0 +0 /);
  const report = JSON.parse((await run("quota", "show", "--consumer", "acme", "--json")).stdout) as {
    limits: { name: string; generation: number }[];
  };
  assert.deepEqual(
    report.limits.map(({ name, generation }) => [name, generation]),
    [["day", 2]],
  );
  assert.match((await run("audit", "--limit", "1")).stdout, /reset-quota +consumer +acme/);
});

test("quota: what can't be", async () => {
  for (const args of [["show"], ["show", "--key", "k1", "--consumer", "acme"], ["reset"], ["grant", "5"]]) {
    assert.deepEqual(await run("quota", ...args), {
      code: 2,
      stdout: "",
      stderr: "Give --key or --consumer, one of them.\n",
    });
  }
  assert.equal((await run("quota", "grant", "none", "--key", "k1")).code, 2);
  assert.match(
    (await run("quota", "show", "--key", "nope")).stderr,
    /There is no key `nope`\.[^]*\(status 404, record_not_found\)/,
  );
  assert.match(
    (await run("quota", "reset", "--key", "k1", "--limit", "nope")).stderr,
    /there are `minute`, `trial`\.[^]*\(status 409, limit_not_applicable\)/,
  );
});
