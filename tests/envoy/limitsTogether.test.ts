/** Several limits on one request, prices, and limits that several keys share, by way of three gateways: exact all the same. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { environment } from "../kit/fixture.ts";
import { Hammer } from "../kit/hammer.ts";
import { newest } from "../kit/envoySetups.ts";
import { quotaOf } from "./support/quota.ts";
import { everyWorkerAnswers } from "./support/workers.ts";

const day = 2000;
const week = 700;
const price = 7;
const priced = 1000;
const shared = 900;
const first = 800;

describe("three gateways", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({
      setup: newest,
      gateways: 3,
      // So that the control plane judges what their workers ask and report.
      groups: true,
      products: [
        product("both", [quotaOfDay(day), { name: "week", kind: "quota", period: "week", limit: week }]),
        product("priced", [quotaOfDay(priced)], {
          routes: [
            { path: "/priced/dear", cost: price },
            { path: "/priced/free", cost: 0 },
          ],
        }),
        product("shared", [{ ...quotaOfDay(shared), subject: "consumer" }]),
        product("first", [{ name: "first", kind: "quota", period: "12h", anchor: "firstUse", limit: first }]),
      ],
    });
  });
  after(() => fleet?.stop());

  /** Sends until every worker refuses, and gives how many were admitted. */
  async function spendAll(name: string, path = `/${name}`): Promise<number> {
    const request = { path, key: fleet.key(name) };
    const clients = new Hammer(fleet.gateways, { ...request, pauseMs: 5 });
    await everyWorkerAnswers(fleet.gateways, request, "quota_exceeded");
    await clients.stop();
    return fleet.upstream.count(path);
  }

  it("take all of a request's limits, or none", async () => {
    assert.equal(await spendAll("both"), week);
  });

  it("take a price whole, and leave what isn't enough to cheaper requests", async () => {
    assert.equal(await spendAll("priced", "/priced/dear"), Math.floor(priced / price));
    assert.equal(await spendAll("priced"), priced % price);
    await everyWorkerAnswers(fleet.gateways, { path: "/priced/free", key: fleet.key("priced") }, undefined);
    assert.equal((await quotaOf(fleet.control, "priced")).used, priced);
  });

  it("count a consumer's keys together", async () => {
    const other = await fleet.control.call<{ key: string }>("POST", `/v1/keys?environment=${environment}`, {
      consumer: "shared",
    });
    const clients = new Hammer(fleet.gateways, { path: "/shared", key: other.key, pauseMs: 5 });
    assert.ok((await spendAll("shared")) <= shared);
    await everyWorkerAnswers(fleet.gateways, { path: "/shared", key: other.key }, "quota_exceeded");
    const { admitted } = await clients.stop();
    assert.ok(admitted > 0);
    assert.equal(fleet.reached("shared"), shared);
  });

  it("begin one window with the first use", async () => {
    assert.equal(await spendAll("first"), first);
  });

  it("have lost nothing of one limit while the other refused", async () => {
    await fleet.control.call("POST", `/v1/keys/both/quota/grant?environment=${environment}`, {
      limit: "week",
      amount: day,
    });
    assert.equal(await spendAll("both"), day);
    assert.equal((await quotaOf(fleet.control, "both", "day")).used, day);
  });

  it("were refused nothing that they asked or reported", async () => {
    const { items } = await fleet.control.call<{ items: { group: string }[] }>(
      "GET",
      `/v1/gateways?environment=${environment}`,
    );
    assert.deepEqual(items.map(({ group }) => group).sort(), ["group-0", "group-1", "group-2"]);
    const metrics = await fleet.control.metrics();
    assert.match(metrics, /tollgate_sync_granted_total\{[^}]*group="group-1"[^}]*\} [1-9]/);
    assert.match(metrics, /tollgate_sync_reported_cost_total\{[^}]*group="group-1"[^}]*\} [1-9]/);
    assert.doesNotMatch(metrics, /tollgate_sync_refused_total\{/);
  });
});
