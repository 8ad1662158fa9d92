import assert from "node:assert/strict";
import { join } from "node:path";
import { afterEach, describe, it } from "node:test";
import { leaseAction, verdict } from "../../control/counters/model.ts";
import { SqlCounterStore } from "../../control/counters/sql.ts";
import { openStore } from "../../control/store/open.ts";
import type { SqlStore } from "../../control/store/sqlStore.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { counterContract } from "./contract.ts";
import { ask, Clock, dayMs, Desk, firstUse, Lane, minuteMs, quota, rate } from "./support.ts";

const root = temporaryFolder("counters");
const opened: SqlStore[] = [];
let files = 0;

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

async function open(): Promise<SqlStore> {
  const store = await openStore(`file:${join(root, `${++files}`, "tollgate.db")}`, (error) => assert.fail(error));
  opened.push(store);
  return store;
}

counterContract("SQLite", {
  async open(nowMs) {
    const { dialect } = await open();
    // One process has the file, over one connection that writes.
    const again = async () => new SqlCounterStore(dialect, { nowMs });
    return { store: await again(), again };
  },
  shared: true,
});

describe("SQLite: pruning", () => {
  it("deletes the rows of windows that ended, of old lanes and of shares that ran out", async () => {
    const { dialect } = await open();
    const clock = new Clock();
    const limits = [rate(), quota("day"), firstUse({ windowSeconds: 3600 })];
    const all = new Desk(new SqlCounterStore(dialect, { nowMs: clock.read }), ...limits);
    const lane = new Lane();
    const call = lane.call(ask({ actions: leaseAction.local }), ask({ wireId: 2 }), ask({ wireId: 3 }));
    await all.send(call);
    const rows = async () => {
      const tables = ["counter_windows", "counter_holdings", "counter_lanes", "counter_shares"] as const;
      return Promise.all(
        tables.map(async (table) => (await dialect.db.selectFrom(table).selectAll().execute()).length),
      );
    };
    assert.deepEqual(await rows(), [3, 3, 1, 1]);
    clock.pass(minuteMs + 60_000);
    await all.store.prune();
    assert.deepEqual(await rows(), [3, 3, 1, 1], "a minute more, for a clock that is set back");
    clock.pass(1);
    await all.store.prune();
    assert.deepEqual(await rows(), [2, 2, 1, 1]);
    clock.pass(2 * 3_600_000);
    await all.store.prune();
    assert.deepEqual(await rows(), [1, 1, 1, 0]);
    assert.equal((await dialect.db.selectFrom("counters").select("shares").executeTakeFirstOrThrow()).shares, 0);
    clock.pass(dayMs);
    await all.store.prune();
    assert.deepEqual(await rows(), [0, 0, 1, 0]);
    assert.deepEqual(await all.send(call), [{ kind: "outdated" }], "its answer isn't kept for ever");
    assert.equal((await all.op(lane, ask())).verdict, verdict.granted);
    clock.pass(41 * dayMs);
    await all.store.prune();
    assert.deepEqual(await rows(), [0, 0, 0, 0]);
  });

  it("goes on until all is gone", async () => {
    const { dialect } = await open();
    const clock = new Clock();
    const all = new Desk(new SqlCounterStore(dialect, { nowMs: clock.read }), rate());
    await all.ops(
      new Lane(),
      ...Array.from({ length: 4096 }, (_, index) => ask({ subject: index.toString(16).padStart(32, "0") })),
    );
    clock.pass(10 * minuteMs);
    await all.store.prune();
    assert.deepEqual(await dialect.db.selectFrom("counter_windows").selectAll().execute(), []);
    assert.deepEqual(await dialect.db.selectFrom("counter_holdings").selectAll().execute(), []);
  });
});
