/** A gateway is cut off from control and comes back after its leases' end: it spends nothing late, and what it held is admitted elsewhere. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { Hammer, hammer } from "../kit/hammer.ts";
import { quotaOf } from "./support/quota.ts";
import { startLink, type Link } from "./support/link.ts";
import { newest } from "../kit/envoySetups.ts";
import { eventually } from "../kit/eventually.ts";
import { everyWorkerAnswers } from "./support/workers.ts";

const leaseSeconds = 2;
const amount = 2000;

describe("a gateway cut off from control", () => {
  let fleet: Fleet;
  let link: Link;
  before(async () => {
    fleet = await Fleet.start({
      setup: newest,
      gateways: 3,
      products: ["asked", "unasked"].map((id) => product(id, [quotaOfDay(amount)])),
      control: { env: { TOLLGATE_LEASE_SECONDS: String(leaseSeconds) } },
      syncPort: async (control, index) =>
        index > 0 ? control.syncPort : (link = await startLink(control.syncPort)).port,
    });
  });
  after(async () => {
    await fleet?.stop();
    await link?.close();
  });

  it("spends what it holds until its leases end, and nothing afterwards; the others have it once it is back", async () => {
    await cutOff("asked", async (gateway, request) => {
      const inTime = await hammer([gateway], { ...request, requests: 4, connections: 4 });
      assert.ok(inTime.admitted > 0, String(inTime));
      await sleep(leaseSeconds * 1000);
      const reached = fleet.reached("asked");
      const late = await hammer([gateway], { ...request, requests: 60 });
      assert.deepEqual(late.reasons, { limit_unavailable: 60 });
      assert.equal(fleet.reached("asked"), reached);
    });
  });

  it("gives back what it holds when it is back, though nobody asks it for anything", async () => {
    await cutOff("unasked", () => sleep(leaseSeconds * 1000));
  });

  type Request = { path: string; key: string };

  async function cutOff(
    name: string,
    meanwhile: (gateway: Fleet["gateways"][number], request: Request) => Promise<void>,
  ): Promise<void> {
    const request = { path: `/${name}`, key: fleet.key(name) };
    const [gateway, ...others] = fleet.gateways;
    await hammer(fleet.gateways, { ...request, requests: 600 });
    link.cut();
    await meanwhile(gateway!, request);

    const clients = new Hammer(others, { ...request, pauseMs: 5 });
    const { held } = await eventually("all to be charged", async () => {
      const now = await quotaOf(fleet.control, name);
      return now.used === amount && Object.keys(now.held).join() === "gateway-0" ? now : undefined;
    });
    await sleep(300);
    const unspent = amount - fleet.reached(name);
    assert.ok(unspent > 0 && unspent <= held["gateway-0"]!, `${unspent} unspent of ${held["gateway-0"]}`);
    await sleep(1000);
    assert.equal(amount - fleet.reached(name), unspent, "nobody has it while its holder is away");

    link.mend();
    await eventually("the rest to be admitted", () => fleet.reached(name) >= amount);
    await everyWorkerAnswers(fleet.gateways, request, "quota_exceeded");
    await clients.stop();
    assert.equal(fleet.reached(name), amount);
    const { used, held: stillHeld } = await quotaOf(fleet.control, name);
    assert.deepEqual({ used, stillHeld }, { used: amount, stillHeld: {} });
  }
});
