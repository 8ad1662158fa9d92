/**
 * Rows of docs/operate/failure-modes.md's table "What a client sees" that no other suite proves: module, control or database down or slow, at the
 * start and in flight. The names of the tests are those of the rows.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { projectRoot } from "../../control/projectPaths.ts";
import { extensionDiscovery, pluginFilter, type EnvoyObject, type PluginOptions } from "../../tools/envoy/bootstrap.ts";
import { startPostgres, type PostgresServer } from "../kit/postgres.ts";
import { Gateway, reasonOf, standalone } from "../kit/gateway.ts";
import { ControlProcess } from "../kit/control.ts";
import { environment, makeFixture } from "../kit/fixture.ts";
import { makeFolder, removeFolder } from "../kit/folders.ts";
import { startHttpServer } from "../kit/http.ts";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import type { Http1Request } from "../kit/http1.ts";
import { startLink, type Link } from "./support/link.ts";
import { newest } from "../kit/envoySetups.ts";
import { startTcpLink, type TcpLink } from "./support/tcpLink.ts";
import { eventually } from "../kit/eventually.ts";
import { filterModule } from "../kit/filterModule.ts";
import { everyWorkerAnswers } from "./support/workers.ts";

const { keys, file, spec } = makeFixture();
const good: Http1Request = { path: "/orders/1", headers: [["x-api-key", keys.gold]] };

describe("the module", () => {
  let folder: string;
  let running: Gateway | undefined;
  before(() => void (folder = makeFolder("table")));
  after(async () => {
    await running?.stop();
    removeFolder(folder);
  });
  const stop = async (): Promise<void> => {
    await running?.stop();
    running = undefined;
  };

  const plugin = { configuration: standalone(spec), hostEnvironment: [] };
  function publish(path: string, resource: EnvoyObject): void {
    writeFileSync(`${path}.next`, JSON.stringify(resource));
    renameSync(`${path}.next`, path);
  }
  const missing = join(tmpdir(), "tollgate-no-such-module.wasm");

  it("is missing at the start: the plugin refuses everybody, and nothing reaches the upstream", async () => {
    const path = join(folder, "missing.json");
    publish(path, extensionDiscovery({ ...plugin, wasmPath: missing }));
    running = await Gateway.start({
      setup: newest,
      listeners: [{ configuration: "", plugin: { ...plugin, discoveryPath: path } }],
    });
    try {
      for (const request of [good, { path: "/public" }]) {
        const { status, body } = await running.send(request);
        assert.equal(status, 500, body);
      }
      // It is there at last, and nobody has to do anything.
      publish(path, extensionDiscovery({ ...plugin, wasmPath: await filterModule() }));
      await eventually("a request to be admitted", async () => (await running!.send(good)).status === 200);
    } finally {
      await stop();
    }
  });

  it("is missing at the start, and stands in the listener itself: the listener isn't opened", async () => {
    running = await Gateway.start({
      setup: newest,
      watchListeners: true,
      listeners: [{ configuration: plugin.configuration, plugin: { ...plugin, wasmPath: missing } }],
    });
    try {
      await assert.rejects(running.send(good), /ECONNREFUSED/);
      assert.equal(
        await running.envoy.reload((listener) => ({ ...listener, plugin: { ...listener.plugin!, wasmPath: missing } })),
        "refused",
      );
    } finally {
      await stop();
    }
  });

  it("comes slowly: the listener opens once it is there, and no request passes before", async () => {
    const module = await readFile(await filterModule());
    const slow = await startHttpServer((_request, response) => void setTimeout(() => response.end(module), 1500));
    const filter = pluginFilter({ ...plugin, wasmPath: "" }) as {
      typed_config: { config: { vm_config: { code: unknown } } };
    };
    filter.typed_config.config.vm_config.code = {
      remote: {
        http_uri: { uri: "http://modules.test/tollgate.wasm", cluster: "upstream", timeout: "10s" },
        sha256: createHash("sha256").update(module).digest("hex"),
      },
    };
    const listener = {
      filtersBefore: [filter as EnvoyObject],
      virtualHosts: [
        { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, direct_response: { status: 204 } }] },
      ],
    };
    const startMs = performance.now();
    const seen = new Set<number | string>();
    // Starting waits until Envoy says that it's ready, which it does once the module is there.
    running = await Gateway.start({
      setup: newest,
      upstreamPort: slow.port,
      listeners: [{ configuration: standalone(spec), plugin: { hostEnvironment: [] }, listener }],
    });
    try {
      await eventually("a request to be admitted", async () => {
        const status = await running!.send(good).then(
          (answer) => answer.status,
          (error: NodeJS.ErrnoException) => error.code ?? "failed",
        );
        seen.add(status);
        return status === 204 || status === 401;
      });
      assert.ok(performance.now() - startMs >= 1400, "nothing was served before the module came");
      assert.equal((await running.send({ path: "/orders/1" })).status, 401);
      for (const status of seen) assert.ok([204, 401, 500, 503, "ECONNREFUSED"].includes(status), String(status));
    } finally {
      await stop();
      await slow.close();
    }
  });

  it("is replaced by one that doesn't load: the old one goes on", async () => {
    const path = join(folder, "replaced.json");
    const wasmPath = await filterModule();
    const broken = join(folder, "broken.wasm");
    writeFileSync(broken, Buffer.from("\0asm\x01\0\0\0 and then something else"));
    publish(path, extensionDiscovery({ ...plugin, wasmPath }));
    running = await Gateway.start({
      setup: newest,
      listeners: [{ configuration: "", plugin: { ...plugin, discoveryPath: path } as Partial<PluginOptions> }],
    });
    try {
      assert.equal((await running.send(good)).status, 200);
      for (const bad of [broken, missing]) {
        const rejected = async (): Promise<number> =>
          [...(await running!.envoy.stats("extension_config_discovery")).entries()]
            .filter(([name]) => /config_fail|config_reject|update_rejected|update_failure/.test(name))
            .reduce((sum, [, value]) => sum + value, 0);
        const rejectedBefore = await rejected();
        publish(path, extensionDiscovery({ ...plugin, wasmPath: bad }));
        await eventually("Envoy to refuse it", async () => (await rejected()) > rejectedBefore);
        assert.equal((await running.send(good)).status, 200);
        assert.equal((await running.send({ path: "/orders/1" })).status, 401);
      }
    } finally {
      await stop();
    }
  });
});

describe("control", () => {
  let control: ControlProcess;
  let gatewayToken: string;
  let link: Link;
  before(async () => {
    control = await ControlProcess.start();
    gatewayToken = await control.createEnvironment(environment, file);
    link = await startLink(control.syncPort);
  });
  after(async () => {
    await link?.close();
    await control?.remove();
  });

  const start = (more: object): Promise<Gateway> =>
    Gateway.start({
      setup: newest,
      syncPort: link.port,
      gatewayToken,
      listeners: [
        {
          configuration: {
            environment,
            control: { cluster: "control", authority: "control.test", timeoutMs: 2000, waitMs: 2000 },
            ...more,
          },
        },
      ],
    });
  const well = (): void => {
    link.delayMs = 0;
    link.fate = () => "delivered";
  };

  it("is slow at the start: requests wait, and are admitted when it answers within snapshotWaitTimeoutMs", async () => {
    link.delayMs = 250;
    const gateway = await start({ snapshotWaitTimeoutMs: 20_000 });
    try {
      const startMs = performance.now();
      const answers = await Promise.all(Array.from({ length: 10 }, () => gateway.send(good)));
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
      assert.ok(performance.now() - startMs >= 400, "they waited for it");
    } finally {
      well();
      await gateway.stop();
    }
  });

  it("is slower than snapshotWaitTimeoutMs at the start: 503 not_ready, then admitted", async () => {
    link.delayMs = 600;
    const gateway = await start({ snapshotWaitTimeoutMs: 200 });
    try {
      const { response, log } = await gateway.exchange(good);
      assert.equal(response.status, 503);
      assert.equal(reasonOf(response), "not_ready");
      assert.equal(response.header("retry-after"), "1");
      assert.equal(log["x-api-key"], null);
      await eventually("a request to be admitted", async () => (await gateway.send(good)).status === 200);
    } finally {
      well();
      await gateway.stop();
    }
  });

  it("takes calls and never answers, at the start: as if it were down", async () => {
    link.fate = () => "silent";
    const gateway = await start({ snapshotWaitTimeoutMs: 200 });
    try {
      assert.equal(reasonOf(await gateway.send(good)), "not_ready");
      await eventually("a call to time out", async () => (await gateway.metric("sync_failed")) > 0);
      assert.equal(reasonOf(await gateway.send(good)), "not_ready");
      well();
      await eventually("a request to be admitted", async () => (await gateway.send(good)).status === 200);
    } finally {
      well();
      await gateway.stop();
    }
  });

  it("is slow, or takes calls and never answers, in flight: nothing but late changes", async () => {
    const gateway = await start({});
    try {
      await everyWorkerAnswers([gateway], { path: "/orders/1", key: keys.gold }, undefined).catch(() => undefined);
      await eventually("a request to be admitted", async () => (await gateway.send(good)).status === 200);
      const { id, key } = await control.call<{ id: string; key: string }>(
        "POST",
        `/v1/keys?environment=${environment}`,
        { consumer: "acme" },
      );
      const issued: Http1Request = { path: "/orders/1", headers: [["x-api-key", key]] };
      await eventually("the key to be known", async () => (await gateway.send(issued)).status === 200);
      let watches = 0;
      link.fate = (path) => {
        if (path.startsWith("/sync/v1/watch")) watches++;
        return "silent";
      };
      // The one that waits when this begins is still answered.
      await eventually("a watch to be left without an answer", () => watches > 0);
      const failed = await gateway.metric("sync_failed");
      await control.call("POST", `/v1/keys/${id}/revoke?environment=${environment}`);
      await eventually("a call to time out", async () => (await gateway.metric("sync_failed")) > failed);
      const [held, admitted] = [await gateway.metric("held"), await gateway.metric("admitted")];
      for (let i = 0; i < 20; i++) assert.equal((await gateway.send(good)).status, 200);
      await eventually("them to be counted", async () => (await gateway.metric("admitted")) >= admitted + 20);
      assert.equal(await gateway.metric("held"), held, "requests don't wait for control");
      assert.equal((await gateway.send(issued)).status, 200, "the revocation has not arrived");
      well();
      link.delayMs = 300;
      await eventually(
        "the revocation to arrive, late",
        async () => reasonOf(await gateway.send(issued)) === "key_revoked",
      );
    } finally {
      well();
      await gateway.stop();
    }
  });
});

describe("the database", () => {
  const modes = ["closed", "open"] as const;
  const limitWaitTimeoutMs = 300;
  let postgres: PostgresServer;
  let link: TcpLink;
  let fleet: Fleet;
  let env: Record<string, string>;
  before(async () => {
    postgres = await startPostgres();
    const direct = new URL(await postgres.createDatabase());
    link = await startTcpLink({ path: join(direct.searchParams.get("host")!, ".s.PGSQL.5432") });
    env = { TOLLGATE_DATABASE_URL: `postgres://tollgate@127.0.0.1:${link.port}${direct.pathname}` };
    const limited = modes.flatMap((failureMode) =>
      ["warm", "away", "silent"].map((name) => product(`${failureMode}-${name}`, [quotaOfDay(1000)], { failureMode })),
    );
    fleet = await Fleet.start({
      setup: newest,
      gateways: 1,
      control: { env },
      configuration: { limitWaitTimeoutMs },
      products: [product("unlimited", []), ...limited],
    });
    for (const name of ["unlimited", "closed-warm", "open-warm"])
      await everyWorkerAnswers(fleet.gateways, { path: `/${name}`, key: fleet.key(name) }, undefined);
  });
  after(async () => {
    link?.flow();
    link?.mend();
    await fleet?.stop();
    await link?.close();
    await postgres?.stop();
  });

  const send = (name: string) =>
    fleet.gateways[0]!.send({ path: `/${name}`, headers: [["x-api-key", fleet.key(name)]] });
  const readiness = async (): Promise<number> =>
    (await fetch(`http://127.0.0.1:${fleet.control.adminPort}/readyz`, { signal: AbortSignal.timeout(5000) })).status;

  /** What holds while the database is away, however that is. */
  async function seenByClients(name: "away" | "silent"): Promise<void> {
    for (let i = 0; i < 5; i++) assert.equal((await send("unlimited")).status, 200);
    assert.equal((await send("closed-warm")).status, 200, "what was leased is spent");
    const closed = await send(`closed-${name}`);
    assert.equal(closed.status, 503);
    assert.equal(reasonOf(closed), "limit_unavailable");
    assert.match(closed.header("retry-after") ?? "", /^[1-9]\d*$/);
    assert.equal((await send(`open-${name}`)).status, 200);
    assert.match(fleet.upstream.last(`/open-${name}`), /^x-tollgate-unchecked: limit_unavailable\r?$/m);
  }

  /** After it is back, without anybody's doing. */
  async function recovered(name: "away" | "silent"): Promise<void> {
    await eventually("control to be ready", async () => (await readiness()) === 200);
    // By every worker: one that was refused only now doesn't wait for allowance the next time, until a call has succeeded.
    await everyWorkerAnswers(fleet.gateways, { path: `/closed-${name}`, key: fleet.key(`closed-${name}`) }, undefined);
  }

  it("goes away in flight: keys go on, limits spend what is leased, then their failureMode", async () => {
    await postgres.pause();
    try {
      await eventually("control to notice", async () => (await readiness()) === 503);
      await seenByClients("away");
    } finally {
      await postgres.resume();
    }
    await recovered("away");
  });

  it("doesn't answer in flight: the same, after limitWaitTimeoutMs", async () => {
    link.stall();
    try {
      const startMs = performance.now();
      await seenByClients("silent");
      assert.ok(performance.now() - startMs >= limitWaitTimeoutMs, "what needs allowance waits for it first");
    } finally {
      link.flow();
    }
    await recovered("silent");
  });

  it("is down when control starts: control doesn't start, which is control down", async () => {
    const other = await ControlProcess.prepare({
      env: { TOLLGATE_DATABASE_URL: "postgres://tollgate@127.0.0.1:1/nowhere" },
    });
    try {
      await assert.rejects(other.start(), /control ended with 1:[\s\S]*ECONNREFUSED|can't be reached|doesn't answer/);
    } finally {
      await other.remove();
    }
  });
});

describe("the table in docs/operate/failure-modes.md", () => {
  it("names tests that are there", async () => {
    const text = await readFile(join(projectRoot(), "docs", "operate", "failure-modes.md"), "utf8");
    const table = /<!-- what-a-client-sees -->\n([\s\S]*?)<!-- \/what-a-client-sees -->/.exec(text)?.[1] ?? "";
    const rows = table
      .split("\n")
      .slice(2)
      .filter((line) => line !== "");
    assert.ok(rows.length >= 20, String(rows.length));
    for (const row of rows) {
      const proofs = row.split(" | ").at(-1)!.replace(/ \|$/, "").split("; ");
      for (const proof of proofs) {
        const [, file = "", title = ""] = /^`(tests\/[\w/.]+)`: (.+)$/.exec(proof) ?? [];
        assert.notEqual(file, "", row);
        assert.ok(
          (await readFile(join(projectRoot(), file), "utf8")).includes(title),
          `${file} has no test "${title}"`,
        );
      }
    }
  });
});
