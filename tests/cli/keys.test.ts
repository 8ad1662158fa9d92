import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { wellFormedKey } from "../../control/domain/keys.ts";
import type { Key } from "../../control/domain/model.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { cli, root, startTestControl, writeIn } from "./support.ts";

const { env } = await startTestControl();
assert.equal((await cli(["apply", "-f", join(root, "examples/demo/tollgate.yaml")], env)).code, 0);

type Issued = Key & { key: string; previous?: Key };
const keys = (...args: string[]) => cli(["keys", ...args], env);
const asJson = async <T>(...args: string[]): Promise<T> => {
  const outcome = await keys(...args, "--json");
  assert.equal(outcome.code, 0, outcome.stderr);
  return JSON.parse(outcome.stdout) as T;
};

test("create shows the key once, list and get never", async () => {
  const outcome = await keys("create", "--consumer", "acme", "--name", "mobile app");
  assert.equal(outcome.code, 0);
  const key = /^key +(\S+)$/m.exec(outcome.stdout)![1]!;
  const id = /^id +(\S+)$/m.exec(outcome.stdout)![1]!;
  assert.ok(wellFormedKey(key));
  assert.match(outcome.stdout, /It is not stored and can't be shown again/);

  const listed = await keys("list", "--consumer", "acme");
  assert.match(
    listed.stdout,
    new RegExp(
      `^ID +PREFIX +CONSUMER +TIER +STATE +EXPIRES +NAME\n${id} +${key.slice(0, 15)} +acme +- +active +- +mobile app\n$`,
    ),
  );
  const got = await keys("get", id);
  assert.match(got.stdout, new RegExp(`^sha256: ${createHash("sha256").update(key).digest("hex")}$`, "m"));
  for (const { stdout } of [listed, got]) assert.equal(stdout.includes(key), false);
});

test("create takes everything that a key can have", async () => {
  const made = await asJson<Issued>(
    "create",
    "--consumer",
    "acme",
    "--id",
    "full",
    "--tier",
    "admin",
    "--expires",
    "2099-01-01T00:00:00Z",
    "--not-before",
    "1h",
    "--cidr",
    "10.0.0.0/8",
    "--cidr",
    "192.168.0.0/16",
    "--api",
    "echo",
    "--scope",
    "read",
  );
  assert.equal(made.id, "full");
  assert.equal(made.tier, "admin");
  assert.equal(made.expiresAt, "2099-01-01T00:00:00Z");
  assert.ok(Date.parse(made.notBefore!) - Date.now() > 3_500_000);
  assert.deepEqual(made.allowedCidrs, ["10.0.0.0/8", "192.168.0.0/16"]);
  assert.deepEqual(made.apis, ["echo"]);
  assert.deepEqual(made.scopes, ["read"]);
  assert.match((await keys("list", "--consumer", "acme")).stdout, /^full .* not yet +2099-01-01T00:00:00Z/m);
});

test("rotate issues a successor; the old key lives for the grace, or not at all", async () => {
  const first = await asJson<Issued>("create", "--consumer", "initech");
  const outcome = await keys("rotate", first.id, "--grace", "90m", "--new-id", "second");
  assert.equal(outcome.code, 0);
  assert.match(outcome.stdout, new RegExp(`id +second\n[^]*The old key ${first.id} is valid until \\S+Z\\.\n$`));
  const old = await asJson<Key>("get", first.id);
  assert.equal(old.rotatedTo, "second");
  const leftMs = Date.parse(old.expiresAt!) - Date.now();
  assert.ok(leftMs > 85 * 60_000 && leftMs <= 90 * 60_000);
  assert.match((await keys("rotate", "second", "--grace", "0")).stdout, /The old key second is revoked\./);
  assert.match((await keys("rotate", "second")).stderr, /Key `second` is revoked\.[^]*\(status 409, key_revoked\)/);
  assert.match((await keys("list", "--consumer", "initech")).stdout, new RegExp(`^${first.id} .* rotated `, "m"));
});

test("rotate refuses a suspended key; keys of a suspended consumer come with a warning", async () => {
  const { id } = await asJson<Issued>("create", "--consumer", "initech");
  await keys("suspend", id);
  const refused = await keys("rotate", id);
  assert.deepEqual([refused.code, refused.stdout], [1, ""]);
  assert.match(refused.stderr, new RegExp(`Key \`${id}\` is suspended[^]*Resume the key [^]*key_suspended`));
  await keys("resume", id);
  assert.equal((await cli(["consumers", "suspend", "initech"], env)).code, 0);
  for (const args of [
    ["rotate", id],
    ["create", "--consumer", "initech"],
  ]) {
    const { code, stderr } = await keys(...args);
    assert.equal(code, 0);
    assert.match(stderr, /^warning: The consumer `initech` is suspended. Gateways deny the key/);
  }
  assert.equal((await cli(["consumers", "resume", "initech"], env)).code, 0);
});

test("list says when a key has expired", async () => {
  const digest = createHash("sha256").update("an old key").digest("hex");
  const file = writeIn(
    temporaryFolder(),
    "old.ndjson",
    JSON.stringify({ consumer: "initech", id: "old", sha256: digest, expiresAt: "2020-01-01T00:00:00Z" }),
  );
  await keys("import", "-f", file);
  assert.match((await keys("list", "--consumer", "initech")).stdout, /^old .* expired +2020-01-01T00:00:00Z/m);
});

test("revoke, suspend, resume, delete", async () => {
  const { id } = await asJson<Issued>("create", "--consumer", "acme");
  assert.deepEqual(await keys("suspend", id), { code: 0, stdout: `${id} is suspended.\n`, stderr: "" });
  assert.equal((await asJson<Key>("get", id)).state, "suspended");
  assert.equal((await keys("resume", id)).stdout, `${id} is active again.\n`);
  assert.equal((await keys("revoke", id)).stdout, `${id} is revoked.\n`);
  const resumed = await keys("resume", id);
  assert.equal(resumed.code, 1);
  assert.match(resumed.stderr, /Revocation is permanent/);
  assert.match((await keys("list", "--state", "revoked", "--json")).stdout, new RegExp(id));
  assert.deepEqual(await asJson("delete", id), { id, deleted: true });
  const gone = await keys("get", id);
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, new RegExp(`${id}[^]*\\(status 404, record_not_found\\)`));
});

test("import takes digests and foreign keys, reports each bad line, and can be repeated", async () => {
  const folder = temporaryFolder();
  const digest = createHash("sha256").update("another key").digest("hex");
  const good = writeIn(
    folder,
    "keys.ndjson",
    `{"consumer":"acme","key":"legacy-key-of-any-form"}\n{"consumer":"acme","sha256":"${digest}","id":"imported"}\n`,
  );
  assert.deepEqual(await keys("import", "-f", good), {
    code: 0,
    stdout: "2 created, 0 unchanged, 0 failed.\n",
    stderr: "",
  });
  assert.equal((await keys("import", "-f", good)).stdout, "0 created, 2 unchanged, 0 failed.\n");

  const bad = writeIn(
    folder,
    "bad.ndjson",
    `{"consumer":"nobody","key":"x"}\nnot json\n{"consumer":"acme","key":"fine"}\n`,
  );
  const outcome = await keys("import", "-f", bad);
  assert.equal(outcome.code, 1);
  assert.equal(outcome.stdout, "1 created, 0 unchanged, 2 failed.\n");
  assert.match(outcome.stderr, /bad\.ndjson:1: consumer: [^]*bad\.ndjson:2: The line is not JSON\./);
  assert.match((await keys("import", "-f", join(folder, "absent"))).stderr, /absent can't be read/);
});

test("list pages, and says when there is more", async () => {
  const lines = Array.from({ length: 1205 }, (_, index) =>
    JSON.stringify({ consumer: "operations", key: `bulk-${index}` }),
  ).join("\n");
  assert.equal((await keys("import", "-f", writeIn(temporaryFolder(), "bulk.ndjson", lines))).code, 0);
  const some = await keys("list", "--consumer", "operations", "--limit", "7");
  assert.equal(some.stdout.trimEnd().split("\n").length, 8);
  assert.equal(some.stderr, "There are more: --limit 0 shows all.\n");
  const all = await keys("list", "--consumer", "operations", "--limit", "0", "--json");
  assert.equal((JSON.parse(all.stdout) as Key[]).length, 1205);
  assert.equal(all.stderr, "");
});

test("lengths and numbers that are none are usage errors", async () => {
  for (const args of [
    ["rotate", "x", "--grace", "soon"],
    ["create", "--consumer", "a", "--expires", "tomorrow"],
    ["list", "--limit", "-1"],
  ]) {
    const outcome = await keys(...args);
    assert.equal(outcome.code, 2, args.join(" "));
    assert.match(outcome.stderr, /error: option '--(grace|expires|limit) .*is invalid\. Give a /);
  }
});

test("an expiry that is no time, too far away or over is refused before anything is issued", async () => {
  for (const command of [
    ["keys", "create", "--consumer", "acme"],
    ["admin-tokens", "create", "--name", "n"],
    ["gateway-tokens", "create", "--group", "g"],
  ]) {
    for (const [expires, message] of [
      ["99999999d", /more than 100 years/],
      ["0d", /isn't in the future/],
      ["2020-01-01", /isn't in the future/],
      ["2020-01-01T00:00:00Z", /isn't in the future/],
      ["soon", /s, m, h, d, w, mo .* or y/],
    ] as const) {
      const { code, stderr, stdout } = await cli([...command, "--expires", expires], env);
      assert.deepEqual([code, stdout], [2, ""], `${command.join(" ")} --expires ${expires}`);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /\n {4}at /, "no stack");
    }
  }
});
