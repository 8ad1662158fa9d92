/** A worker's VM traps under load: what it held stays spent, all else is admitted, and nothing more. Runs the build that traps on a header. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { Hammer } from "../kit/hammer.ts";
import { quotaOf } from "./support/quota.ts";
import { newest } from "../kit/envoySetups.ts";
import { everyWorkerAnswers } from "./support/workers.ts";

const amount = 8000;
const traps = 2;
const connections = 12;

describe("a worker whose VM traps in the middle", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({
      setup: newest,
      gateways: 2,
      products: [product("quota", [quotaOfDay(amount)])],
      target: "trap",
    });
  });
  after(() => fleet?.stop());

  it(`costs what it held of ${amount}, and no more`, async () => {
    const request = { path: "/quota", key: fleet.key("quota") };
    const clients = new Hammer(fleet.gateways, { ...request, connections, pauseMs: 5 });
    for (let n = 1; n <= traps; n++) {
      await clients.admitted((amount * n) / (traps + 2));
      await fleet.gateways[0]!.send({
        path: request.path,
        headers: [
          ["x-api-key", request.key],
          ["x-test-trap", "1"],
        ],
      }).catch(() => undefined);
    }
    await everyWorkerAnswers(fleet.gateways, request, "quota_exceeded");
    await clients.stop();
    const { used, held } = await quotaOf(fleet.control, "quota");
    const reached = fleet.reached("quota");
    const said = `${reached} reached the upstream, held ${JSON.stringify(held)}`;
    assert.equal(used, amount);
    assert.ok(reached <= amount, said);
    // What was on its way in a worker when its VM trapped may have been charged, and got no further.
    assert.ok(reached + held["gateway-0"]! + traps * (connections + 1) >= amount, said);
  });
});
