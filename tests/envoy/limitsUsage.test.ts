/** Usage: each admission and each refusal is counted once, whatever becomes of control; a killed Envoy loses the last second of it at most. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { environment, unknownKey } from "../kit/fixture.ts";
import { Hammer } from "../kit/hammer.ts";
import { quotaOf } from "./support/quota.ts";
import { newest } from "../kit/envoySetups.ts";
import { eventually } from "../kit/eventually.ts";

const quota = 3000;
const price = 5;
/** A second, until the next tick, and the way to control. */
const lostMostMs = 2000;

interface Numbers {
  admitted: number;
  cost: number;
  refused: number;
  refusals: Record<string, number>;
  responses: Record<string, number>;
}

describe("usage", () => {
  let fleet: Fleet;
  before(async () => {
    const priced = { routes: [{ path: "/priced", cost: price }] };
    fleet = await Fleet.start({
      setup: newest,
      gateways: 3,
      products: [
        product("quota", [quotaOfDay(quota)]),
        product("priced", [quotaOfDay(1_000_000)], priced),
        product("free", []),
      ],
    });
  });
  after(() => fleet?.stop());

  /** What control has counted, by API. */
  async function counted(): Promise<Record<string, Numbers>> {
    const { rows } = await fleet.control.call<{ rows: (Numbers & { api: string })[] }>(
      "GET",
      `/v1/usage?environment=${environment}&interval=day&group=api`,
    );
    const sums: Record<string, Numbers> = {};
    for (const row of rows) {
      const sum = (sums[row.api] ??= { admitted: 0, cost: 0, refused: 0, refusals: {}, responses: {} });
      for (const field of ["admitted", "cost", "refused"] as const) sum[field] += row[field];
      for (const field of ["refusals", "responses"] as const)
        for (const [name, count] of Object.entries(row[field])) sum[field][name] = (sum[field][name] ?? 0) + count;
    }
    return sums;
  }

  it("counts what reached the upstream, and what was refused and why, over three kills of control", async () => {
    const clients = Object.fromEntries(
      ["quota", "priced", "free"].map((name) => [
        name,
        new Hammer(fleet.gateways, { path: `/${name}`, key: fleet.key(name), connections: 6, pauseMs: 20 }),
      ]),
    );
    const strangers = new Hammer(fleet.gateways, { path: "/free", key: unknownKey(), connections: 4, pauseMs: 20 });
    for (let kills = 0; kills < 3; kills++) {
      await sleep(1000);
      await fleet.control.kill();
      await sleep(300);
      await fleet.control.start();
    }
    await clients["quota"]!.admitted(quota);
    const tallies = Object.fromEntries(
      await Promise.all(Object.entries(clients).map(async ([name, one]) => [name, await one.stop()] as const)),
    );
    const { reasons } = await strangers.stop();
    const wanted = (name: string, cost: number, refusals: Record<string, number>): Numbers => {
      const reached = fleet.reached(name);
      assert.equal(tallies[name]!.admitted, reached);
      const refused = Object.values(refusals).reduce((sum, one) => sum + one, 0);
      return {
        admitted: reached,
        cost: reached * cost,
        refused,
        refusals,
        responses: { "1xx": 0, "2xx": reached, "3xx": 0, "4xx": 0, "5xx": 0 },
      };
    };
    assert.ok(reasons["unknown_key"]! > 0 && Object.keys(reasons).length === 1);
    const all = {
      quota: wanted("quota", 1, tallies["quota"]!.reasons),
      priced: wanted("priced", price, tallies["priced"]!.reasons),
      free: wanted("free", 1, { ...tallies["free"]!.reasons, ...reasons }),
    };
    await eventually("all usage to be delivered", async () => {
      const now = await counted();
      return Object.entries(all).every(
        ([name, { admitted, refused, responses }]) =>
          now[name]!.admitted >= admitted &&
          now[name]!.refused >= refused &&
          now[name]!.responses["2xx"]! >= responses["2xx"]!,
      );
    });
    await sleep(1500);
    assert.deepEqual(await counted(), all);
    const { used, counted: cost } = await quotaOf(fleet.control, "quota");
    assert.deepEqual({ used, cost }, { used: quota, cost: quota });
  });

  it("loses no more than the last second of an Envoy that is killed, and never its charge", async () => {
    const admittedMs: number[] = [];
    const reachedBefore = fleet.reached("priced");
    const countedBefore = (await counted())["priced"]!.admitted;
    const clients = new Hammer(fleet.gateways.slice(0, 1), {
      path: "/priced",
      key: fleet.key("priced"),
      onAnswer: (_answer, _sentMs, readMs) => admittedMs.push(readMs),
    });
    await sleep(4000);
    const killedMs = Date.now();
    await fleet.gateways[0]!.stop();
    await clients.stop();
    const reached = fleet.reached("priced") - reachedBefore;
    await sleep(1500);
    const delivered = (await counted())["priced"]!.admitted - countedBefore;
    const early = admittedMs.filter((ms) => ms < killedMs - lostMostMs).length;
    assert.ok(
      delivered >= early && delivered <= reached,
      `${delivered} delivered, ${early} of ${reached} admitted in time`,
    );
    const { used, held, difference } = await quotaOf(fleet.control, "priced");
    const lost = (reached - delivered) * price;
    assert.ok(
      used >= fleet.reached("priced") * price && difference + held["gateway-0"]! >= lost,
      `${lost} lost, ${difference} shown beside ${JSON.stringify(held)}`,
    );
  });
});
