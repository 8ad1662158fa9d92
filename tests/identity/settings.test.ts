/** `internalToken` of tollgate.yaml, and the signing keys, over the admin API. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exportYaml } from "../../control/domain/exportYaml.ts";
import { loadFile } from "../../control/domain/yamlFile.ts";
import { expect, startApi, yaml } from "../control/support.ts";

const file = `version: 1
internalToken:
  issuer: https://tollgate.example.com
  audiences: [mesh]
`;

test("apply, diff and export know it; a file without it leaves it as it is", async (t) => {
  const { call } = await startApi(t);
  type Plan = { changes: { action: string; kind: string; id: string; fields?: string[] }[]; changed: boolean };
  const apply = async (text: string): Promise<Plan> => expect<Plan>(await call("POST", "/v1/apply", text, yaml), 200);
  assert.deepEqual((await apply(file)).changes, [{ action: "create", kind: "internal-token", id: "default" }]);
  assert.deepEqual((await apply(file)).changes, []);
  assert.deepEqual((await apply("version: 1\n")).changes, []);
  const shorter = expect<Plan>(await call("POST", "/v1/diff", `${file}  lifetimeSeconds: 120\n`, yaml), 200);
  assert.deepEqual(shorter.changes, [
    { action: "update", kind: "internal-token", id: "default", fields: ["lifetimeSeconds"] },
  ]);
  const exported = (await call("GET", "/v1/export")).body;
  assert.match(
    exported,
    /\ninternalToken:\n {2}issuer: https:\/\/tollgate\.example\.com\n {2}audiences:\n {4}- mesh\napis:/,
  );
  assert.deepEqual((await apply(exported)).changes, []);
  assert.deepEqual((await apply(`${file}  enabled: false\n`)).changes, [
    { action: "update", kind: "internal-token", id: "default", fields: ["enabled"] },
  ]);
  const { items } = expect<{ items: { action: string; kind: string; after: unknown }[] }>(
    await call("GET", "/v1/audit?kind=internal-token"),
    200,
  );
  assert.deepEqual(
    items.map(({ after }) => after),
    [
      { enabled: false },
      { enabled: true, issuer: "https://tollgate.example.com", audiences: ["mesh"], lifetimeSeconds: 300 },
    ],
  );
});

test("defaults, and what is refused", () => {
  const { spec } = loadFile("version: 1\ninternalToken: {issuer: tollgate}\n");
  assert.deepEqual(spec!.internalToken, {
    enabled: true,
    issuer: "tollgate",
    audiences: ["tollgate"],
    lifetimeSeconds: 300,
  });
  assert.match(exportYaml(spec!), /internalToken:\n {2}issuer: tollgate\napis: \[\]/);
  for (const wrong of [
    "{}",
    "{issuer: a b}",
    "{issuer: a, lifetimeSeconds: 30}",
    "{issuer: a, lifetimeSeconds: 7200}",
    "{issuer: a, audiences: []}",
    "{issuer: a, algorithm: none}",
  ]) {
    const { problems } = loadFile(`version: 1\ninternalToken: ${wrong}\n`);
    assert.ok(problems.length > 0 && problems.every(({ line }) => line === 2), wrong);
  }
});

test("signing keys are listed and rotated, without their private parts", async (t) => {
  const { call, clock } = await startApi(t);
  type Keys = { items: { kid: string; state: string; signsFrom: string; endsAt: string | null }[] };
  const rotate = (body?: object) => call("POST", "/v1/signing-keys/rotate", body);
  assert.deepEqual(expect<Keys>(await call("GET", "/v1/signing-keys"), 200), { items: [] });
  const first = expect<Keys>(await rotate(), 200);
  assert.deepEqual(
    first.items.map(({ state }) => state),
    ["signing"],
  );
  const second = expect<Keys>(await rotate({ publishSeconds: 600 }), 200);
  assert.deepEqual(
    second.items.map(({ state, signsFrom, endsAt }) => [state, signsFrom, endsAt]),
    [
      ["signing", "2026-01-01T00:00:00Z", "2026-01-01T01:11:00Z"],
      ["coming", "2026-01-01T00:10:00Z", null],
    ],
  );
  expect(await rotate(), 409, "token_key_pending");
  clock.nowMs += 601_000;
  assert.deepEqual(
    expect<Keys>(await call("GET", "/v1/signing-keys"), 200).items.map(({ state }) => state),
    ["verifying", "signing"],
  );
  const withdrawn = expect<Keys>(await rotate({ withdraw: true }), 200);
  assert.deepEqual(
    withdrawn.items.map(({ state }) => state),
    ["signing"],
  );
  const text = JSON.stringify([first, second, withdrawn]);
  assert.ok(!text.includes('"d"'));
  const audited = await call("GET", "/v1/audit?kind=token-key");
  assert.deepEqual(
    expect<{ items: { action: string }[] }>(audited, 200).items.map(({ action }) => action),
    ["withdraw", "rotate", "rotate"],
  );
  assert.ok(!audited.body.includes('"d"'));
  expect(await call("POST", "/v1/signing-keys/rotate?environment=nowhere", {}), 404, "environment_not_found");
});
