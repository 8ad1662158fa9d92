/** A gateway and its control: first load, changes, outages, spoiled answers. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { HEADER_BYTES } from "../../control/sync/wire.ts";
import { Gateway, reasonOf } from "../kit/gateway.ts";
import { ControlProcess } from "../kit/control.ts";
import { environment, makeFixture, type Fixture } from "../kit/fixture.ts";
import { Connection, type Http1Request } from "../kit/http1.ts";
import { everySetup, twoSetups, type Setup } from "../kit/envoySetups.ts";
import { startTamperingProxy, type TamperingProxy } from "./support/tamperingProxy.ts";
import { eventually } from "../kit/eventually.ts";

const query = `?environment=${environment}`;
const withKey = (key: string, path = "/orders/1"): Http1Request => ({ path, headers: [["x-api-key", key]] });
const configuration = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  environment,
  control: {
    cluster: "control",
    authority: "control.test",
    timeoutMs: 2000,
    waitMs: 5000,
    ...(more.control as object),
  },
  ...Object.fromEntries(Object.entries(more).filter(([name]) => name !== "control")),
});

/** Connections on every worker: more than enough, so that none is left out. */
async function everywhere(gateway: Gateway, use: (connections: Connection[]) => Promise<void>): Promise<void> {
  const connections = await Promise.all(Array.from({ length: 16 }, () => Connection.open(gateway.port())));
  try {
    await use(connections);
  } finally {
    for (const connection of connections) connection.close();
  }
}

/** One for each connection: the reason of the refusal, undefined when the request was answered by the upstream. */
async function reasonsOn(connections: Connection[], request: Http1Request): Promise<(string | undefined)[]> {
  return Promise.all(
    connections.map(async (connection) => {
      const response = await connection.send(request);
      return response.status === 200 ? undefined : (reasonOf(response) ?? `${response.status} ${response.body}`);
    }),
  );
}

/** Waits until every connection answers with this reason; undefined: admitted. */
async function allAnswer(connections: Connection[], request: Http1Request, reason: string | undefined): Promise<void> {
  let last: (string | undefined)[] = [];
  try {
    await eventually(`every worker to answer ${reason ?? "200"}`, async () =>
      (last = await reasonsOn(connections, request)).every((one) => one === reason),
    );
  } catch (error) {
    throw new Error(`${(error as Error).message}; answers: ${last.join(", ")}`, { cause: error });
  }
}

function suite(setups: readonly Setup[], name: string, body: (setup: Setup) => void): void {
  for (const setup of setups) describe(`${setup.name}: ${name}`, () => body(setup));
}

suite(everySetup, "a change in control", (setup) => {
  const { keys, file } = makeFixture();
  let control: ControlProcess;
  let gateway: Gateway;
  before(async () => {
    control = await ControlProcess.start();
    const gatewayToken = await control.createEnvironment(environment, file);
    gateway = await Gateway.start({
      setup,
      syncPort: control.syncPort,
      gatewayToken,
      listeners: [{ configuration: configuration() }],
    });
  });
  after(async () => {
    await gateway?.stop();
    await control?.remove();
  });

  it("holds the first requests until the snapshot is there", async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => gateway.send(withKey(keys.gold))));
    assert.deepEqual(
      answers.map(({ status }) => status),
      answers.map(() => 200),
    );
  });

  it("reaches every worker: a key that is issued, suspended, resumed, revoked", async () => {
    await everywhere(gateway, async (connections) => {
      const { id, key } = await control.call<{ id: string; key: string }>("POST", `/v1/keys${query}`, {
        consumer: "acme",
      });
      await allAnswer(connections, withKey(key), undefined);
      await control.call("POST", `/v1/keys/${id}/suspend${query}`);
      await allAnswer(connections, withKey(key), "key_suspended");
      await control.call("POST", `/v1/keys/${id}/resume${query}`);
      await allAnswer(connections, withKey(key), undefined);
      await control.call("POST", `/v1/keys/${id}/revoke${query}`);
      await allAnswer(connections, withKey(key), "key_revoked");
      await control.call("DELETE", `/v1/keys/${id}${query}`);
      await allAnswer(connections, withKey(key), "unknown_key");
    });
  });

  it("reaches every worker: a rotation", async () => {
    await everywhere(gateway, async (connections) => {
      const old = await control.call<{ id: string; key: string }>("POST", `/v1/keys${query}`, { consumer: "acme" });
      const fresh = await control.call<{ id: string; key: string }>("POST", `/v1/keys/${old.id}/rotate${query}`, {
        graceSeconds: 3,
      });
      await allAnswer(connections, withKey(fresh.key), undefined);
      assert.deepEqual(
        new Set(await reasonsOn(connections, withKey(old.key))),
        new Set([undefined]),
        "the old key lives for its grace",
      );
      await allAnswer(connections, withKey(old.key), "key_expired");
      assert.deepEqual(new Set(await reasonsOn(connections, withKey(fresh.key))), new Set([undefined]));
    });
  });

  it("reaches every worker: consumers, tiers, APIs", async () => {
    await everywhere(gateway, async (connections) => {
      const consumer = { tier: "gold", claims: { org: "acme" } };
      await control.call("PUT", `/v1/consumers/acme${query}`, { id: "acme", ...consumer, suspended: true });
      await allAnswer(connections, withKey(keys.gold), "consumer_suspended");
      await control.call("PUT", `/v1/consumers/acme${query}`, {
        id: "acme",
        ...consumer,
        tier: "silver",
        suspended: false,
      });
      await allAnswer(connections, withKey(keys.gold, "/partner"), "api_not_allowed");
      await control.call("PUT", `/v1/tiers/silver${query}`, {
        id: "silver",
        scopes: ["read", "staff"],
        apis: ["orders", "partner", "staff"],
      });
      await allAnswer(connections, withKey(keys.gold, "/staff"), undefined);
      await control.call("PUT", `/v1/apis/fresh${query}`, {
        id: "fresh",
        hosts: ["api.example.com"],
        paths: ["/fresh"],
        upstream: { service: "echo.test", port: 80 },
        auth: { mode: "none" },
      });
      await allAnswer(connections, { path: "/fresh" }, undefined);
      await control.call("DELETE", `/v1/apis/fresh${query}`);
      await allAnswer(connections, { path: "/fresh" }, "unknown_api");
      await control.call("PUT", `/v1/consumers/acme${query}`, { id: "acme", ...consumer, suspended: false });
      await allAnswer(connections, withKey(keys.gold, "/partner"), undefined);
    });
  });

  it("is what /v1/gateways shows as applied", async () => {
    const seen = await eventually("the gateway to have applied the current version", async () => {
      const { version, items } = await control.call<{
        version: number;
        items: { state: string; applied: number; workers: number; group: string }[];
      }>("GET", `/v1/gateways${query}`);
      return items.find((one) => one.applied === version);
    });
    assert.equal(seen.state, "connected");
    assert.equal(seen.group, "edge");
    assert.equal(seen.workers, setup.workers);
  });

  it("shows in the gauges", async () => {
    const { version } = await control.call<{ version: number }>("GET", `/v1/gateways${query}`);
    await gateway.metricReaches("snapshot_version", version);
    assert.ok((await gateway.metric("keys")) >= Object.keys(keys).length);
    assert.ok((await gateway.metric("sync_ok")) > 0);
    assert.ok((await gateway.metric("snapshot_age_seconds")) <= 30);
  });
});

suite(twoSetups, "control killed with -9", (setup) => {
  const { keys, file } = makeFixture();
  let control: ControlProcess;
  let gateway: Gateway;
  before(async () => {
    control = await ControlProcess.start();
    const gatewayToken = await control.createEnvironment(environment, file);
    gateway = await Gateway.start({
      setup,
      syncPort: control.syncPort,
      gatewayToken,
      listeners: [{ configuration: configuration() }],
    });
  });
  after(async () => {
    await gateway?.stop();
    await control?.remove();
  });

  it("is survived, and what changed meanwhile arrives once it is back", async () => {
    await everywhere(gateway, async (connections) => {
      await allAnswer(connections, withKey(keys.gold), undefined);
      for (let round = 0; round < 2; round++) {
        const { id, key } = await control.call<{ id: string; key: string }>("POST", `/v1/keys${query}`, {
          consumer: "acme",
        });
        await allAnswer(connections, withKey(key), undefined);
        // Revoked and killed at once: whether the gateway heard of it before or hears of it after, it must hear of it.
        await control.call("POST", `/v1/keys/${id}/revoke${query}`);
        await control.kill();
        assert.deepEqual(
          new Set(await reasonsOn(connections, withKey(keys.gold))),
          new Set([undefined]),
          "what is known stays good",
        );
        const failedBefore = await gateway.metric("sync_failed");
        await eventually("the gateway to notice", async () => (await gateway.metric("sync_failed")) > failedBefore);
        assert.deepEqual(new Set(await reasonsOn(connections, withKey(keys.gold))), new Set([undefined]));
        await control.start();
        await allAnswer(connections, withKey(key), "key_revoked");
        const next = await control.call<{ key: string }>("POST", `/v1/keys${query}`, { consumer: "acme" });
        await allAnswer(connections, withKey(next.key), undefined);
      }
    });
  });
});

suite(twoSetups, "control down at the start", (setup) => {
  const { keys, file } = makeFixture();
  let control: ControlProcess;
  let gatewayToken: string;
  before(async () => {
    control = await ControlProcess.start();
    gatewayToken = await control.createEnvironment(environment, file);
  });
  after(() => control?.remove());

  it("refuses with not_ready after the hold, and admits once control is there", async () => {
    await control.kill();
    const gateway = await Gateway.start({
      setup,
      syncPort: control.syncPort,
      gatewayToken,
      listeners: [{ configuration: configuration({ snapshotWaitTimeoutMs: 300 }) }],
    });
    try {
      const startMs = performance.now();
      const { response, log } = await gateway.exchange(withKey(keys.gold));
      assert.equal(response.status, 503);
      assert.equal(reasonOf(response), "not_ready");
      assert.equal(log.details, "tollgate_not_ready");
      assert.equal(response.header("retry-after"), "1");
      assert.ok(performance.now() - startMs >= 250, "it was held first");
      assert.equal(log["x-api-key"], null);
      assert.equal(reasonOf(await gateway.send({ path: "/public" })), "not_ready", "a keyless API is not known either");
      await control.start();
      await everywhere(gateway, (connections) => allAnswer(connections, withKey(keys.gold), undefined));
    } finally {
      await gateway.stop();
    }
  });

  it("holds requests that wait for a control that is just starting", async () => {
    await control.kill();
    const gateway = await Gateway.start({
      setup,
      syncPort: control.syncPort,
      gatewayToken,
      listeners: [{ configuration: configuration({ snapshotWaitTimeoutMs: 30_000 }) }],
    });
    try {
      const waiting = Array.from({ length: 10 }, () => gateway.send(withKey(keys.gold)));
      await eventually("requests to be held", async () => (await gateway.metric("held")) === 10);
      await control.start();
      assert.deepEqual(
        (await Promise.all(waiting)).map(({ status }) => status),
        Array<number>(10).fill(200),
      );
    } finally {
      await gateway.stop();
    }
  });

  it("holds no more than maxSnapshotWaiters", async () => {
    await control.kill();
    const gateway = await Gateway.start({
      setup: { ...setup, workers: 1 },
      syncPort: control.syncPort,
      gatewayToken,
      listeners: [{ configuration: configuration({ snapshotWaitTimeoutMs: 20_000, maxSnapshotWaiters: 3 }) }],
    });
    try {
      const connections = await Promise.all(Array.from({ length: 6 }, () => Connection.open(gateway.port())));
      const answers = connections.map((connection) => connection.send(withKey(keys.gold)));
      const early: string[] = [];
      for (const answer of answers)
        void answer.then(
          (response) => early.push(reasonOf(response) ?? String(response.status)),
          () => {},
        );
      await eventually("three refusals", () => early.length === 3);
      assert.deepEqual(early, ["not_ready", "not_ready", "not_ready"]);
      await control.start();
      assert.equal((await Promise.all(answers)).filter(({ status }) => status === 200).length, 3);
      for (const connection of connections) connection.close();
    } finally {
      await gateway.stop();
    }
  });

  it("outlives clients that leave while they are held", async () => {
    await control.kill();
    const gateway = await Gateway.start({
      setup,
      syncPort: control.syncPort,
      gatewayToken,
      listeners: [{ configuration: configuration({ snapshotWaitTimeoutMs: 30_000 }) }],
    });
    try {
      const leaving = await Promise.all(Array.from({ length: 8 }, () => Connection.open(gateway.port())));
      for (const connection of leaving) void connection.send(withKey(keys.gold)).catch(() => {});
      const staying = gateway.send(withKey(keys.silver));
      await eventually("requests to be held", async () => (await gateway.metric("held")) === 9);
      for (const connection of leaving) connection.close();
      await control.start();
      assert.equal((await staying).status, 200);
      assert.ok(gateway.envoy.alive());
    } finally {
      await gateway.stop();
    }
  });

  it("passes requests unchecked and marked, without key and claims, when the plugin fails open", async () => {
    await control.kill();
    const gateway = await Gateway.start({
      setup,
      syncPort: control.syncPort,
      gatewayToken,
      listeners: [{ configuration: configuration({ snapshotWaitTimeoutMs: 0, failureMode: "open" }) }],
    });
    try {
      const { seen } = await gateway.exchange({
        path: "/orders/1",
        headers: [
          ["x-api-key", keys.gold],
          ["x-tollgate-consumer", "forged"],
          ["X_Tollgate_Tier", "forged"],
          ["x-tollgate-unchecked", "forged"],
        ],
      });
      assert.equal(seen?.headers["x-tollgate-unchecked"], "not_ready");
      const claims = Object.keys(seen!.headers).filter((name) => /^x[-_]tollgate/.test(name));
      assert.deepEqual(claims, ["x-tollgate-unchecked"]);
      assert.equal(seen!.headers["x-api-key"], undefined);
      await gateway.metricReaches("unchecked", 1);
      await control.start();
      await everywhere(gateway, (connections) => allAnswer(connections, withKey(keys.revoked), "key_revoked"));
    } finally {
      await gateway.stop();
    }
  });
});

suite(twoSetups, "a snapshot that grows too old", (setup) => {
  it("counts as none, until control is heard again", async () => {
    const { keys, file } = makeFixture();
    const control = await ControlProcess.start();
    let gateway: Gateway | undefined;
    try {
      const gatewayToken = await control.createEnvironment(environment, file);
      const more = { maxSnapshotAgeSeconds: 4, control: { waitMs: 1000 } };
      gateway = await Gateway.start({
        setup,
        syncPort: control.syncPort,
        gatewayToken,
        listeners: [
          { configuration: configuration(more) },
          { configuration: configuration({ ...more, failureMode: "open" }) },
        ],
      });
      const both = gateway;
      await everywhere(gateway, async (connections) => {
        await allAnswer(connections, withKey(keys.gold), undefined);
        await control.kill();
        await allAnswer(connections, withKey(keys.gold), "snapshot_stale");
        const { response, log } = await both.exchange(withKey(keys.gold));
        assert.equal(response.status, 503);
        assert.equal(log.details, "tollgate_snapshot_stale");
        const open = await both.exchange(withKey(keys.gold), 1);
        assert.equal(open.seen?.headers["x-tollgate-unchecked"], "snapshot_stale");
        assert.equal(open.seen?.headers["x-tollgate-consumer"], undefined);
        await control.start();
        await allAnswer(connections, withKey(keys.gold), undefined);
      });
    } finally {
      await gateway?.stop();
      await control.remove();
    }
  });
});

suite(twoSetups, "spoiled answers of control", (setup) => {
  const { keys, file } = makeFixture();
  let control: ControlProcess;
  let proxy: TamperingProxy;
  let gatewayToken: string;
  before(async () => {
    control = await ControlProcess.start();
    gatewayToken = await control.createEnvironment(environment, file);
    proxy = await startTamperingProxy(control.syncPort);
  });
  after(async () => {
    await proxy?.close();
    await control?.remove();
  });

  const flip = (body: Buffer, at: number): Buffer => {
    const changed = Buffer.from(body);
    if (changed.length > at) changed[at] = changed[at]! ^ 1;
    return changed;
  };
  const spoil: [what: string, tamper: (body: Buffer) => Buffer][] = [
    ["a flipped bit in the payload", (body) => flip(body, HEADER_BYTES + 5)],
    ["a flipped bit in the header", (body) => flip(body, 20)],
    ["a wrong magic", (body) => flip(body, 0)],
    ["a newer format", (body) => flip(body, 4)],
    ["a truncated body", (body) => body.subarray(0, Math.max(0, body.length - 7))],
    ["an empty body", () => Buffer.alloc(0)],
    ["something else", () => Buffer.from("<html>a captive portal</html>")],
    ["a body with something behind it", (body) => Buffer.concat([body, Buffer.from("behind")])],
  ];

  for (const [what, tamper] of spoil) {
    it(`never become a table at the first load: ${what}`, async () => {
      proxy.tamper = (path, body) => (path.includes("/pages/") ? tamper(body) : body);
      const tamperedBefore = proxy.tampered;
      const gateway = await Gateway.start({
        setup,
        syncPort: proxy.port,
        gatewayToken,
        listeners: [{ configuration: configuration({ snapshotWaitTimeoutMs: 0 }) }],
      });
      try {
        await eventually("a page to be spoiled twice", async () => {
          assert.equal(reasonOf(await gateway.send(withKey(keys.gold))), "not_ready");
          return proxy.tampered >= tamperedBefore + 2;
        });
        assert.equal(reasonOf(await gateway.send(withKey(keys.gold))), "not_ready");
        proxy.tamper = undefined;
        await everywhere(gateway, (connections) => allAnswer(connections, withKey(keys.gold), undefined));
      } finally {
        proxy.tamper = undefined;
        await gateway.stop();
      }
    });
  }

  it("never replace a good table", async () => {
    const gateway = await Gateway.start({
      setup,
      syncPort: proxy.port,
      gatewayToken,
      listeners: [{ configuration: configuration({ control: { waitMs: 1000 } }) }],
    });
    try {
      await everywhere(gateway, async (connections) => {
        await allAnswer(connections, withKey(keys.gold), undefined);
        for (const [what, tamper] of spoil) {
          proxy.tamper = (_path, body) => tamper(body);
          const tamperedBefore = proxy.tampered;
          const { key } = await control.call<{ key: string }>("POST", `/v1/keys${query}`, { consumer: "acme" });
          await eventually(`a spoiled answer: ${what}`, () => proxy.tampered > tamperedBefore);
          assert.deepEqual(new Set(await reasonsOn(connections, withKey(keys.gold))), new Set([undefined]), what);
          assert.deepEqual(
            new Set(await reasonsOn(connections, withKey(keys.revoked))),
            new Set(["key_revoked"]),
            what,
          );
          proxy.tamper = undefined;
          await allAnswer(connections, withKey(key), undefined);
        }
      });
    } finally {
      proxy.tamper = undefined;
      await gateway.stop();
    }
  });
});

suite(twoSetups, "tokens and groups", (setup) => {
  it("shows a gateway only its group's APIs, and nothing without a token", async () => {
    const { keys, file } = makeFixture();
    const control = await ControlProcess.start();
    const gateways: Gateway[] = [];
    const start = async (gatewayToken: string): Promise<Gateway> => {
      const gateway = await Gateway.start({
        setup,
        syncPort: control.syncPort,
        gatewayToken,
        listeners: [{ configuration: configuration({ snapshotWaitTimeoutMs: 0 }) }],
      });
      gateways.push(gateway);
      return gateway;
    };
    try {
      await control.createEnvironment(environment, file);
      const token = await control.createGatewayToken(environment, { group: "small", apis: ["orders"] });
      const small = await start(token);
      await everywhere(small, async (connections) => {
        await allAnswer(connections, withKey(keys.gold), undefined);
        assert.deepEqual(
          new Set(await reasonsOn(connections, withKey(keys.gold, "/partner"))),
          new Set(["unknown_api"]),
        );
      });
      const stranger = await start("tgg_0000000000000000000000000000000000000000000");
      await eventually("a refused call", async () => (await stranger.metric("sync_failed")) > 0);
      assert.equal(reasonOf(await stranger.send(withKey(keys.gold))), "not_ready");
      assert.ok(!stranger.envoy.log().includes("tgg_0000"), "a token must not be logged");
    } finally {
      for (const gateway of gateways) await gateway.stop();
      await control.remove();
    }
  });
});

suite(twoSetups, "a reload of the configuration", (setup) => {
  const scenario = (fixture: Fixture) => async (): Promise<void> => {
    const { keys, file } = fixture;
    const control = await ControlProcess.start();
    let gateway: Gateway | undefined;
    const sockets: Connection[] = [];
    try {
      const gatewayToken = await control.createEnvironment(environment, file);
      gateway = await Gateway.start({
        setup,
        watchListeners: true,
        syncPort: control.syncPort,
        gatewayToken,
        listeners: [{ configuration: configuration() }],
      });
      assert.equal((await gateway.send(withKey(keys.gold))).status, 200);
      const current = gateway;
      for (let reload = 0; reload < 3; reload++) {
        const socket = await Connection.open(gateway.port());
        sockets.push(socket);
        assert.equal((await socket.upgrade("/orders/live", [["x-api-key", keys.gold]])).status, 101);
        const outcome = await current.envoy.reload((listener) => ({
          ...listener,
          plugin: { ...listener.plugin!, configuration: configuration({ claims: { prefix: `x-reload-${reload}-` } }) },
        }));
        assert.equal(outcome, "accepted");
        await eventually(
          "the new claims",
          async () =>
            (await current.exchange(withKey(keys.gold))).seen?.headers[`x-reload-${reload}-consumer`] === "acme",
        );
        // The old roots live on behind the sockets: changes must still arrive, and once only be asked for.
        await everywhere(current, async (connections) => {
          const { id, key } = await control.call<{ id: string; key: string }>("POST", `/v1/keys${query}`, {
            consumer: "acme",
          });
          await allAnswer(connections, withKey(key), undefined);
          await control.call("POST", `/v1/keys/${id}/revoke${query}`);
          await allAnswer(connections, withKey(key), "key_revoked");
        });
        for (const open of sockets) {
          open.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
          assert.deepEqual(await open.readBytes(4), Buffer.from([0x81, 0x02, 0x68, 0x69]));
        }
      }
      const { items } = await control.call<{ items: { state: string }[] }>("GET", `/v1/gateways${query}`);
      assert.equal(
        items.filter(({ state }) => state === "connected").length,
        1,
        "one gateway, however often it was reloaded",
      );
    } finally {
      for (const socket of sockets) socket.close();
      await gateway?.stop();
      await control.remove();
    }
  };
  it("starts warm, with WebSockets open through every one", scenario(makeFixture()));

  it("serves from what is there while control is away", async () => {
    const { keys, file } = makeFixture();
    const control = await ControlProcess.start();
    let gateway: Gateway | undefined;
    try {
      const gatewayToken = await control.createEnvironment(environment, file);
      gateway = await Gateway.start({
        setup,
        watchListeners: true,
        syncPort: control.syncPort,
        gatewayToken,
        listeners: [{ configuration: configuration({ snapshotWaitTimeoutMs: 3000 }) }],
      });
      assert.equal((await gateway.send(withKey(keys.gold))).status, 200);
      await control.kill();
      const current = gateway;
      const outcome = await current.envoy.reload((listener) => ({
        ...listener,
        plugin: {
          ...listener.plugin!,
          configuration: configuration({ snapshotWaitTimeoutMs: 3000, claims: { prefix: "x-warm-" } }),
        },
      }));
      assert.equal(outcome, "accepted");
      await eventually(
        "the new claims",
        async () => (await current.exchange(withKey(keys.gold))).seen?.headers["x-warm-consumer"] === "acme",
      );
    } finally {
      await gateway?.stop();
      await control.remove();
    }
  });
});

suite(twoSetups, "VMs that trap", (setup) => {
  it("are replaced, the elected one too, and changes still arrive", async () => {
    const { keys, file } = makeFixture();
    const control = await ControlProcess.start();
    let gateway: Gateway | undefined;
    try {
      const gatewayToken = await control.createEnvironment(environment, file);
      gateway = await Gateway.start({
        setup,
        target: "trap",
        syncPort: control.syncPort,
        gatewayToken,
        listeners: [{ configuration: configuration() }],
      });
      const current = gateway;
      const trap: Http1Request = {
        path: "/orders/1",
        headers: [
          ["x-api-key", keys.gold],
          ["x-test-trap", "1"],
        ],
      };
      for (let round = 0; round < 3; round++) {
        assert.equal((await current.send(withKey(keys.gold))).status, 200);
        // On every worker, so that the elected VM is among them unless the main thread holds the office.
        await Promise.all(Array.from({ length: 16 }, () => current.send(trap).catch(() => undefined)));
        await eventually("the VMs to be back", async () =>
          (await Promise.all(Array.from({ length: 16 }, () => current.send(withKey(keys.gold))))).every(
            ({ status }) => status === 200,
          ),
        );
        await everywhere(current, async (connections) => {
          const { id, key } = await control.call<{ id: string; key: string }>("POST", `/v1/keys${query}`, {
            consumer: "acme",
          });
          await allAnswer(connections, withKey(key), undefined);
          await control.call("POST", `/v1/keys/${id}/revoke${query}`);
          await allAnswer(connections, withKey(key), "key_revoked");
        });
      }
    } finally {
      await gateway?.stop();
      await control.remove();
    }
  });
});

suite(twoSetups, "two plugins with different environments in one Envoy", (setup) => {
  it("keep their tables apart and both follow their control", async () => {
    const one = makeFixture();
    const two = makeFixture();
    const control = await ControlProcess.start();
    let gateway: Gateway | undefined;
    try {
      const gatewayToken = await control.createEnvironment(environment, one.file);
      const others = {
        ...two.file,
        environment: "other",
        keys: two.file.keys!.filter(({ id }) => id === "key-legacy"),
      };
      const otherToken = await control.createEnvironment("other", others);
      gateway = await Gateway.start({
        setup,
        syncPort: control.syncPort,
        gatewayToken,
        env: { OTHER_TOKEN: otherToken },
        listeners: [
          { configuration: configuration(), plugin: { hostEnvironment: ["TOLLGATE_GATEWAY_TOKEN", "OTHER_TOKEN"] } },
          {
            configuration: configuration({ environment: "other", control: { tokenEnv: "OTHER_TOKEN" } }),
            plugin: { hostEnvironment: ["TOLLGATE_GATEWAY_TOKEN", "OTHER_TOKEN"] },
          },
        ],
      });
      assert.equal((await gateway.send(withKey(one.keys.gold), 0)).status, 200);
      assert.equal((await gateway.send(withKey(two.keys.legacy), 1)).status, 200);
      assert.equal(reasonOf(await gateway.send(withKey(two.keys.legacy), 0)), "unknown_key");
      assert.equal(reasonOf(await gateway.send(withKey(one.keys.legacy), 1)), "unknown_key");
      assert.equal(reasonOf(await gateway.send(withKey(one.keys.gold), 1)), "key_wrong_environment");
      const current = gateway;
      await control.call("POST", `/v1/keys/key-legacy/revoke?environment=other`);
      await eventually(
        "the revocation in the other environment",
        async () => reasonOf(await current.send(withKey(two.keys.legacy), 1)) === "key_revoked",
      );
      assert.equal((await current.send(withKey(one.keys.legacy), 0)).status, 200);
    } finally {
      await gateway?.stop();
      await control.remove();
    }
  });
});
