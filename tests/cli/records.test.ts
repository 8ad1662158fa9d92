import assert from "node:assert/strict";
import { test } from "node:test";
import { temporaryFolder } from "../kit/folders.ts";
import { cli, startTestControl, writeIn } from "./support.ts";

const { env } = await startTestControl();
const folder = temporaryFolder();
const run = (...args: string[]) => cli(args, env);

test("APIs, tiers and consumers are put, listed, got and deleted", async () => {
  const api = writeIn(
    folder,
    "api.yaml",
    "id: orders\nhosts: [api.example.com]\npaths: [/orders]\nmethods: [GET, POST]\nupstream: {service: orders.shop.svc, port: 8080}\n",
  );
  assert.deepEqual(await run("apis", "put", "-f", api), { code: 0, stdout: "orders is put.\n", stderr: "" });
  const tier = writeIn(
    folder,
    "tier.json",
    JSON.stringify({
      id: "gold",
      scopes: ["read", "write"],
      limits: [{ name: "minute", kind: "rate", limit: 600, windowSeconds: 60 }],
    }),
  );
  assert.equal((await run("tiers", "put", "-f", tier)).code, 0);
  const consumers = writeIn(
    folder,
    "consumers.yaml",
    "- {id: acme, name: Acme Corp, tier: gold, claims: {org: acme}}\n- {id: bob}\n",
  );
  assert.equal((await run("consumers", "put", "-f", consumers)).stdout, "acme is put.\nbob is put.\n");

  assert.match(
    (await run("apis", "list")).stdout,
    /^ID +HOSTS +PATHS +METHODS +AUTH +SCOPES +UPSTREAM\norders +api\.example\.com +\/orders +GET,POST +key +- +orders\.shop\.svc:8080\n$/,
  );
  assert.match((await run("tiers", "list")).stdout, /^gold +read,write +all +minute:600\/60s$/m);
  assert.match(
    (await run("consumers", "list")).stdout,
    /^acme +Acme Corp +gold +active +org=acme\nbob +- +- +active +-$/m,
  );
  assert.match((await run("consumers", "get", "acme")).stdout, /^id: acme\n[^]*claims:\n {2}org: acme\n/);
  assert.equal((JSON.parse((await run("tiers", "get", "gold", "--json")).stdout) as { id: string }).id, "gold");

  assert.equal((await run("consumers", "suspend", "bob")).stdout, "bob is suspended.\n");
  assert.match((await run("consumers", "list")).stdout, /^bob +- +- +suspended /m);
  assert.equal((await run("consumers", "resume", "bob")).stdout, "bob is active again.\n");

  const used = await run("tiers", "delete", "gold");
  assert.equal(used.code, 1);
  assert.match(used.stderr, /used by consumer acme\n\(status 409, record_referenced\)/);
  for (const [section, id] of [
    ["consumers", "acme"],
    ["consumers", "bob"],
    ["tiers", "gold"],
    ["apis", "orders"],
  ] as const) {
    assert.deepEqual(await run(section, "delete", id), { code: 0, stdout: `${id} is deleted.\n`, stderr: "" });
  }
  assert.equal((await run("consumers", "list")).stdout, "None.\n");
  assert.equal((await run("consumers", "list", "--json")).stdout, "[]\n");
});

test("put names what is wrong: no id, a broken file, a field", async () => {
  assert.match(
    (await run("tiers", "put", "-f", writeIn(folder, "noid.yaml", "scopes: []\n"))).stderr,
    /noid\.yaml: every record needs an `id`; 0 were put before this one/,
  );
  assert.match(
    (await run("tiers", "put", "-f", writeIn(folder, "broken.yaml", "id: x\n  y: [\n"))).stderr,
    /broken\.yaml:\d+:\d+: /,
  );
  const outcome = await run("tiers", "put", "-f", writeIn(folder, "field.yaml", "id: x\nscops: []\n"));
  assert.equal(outcome.code, 1);
  assert.match(
    outcome.stderr,
    /scops: Unknown field `scops`\. Did you mean `scopes`\?\n\(status 400, invalid_request\)/,
  );
});

test("environments are created and listed; records belong to one", async () => {
  assert.deepEqual(await run("environments", "create", "staging"), {
    code: 0,
    stdout: "staging is created.\n",
    stderr: "",
  });
  assert.match((await run("environments", "create", "staging")).stderr, /\(status 409, record_exists\)/);
  assert.match(
    (await run("environments", "list")).stdout,
    /^ID +VERSION +EPOCH +CREATED\ndefault +\d+ +[0-9a-f]{16} +\S+Z\nstaging /,
  );
  await run("tiers", "put", "-e", "staging", "-f", writeIn(folder, "only.yaml", "id: only-here\n"));
  assert.equal((await run("tiers", "list")).stdout, "None.\n");
  assert.match((await run("tiers", "list", "-e", "staging")).stdout, /only-here/);
  assert.match((await cli(["tiers", "list"], { ...env, TOLLGATE_ENVIRONMENT: "staging" })).stdout, /only-here/);
  assert.match((await run("tiers", "list", "-e", "nowhere")).stderr, /\(status 404, environment_not_found\)/);
  const before = JSON.parse((await run("environments", "list", "--json")).stdout) as { id: string; epoch: string }[];
  const renewed = await run("environments", "renew-epoch", "staging");
  const epoch = /^staging has the epoch ([0-9a-f]{16})\.\n$/.exec(renewed.stdout)![1];
  assert.notEqual(epoch, before.find(({ id }) => id === "staging")!.epoch);
});

test("gateway tokens and admin tokens are shown once, listed and deleted", async () => {
  const made = await run("gateway-tokens", "create", "--group", "edge", "--name", "edge 1", "--expires", "365d");
  const token = /^token (tgg_\S+)\n/.exec(made.stdout)![1]!;
  const id = /^id +(\S+)$/m.exec(made.stdout)![1]!;
  const listed = await run("gateway-tokens", "list");
  assert.match(listed.stdout, new RegExp(`^${id} +edge 1 +edge +all `, "m"));
  assert.equal(listed.stdout.includes(token), false);
  assert.match(
    (await run("gateway-tokens", "create", "--group", "edge", "--api", "nowhere")).stderr,
    /There is no API `nowhere`/,
  );
  assert.equal((await run("gateway-tokens", "delete", id)).stdout, `${id} is deleted.\n`);

  const admin = JSON.parse((await run("admin-tokens", "create", "--name", "ci", "--json")).stdout) as {
    id: string;
    token: string;
  };
  assert.equal((await cli(["tiers", "list"], { ...env, TOLLGATE_ADMIN_TOKEN: admin.token })).code, 0);
  assert.match((await run("admin-tokens", "list")).stdout, new RegExp(`^${admin.id} +ci `, "m"));
  assert.equal((await run("admin-tokens", "delete", admin.id)).code, 0);
  const refused = await cli(["tiers", "list"], { ...env, TOLLGATE_ADMIN_TOKEN: admin.token });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /\(status 401, unauthenticated\)/);
});

test("gateways and audit", async () => {
  assert.match((await run("gateways")).stdout, /^None\.\nThe environment is at version \d+\.\n$/);
  const audit = await run("audit", "--kind", "environment", "--action", "create", "--limit", "5");
  assert.match(
    audit.stdout,
    /^TIME +ACTOR +ACTION +KIND +ID +ENVIRONMENT +VERSION\n\S+Z +environment +create +environment +staging /,
  );
  const entries = JSON.parse((await run("audit", "--id", "acme", "--json")).stdout) as { action: string }[];
  assert.ok(entries.some(({ action }) => action === "delete"));
});
