/** Three Envoys with two workers each, one key, a daily quota, all hammered at once: exactly what the quota says is admitted. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { defaultEnvoyVersion } from "../../control/envoy/version.ts";
import { fileOf, Fleet, hammer, product, times } from "./support/fleet.ts";

const setup = { name: "Envoy", version: defaultEnvoyVersion, workers: 2 };
const amounts = [1, 10, 1000, 20_000];
const day = (limit: number) => ({ name: "day", kind: "quota", period: "day", limit }) as const;

describe("three gateways, a daily quota", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({ setup, gateways: 3, file: fileOf(amounts.map((amount) => product(`of-${amount}`, [day(amount)]))) });
  });
  after(() => fleet?.stop());

  for (const amount of amounts) {
    it(`admits exactly ${amount}`, async () => {
      const key = await fleet.key(`of-${amount}`);
      const tally = await hammer(fleet.gateways, `/of-${amount}`, key, times(amount + 200 + amount / 10));
      assert.deepEqual(Object.keys(tally.statuses).sort(), ["200", "429"], JSON.stringify(tally));
      assert.equal(tally.admitted, amount);
      assert.deepEqual(Object.keys(tally.reasons), ["quota_exceeded"]);
    });
  }
});
