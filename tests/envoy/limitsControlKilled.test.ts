/** Control is killed without warning while three gateways are hammered, and started again: exactly what the quota says is admitted. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { Hammer } from "./support/hammer.ts";
import { newest } from "./support/setups.ts";
import { everyWorkerAnswers } from "./support/workers.ts";

const amounts = [10, 1000, 20_000];

describe("control killed with -9 in the middle", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({ setup: newest, gateways: 3, products: amounts.map((amount) => product(`of-${amount}`, [quotaOfDay(amount)])) });
    // A worker that has no snapshot when control is killed can only refuse.
    await everyWorkerAnswers(fleet.gateways, { path: "/nowhere" }, "unknown_api");
  });
  after(() => fleet?.stop());

  for (const amount of amounts) {
    it(`admits exactly ${amount}`, async () => {
      const name = `of-${amount}`;
      const clients = new Hammer(fleet.gateways, { path: `/${name}`, key: fleet.key(name), pauseMs: 5 });
      for (const part of [0.3, 0.6]) {
        await clients.admitted(Math.floor(amount * part));
        await fleet.control.kill();
        await sleep(300);
        await fleet.control.start();
      }
      await clients.admitted(amount);
      const { reasons } = await clients.stop();
      for (const reason of Object.keys(reasons)) assert.ok(["limit_unavailable", "quota_exceeded"].includes(reason), reason);
      await everyWorkerAnswers(fleet.gateways, { path: `/${name}`, key: fleet.key(name) }, "quota_exceeded");
      assert.equal(clients.tally.admitted, amount);
      assert.equal(fleet.reached(name), amount);
    });
  }
});
