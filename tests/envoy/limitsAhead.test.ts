/** Warm counters at a modest rate, over the borders of windows: the next window's allowance is there before it begins, and hardly anyone waits. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Fleet, product, quotaOfDay, rateOf } from "./support/fleet.ts";
import { Connection } from "../kit/http1.ts";
import { newest } from "../kit/envoySetups.ts";

/** 1,000 a minute */
const windowSeconds = 6;
const limit = 100;
const keys = 30;
const perSecond = 8;
const warmUpMs = 1.2 * windowSeconds * 1000;
const measuredMs = 3 * windowSeconds * 1000;

describe("warm counters", () => {
  let fleet: Fleet;
  const names = Array.from({ length: keys }, (_, n) => `warm-${n}`);
  before(async () => {
    fleet = await Fleet.start({
      setup: newest,
      gateways: 1,
      products: names.map((name) => product(name, [rateOf(limit, windowSeconds), quotaOfDay(100_000)])),
    });
  });
  after(() => fleet?.stop());

  it("hold fewer than one request in a thousand", async () => {
    const gateway = fleet.gateways[0]!;
    const connections = await Promise.all(Array.from({ length: 32 }, () => Connection.open(gateway.port())));
    const statuses = new Map<number, number>();
    const idle = [...connections];
    const everyMs = 1000 / (keys * perSecond);

    /** At an even pace, by a clock: what comes late is sent at once. */
    async function run(durationMs: number): Promise<number> {
      const startMs = performance.now();
      const sends: Promise<void>[] = [];
      for (let n = 0; n * everyMs < durationMs; ) {
        if (performance.now() - startMs < n * everyMs || idle.length === 0) {
          await sleep(1);
          continue;
        }
        const name = names[n++ % keys]!;
        const connection = idle.shift()!;
        sends.push(
          connection.send({ path: `/${name}`, headers: [["x-api-key", fleet.key(name)]] }).then(({ status }) => {
            statuses.set(status, (statuses.get(status) ?? 0) + 1);
            idle.push(connection);
          }),
        );
      }
      await Promise.all(sends);
      return sends.length;
    }

    try {
      await run(warmUpMs);
      await sleep(500);
      const heldBefore = await gateway.metric("held");
      const count = await run(measuredMs);
      await sleep(500);
      const held = (await gateway.metric("held")) - heldBefore;
      assert.deepEqual([...statuses.keys()], [200]);
      assert.ok(held * 1000 < count, `${held} of ${count} were held`);
    } finally {
      for (const connection of connections) connection.close();
    }
  });
});
