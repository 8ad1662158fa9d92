/** Requests that find nothing wait for the lease under way: a bounded time, a bounded number, one call for all of them. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { Hammer, hammer } from "../kit/hammer.ts";
import { Connection } from "../kit/http1.ts";
import { startLink, type Link } from "./support/link.ts";
import { newest } from "../kit/envoySetups.ts";
import { eventually } from "../kit/eventually.ts";
import { everyWorkerAnswers, Workers } from "./support/workers.ts";

const amount = 100;
const limitWaitTimeoutMs = 600;
const maxLimitWaiters = 20;
const delayMs = 75;

describe("requests that wait for allowance", () => {
  let fleet: Fleet;
  let link: Link;
  /** calls of lanes since the last test began */
  let leaseCalls = 0;
  before(async () => {
    const names = ["warm", "together", "late", "crowd", "gone"];
    fleet = await Fleet.start({
      setup: { ...newest, workers: 1 },
      gateways: 1,
      products: names.map((name) => product(name, [quotaOfDay(amount)])),
      configuration: { limitWaitTimeoutMs, maxLimitWaiters },
      syncPort: async (control) => (link = await startLink(control.syncPort)).port,
    });
    await everyWorkerAnswers(fleet.gateways, { path: "/warm", key: fleet.key("warm") }, undefined);
  });
  beforeEach(() => {
    leaseCalls = 0;
    link.delayMs = 0;
    link.fate = (path) => {
      if (path.startsWith("/sync/v1/leases")) leaseCalls++;
      return "delivered";
    };
  });
  after(async () => {
    await fleet?.stop();
    await link?.close();
  });

  const requestFor = (name: string) => ({ path: `/${name}`, key: fleet.key(name) });
  /** So many requests at once. */
  async function atOnce(name: string, count: number): Promise<string[]> {
    const workers = await Workers.open(fleet.gateways, count);
    try {
      return (await workers.outcomes(requestFor(name))).map((outcome) => outcome ?? "200");
    } finally {
      workers.close();
    }
  }

  it("share one call, and are refused at once and without a call when all is spent", async () => {
    link.delayMs = delayMs;
    assert.deepEqual(new Set(await atOnce("together", maxLimitWaiters)), new Set(["200"]));
    // Theirs, and one that fetches ahead.
    assert.ok(leaseCalls <= 3, `${leaseCalls} calls`);
    await everyWorkerAnswers(fleet.gateways, requestFor("together"), "quota_exceeded");
    await sleep(500);
    leaseCalls = 0;
    const { reasons } = await hammer(fleet.gateways, { ...requestFor("together"), requests: 200 });
    assert.deepEqual(reasons, { quota_exceeded: 200 });
    assert.equal(leaseCalls, 0);
    assert.equal(fleet.reached("together"), amount);
  });

  it("wait a bounded time, then get the failure rule, never a 429", async () => {
    link.fate = (path) => (path.startsWith("/sync/v1/leases") ? "silent" : "delivered");
    const startMs = performance.now();
    assert.deepEqual(new Set(await atOnce("late", 5)), new Set(["limit_unavailable"]));
    const tookMs = performance.now() - startMs;
    // That they wait no longer is proven by the host suite, whose clock is its own.
    assert.ok(tookMs >= limitWaitTimeoutMs * 0.9, `${tookMs} ms`);
  });

  it("are of a bounded number; the others get the failure rule at once", async () => {
    await eventually("leases to come again", async () => (await atOnce("late", 1)).join() === "200");
    link.delayMs = delayMs;
    const outcomes = await atOnce("crowd", maxLimitWaiters + 15);
    assert.equal(outcomes.filter((outcome) => outcome === "limit_unavailable").length, 15, outcomes.join());
    assert.equal(outcomes.filter((outcome) => outcome === "200").length, maxLimitWaiters);
  });

  it("may leave: what they waited for is there for others", async () => {
    link.delayMs = 200;
    const connections = await Promise.all(Array.from({ length: 10 }, () => Connection.open(fleet.gateways[0]!.port())));
    const heldBefore = await fleet.gateways[0]!.metric("held");
    const answers = connections.map((connection) =>
      connection.send({ path: "/gone", headers: [["x-api-key", fleet.key("gone")]] }).catch(() => undefined),
    );
    await sleep(50);
    for (const connection of connections) connection.close();
    await Promise.all(answers);
    await eventually(
      "them to be counted as held",
      async () => (await fleet.gateways[0]!.metric("held")) >= heldBefore + 10,
    );
    const clients = new Hammer(fleet.gateways, { ...requestFor("gone"), pauseMs: 5 });
    await everyWorkerAnswers(fleet.gateways, requestFor("gone"), "quota_exceeded");
    await clients.stop();
    assert.ok(fleet.gateways[0]!.envoy.alive());
    assert.equal(fleet.reached("gone"), amount);
  });
});
