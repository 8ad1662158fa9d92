import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadFile } from "../../control/domain/yamlFile.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { cli, root, startTestControl, writeIn } from "./support.ts";

const demo = join(root, "examples/demo/tollgate.yaml");
const folder = temporaryFolder();
const broken = writeIn(
  folder,
  "broken.yaml",
  "version: 1\ntiers:\n  - {id: bronze, scops: [read]}\n  - {id: Silver}\n",
);
const dangling = writeIn(folder, "dangling.yaml", "version: 1\nconsumers:\n  - {id: a, tier: silver}\n");
const syntax = writeIn(folder, "syntax.yaml", "version: 1\ntiers:\n  - {id: bronze\n");
const { env } = await startTestControl();

test("every example is valid, without control", async () => {
  for (const example of ["demo", "standalone"]) {
    const file = join(root, "examples", example, "tollgate.yaml");
    const outcome = await cli(["validate", "-f", file]);
    assert.deepEqual(outcome, { code: 0, stdout: `${file}: valid\n`, stderr: "" });
  }
});

test("validate names every error with file, line and column, and ends with 1", async () => {
  const outcome = await cli(["validate", "-f", broken]);
  assert.equal(outcome.code, 1);
  assert.equal(outcome.stdout, "");
  const lines = outcome.stderr.trimEnd().split("\n");
  assert.equal(lines[0], `${broken}:3:18: tiers[0].scops: Unknown field \`scops\`. Did you mean \`scopes\`?`);
  assert.match(lines[1]!, /broken\.yaml:4:10: tiers\[1\]\.id: "Silver" is not valid\./);
  assert.equal(lines.length, 2);
  assert.match((await cli(["validate", "-f", dangling])).stderr, /dangling\.yaml:3:\d+: consumers\[0\]\.tier: /);
  assert.match((await cli(["validate", "-f", syntax])).stderr, /syntax\.yaml:\d+:\d+: /);
});

test("validate --json is for machines; - is standard input", async () => {
  const outcome = await cli(["validate", "-f", "-", "--json"], {}, readFileSync(broken, "utf8"));
  assert.equal(outcome.code, 1);
  assert.equal(outcome.stderr, "");
  const { valid, problems } = JSON.parse(outcome.stdout) as {
    valid: boolean;
    problems: { line: number; column: number; path: string }[];
  };
  assert.equal(valid, false);
  assert.deepEqual(
    problems.map(({ line, column, path }) => [line, column, path]),
    [
      [3, 18, "tiers[0].scops"],
      [4, 10, "tiers[1].id"],
    ],
  );
  assert.match((await cli(["validate", "-f", "-"], {}, "")).stderr, /^standard input:1:1: The file is empty\./);
});

test("a file that isn't there is named", async () => {
  const outcome = await cli(["validate", "-f", join(folder, "absent.yaml")]);
  assert.equal(outcome.code, 1);
  assert.match(outcome.stderr, /absent\.yaml can't be read: there is no such file\. Name the file with -f\./);
  assert.match((await cli(["apply", "-f", folder], env)).stderr, /can't be read: it is a folder/);
});

test("diff, apply, apply again, export: the same environment", async () => {
  const before = await cli(["diff", "-f", demo], env);
  assert.equal(before.code, 0);
  assert.match(before.stdout, /^\+ api echo\n\+ api public\n\+ tier bronze\n/);
  assert.equal((await cli(["diff", "-f", demo, "--exit-code"], env)).code, 1);

  const applied = await cli(["apply", "-f", demo], env);
  assert.equal(applied.code, 0);
  assert.match(applied.stdout, /\+ consumer acme\n[^]*Environment default is at version \d+\.\n$/);
  assert.equal(applied.stderr, "");

  const again = await cli(["apply", "-f", demo], env);
  assert.match(again.stdout, /^Nothing to change\.\nEnvironment default is at version \d+\.\n$/);
  assert.equal((await cli(["diff", "-f", demo, "--exit-code"], env)).code, 0);

  const exported = await cli(["export"], env);
  assert.equal(exported.code, 0);
  const path = writeIn(folder, "exported.yaml", exported.stdout);
  assert.equal((await cli(["diff", "-f", path, "--prune"], env)).stdout, "Nothing to change.\n");
  const sorted = (text: string) =>
    loadFile(text)
      .spec!.apis.map(({ id }) => id)
      .sort();
  assert.deepEqual(sorted(exported.stdout), sorted(readFileSync(demo, "utf8")));
  const spec = JSON.parse((await cli(["export", "--json"], env)).stdout) as { tiers: { id: string }[] };
  assert.deepEqual(
    spec.tiers.map(({ id }) => id),
    ["admin", "bronze", "platinum"],
  );
  const output = join(folder, "out.yaml");
  assert.deepEqual(await cli(["export", "-o", output], env), { code: 0, stdout: "", stderr: "" });
  assert.equal(readFileSync(output, "utf8"), exported.stdout);
});

test("an update says which fields, --prune deletes, --json gives the plan", async () => {
  const file = writeIn(
    folder,
    "small.yaml",
    "version: 1\nconsumers:\n  - {id: acme, name: Renamed, tier: platinum, claims: {org: acme, region: eu}}\n  - {id: initech, name: Initech, tier: bronze, claims: {org: initech}}\n",
  );
  await cli(["apply", "-f", demo], env);
  assert.equal((await cli(["diff", "-f", file], env)).stdout, "~ consumer acme (name)\n");
  const plan = JSON.parse((await cli(["apply", "-f", file, "--prune", "--json"], env)).stdout) as {
    changes: object[];
    environment: string;
    version: number;
  };
  assert.equal(plan.environment, "default");
  assert.deepEqual(plan.changes, [
    { action: "update", kind: "consumer", id: "acme", fields: ["name"] },
    { action: "delete", kind: "consumer", id: "operations" },
  ]);
});

test("apply of a broken file shows the server's errors as file, line and column", async () => {
  for (const command of ["apply", "diff"]) {
    const outcome = await cli([command, "-f", broken], env);
    assert.equal(outcome.code, 1);
    assert.equal(outcome.stdout, "");
    assert.match(
      outcome.stderr,
      /^.*broken\.yaml:3:18: tiers\[0\]\.scops: Unknown field `scops`\. Did you mean `scopes`\?\n.*broken\.yaml:4:10: .*\n\(status 400, invalid_file\)\n$/,
    );
  }
});

test("the file's environment and --environment must agree", async () => {
  const outcome = await cli(["apply", "-f", demo, "-e", "staging"], env);
  assert.equal(outcome.code, 1);
  assert.match(
    outcome.stderr,
    /The file names `default`, the query `staging`\..*\n\(status 400, environment_mismatch\)/,
  );
  assert.match(
    (await cli(["compile", "-f", demo, "-e", "staging"], env)).stderr,
    /The file is for the environment `default`, but `staging` was asked for/,
  );
  const nameless = writeIn(folder, "nameless.yaml", "version: 1\ntiers: []\n");
  assert.match(
    (await cli(["apply", "-f", nameless], { ...env, TOLLGATE_ENVIRONMENT: "staging" })).stderr,
    /no environment `staging`[^]*environment_not_found/,
  );
});

test("compile gives a plugin configuration, or the snapshot alone, the same bytes each time", async () => {
  const file = join(root, "examples/standalone/tollgate.yaml");
  const outcome = await cli(["compile", "-f", file]);
  assert.equal(outcome.code, 0);
  const configuration = JSON.parse(outcome.stdout) as { environment: string; snapshot: string };
  assert.deepEqual(Object.keys(configuration), ["environment", "snapshot"]);
  assert.equal(configuration.environment, "default");
  assert.equal((await cli(["compile", "-f", file, "--snapshot"])).stdout, `${configuration.snapshot}\n`);

  const more = writeIn(folder, "plugin.yaml", "keySources: [{query: api_key}]\nmode: observe\n");
  const merged = JSON.parse((await cli(["compile", "-f", file, "--plugin-config", more])).stdout) as object;
  assert.deepEqual(merged, {
    environment: "default",
    keySources: [{ query: "api_key" }],
    mode: "observe",
    snapshot: configuration.snapshot,
  });
  const list = writeIn(folder, "list.yaml", "- 1\n");
  assert.match(
    (await cli(["compile", "-f", file, "--plugin-config", list])).stderr,
    /list\.yaml: the plugin's configuration must be an object/,
  );
  const refused = async (text: string): Promise<string> => {
    const { code, stderr } = await cli([
      "compile",
      "-f",
      file,
      "--plugin-config",
      writeIn(folder, "refused.yaml", text),
    ]);
    assert.equal(code, 1);
    return stderr;
  };
  assert.match(await refused("kySources: [{header: x}]"), /Did you mean `keySources`/);
  assert.match(await refused("snapshotWaitTimeoutMs: 99999999"), /snapshotWaitTimeoutMs: .*60000/);
  assert.match(await refused("control: {cluster: c, authority: a}"), /control can't be given here/);
});

test("compile refuses what doesn't fit into a plugin's configuration", async () => {
  const digest = (index: number): string => createHash("sha256").update(String(index)).digest("hex");
  const keys = Array.from(
    { length: 4000 },
    (_, index) => `  - {id: key-${index}, consumer: a, sha256: "${digest(index)}"}\n`,
  ).join("");
  const file = writeIn(folder, "large.yaml", `version: 1\nconsumers: [{id: a}]\nkeys:\n${keys}`);
  const outcome = await cli(["compile", "-f", file]);
  assert.equal(outcome.code, 1);
  assert.match(outcome.stderr, /4000 keys/);
});

test("snapshot inspect reads frames, base64 and a configuration; a damaged one is refused with its place", async () => {
  const compiled = await cli(["compile", "-f", demo]);
  const configuration = writeIn(folder, "plugin.json", compiled.stdout);
  const { snapshot } = JSON.parse(compiled.stdout) as { snapshot: string };
  const base64 = writeIn(folder, "snapshot.txt", snapshot);
  const binary = join(folder, "snapshot.bin");
  writeFileSync(binary, Buffer.from(snapshot, "base64"));
  const outcomes = await Promise.all([configuration, base64, binary].map((path) => cli(["snapshot", "inspect", path])));
  assert.match(
    outcomes[0]!.stdout,
    /^FRAME +TYPE[^]*manifest[^]*1 pages: 2 apis, 3 tiers, 3 consumers, 0 keys, 4 limits\n[^]*page 1 of 1: /,
  );
  assert.deepEqual(outcomes[1], outcomes[0]);
  assert.deepEqual(outcomes[2], outcomes[0]);
  const frames = JSON.parse((await cli(["snapshot", "inspect", binary, "--json"])).stdout) as { type: string }[];
  assert.deepEqual(
    frames.map(({ type }) => type),
    ["manifest", "page"],
  );

  const bytes = Buffer.from(snapshot, "base64");
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(binary, bytes);
  const damaged = await cli(["snapshot", "inspect", binary]);
  assert.equal(damaged.code, 1);
  assert.match(damaged.stderr, /snapshot\.bin: at byte \d+: .*\(checksum\)/);
  assert.match((await cli(["snapshot", "inspect", writeIn(folder, "empty.json", "{}")])).stderr, /has no `snapshot`/);
});
