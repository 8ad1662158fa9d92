/**
 * Windows of two seconds, hammered by way of three gateways: none admits more than its limit. Control's clock, which numbers
 * the windows, is five seconds off those of the gateways, and a bit, so that borders fall where they don't expect them.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Fleet, product, rateOf } from "./support/fleet.ts";
import { Hammer } from "../kit/hammer.ts";
import { newest } from "../kit/envoySetups.ts";
import { WindowCount } from "./support/windowCount.ts";
import { eventually } from "../kit/eventually.ts";
import { runs } from "../kit/long.ts";

/** windows that must have refused somebody; those of a minute in the long version */
const windowsTried = runs(8, 30);
const deadlineMs = 600_000;
const windowMs = 2000;
const perWindow = 1000;
const clockAheadMs = 5300;

describe("windows of two seconds, one after the other", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({
      setup: newest,
      gateways: 3,
      products: [product("rate", [rateOf(perWindow, windowMs / 1000)])],
      control: { clockAheadMs },
    });
  });
  after(() => fleet?.stop());

  it("admit no more than their limit each, and nearly all of it together", async () => {
    const windows = new WindowCount(perWindow, windowMs, clockAheadMs);
    const clients = new Hammer(fleet.gateways, {
      path: "/rate",
      key: fleet.key("rate"),
      pauseMs: 10,
      onAnswer: (...answer) => windows.note(...answer),
    });
    await eventually("windows to be exhausted", () => windows.exhausted >= windowsTried, deadlineMs);
    const { admitted, reasons } = await clients.stop();
    windows.check();
    assert.equal(fleet.reached("rate"), admitted);
    assert.deepEqual(Object.keys(reasons), ["rate_limited"]);
  });
});
