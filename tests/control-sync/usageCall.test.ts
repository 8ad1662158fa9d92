/** Lanes' batches of usage: applied once, kept or asked for again, never misread. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Api } from "../../control/domain/model.ts";
import { usageFrame } from "../../control/sync/usageFrames.ts";
import { leasesFrame } from "../../control/sync/leaseFrames.ts";
import type { UsageEntry } from "../../control/usage/model.ts";
import { LaneClient } from "./laneClient.ts";
import { MemoryUsage, metric, smallSource, startSync } from "./support.ts";

const digest = "00112233445566778899aabbccddeeff";
const noDigest = "0".repeat(32);
const minute = Math.floor(Date.now() / 60_000);
const entries: UsageEntry[] = [
  {
    minute: minute - 1,
    api: 1,
    route: 2,
    consumer: 3,
    digest,
    counts: [
      [0, 12],
      [1, 60],
      [9, 12],
      [17, 300],
    ],
  },
  { minute, api: 0, consumer: 0, digest: noDigest, counts: [[64, 1]] },
];

async function setting(t: TestContext) {
  const source = smallSource();
  const route = (path: string): Api["routes"][number] => ({ path, methods: [], scopes: [], cost: 5, limits: [] });
  source.commit((writer) => writer.api("echo", { routes: [route("/echo/a"), route("/echo/b"), route("/echo/c")] }));
  const usage = new MemoryUsage();
  const sync = await startSync(t, source, { usage });
  return { source, usage, sync, lane: new LaneClient({ url: sync.url, epoch: source.state.epoch }) };
}

test("a batch is applied once, however often it's sent; numbers are apart from those of leases", async (t) => {
  const { lane, usage, sync } = await setting(t);
  await lane.usage(entries);
  await lane.usage(entries, 1n);
  await lane.usage(entries, 1n);
  await lane.call();
  await lane.usage([]);
  assert.deepEqual(usage.batches, [
    { environment: "default", gateway: "node~1", lane: lane.lane, seq: 1n, entries },
    { environment: "default", gateway: "node~1", lane: lane.lane, seq: 2n, entries: [] },
  ]);
  assert.equal(await metric(sync, "tollgate_sync_usage_batches_total"), 4);
  assert.equal(await metric(sync, "tollgate_sync_usage_entries_total"), 2);
});

test("of another epoch, only what can't be mistaken is kept", async (t) => {
  const { lane, usage, source } = await setting(t);
  const old = lane.epoch;
  source.renewEpoch();
  await lane.usage(entries);
  lane.epoch = source.state.epoch;
  await lane.usage(entries);
  assert.notEqual(old, lane.epoch);
  assert.deepEqual(
    usage.batches.map((batch) => batch.entries),
    [entries.map(({ minute, digest: of, counts }) => ({ minute, api: 0, consumer: 0, digest: of, counts })), entries],
  );
});

test("503 while it can't be kept, 400 for what is no batch", async (t) => {
  const { lane, usage } = await setting(t);
  usage.failure = new Error("the database is away");
  const { epoch } = lane;
  const away = await lane.post("usage", usageFrame({ epoch, seq: 1n, lane: lane.lane, entries }));
  assert.deepEqual([away.status, away.headers.get("retry-after")], [503, "1"]);
  usage.failure = undefined;
  await lane.usage(entries);
  assert.equal(usage.batches.length, 1);
  const broken = usageFrame({ epoch, seq: 2n, lane: lane.lane, entries });
  broken[100]! ^= 1;
  const twice = Buffer.concat([
    usageFrame({ epoch, seq: 2n, lane: lane.lane, entries }),
    usageFrame({ epoch, seq: 3n, lane: lane.lane, entries }),
  ]);
  for (const body of [
    broken,
    twice,
    Buffer.alloc(0),
    leasesFrame({ epoch, seq: 2n, lane: lane.lane, ops: [] }),
    usageFrame({ epoch, seq: 0n, lane: lane.lane, entries }),
  ]) {
    assert.equal((await lane.post("usage", body)).status, 400);
  }
  assert.equal(usage.batches.length, 1);
});
