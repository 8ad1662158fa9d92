/** A VM that traps: closed while it is gone, back soon, and nothing else harmed. Runs the build that traps on a header. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Gateway, standalone } from "../kit/gateway.ts";
import { makeFixture } from "../kit/fixture.ts";
import { Connection } from "../kit/http1.ts";
import { everySetup } from "../kit/envoySetups.ts";
import { eventually } from "../kit/eventually.ts";

const { keys, spec } = makeFixture();
const good = { path: "/orders/1", headers: [["x-api-key", keys.gold] as [string, string]] };
const trap = { path: "/orders/1", headers: [...good.headers, ["x-test-trap", "1"] as [string, string]] };

for (const setup of everySetup) {
  describe(setup.name, () => {
    let gateway: Gateway;
    before(async () => {
      gateway = await Gateway.start({
        setup,
        target: "trap",
        listeners: [{ configuration: standalone(spec), plugin: { hostEnvironment: [] } }],
      });
    });
    after(() => gateway?.stop());

    it("refuses while the VM is gone, admits again once it is back, three times over", async () => {
      assert.equal((await gateway.send(good)).status, 200);
      for (let round = 0; round < 3; round++) {
        const connection = await Connection.open(gateway.port());
        try {
          const trapped = await connection.send(trap).catch(() => undefined);
          // Envoy answers the trapped request itself, or cuts it off; the upstream never saw it.
          assert.notEqual(trapped?.status, 200);
        } finally {
          connection.close();
        }
        const statuses = new Set<number>();
        await eventually("the VM to be back on every worker", async () => {
          const answers = await Promise.all(Array.from({ length: 16 }, () => gateway.send(good)));
          for (const { status } of answers) statuses.add(status);
          return answers.every(({ status }) => status === 200);
        });
        for (const status of statuses) assert.ok(status === 200 || status === 503, `answered ${status} meanwhile`);
        assert.equal((await gateway.send({ path: "/orders/1" })).status, 401);
      }
      assert.ok(gateway.envoy.alive());
    });

    it("never admits without a key while VMs trap", async () => {
      const hammer = Array.from({ length: 30 }, async (_, index) => {
        const response = await gateway.send(index % 5 === 0 ? trap : { path: "/orders/1" }).catch(() => undefined);
        assert.notEqual(response?.status, 200);
      });
      await Promise.all(hammer);
      await eventually("the VMs to be back", async () =>
        (await Promise.all(Array.from({ length: 16 }, () => gateway.send(good)))).every(({ status }) => status === 200),
      );
    });
  });
}
