/** Control is away: leased allowance is used up first, then the API's failure rule holds. Back again, nothing is counted twice. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { Hammer, hammer } from "../kit/hammer.ts";
import { quotaOf } from "./support/quota.ts";
import { newest } from "../kit/envoySetups.ts";
import { eventually } from "../kit/eventually.ts";
import { everyWorkerAnswers } from "./support/workers.ts";

const amount = 1000;
const modes = ["closed", "open", "local"] as const;

describe("control away", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({
      setup: newest,
      gateways: 2,
      products: modes.map((failureMode) => product(failureMode, [quotaOfDay(amount)], { failureMode })),
    });
  });
  after(() => fleet?.stop());

  const requestFor = (mode: string) => ({ path: `/${mode}`, key: fleet.key(mode) });
  /** of all gateways, once they have shown what they counted */
  const metric = async (name: string): Promise<number> =>
    (await Promise.all(fleet.gateways.map((gateway) => gateway.metric(name)))).reduce((sum, one) => sum + one, 0);
  const sharesOf: Record<string, number> = {};

  it("spends what was leased, whatever the failure mode", async () => {
    for (const mode of modes) {
      const { statuses } = await hammer(fleet.gateways, { ...requestFor(mode), requests: 300 });
      assert.deepEqual(statuses, { 200: 300 });
    }
    for (const mode of modes) {
      const { held, shares } = await quotaOf(fleet.control, mode);
      assert.deepEqual(Object.keys(held).sort(), ["gateway-0", "gateway-1"]);
      assert.equal(shares > 0, mode === "local");
      sharesOf[mode] = shares;
    }
    await fleet.control.kill();
    for (const mode of modes) {
      const { admitted } = await hammer(fleet.gateways, { ...requestFor(mode), requests: 4, connections: 1 });
      assert.equal(admitted, 4, mode);
    }
    assert.equal(await metric("overshoot"), 0);
    assert.equal(await metric("local_share"), 0);
  });

  it("then refuses where the mode is closed: 503, when to come again, and why", async () => {
    await everyWorkerAnswers(fleet.gateways, requestFor("closed"), "limit_unavailable");
    const answer = await fleet.gateways[0]!.send({ path: "/closed", headers: [["x-api-key", fleet.key("closed")]] });
    assert.equal(answer.status, 503);
    assert.equal(answer.header("content-type"), "application/problem+json");
    assert.match(answer.header("retry-after") ?? "", /^[1-9]\d*$/);
  });

  it("admits where the mode is open: marked, and counted as overshoot", async () => {
    const { statuses } = await hammer(fleet.gateways, { ...requestFor("open"), requests: 1500 });
    assert.deepEqual(statuses, { 200: 1500 });
    assert.match(fleet.upstream.last("/open"), /^x-tollgate-unchecked: limit_unavailable\r?$/m);
    assert.equal(await metric("local_share"), 0);
  });

  it("spends a share that was charged beforehand where the mode is local", async () => {
    await everyWorkerAnswers(fleet.gateways, requestFor("local"), "limit_unavailable");
    const shares = sharesOf["local"]!;
    assert.ok(shares <= amount / 2, String(shares));
    await eventually("shares to be spent", async () => (await metric("local_share")) > 0);
    assert.ok((await metric("local_share")) <= shares);
    assert.doesNotMatch(fleet.upstream.last("/local"), /x-tollgate-unchecked/);
  });

  it("goes on with leases when control is back, and counts nothing twice", async () => {
    await fleet.control.start();
    for (const mode of modes) {
      const clients = new Hammer(fleet.gateways, { ...requestFor(mode), pauseMs: 10 });
      await clients.admitted(10);
      await everyWorkerAnswers(fleet.gateways, requestFor(mode), "quota_exceeded");
      await clients.stop();
    }
    for (const mode of modes) assert.equal((await quotaOf(fleet.control, mode)).used, amount, mode);
    const { shares } = await quotaOf(fleet.control, "local");
    assert.equal(fleet.reached("closed"), amount);
    // Metrics are shown a moment later.
    await eventually(
      "the overshoot to be all that is beyond the quota",
      async () => (await metric("overshoot")) >= fleet.reached("open") - amount,
    );
    assert.equal(fleet.reached("open"), amount + (await metric("overshoot")));
    assert.equal(fleet.reached("local"), amount - shares + (await metric("local_share")));
  });
});
