/** Control is killed without warning while three gateways are hammered, and started again: exactly what the quota says is admitted. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Fleet, product, quotaOfDay, rateOf } from "./support/fleet.ts";
import { Hammer } from "../kit/hammer.ts";
import { newest } from "../kit/envoySetups.ts";
import { WindowCount } from "./support/windowCount.ts";
import { everyWorkerAnswers } from "./support/workers.ts";

const cases = [
  { amount: 1, killAt: [0] },
  { amount: 10, killAt: [3] },
  { amount: 10_000, killAt: [3000, 6000] },
];
const windowMs = 2000;
const perWindow = 200;

describe("control killed with -9 in the middle", () => {
  let fleet: Fleet;
  let windows: WindowCount;
  let visitors: Hammer;
  before(async () => {
    fleet = await Fleet.start({
      setup: newest,
      gateways: 3,
      products: [
        ...cases.map(({ amount }) => product(`of-${amount}`, [quotaOfDay(amount)])),
        product("windows", [rateOf(perWindow, windowMs / 1000)]),
      ],
    });
    windows = new WindowCount(perWindow, windowMs);
    visitors = new Hammer(fleet.gateways, {
      path: "/windows",
      key: fleet.key("windows"),
      connections: 4,
      pauseMs: 20,
      onAnswer: (...answer) => windows.note(...answer),
    });
  });
  after(() => fleet?.stop());

  for (const { amount, killAt } of cases) {
    it(`admits exactly ${amount}`, async () => {
      const request = { path: `/of-${amount}`, key: fleet.key(`of-${amount}`) };
      const clients = new Hammer(fleet.gateways, { ...request, pauseMs: 5 });
      for (const count of killAt) {
        await clients.admitted(count);
        await fleet.control.kill();
        await sleep(300);
        await fleet.control.start();
      }
      await clients.admitted(amount);
      await everyWorkerAnswers(fleet.gateways, request, "quota_exceeded");
      const { admitted, reasons } = await clients.stop();
      for (const reason of Object.keys(reasons))
        assert.ok(["limit_unavailable", "not_ready", "quota_exceeded"].includes(reason), reason);
      assert.equal(admitted, amount);
      assert.equal(fleet.reached(`of-${amount}`), amount);
    });
  }

  it("admits in no window more than its limit all the while", async () => {
    await visitors.stop();
    windows.check(0.25);
  });
});
