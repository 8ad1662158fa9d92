import assert from "node:assert/strict";
import { test } from "node:test";
import { temporaryFolder } from "../kit/folders.ts";
import { cli, startTestControl, writeIn } from "./support.ts";

const { control, env } = await startTestControl();
const folder = temporaryFolder();
const run = (...args: string[]) => cli(args, env);
const file = writeIn(folder, "tollgate.yaml", "version: 1\ninternalToken: {issuer: https://tollgate.example.com}\n");

test("a file switches internal tokens on; the key set is there at once", async () => {
  assert.deepEqual(await run("validate", "-f", file), { code: 0, stdout: `${file}: valid\n`, stderr: "" });
  assert.equal((await run("diff", "-f", file)).stdout, "+ internal-token default\n");
  assert.equal((await run("apply", "-f", file)).code, 0);
  assert.equal((await run("diff", "-f", file)).stdout, "Nothing to change.\n");
  assert.match((await run("export")).stdout, /^internalToken:\n {2}issuer: https:\/\/tollgate\.example\.com\n/m);
  const set = (await (await fetch(`${control.syncUrl}/.well-known/tollgate/default/jwks.json`)).json()) as {
    keys: { kid: string }[];
  };
  assert.equal(set.keys.length, 1);
  assert.match(
    (await run("signing-keys", "list")).stdout,
    new RegExp(`^KID +STATE +CREATED +SIGNS FROM +ENDS\n${set.keys[0]!.kid} +signing +\\S+Z +\\S+Z +-\n$`),
  );
});

test("keys are rotated, with their successors published ahead; a second rotation waits for the first", async () => {
  const rotated = await run("signing-keys", "rotate", "--publish", "2h");
  assert.equal(rotated.code, 0);
  assert.match(rotated.stdout, /\n\S+ +signing [^]*\n\S+ +coming /);
  const again = await run("signing-keys", "rotate");
  assert.equal(again.code, 1);
  assert.match(again.stderr, /is published and signs from \S+Z\.[^]*\(status 409, token_key_pending\)/);
  const withdrawn = await run("signing-keys", "rotate", "--withdraw", "--json");
  const items = JSON.parse(withdrawn.stdout) as { state: string; endsAt: string | null }[];
  assert.deepEqual(
    items.map(({ state, endsAt }) => [state, endsAt]),
    [["signing", null]],
  );
  assert.equal((await run("signing-keys", "rotate", "--publish", "soon")).code, 2);
  assert.match((await run("audit", "--kind", "token-key")).stdout, /withdraw +token-key/);
});
