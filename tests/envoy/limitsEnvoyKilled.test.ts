/** An Envoy is killed without warning: what it held stays spent, all else is admitted by the others, and nothing more. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { Hammer, hammer } from "../kit/hammer.ts";
import { quotaOf } from "./support/quota.ts";
import { newest, oldest } from "../kit/envoySetups.ts";
import { everyWorkerAnswers } from "./support/workers.ts";

const cases = [
  { setup: oldest, amount: 1000 },
  { setup: newest, amount: 20_000 },
];

for (const { setup, amount } of cases) {
  describe(`${setup.name}: one of three gateways killed with -9 in the middle`, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start({ setup, gateways: 3, products: [product("quota", [quotaOfDay(amount)])] });
    });
    after(() => fleet?.stop());

    it(`admits at most ${amount}, and at least that less what the dead one held`, async () => {
      const request = { path: "/quota", key: fleet.key("quota") };
      const [dead, ...others] = fleet.gateways;
      const clients = new Hammer(fleet.gateways, { ...request, pauseMs: 5 });
      await clients.admitted(Math.floor(amount / 2));
      await dead!.stop();
      const { reasons } = clients.tally;
      assert.deepEqual(reasons, {}, "nobody was refused yet");
      await everyWorkerAnswers(others, request, "quota_exceeded");
      const { failed, admitted } = await clients.stop();
      const { used, held } = await quotaOf(fleet.control, "quota");
      const reached = fleet.reached("quota");
      const said = `${reached} reached the upstream, ${admitted} were answered, ${failed} were not, held ${JSON.stringify(held)}`;
      assert.equal(used, amount);
      assert.deepEqual(Object.keys(held), ["gateway-0"], said);
      assert.ok(reached <= amount && reached >= admitted, said);
      // What was on its way in the Envoy that was killed may have been charged, and got no further.
      assert.ok(reached + failed >= amount - held["gateway-0"]!, said);
      // It's what the others could not have that is missing, no more.
      assert.ok(held["gateway-0"]! < amount / 2, said);
      assert.deepEqual((await hammer(others, { ...request, requests: 100 })).reasons, { quota_exceeded: 100 });
      assert.equal(fleet.reached("quota"), reached);
    });
  });
}
