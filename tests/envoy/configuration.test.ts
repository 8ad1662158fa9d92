/** The plugin's configuration in a running Envoy: none, wrong, replaced under load, two at a time. */
import assert from "node:assert/strict";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { extensionDiscovery, type PluginOptions } from "../../tools/envoy/bootstrap.ts";
import { Gateway, reasonOf, standalone } from "../kit/gateway.ts";
import { makeFixture } from "../kit/fixture.ts";
import { Connection } from "../kit/http1.ts";
import { twoSetups } from "../kit/envoySetups.ts";
import { eventually } from "../kit/eventually.ts";
import { filterModule } from "../kit/filterModule.ts";
import { makeFolder, removeFolder } from "../kit/folders.ts";

const first = makeFixture();
/** The same records, other keys. */
const second = makeFixture();
const plugin: Partial<PluginOptions> = { hostEnvironment: [] };
const withKey = (key: string) => ({ path: "/orders/1", headers: [["x-api-key", key] as [string, string]] });

for (const setup of twoSetups) {
  describe(`${setup.name}: an empty configuration`, () => {
    let gateway: Gateway;
    before(async () => {
      gateway = await Gateway.start({
        setup,
        listeners: [
          { configuration: "", plugin },
          { configuration: "{}", plugin },
        ],
      });
    });
    after(() => gateway?.stop());

    for (const listener of [0, 1]) {
      it(`answers 503 and says why, listener ${listener}`, async () => {
        for (const request of [
          withKey(first.keys.gold),
          { path: "/public" },
          { path: "/nowhere", method: "POST", body: "x" },
        ]) {
          const { response, log } = await gateway.exchange(request, listener);
          assert.equal(response.status, 503);
          assert.equal(reasonOf(response), "not_configured");
          assert.equal(log.details, "tollgate_not_configured");
          assert.notEqual(response.header("retry-after"), undefined);
          assert.ok(!JSON.stringify(log).includes(first.keys.gold), "the key must not be logged");
        }
      });
    }
  });

  describe(`${setup.name}: a refused configuration`, () => {
    const wrong: [what: string, configuration: PluginOptions["configuration"], named: RegExp][] = [
      ["no JSON", "{environment", /json|JSON|configuration/],
      ["an unknown field", standalone(first.spec, { failuremode: "open" }), /failuremode/],
      ["a wrong value", standalone(first.spec, { failureMode: "ajar" }), /failureMode/],
      ["a wrong type", standalone(first.spec, { snapshotWaitTimeoutMs: "2s" }), /snapshotWaitTimeoutMs/],
      ["a value out of range", standalone(first.spec, { snapshotWaitTimeoutMs: 60_001 }), /snapshotWaitTimeoutMs/],
      [
        "control and snapshot",
        standalone(first.spec, { control: { cluster: "control", authority: "control" } }),
        /control|snapshot/,
      ],
      [
        "a snapshot that is none",
        { environment: "test", snapshot: Buffer.from("no snapshot").toString("base64") },
        /snapshot/,
      ],
      ["a claim prefix that is none", standalone(first.spec, { claims: { prefix: "" } }), /claims\.prefix|prefix/],
    ];
    for (const [what, configuration, named] of wrong) {
      it(`as the first one keeps Envoy from starting and is named: ${what}`, async () => {
        await assert.rejects(
          async () => (await Gateway.start({ setup, listeners: [{ configuration, plugin }] })).stop(),
          (error: Error) => named.test(error.message),
        );
      });
    }

    it("as a later one keeps the old in force", async () => {
      const gateway = await Gateway.start({
        setup,
        watchListeners: true,
        listeners: [{ configuration: standalone(first.spec), plugin }],
      });
      try {
        assert.equal((await gateway.send(withKey(first.keys.gold))).status, 200);
        for (const [what, configuration] of wrong) {
          const outcome = await gateway.envoy.reload((listener) => ({
            ...listener,
            plugin: { ...listener.plugin!, configuration },
          }));
          assert.equal(outcome, "refused", what);
          assert.equal((await gateway.send(withKey(first.keys.gold))).status, 200, what);
        }
        const outcome = await gateway.envoy.reload((listener) => ({
          ...listener,
          plugin: { ...listener.plugin!, configuration: standalone(second.spec) },
        }));
        assert.equal(outcome, "accepted");
        await eventually(
          "the second configuration",
          async () => (await gateway.send(withKey(second.keys.gold))).status === 200,
        );
        assert.equal(reasonOf(await gateway.send(withKey(first.keys.gold))), "unknown_key");
      } finally {
        await gateway.stop();
      }
    });
  });

  describe(`${setup.name}: a reload`, () => {
    it("leaves an open WebSocket and its old configuration alone", async () => {
      const gateway = await Gateway.start({
        setup,
        watchListeners: true,
        listeners: [{ configuration: standalone(first.spec), plugin }],
      });
      const connections: Connection[] = [];
      const echo = async (connection: Connection): Promise<void> => {
        connection.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
        assert.deepEqual(await connection.readBytes(4), Buffer.from([0x81, 0x02, 0x68, 0x69]));
      };
      try {
        for (let reload = 0; reload < 4; reload++) {
          const [now, next] = reload % 2 === 0 ? [first, second] : [second, first];
          const connection = await Connection.open(gateway.port());
          connections.push(connection);
          assert.equal((await connection.upgrade("/orders/live", [["x-api-key", now.keys.gold]])).status, 101);
          const outcome = await gateway.envoy.reload((listener) => ({
            ...listener,
            plugin: { ...listener.plugin!, configuration: standalone(next.spec) },
          }));
          assert.equal(outcome, "accepted");
          await eventually(
            "the new configuration",
            async () => (await gateway.send(withKey(next.keys.gold))).status === 200,
          );
          assert.equal(reasonOf(await gateway.send(withKey(now.keys.gold))), "unknown_key");
          for (const open of connections) await echo(open);
        }
      } finally {
        for (const connection of connections) connection.close();
        await gateway.stop();
      }
    });

    it("by ECDS, as Istio does it, takes effect", async () => {
      const folder = makeFolder("ecds");
      const discoveryPath = join(folder, "plugin.json");
      const wasmPath = await filterModule();
      const publish = (configuration: PluginOptions["configuration"]): void => {
        writeFileSync(
          `${discoveryPath}.next`,
          JSON.stringify(extensionDiscovery({ wasmPath, configuration, hostEnvironment: [] })),
        );
        renameSync(`${discoveryPath}.next`, discoveryPath);
      };
      publish(standalone(first.spec));
      const gateway = await Gateway.start({
        setup,
        listeners: [{ configuration: "", plugin: { ...plugin, discoveryPath } }],
      });
      try {
        await eventually(
          "the first configuration",
          async () => (await gateway.send(withKey(first.keys.gold))).status === 200,
        );
        const connection = await Connection.open(gateway.port());
        assert.equal((await connection.upgrade("/orders/live", [["x-api-key", first.keys.gold]])).status, 101);
        publish(standalone(second.spec));
        await eventually(
          "the second configuration",
          async () => (await gateway.send(withKey(second.keys.gold))).status === 200,
        );
        assert.equal(reasonOf(await gateway.send(withKey(first.keys.gold))), "unknown_key");
        connection.close();
      } finally {
        await gateway.stop();
        removeFolder(folder);
      }
    });
  });

  describe(`${setup.name}: two configurations in one VM`, () => {
    let gateway: Gateway;
    before(async () => {
      const other = { ...second.spec, environment: "other" };
      gateway = await Gateway.start({
        setup,
        listeners: [
          { configuration: standalone(first.spec), plugin },
          {
            configuration: { ...standalone(other, { claims: { prefix: "x-other-" }, keySources: [{ query: "key" }] }) },
            plugin,
          },
        ],
      });
    });
    after(() => gateway?.stop());

    it("keep their keys, sources, claims and metrics apart", async () => {
      // The second one's keys carry the first one's environment in their text, and are imported there.
      const own = await gateway.exchange(withKey(first.keys.gold), 0);
      assert.equal(own.seen?.headers["x-tollgate-consumer"], "acme");
      const foreign = await gateway.exchange(withKey(second.keys.gold), 0);
      assert.equal(reasonOf(foreign.response), "unknown_key");
      const legacy = await gateway.exchange(
        {
          path: `/orders/1?key=${second.keys.legacy}`,
          headers: [
            ["x-other-consumer", "forged"],
            ["x-tollgate-consumer", "not this one's"],
          ],
        },
        1,
      );
      assert.equal(legacy.seen?.headers["x-other-consumer"], "acme");
      assert.equal(legacy.seen?.headers["x-tollgate-consumer"], "not this one's");
      assert.equal(reasonOf(await gateway.send({ path: `/orders/1?key=${first.keys.legacy}` }, 1)), "unknown_key");
      await gateway.metricReaches("admitted", 1, "test");
      await gateway.metricReaches("admitted", 1, "other");
      await gateway.metricReaches("refused.unknown_key", 1, "other");
    });
  });
}
