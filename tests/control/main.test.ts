/** Control as a process: its start, its stop, and what survives kill -9. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { readConfig, StartError } from "../../control/config.ts";
import { digestHex } from "../../control/domain/keys.ts";
import { startControl } from "../../control/main.ts";
import { spawnControl, startControlProcess } from "./process.ts";
import { eventually } from "../kit/eventually.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { startHttpServer } from "../kit/http.ts";
import { adminToken, capturedLogger } from "./support.ts";

/** the wire's type of a frame that says "nothing new" */
const heartbeat = 4;

interface Answer<T> {
  status: number;
  body: T;
}

async function call<T = Record<string, unknown>>(
  base: string,
  method: string,
  path: string,
  body?: unknown,
  token = adminToken,
): Promise<Answer<T>> {
  const headers: Record<string, string> = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(`${base}${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (response.status === 204 ? undefined : await response.json()) as T };
}

describe("readConfig", () => {
  it("has the defaults of the reference", () => {
    const config = readConfig({});
    assert.deepEqual(
      [config.host, config.controlPort, config.syncPort, config.logLevel],
      ["127.0.0.1", 8090, 8091, "info"],
    );
    assert.equal(config.dataDir, join(process.cwd(), ".tollgate"));
    assert.equal(config.databaseUrl, `file:${join(process.cwd(), ".tollgate", "tollgate.db")}`);
    assert.deepEqual([config.leaseMs, config.redisUrl, config.redisWaitReplicas], [900_000, undefined, 0]);
    assert.equal("adminToken" in config || "syncTls" in config, false);
    assert.equal(readConfig({ TOLLGATE_CONTROL_PORT: "" }).controlPort, 8090, "empty is unset");
  });

  it("names the variable that is wrong", () => {
    const file = join(temporaryFolder(), "x.pem");
    writeFileSync(file, "no certificate");
    for (const [env, message] of [
      [{ TOLLGATE_CONTROL_PORT: "80a" }, /TOLLGATE_CONTROL_PORT/],
      [{ TOLLGATE_SYNC_PORT: "65536" }, /TOLLGATE_SYNC_PORT/],
      [{ TOLLGATE_SYNC_PORT: "-1" }, /TOLLGATE_SYNC_PORT/],
      [{ TOLLGATE_ADMIN_TOKEN: "short" }, /TOLLGATE_ADMIN_TOKEN/],
      [{ TOLLGATE_ADMIN_TOKEN: "has a space in the middle" }, /TOLLGATE_ADMIN_TOKEN/],
      [{ TOLLGATE_DATABASE_URL: "mysql://x" }, /TOLLGATE_DATABASE_URL/],
      [{ TOLLGATE_REDIS_URL: "127.0.0.1:6379" }, /TOLLGATE_REDIS_URL/],
      [{ TOLLGATE_REDIS_WAIT_REPLICAS: "-1" }, /TOLLGATE_REDIS_WAIT_REPLICAS/],
      [{ TOLLGATE_LEASE_SECONDS: "0" }, /TOLLGATE_LEASE_SECONDS/],
      [{ TOLLGATE_LEASE_SECONDS: "86401" }, /TOLLGATE_LEASE_SECONDS/],
      [{ TOLLGATE_LEASE_SECONDS: "15m" }, /TOLLGATE_LEASE_SECONDS/],
      [{ TOLLGATE_USAGE_MINUTES_HOURS: "0" }, /TOLLGATE_USAGE_MINUTES_HOURS/],
      [{ TOLLGATE_LOG_LEVEL: "loud" }, /TOLLGATE_LOG_LEVEL/],
      [{ TOLLGATE_SYNC_TLS_CERT: file }, /TOLLGATE_SYNC_TLS_KEY is not set/],
      [{ TOLLGATE_SYNC_TLS_KEY: file }, /TOLLGATE_SYNC_TLS_CERT is not set/],
      [{ TOLLGATE_SYNC_TLS_CERT: "/nowhere.pem", TOLLGATE_SYNC_TLS_KEY: file }, /TOLLGATE_SYNC_TLS_CERT can't be read/],
      [{ TOLLGATE_SYNC_TLS_CERT: file, TOLLGATE_SYNC_TLS_KEY: file }, /can't be used/],
    ] as [Record<string, string>, RegExp][]) {
      assert.throws(
        () => readConfig(env),
        (error: unknown) => error instanceof StartError && message.test(error.message) && error.remedy.length > 10,
        JSON.stringify(env),
      );
    }
  });
});

describe("startControl", () => {
  const config = (dataDir: string, more: object = {}) => ({
    ...readConfig({ TOLLGATE_DATA_DIR: dataDir, TOLLGATE_CONTROL_PORT: "0", TOLLGATE_SYNC_PORT: "0" }),
    ...more,
  });

  it("says so when the counter store can't be reached", async () => {
    const unreachable = config(temporaryFolder(), { redisUrl: "redis://127.0.0.1:1" });
    await assert.rejects(
      startControl(unreachable, capturedLogger().logger),
      (error: unknown) =>
        error instanceof StartError && /counter store/.test(error.message) && /TOLLGATE_REDIS_URL/.test(error.remedy),
    );
  });

  it("makes an admin token once, for an empty database", async (t) => {
    const folder = temporaryFolder();
    const { logger, logs } = capturedLogger();
    const first = await startControl(config(folder), logger);
    t.after(() => first.close());
    assert.match(first.adminToken!, /^tga_/);
    assert.equal((await call(first.adminUrl, "GET", "/v1/environments", undefined, first.adminToken)).status, 200);
    await first.close();
    const second = await startControl(config(folder), logger);
    t.after(() => second.close());
    assert.equal(second.adminToken, undefined);
    assert.equal((await call(second.adminUrl, "GET", "/v1/environments", undefined, first.adminToken)).status, 200);
    await second.close();
    const given = await startControl(config(folder, { adminToken }), logger);
    t.after(() => given.close());
    assert.equal((await call(given.adminUrl, "GET", "/v1/environments")).status, 200);
    assert.ok(!logs().includes(first.adminToken!) && !logs().includes(adminToken));
  });

  it("is ready when it says so, and closing twice does no harm", async () => {
    const control = await startControl(config(temporaryFolder(), { adminToken }), capturedLogger().logger);
    assert.equal((await fetch(`${control.adminUrl}/readyz`)).status, 200);
    assert.equal((await fetch(`${control.syncUrl}/sync/v1/watch`)).status, 401);
    await control.close();
    await control.close();
    await assert.rejects(fetch(`${control.adminUrl}/healthz`));
    await assert.rejects(fetch(`${control.syncUrl}/sync/v1/watch`));
  });

  it("a port in use: says which variable to change, and leaves nothing behind", async (t) => {
    const { port, close } = await startHttpServer(() => undefined);
    t.after(close);
    const folder = temporaryFolder();
    for (const [name, variable] of [
      ["controlPort", "TOLLGATE_CONTROL_PORT"],
      ["syncPort", "TOLLGATE_SYNC_PORT"],
    ] as const) {
      await assert.rejects(
        startControl(config(folder, { [name]: port, adminToken }), capturedLogger().logger),
        (error: unknown) =>
          error instanceof StartError && error.message.includes(`Port ${port}`) && error.remedy.includes(variable),
      );
    }
  });

  it("a folder, a file or a database that can't be used", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "file"), "x");
    writeFileSync(join(folder, "text.db"), "This is a text that someone wrote, not a database.\n".repeat(20));
    for (const [more, remedy] of [
      [{ dataDir: join(folder, "file") }, /TOLLGATE_DATA_DIR/],
      [{ dataDir: join(folder, "file", "below") }, /TOLLGATE_DATA_DIR/],
      [{ dataDir: "/proc/tollgate" }, /TOLLGATE_DATA_DIR/],
      [{ databaseUrl: `file:${join(folder, "text.db")}` }, /TOLLGATE_DATABASE_URL/],
      [{ databaseUrl: "postgres://127.0.0.1:1/none" }, /TOLLGATE_DATABASE_URL/],
      [{ host: "192.0.2.1" }, /TOLLGATE_HOST/],
    ] as const) {
      await assert.rejects(
        startControl(config(folder, more), capturedLogger().logger),
        (error: unknown) => error instanceof StartError && remedy.test(error.remedy),
        JSON.stringify(more),
      );
    }
  });

  it("a folder that this user may not write", {
    skip: process.getuid?.() === 0 && "root may write everywhere",
  }, async () => {
    const folder = join(temporaryFolder(), "closed");
    mkdirSync(folder);
    chmodSync(folder, 0o500);
    await assert.rejects(startControl(config(folder), capturedLogger().logger), /can't be written/);
  });
});

describe("the process", () => {
  it("prints the admin token once, and never logs it", async (t) => {
    const env = { TOLLGATE_DATA_DIR: temporaryFolder() };
    const first = await startControlProcess(t, env);
    const token = /Admin token \(shown this once\): (tga_\w+)/.exec(first.stderr)?.[1];
    assert.equal((await call(first.adminUrl, "GET", "/v1/tiers", undefined, token)).status, 200);
    assert.ok(!first.stdout.includes(token!));
    first.child.kill("SIGTERM");
    assert.equal(await first.ended, 0);
    const second = await startControlProcess(t, env);
    assert.equal(second.stderr, "");
  });

  it("ends with 1 and says what to do when it can't start", async (t) => {
    for (const [env, said] of [
      [{ TOLLGATE_CONTROL_PORT: "x" }, /TOLLGATE_CONTROL_PORT/],
      [{ TOLLGATE_DATA_DIR: "/proc/tollgate" }, /TOLLGATE_DATA_DIR/],
    ] as [Record<string, string>, RegExp][]) {
      const started = spawnControl(t, { TOLLGATE_DATA_DIR: temporaryFolder(), ...env });
      assert.equal(await started.ended, 1);
      assert.match(started.stderr, said);
      assert.ok(!started.stderr.includes("    at "), "no stack");
    }
  });

  it("what was answered survives kill -9", async (t) => {
    const env = { TOLLGATE_DATA_DIR: temporaryFolder(), TOLLGATE_ADMIN_TOKEN: adminToken };
    const answered: string[] = [];
    let version = 0;
    for (let round = 0; round < 3; round++) {
      const control = await startControlProcess(t, env);
      if (round === 0) await call(control.adminUrl, "PUT", "/v1/consumers/acme", {});
      const writers = Array.from({ length: 4 }, async (_, writer) => {
        for (let index = 0; ; index++) {
          const id = `k${round}-${writer}-${index}`;
          const { status } = await call(control.adminUrl, "POST", "/v1/keys", { id, consumer: "acme" });
          if (status === 201) answered.push(id);
        }
      });
      const enough = answered.length + 40;
      while (answered.length < enough) await sleep(5);
      control.child.kill("SIGKILL");
      await Promise.allSettled(writers);
      await control.ended;

      const again = await startControlProcess(t, env);
      for (const id of answered) assert.equal((await call(again.adminUrl, "GET", `/v1/keys/${id}`)).status, 200, id);
      const [environment] = (await call<{ items: { version: number }[] }>(again.adminUrl, "GET", "/v1/environments"))
        .body.items;
      const keys = (await call<{ items: unknown[] }>(again.adminUrl, "GET", "/v1/keys?limit=1000")).body.items.length;
      const audit = (
        await call<{ items: unknown[] }>(again.adminUrl, "GET", "/v1/audit?limit=1000&kind=key&action=create")
      ).body.items.length;
      assert.equal(environment!.version, keys + 1, "a version a key, and one for the consumer");
      assert.equal(audit, keys);
      assert.ok(environment!.version > version);
      version = environment!.version;
      again.child.kill("SIGKILL");
      await again.ended;
    }
  });

  it("an import that is killed has whole chunks, and can be done again", async (t) => {
    const env = { TOLLGATE_DATA_DIR: temporaryFolder(), TOLLGATE_ADMIN_TOKEN: adminToken };
    const control = await startControlProcess(t, env);
    await call(control.adminUrl, "PUT", "/v1/consumers/acme", {});
    const rows = Array.from({ length: 40_000 }, (_, index) =>
      JSON.stringify({ id: `k${index}`, consumer: "acme", sha256: digestHex(`k${index}`) }),
    ).join("\n");
    const post = (url: string) =>
      fetch(`${url}/v1/keys/import`, {
        method: "POST",
        headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/x-ndjson" },
        body: rows,
      });
    const importing = post(control.adminUrl).then(
      () => undefined,
      () => undefined,
    );
    const version = async () =>
      (await call<{ items: { version: number }[] }>(control.adminUrl, "GET", "/v1/environments")).body.items[0]!
        .version;
    while ((await version()) < 2) await sleep(1);
    control.child.kill("SIGKILL");
    await importing;
    const again = await startControlProcess(t, env);
    const done = (await (await post(again.adminUrl)).json()) as { created: number; unchanged: number; failed: number };
    assert.equal(done.created + done.unchanged, 40_000);
    assert.equal(done.unchanged % 10_000, 0);
    assert.equal(done.failed, 0);
  });

  it("SIGTERM lets a request finish, ends long polls, refuses new ones, and exits with 0", async (t) => {
    const control = await startControlProcess(t, {
      TOLLGATE_DATA_DIR: temporaryFolder(),
      TOLLGATE_ADMIN_TOKEN: adminToken,
    });
    await call(control.adminUrl, "PUT", "/v1/consumers/acme", {});
    const { token } = (await call<{ token: string }>(control.adminUrl, "POST", "/v1/gateway-tokens", { group: "edge" }))
      .body;
    const watch = (epoch: string, version: bigint, waitMs: number) =>
      fetch(
        `${control.syncUrl}/sync/v1/watch?environment=default&gateway=n~1&epoch=${epoch}&version=${version}&waitMs=${waitMs}&applied=0&workers=1`,
        { headers: { authorization: `Bearer ${token}` } },
      );
    let [epoch, version, type] = ["0".repeat(16), 0n, 0];
    while (type !== heartbeat) {
      const frame = Buffer.from(await (await watch(epoch, version, 0)).arrayBuffer());
      [epoch, version, type] = [
        frame.readBigUInt64LE(16).toString(16).padStart(16, "0"),
        frame.readBigUInt64LE(24),
        frame.readUInt8(6),
      ];
    }
    const startedMs = Date.now();
    const poll = watch(epoch, version, 50_000);

    let send!: (text: string) => void;
    let finish!: () => void;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        send = (text) => controller.enqueue(Buffer.from(text));
        finish = () => controller.close();
      },
    });
    const importing = fetch(`${control.adminUrl}/v1/keys/import`, {
      method: "POST",
      headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/x-ndjson" },
      body,
      duplex: "half",
    } as RequestInit);
    send('{"consumer":"acme","key":"first"}\n');
    await eventually("the poll to be parked", async () =>
      /tollgate_sync_parked_polls 1/.test(await (await fetch(`${control.adminUrl}/metrics`)).text()),
    );
    control.child.kill("SIGTERM");
    await eventually("it to stop", () => control.stdout.includes('"stopping"'));
    assert.equal((await poll).status, 200, "the poll was answered");
    assert.ok(Date.now() - startedMs < 40_000, "before its time");
    await eventually("the admin port to close", () =>
      fetch(`${control.adminUrl}/healthz`).then(
        () => false,
        () => true,
      ),
    );
    send('{"consumer":"acme","key":"second"}\n');
    finish();
    assert.equal(((await (await importing).json()) as { created: number }).created, 2);
    assert.equal(await control.ended, 0);
  });

  it("a second signal ends it at once", async (t) => {
    const control = await startControlProcess(t, {
      TOLLGATE_DATA_DIR: temporaryFolder(),
      TOLLGATE_ADMIN_TOKEN: adminToken,
    });
    await call(control.adminUrl, "PUT", "/v1/consumers/acme", {});
    const held = fetch(`${control.adminUrl}/v1/keys/import`, {
      method: "POST",
      headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/x-ndjson" },
      body: new ReadableStream({
        start: (controller) => controller.enqueue(Buffer.from('{"consumer":"acme","key":"x"}\n')),
      }),
      duplex: "half",
    } as RequestInit).catch(() => undefined);
    await eventually("the first request to be counted", async () =>
      /http_requests_total\{method="PUT"/.test(await (await fetch(`${control.adminUrl}/metrics`)).text()),
    );
    control.child.kill("SIGINT");
    await eventually("it to stop", () => control.stdout.includes('"stopping"'));
    control.child.kill("SIGINT");
    assert.equal(await control.ended, 1);
    await held;
  });
});
