/** Two controls over one PostgreSQL, three gateways that are spread over both: either may be killed in the middle, and the quota is exact. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startPostgres, type PostgresServer } from "../kit/postgres.ts";
import { startBalancer, type Balancer } from "./support/balancer.ts";
import { ControlProcess } from "../kit/control.ts";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { Hammer } from "../kit/hammer.ts";
import { quotaOf } from "./support/quota.ts";
import { newest } from "../kit/envoySetups.ts";
import { everyWorkerAnswers } from "./support/workers.ts";

const amounts = [1000, 20_000];

describe("two controls over PostgreSQL", () => {
  let postgres: PostgresServer;
  let second: ControlProcess;
  let balancing: Promise<Balancer> | undefined;
  let fleet: Fleet;
  before(async () => {
    postgres = await startPostgres();
    const control = { env: { TOLLGATE_DATABASE_URL: await postgres.createDatabase() } };
    second = await ControlProcess.prepare(control);
    fleet = await Fleet.start({
      setup: newest,
      gateways: 3,
      products: amounts.map((amount) => product(`of-${amount}`, [quotaOfDay(amount)])),
      control,
      syncPort: async (first) => (await (balancing ??= startBalancer([first.syncPort, second.syncPort]))).port,
    });
    await second.start();
  });
  after(async () => {
    await fleet?.stop();
    await second?.remove();
    await (await balancing)?.close();
    await postgres?.stop();
  });

  it("admit exactly their quotas, though one is killed, and comes back, and the other is killed", async () => {
    const requestFor = (amount: number) => ({ path: `/of-${amount}`, key: fleet.key(`of-${amount}`) });
    for (const amount of amounts) {
      const clients = new Hammer(fleet.gateways, { ...requestFor(amount), pauseMs: 5 });
      await clients.admitted(Math.floor(amount * 0.3));
      await second.kill();
      await clients.admitted(Math.floor(amount * 0.6));
      await second.start();
      if (amount === amounts.at(-1)) await fleet.control.kill();
      await clients.admitted(amount);
      await clients.stop();
      await everyWorkerAnswers(fleet.gateways, requestFor(amount), "quota_exceeded");
      assert.equal(clients.tally.admitted, amount, String(clients.tally));
      assert.equal(fleet.reached(`of-${amount}`), amount);
      assert.equal((await quotaOf(second, `of-${amount}`)).used, amount);
    }
    const { taken } = (await balancing)!;
    assert.ok(
      taken.every((count) => count > 0),
      String(taken),
    );
  });
});
