/** Three Envoys with two workers each, one key, a daily quota, all hammered at once: exactly what the quota says is admitted. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { hammer } from "../kit/hammer.ts";
import { newest } from "../kit/envoySetups.ts";

const amounts = [1, 10, 1000, 100_000];

describe("three gateways, a daily quota", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({
      setup: newest,
      gateways: 3,
      products: amounts.map((amount) => product(`of-${amount}`, [quotaOfDay(amount)])),
    });
  });
  after(() => fleet?.stop());

  for (const amount of amounts) {
    it(`admits exactly ${amount}`, async () => {
      const name = `of-${amount}`;
      const pipelined = amount > 10_000 ? 32 : 1;
      const tally = await hammer(fleet.gateways, {
        path: `/${name}`,
        key: fleet.key(name),
        requests: amount + 500,
        pipelined,
      });
      assert.deepEqual(Object.keys(tally.statuses), ["200", "429"], String(tally));
      assert.deepEqual(Object.keys(tally.reasons), ["quota_exceeded"]);
      assert.equal(tally.admitted, amount);
      assert.equal(fleet.reached(name), amount);
    });
  }
});
