import assert from "node:assert/strict";
import { after, afterEach, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { readConfig } from "../../control/config.ts";
import { wellFormedKey } from "../../control/domain/keys.ts";
import { startControl } from "../../control/main.ts";
import { openStore } from "../../control/store/open.ts";
import type { StoreOptions } from "../../control/store/sqlStore.ts";
import type { Store } from "../../control/store/store.ts";
import { isUnavailable } from "../../control/store/unavailable.ts";
import { adminToken, capturedLogger } from "../control/support.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { eventually } from "../kit/eventually.ts";
import { change, consumer, context, key, storeContract } from "./contract.ts";
import { type PostgresServer, query, startPostgres } from "../kit/postgres.ts";

const server = await startPostgres().catch((error: unknown) => String(error));
const opened: Store[] = [];

async function open(url: string, options?: StoreOptions): Promise<Store> {
  const store = await openStore(url, () => undefined, options);
  opened.push(store);
  return store;
}

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});
if (typeof server === "string") {
  describe("PostgreSQL", { skip: `it can't run here, so its store is UNTESTED: ${server}` }, () => undefined);
} else {
  after(() => server.stop());
  storeContract("PostgreSQL", {
    async open(options) {
      const url = await server.createDatabase();
      return { store: await open(url, options), reopen: () => open(url, options) };
    },
  });
  describe("PostgreSQL: replicas", () => replicas(server));
  describe("PostgreSQL: a lost connection", () => lost(server));
  describe("PostgreSQL: control", () => control(server));
}

function replicas(server: PostgresServer): void {
  it("start together on an empty database", async () => {
    const url = await server.createDatabase();
    const stores = await Promise.all([open(url), open(url), open(url)]);
    const made = await Promise.all(stores.map((store) => store.createEnvironment("default", context)));
    assert.equal(made.filter(Boolean).length, 1);
  });

  it("hear of each other's versions, and never number two changes alike", async () => {
    const url = await server.createDatabase();
    const [one, two] = [await open(url), await open(url)];
    await one.createEnvironment("default", context);
    const woken: bigint[] = [];
    two.subscribe("default", (version) => woken.push(version));
    await change(one, (writer) => writer.put("consumer", consumer("acme")));
    const versions = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        change(index % 2 === 0 ? one : two, (writer) => writer.put("key", key(`k${index}`))),
      ),
    );
    assert.equal(new Set(versions).size, 20);
    await eventually("the last version to be told", () => woken.at(-1) === 21n);
    assert.deepEqual(
      woken,
      [...new Set(woken)].sort((a, b) => Number(a - b)),
    );
  });

  it("catch up after the connection that listens was lost", async () => {
    const url = await server.createDatabase();
    const [one, two] = [await open(url), await open(url)];
    await one.createEnvironment("default", context);
    const woken: bigint[] = [];
    two.subscribe("default", (version) => woken.push(version));
    await query(
      url,
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'listen%'",
    );
    await change(one, (writer) => writer.put("consumer", consumer("acme")));
    await eventually("version 1 to be told", () => woken.includes(1n));
    await change(one, (writer) => writer.put("consumer", consumer("b")));
    await eventually("version 2 to be told", () => woken.includes(2n));
  });
}

function lost(server: PostgresServer): void {
  it("fails a change whose connection is cut off, and nothing else", async () => {
    const url = await server.createDatabase();
    const store = await open(url);
    await store.createEnvironment("default", context);
    const cutOff = change(store, async (writer) => {
      await writer.put("consumer", consumer("acme"));
      await query(
        url,
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
      );
      await sleep(100);
      await writer.put("consumer", consumer("b"));
    });
    await assert.rejects(cutOff, isUnavailable);
    assert.equal(await change(store, (writer) => writer.put("consumer", consumer("c"))), 1);
    assert.deepEqual(
      (await store.list("default", "consumer", { limit: 10 })).items.map(({ record }) => record.id),
      ["c"],
    );
  });
}

function control(server: PostgresServer): void {
  it("works over it, says so while it's away, and works again", async (t) => {
    const folder = temporaryFolder();
    const config = readConfig({
      TOLLGATE_DATA_DIR: folder,
      TOLLGATE_DATABASE_URL: await server.createDatabase(),
      TOLLGATE_CONTROL_PORT: "0",
      TOLLGATE_SYNC_PORT: "0",
      TOLLGATE_ADMIN_TOKEN: adminToken,
    });
    const running = await startControl(config, capturedLogger().logger);
    t.after(() => running.close());
    const call = async (method: string, path: string, body?: object) => {
      const headers = { authorization: `Bearer ${adminToken}`, "content-type": "application/json" };
      const response = await fetch(`${running.adminUrl}${path}`, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: await response.text() };
    };
    assert.equal(
      (
        await call("POST", "/v1/apply", {
          version: 1,
          tiers: [{ id: "t", limits: [{ name: "l", kind: "rate", limit: 1, windowSeconds: 1 }] }],
          consumers: [{ id: "acme", tier: "t" }],
        })
      ).status,
      200,
    );
    const { key, ...record } = JSON.parse((await call("POST", "/v1/keys", { consumer: "acme" })).body) as {
      key: string;
      id: string;
    };
    assert.ok(wellFormedKey(key));
    assert.match((await call("GET", "/v1/export")).body, /acme/);
    await server.pause();
    for (const path of ["/readyz", "/v1/tiers", "/v1/keys", "/v1/audit"])
      assert.equal((await call("GET", path)).status, 503, path);
    assert.equal((await call("POST", "/v1/keys", { consumer: "acme" })).status, 503);
    assert.equal((await call("GET", "/healthz")).status, 200);
    assert.equal((await call("GET", "/metrics")).status, 200);
    await server.resume();
    await eventually("the control plane to be ready again", async () => (await call("GET", "/readyz")).status === 200);
    assert.deepEqual(JSON.parse((await call("GET", `/v1/keys/${record.id}`)).body), record);
    assert.equal((await call("POST", `/v1/keys/${record.id}/revoke`)).status, 200);
  });
}
