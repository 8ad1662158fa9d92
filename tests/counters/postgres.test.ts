import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, afterEach, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { SqlCounterStore } from "../../control/counters/sql.ts";
import { openStore } from "../../control/store/open.ts";
import type { Store } from "../../control/store/store.ts";
import { CountersUnavailable } from "../../control/counters/store.ts";
import { type PostgresServer, startPostgres } from "../kit/postgres.ts";
import { counterContract } from "./contract.ts";
import { ask, Desk, environment, Lane, rate, subject } from "./support.ts";

const server = await startPostgres().catch((error: unknown) => String(error));
const opened: Store[] = [];

/** For a process of its own, since this one waits for it. */
const terminateLockHolder = `
  import pg from "pg";
  const client = new pg.Client({ connectionString: process.argv[1] });
  await client.connect();
  await client.query("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted");
  await client.end();
`;

async function open(url: string, nowMs?: () => number): Promise<SqlCounterStore> {
  const store = await openStore(url, () => undefined);
  opened.push(store);
  return new SqlCounterStore(store.dialect, nowMs === undefined ? {} : { nowMs });
}

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});
if (typeof server === "string") {
  describe("PostgreSQL", { skip: `it can't run here, so its counters are UNTESTED: ${server}` }, () => undefined);
} else {
  after(() => server.stop());
  counterContract("PostgreSQL", {
    async open(nowMs) {
      const url = await server.createDatabase();
      return { store: await open(url, nowMs), again: () => open(url, nowMs) };
    },
    shared: true,
  });
  describe("PostgreSQL: the server", () => theServer(server));
}

function theServer(postgres: PostgresServer): void {
  const daily = rate({ windowSeconds: 86_400 });

  it("decides by its clock, whatever this host's says", async (t) => {
    const store = await open(await postgres.createDatabase());
    const before = Date.now();
    t.mock.method(Date, "now", () => before - 3_600_000);
    const [answer] = await new Desk(store, rate()).send(new Lane().call(ask()));
    t.mock.restoreAll();
    assert.ok(answer?.kind === "answered");
    assert.ok(answer.timeMs >= before && answer.timeMs <= Date.now(), `${answer.timeMs}`);
  });

  it("can't be reached for a while, and then goes on", async () => {
    const store = await open(await postgres.createDatabase());
    const here = new Desk(store, daily);
    const lane = new Lane();
    const call = lane.call(ask({ want: 30 }));
    const [first] = await here.send(call);
    await postgres.pause();
    await assert.rejects(here.send(lane.call(ask())), CountersUnavailable);
    await assert.rejects(store.inspect(environment, [{ limit: daily, subject }]), CountersUnavailable);
    await assert.rejects(store.reset(environment, [{ limit: daily, subject }]), CountersUnavailable);
    await postgres.resume();
    assert.deepEqual(await here.send(call), [first]);
    assert.equal(await here.used(daily), 30);
  });

  it("goes on when a replica's connection is cut off inside a transaction", async () => {
    const url = await postgres.createDatabase();
    const [store, other] = [await open(url), await open(url)];
    const lane = new Lane();
    const call = lane.call(ask({ want: 30 }));
    // Limits are asked for in the middle of the transaction, with the lock held.
    let cutOff = false;
    await assert.rejects(
      store.apply([call], () => {
        if (!cutOff)
          execFileSync(process.execPath, ["--input-type=module", "-e", terminateLockHolder, url], {
            cwd: import.meta.dirname,
          });
        cutOff = true;
        return daily;
      }),
      CountersUnavailable,
    );
    await new Desk(other, daily).send(new Lane().call(ask({ want: 1 })));
    const [answer] = await new Desk(other, daily).send(call);
    assert.ok(answer?.kind === "answered" && answer.answers[0]!.granted === 24);
    assert.equal(await new Desk(other, daily).used(daily), 25);
  });

  it("takes environments' locks in one order, so that groups of several don't wait for each other", async () => {
    const url = await postgres.createDatabase();
    const stores = [await open(url), await open(url)];
    const names = ["alpha", "beta", "gamma"];
    await Promise.all(
      stores.map(async (store, index) => {
        const lane = new Lane();
        for (let round = 0; round < 30; round++) {
          const calls = names.map((name) => ({ ...lane.call(ask({ want: 1 })), environment: name }));
          await store.apply(index === 0 ? calls : calls.reverse(), () => daily);
        }
      }),
    );
    for (const name of names)
      assert.equal((await stores[0]!.inspect(name, [{ limit: daily, subject }]))[0]!.windows[0]!.used, 60);
  });

  it("passes recalls on to other replicas, in as many notifications as they need, not to itself", async () => {
    const url = await postgres.createDatabase();
    const [one, two] = [await open(url), await open(url)];
    const recalls = Array.from({ length: 200 }, (_, index) => ({
      environment,
      gateway: `router~10.0.0.${index}~gateway.istio-system~cluster.local`,
      wireId: 1,
      subject,
      windowStartMs: 60_000,
    }));
    const heard: unknown[] = [];
    await one.listen(() => assert.fail("its own"));
    await two.listen((some) => void heard.push(...some));
    await one.broadcast(recalls);
    const deadline = Date.now() + 10_000;
    while (heard.length < recalls.length && Date.now() < deadline) await sleep(5);
    assert.deepEqual(heard, recalls);
  });
}
