/** Counters in Redis, which is killed without warning in the middle, as control is: the quota is exact. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startRedis, type RedisServer } from "../kit/redis.ts";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { Hammer } from "../kit/hammer.ts";
import { quotaOf } from "./support/quota.ts";
import { oldest } from "../kit/envoySetups.ts";
import { everyWorkerAnswers } from "./support/workers.ts";

const amounts = [10, 1000, 20_000];

describe("counters in Redis", () => {
  let redis: RedisServer;
  let fleet: Fleet;
  before(async () => {
    redis = await startRedis();
    fleet = await Fleet.start({
      setup: oldest,
      gateways: 3,
      products: amounts.map((amount) => product(`of-${amount}`, [quotaOfDay(amount)])),
      control: { env: { TOLLGATE_REDIS_URL: redis.url } },
    });
  });
  after(async () => {
    await fleet?.stop();
    await redis?.stop();
  });

  it("admit exactly their quotas, though the server is killed, and control is", async () => {
    for (const amount of amounts) {
      const request = { path: `/of-${amount}`, key: fleet.key(`of-${amount}`) };
      const clients = new Hammer(fleet.gateways, { ...request, pauseMs: 5 });
      await clients.admitted(Math.floor(amount * 0.3));
      await redis.kill();
      await sleep(300);
      await redis.restart();
      if (amount === amounts.at(-1)) {
        await clients.admitted(Math.floor(amount * 0.6));
        await fleet.control.kill();
        await fleet.control.start();
      }
      await clients.admitted(amount);
      await clients.stop();
      await everyWorkerAnswers(fleet.gateways, request, "quota_exceeded");
      assert.equal(clients.tally.admitted, amount, String(clients.tally));
      assert.equal(fleet.reached(`of-${amount}`), amount);
      assert.equal((await quotaOf(fleet.control, `of-${amount}`)).used, amount);
    }
  });
});
