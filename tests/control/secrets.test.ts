/** No answer, log line or message repeats a key or a token, whatever place it came by. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { chmodSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { prepareDataDir } from "../../control/config.ts";
import { issueKey } from "../../control/domain/keys.ts";
import { maskSecrets } from "../../control/secrets.ts";
import { openStore } from "../../control/store/open.ts";
import { adminToken, capturedLogger, seed, startApi } from "./support.ts";
import { temporaryFolder } from "../kit/folders.ts";

const secrets = [issueKey("default", randomInt).key, `tga_${"aZ0".repeat(14)}b`, `tgg_${"b1_-".repeat(10)}Ab9`];
const body = (secret: string): string => secret.slice(secret.lastIndexOf("_") > 20 ? 10 : 4);

describe("a key or a token in a request", () => {
  for (const secret of secrets) {
    it(`isn't repeated by any route: ${secret.slice(0, 4)}…`, async (t) => {
      const harness = await startApi(t);
      await seed(harness);
      const { paths } = (await harness.call("GET", "/openapi.json")).json<{
        paths: Record<string, Record<string, unknown>>;
      }>();
      let refused = 0;
      for (const [path, methods] of Object.entries(paths)) {
        for (const method of Object.keys(methods)) {
          const place = path.replaceAll(/\{[^}]+\}/g, secret);
          const attempts: [url: string, payload?: object | string][] = [
            [place, {}],
            [`${place}?environment=${secret}`, {}],
            [`${place}?${secret}=1&limit=${secret}&consumer=${secret}`, {}],
            [`${path}/${secret}`, {}],
            [
              place,
              {
                [secret]: secret,
                id: secret,
                consumer: secret,
                tier: secret,
                name: secret,
                hosts: [secret],
                paths: [secret],
                tiers: [secret],
              },
            ],
            [place, `{"id":${secret}`],
          ];
          for (const [url, payload] of attempts) {
            const headers = {
              authorization: `Bearer ${adminToken}`,
              "x-request-id": secret,
              ...(method === "get" ? {} : { "content-type": "application/json" }),
            };
            const response = await harness.app.inject({
              method: method.toUpperCase() as "GET",
              url,
              headers,
              ...(method === "get" ? {} : { payload }),
            });
            if (response.statusCode < 400) continue;
            refused++;
            const text = response.body + JSON.stringify(response.headers);
            assert.ok(!text.includes(body(secret)), `${method} ${url}: ${text}`);
          }
        }
      }
      assert.ok(refused > 100, `${refused} refusals`);
      assert.ok(!harness.logs().includes(body(secret)));
    });

    it(`isn't logged: ${secret.slice(0, 4)}…`, () => {
      const { logger, logs } = capturedLogger();
      logger.warn({ err: new Error(`no ${secret}`), url: `/v1/keys/${secret}` }, `what ${secret}`);
      assert.match(logs(), /what tg/);
      assert.ok(!logs().includes(body(secret)));
    });
  }

  it("is hidden in part and with a mistake, and other texts stay", () => {
    assert.equal(maskSecrets(`a ${secrets[0]!.slice(0, 30)}… b`), "a tg_default_…… b");
    assert.equal(
      maskSecrets(`x${secrets[0]}y,tga_short tg_default tg_my-api tgz_${"a".repeat(30)}`),
      `xtg_default_…,tga_short tg_default tg_my-api tgz_${"a".repeat(30)}`,
    );
  });
});

describe("a data folder that others may read", () => {
  it("is closed to them at the start, with all that it holds", async () => {
    const folder = join(temporaryFolder(), "data");
    mkdirSync(folder, { mode: 0o755 });
    const names = ["tollgate.db", "tollgate.db-wal", "tollgate.db-shm", "control.log", "access.log"];
    for (const name of names) writeFileSync(join(folder, name), "", { mode: 0o644 });
    for (const path of [folder, ...names.map((name) => join(folder, name))])
      chmodSync(path, path === folder ? 0o755 : 0o644);
    prepareDataDir(folder);
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    for (const name of names) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
  });

  it("elsewhere, as TOLLGATE_DATABASE_URL names it: the database's files are closed", async () => {
    const folder = temporaryFolder();
    const file = join(folder, "own.db");
    writeFileSync(file, "");
    chmodSync(file, 0o644);
    const store = await openStore(`file:${file}`, () => undefined);
    await store.createEnvironment("default", { actor: "test", requestId: "", nowMs: 0 });
    for (const name of ["own.db", "own.db-wal", "own.db-shm"]) {
      const entry = statSync(join(folder, name), { throwIfNoEntry: false });
      if (entry !== undefined) assert.equal(entry.mode & 0o077, 0, name);
    }
    await store.close();
  });
});
