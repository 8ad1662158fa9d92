import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, it } from "node:test";
import { openStore } from "../../control/store/open.ts";
import type { StoreOptions } from "../../control/store/sqlStore.ts";
import type { Store } from "../../control/store/store.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { api, change, consumer, context, key, storeContract } from "./contract.ts";

const root = temporaryFolder("sqlite");
const opened: Store[] = [];
let files = 0;

async function open(url: string, options?: StoreOptions): Promise<Store> {
  const store = await openStore(url, (error) => assert.fail(error), options);
  opened.push(store);
  return store;
}

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

const newFile = () => join(root, `folder${++files}`, "tollgate.db");

storeContract("SQLite", {
  async open(options) {
    const url = `file:${newFile()}`;
    return { store: await open(url, options), reopen: () => open(url, options) };
  },
});

describe("SQLite: the file", () => {
  it("is WAL, and what is committed is on the disk", async () => {
    const file = newFile();
    const store = await open(`file:${file}`);
    await store.createEnvironment("default", context);
    await change(store, async (writer) => {
      await writer.put("consumer", consumer("acme"));
      await writer.put("key", key("k"));
    });
    assert.ok(readFileSync(`${file}-wal`).includes("acme"));
    for (const name of [file, `${file}-wal`]) assert.equal(statSync(name).mode & 0o777, 0o600, "for its user alone");
  });

  it("isn't made over something else", async () => {
    const file = join(root, "text.db");
    writeFileSync(file, "This is a text that someone wrote, not a database.\n".repeat(20));
    await assert.rejects(
      openStore(`file:${file}`, () => undefined),
      /not a database/,
    );
  });

  it("of an older version has the defaults of what came later", async () => {
    const url = `file:${newFile()}`;
    const store = await open(url);
    await store.createEnvironment("default", context);
    const record = api("echo");
    await change(store, (writer) => writer.put("api", record));
    const { default: Database } = await import("libsql");
    const handle = new Database(url.slice("file:".length));
    handle.exec("update apis set spec = json_remove(spec, '$.rateLimitHeaders', '$.legacyHeaders')");
    handle.close();
    assert.deepEqual((await store.spec("default"))!.apis, [record]);
    assert.deepEqual((await store.list("default", "api", { limit: 1 })).items[0]!.record, record);
    assert.deepEqual(
      await store.snapshotRead("default", async (reader) => (await reader.apiById("echo"))!.api),
      record,
    );
    assert.equal(
      await change(store, (writer) => writer.put("api", record)),
      1,
      "writing what was read changes nothing",
    );
  });

  it("of a newer version is refused, not touched", async () => {
    const url = `file:${newFile()}`;
    const store = await open(url);
    await store.close();
    const { default: Database } = await import("libsql");
    const handle = new Database(url.slice("file:".length));
    handle.exec("insert into kysely_migration (name, timestamp) values ('9999_future', '2030-01-01T00:00:00Z')");
    handle.close();
    await assert.rejects(
      openStore(url, () => undefined),
      /another version of Tollgate/,
    );
  });

  it("is whole by itself after a clean stop, which may be asked for twice", async () => {
    const file = newFile();
    const store = await open(`file:${file}`);
    await store.createEnvironment("default", context);
    await store.close();
    await store.close();
    assert.equal(existsSync(`${file}-wal`) ? statSync(`${file}-wal`).size : 0, 0);
    assert.ok(statSync(file).size > 4096, "the file has what was committed");
  });

  it("reads while a change is being made", async () => {
    const store = await open(`file:${newFile()}`);
    await store.createEnvironment("default", context);
    await change(store, async (writer) => {
      await writer.put("consumer", consumer("acme"));
      assert.deepEqual((await store.spec("default"))!.consumers, []);
      assert.deepEqual((await writer.all("consumer")).length, 1);
    });
  });
});
