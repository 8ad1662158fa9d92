/** The plugin's configuration is replaced under load: what workers hold is neither lost nor spent twice. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { Hammer } from "../kit/hammer.ts";
import { newest, oldest } from "../kit/envoySetups.ts";
import { everyWorkerAnswers } from "./support/workers.ts";

const amount = 6000;
const reloads = 4;

for (const setup of [oldest, newest]) {
  describe(`${setup.name}: a configuration replaced in the middle`, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start({
        setup,
        gateways: 2,
        products: [product("quota", [quotaOfDay(amount)])],
        watchListeners: true,
      });
    });
    after(() => fleet?.stop());

    it(`admits exactly ${amount}`, async () => {
      const request = { path: "/quota", key: fleet.key("quota") };
      const clients = new Hammer(fleet.gateways, { ...request, pauseMs: 5 });
      for (let n = 1; n <= reloads; n++) {
        await clients.admitted(Math.floor((amount * n) / (reloads + 2)));
        for (const { envoy } of fleet.gateways) {
          const outcome = await envoy.reload((listener) => {
            const { plugin } = listener;
            return {
              ...listener,
              plugin: {
                ...plugin!,
                configuration: { ...(plugin!.configuration as object), limitWaitTimeoutMs: 1000 + n },
              },
            };
          });
          assert.equal(outcome, "accepted");
        }
      }
      await clients.admitted(amount);
      await everyWorkerAnswers(fleet.gateways, request, "quota_exceeded");
      const { admitted, failed, reasons } = await clients.stop();
      assert.equal(
        fleet.reached("quota"),
        amount,
        `${admitted} answered, ${failed} not, refused ${JSON.stringify(reasons)}`,
      );
    });
  });
}
