/** The way to control is slow, or loses what control has answered: nothing is granted twice, nothing is spent late. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Fleet, product, quotaOfDay, rateOf } from "./support/fleet.ts";
import { Hammer } from "../kit/hammer.ts";
import { startLink, type Fate, type Link } from "./support/link.ts";
import { newest } from "../kit/envoySetups.ts";
import { WindowCount } from "./support/windowCount.ts";
import { everyWorkerAnswers } from "./support/workers.ts";
import { eventually } from "../kit/eventually.ts";
import { runs } from "../kit/long.ts";

const windowMs = 2000;
const perWindow = 400;
/** windows that must have refused somebody */
const windowsTried = runs(3, 10);
const deadlineMs = 600_000;
const amounts = [10, 1000];

/** Loses calls at random, the same ones each time: half of what lanes ask is not answered. */
function lossy(): (path: string) => Fate {
  let state = 1;
  return (path) => {
    state = (state * 48_271) % 2_147_483_647;
    const chance = state / 2_147_483_647;
    if (!path.startsWith("/sync/v1/leases")) return chance < 0.1 ? "unanswered" : "delivered";
    return chance < 0.1 ? "lost" : chance < 0.4 ? "unanswered" : chance < 0.5 ? "silent" : "delivered";
  };
}

/** What of a window's allowance comes in time is less when calls fail; nothing is guaranteed of it. */
const conditions: [name: string, leastShare: number, spoil: (link: Link) => void][] = [
  ["slow", 0.5, (link) => (link.delayMs = 100)],
  ["lossy", 0.25, (link) => (link.fate = lossy())],
];

describe("a link to control", () => {
  const links: Link[] = [];
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({
      setup: newest,
      gateways: 3,
      products: conditions.flatMap(([name]) => [
        ...amounts.map((amount) => product(`${name}-${amount}`, [quotaOfDay(amount)])),
        product(`${name}-windows`, [rateOf(perWindow, windowMs / 1000)]),
      ]),
      syncPort: async (control, index) => (links[index] = await startLink(control.syncPort)).port,
    });
  });
  after(async () => {
    await fleet?.stop();
    await Promise.all(links.map((link) => link.close()));
  });

  for (const [name, leastShare, spoil] of conditions) {
    describe(`that is ${name}`, { concurrency: true }, () => {
      before(() => {
        for (const link of links) {
          link.delayMs = 0;
          link.fate = () => "delivered";
          spoil(link);
        }
      });

      for (const amount of amounts) {
        it(`admits exactly ${amount}`, async () => {
          const request = { path: `/${name}-${amount}`, key: fleet.key(`${name}-${amount}`) };
          const clients = new Hammer(fleet.gateways, { ...request, pauseMs: 10 });
          await clients.admitted(amount);
          await clients.stop();
          await everyWorkerAnswers(fleet.gateways, request, "quota_exceeded");
          assert.equal(clients.tally.admitted, amount, String(clients.tally));
          assert.equal(fleet.reached(`${name}-${amount}`), amount);
        });
      }

      it("admits in no window more than its limit", async () => {
        const windows = new WindowCount(perWindow, windowMs);
        const clients = new Hammer(fleet.gateways, {
          path: `/${name}-windows`,
          key: fleet.key(`${name}-windows`),
          pauseMs: 10,
          onAnswer: (...answer) => windows.note(...answer),
        });
        await eventually("windows to be exhausted", () => windows.exhausted >= windowsTried, deadlineMs);
        await clients.stop();
        windows.check(leastShare);
      });
    });
  }

  it("lost and delayed calls indeed", () => {
    for (const { calls } of links)
      assert.ok(calls.lost > 5 && calls.unanswered > 20 && calls.silent > 5, JSON.stringify(calls));
  });
});
