/** Changes in control while three gateways are hammered: limits that move, resets, grants, news of other things. Exact all the while. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { environment } from "../kit/fixture.ts";
import { Hammer } from "../kit/hammer.ts";
import { quotaOf } from "./support/quota.ts";
import { newest } from "../kit/envoySetups.ts";
import { everyWorkerAnswers } from "./support/workers.ts";

const query = `?environment=${environment}`;
const amount = 4000;
const grants = 10;
const granted = 100;
/** Lasts longer than the tables take. */
const large = 15_000;

describe("three gateways under load", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({
      setup: newest,
      gateways: 3,
      products: [
        ...["moved", "granted", "reset"].map((name) => product(name, [quotaOfDay(amount)])),
        product("news", [quotaOfDay(large)]),
      ],
    });
  });
  after(() => fleet?.stop());

  /** Hammers until every worker refuses; makes the changes meanwhile. Gives how many requests reached the upstream. */
  async function spendAll(name: string, changes: (clients: Hammer) => Promise<unknown>): Promise<number> {
    const request = { path: `/${name}`, key: fleet.key(name) };
    const clients = new Hammer(fleet.gateways, { ...request, pauseMs: 5 });
    await clients.admitted(amount / 8);
    await changes(clients);
    await everyWorkerAnswers(fleet.gateways, request, "quota_exceeded");
    const { reasons, failed } = await clients.stop();
    // A control that is busy may let them wait longer than they do.
    for (const reason of Object.keys(reasons))
      assert.ok(["quota_exceeded", "limit_unavailable"].includes(reason), reason);
    assert.equal(failed, 0);
    return fleet.reached(name);
  }

  it("admit what the last limit says while it goes up and down", async () => {
    const reached = await spendAll("moved", async (clients) => {
      for (let n = 0; clients.tally.admitted < amount * 0.9; n++)
        await fleet.control.call("PUT", `/v1/tiers/moved${query}`, {
          id: "moved",
          limits: [quotaOfDay(amount + (n % 2 === 0 ? 500 : 0))],
        });
      await fleet.control.call("PUT", `/v1/tiers/moved${query}`, { id: "moved", limits: [quotaOfDay(amount + 7)] });
    });
    assert.equal(reached, amount + 7);
    assert.equal((await quotaOf(fleet.control, "moved")).used, amount + 7);
  });

  it("admit exactly what is granted on top", async () => {
    const reached = await spendAll("granted", async () => {
      for (let n = 0; n < grants; n++) {
        await fleet.control.call("POST", `/v1/keys/granted/quota/grant${query}`, { amount: granted });
        await sleep(50);
      }
    });
    assert.equal(reached, amount + grants * granted);
  });

  it("admit as much again after a reset, and no more than had been admitted before it", async () => {
    let before = 0;
    const reached = await spendAll("reset", async (clients) => {
      await clients.admitted(amount / 2);
      await fleet.control.call("POST", `/v1/keys/reset/quota/reset${query}`, {});
      before = fleet.reached("reset");
    });
    // What workers had spent and not told of yet counts for the new beginning.
    assert.ok(reached >= amount && reached <= amount + before, `${reached}, ${before} of them before the reset`);
    assert.ok(reached > amount + before / 4, `${reached}, ${before} of them before the reset`);
    assert.equal((await quotaOf(fleet.control, "reset")).used, amount);
  });

  it("admit exactly the quota while so much else changes that tables are built anew", async () => {
    const keys = (from: number) =>
      Array.from({ length: 20_000 }, (_, n) =>
        JSON.stringify({ consumer: "news", key: `imported-key-number-${from + n}` }),
      ).join("\n");
    const reached = await spendAll("news", async () => {
      for (let part = 0; part < 2; part++) {
        const { failed } = await fleet.control.call<{ failed: number }>(
          "POST",
          `/v1/keys/import${query}`,
          keys(part * 20_000),
          "application/x-ndjson",
        );
        assert.equal(failed, 0);
      }
    });
    assert.equal(reached, large);
  });
});
