/** A gateway that follows the calls has what control has: from nothing, from near, from far, and while all of it moves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { feedBounds } from "../../control/sync/feed.ts";
import { epochText } from "../../control/sync/frames.ts";
import { eventually } from "../kit/eventually.ts";
import { apply, framesOf } from "./gateway.ts";
import { MemorySource, sha256 } from "./memorySource.ts";
import { assertSynced, metric, parked, smallSource, startSync, truth } from "./support.ts";

test("a new gateway loads the snapshot", async (t) => {
  const source = smallSource();
  const gateway = (await startSync(t, source)).gateway();
  assert.equal(await gateway.watch(), "manifest");
  assert.deepEqual([gateway.epoch, gateway.version], [source.state.epoch, 1n]);
  await assertSynced(gateway, source);
  assert.equal(await gateway.watch(), "heartbeat");
});

test("an environment without records has a snapshot too", async (t) => {
  const source = new MemorySource();
  source.addToken("token");
  const gateway = (await startSync(t, source)).gateway();
  assert.equal(await gateway.watch(), "manifest");
  assert.equal(gateway.table.size, 0);
  assert.equal(await gateway.watch(), "heartbeat");
});

test("one that is behind gets one delta of what is there now", async (t) => {
  const source = smallSource();
  const gateway = (await startSync(t, source)).gateway();
  await gateway.watch();
  source.commit((writer) => writer.key("k1", "acme", "suspended"));
  source.commit((writer) => writer.key("k1", "acme", "revoked"));
  source.commit((writer) => {
    writer.key("k2", "initech", "active", sha256("another"));
    writer.tier(
      "bronze",
      ["echo"],
      [
        {
          name: "minute",
          kind: "rate",
          limit: 5,
          windowSeconds: 60,
          anchor: "calendar",
          subject: "key",
          enforcement: "global",
          mode: "enforce",
        },
      ],
    );
    writer.delete("key", "k3");
  });
  const frames = framesOf((await gateway.call("watch")).bytes);
  assert.equal(frames.length, 1);
  assert.ok(frames[0]?.type === "delta");
  const keys = frames[0].records
    .filter((record) => record.type === "key")
    .map((record) => `${record.id} ${record.state}`);
  assert.deepEqual(keys.sort(), ["k1 revoked", "k2 active"]);
  assert.equal(await gateway.watch(), "delta");
  assert.equal(gateway.version, 4n);
  await assertSynced(gateway, source);
});

test("a digest that moves to another key isn't lost", async (t) => {
  const source = smallSource();
  const gateway = (await startSync(t, source)).gateway();
  await gateway.watch();
  source.commit((writer) => writer.delete("key", "k1"));
  source.commit((writer) => writer.key("heir", "initech", "active", sha256("k1")));
  await gateway.watch();
  await assertSynced(gateway, source);
});

test("too far behind, beyond the log or the bounds: a newer snapshot", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source, { feed: { ...feedBounds, delta: { maxRecords: 10, maxBytes: 4 << 20 } } });
  const gateway = sync.gateway();
  await gateway.watch();
  source.commit((writer) => {
    for (let i = 0; i < 11; i++) writer.key(`n${i}`, "acme");
  });
  assert.equal(await gateway.watch(), "manifest");
  await assertSynced(gateway, source);
  source.commit((writer) => writer.key("n0", "acme", "revoked"));
  source.forgetLog();
  assert.equal(await gateway.watch(), "manifest");
  await assertSynced(gateway, source);
});

test("a delta of several parts, and one over 4 MiB", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateway = sync.gateway();
  await gateway.watch();
  const claims = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`claim-${i}`, "x".repeat(1000)]));
  source.commit((writer) => {
    for (let i = 0; i < 120; i++) writer.consumer(`c${i}`, { claims });
  });
  const { bytes } = await gateway.call("watch");
  assert.equal(framesOf(bytes).length, 3);
  await gateway.take(bytes);
  await assertSynced(gateway, source);
  source.commit((writer) => {
    for (let i = 0; i < 250; i++) writer.consumer(`d${i}`, { claims });
  });
  assert.equal(await gateway.watch(), "manifest");
  await assertSynced(gateway, source);
});

test("a part of a delta, then the larger delta of the same base", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateway = sync.gateway();
  await gateway.watch();
  const claims = { note: "x".repeat(60_000) };
  source.commit((writer) => {
    for (let i = 0; i < 30; i++) writer.consumer(`c${i}`, { claims });
  });
  const [first] = framesOf((await gateway.call("watch")).bytes);
  assert.ok(first?.type === "delta" && first.more);
  apply(gateway.table, first.records, false);
  source.commit((writer) => {
    for (let i = 0; i < 30; i += 2) writer.delete("consumer", `c${i}`);
  });
  assert.equal(await gateway.watch(), "delta");
  await assertSynced(gateway, source);
});

test("a resent call gets the same bytes", async (t) => {
  const source = smallSource();
  const gateway = (await startSync(t, source)).gateway();
  await gateway.watch();
  source.commit((writer) => writer.key("k1", "acme", "revoked"));
  const [one, two] = [await gateway.call("watch"), await gateway.call("watch")];
  assert.ok(one.bytes.equals(two.bytes));
  const page = { epoch: epochText(gateway.epoch), version: "1" };
  assert.ok((await gateway.call("pages/0", page)).bytes.equals((await gateway.call("pages/0", page)).bytes));
});

test("a waiting gateway is woken by a commit", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateway = sync.gateway();
  await gateway.watch();
  const woken = gateway.watch(50_000);
  await parked(sync, 1);
  source.commit((writer) => writer.key("k1", "acme", "revoked"));
  assert.equal(await woken, "delta");
  await assertSynced(gateway, source);
  assert.equal(await metric(sync, "tollgate_sync_wake_seconds"), 1);
});

test("without news it gets a heartbeat after its wait", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateway = sync.gateway();
  await gateway.watch();
  const startedMs = performance.now();
  assert.equal(await gateway.watch(300), "heartbeat");
  assert.ok(performance.now() - startedMs >= 290);
  await parked(sync, 0);
});

test("a lost notification is made up for", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateway = sync.gateway();
  await gateway.watch();
  const woken = gateway.watch(50_000);
  await parked(sync, 1);
  source.mute = true;
  source.commit((writer) => writer.key("k1", "acme", "revoked"));
  assert.equal(await woken, "delta");
});

test("one that heard of a version from another replica first isn't sent a snapshot", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateway = sync.gateway();
  await gateway.watch();
  source.mute = true;
  source.commit((writer) => writer.key("k1", "acme", "revoked"));
  gateway.version = source.state.version;
  assert.equal(await gateway.watch(), "heartbeat");
});

test("one that is ahead of the database gets its snapshot", async (t) => {
  const source = smallSource();
  const gateway = (await startSync(t, source)).gateway();
  await gateway.watch();
  const answer = await gateway.call("watch", { version: "1000" });
  assert.equal(framesOf(answer.bytes)[0]?.type, "manifest");
});

test("a renewed epoch brings a snapshot to those who wait", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateway = sync.gateway();
  await gateway.watch();
  const before = gateway.epoch;
  const woken = gateway.watch(50_000);
  await parked(sync, 1);
  source.renewEpoch();
  assert.equal(await woken, "manifest");
  assert.notEqual(gateway.epoch, before);
  assert.equal(gateway.epoch, source.state.epoch);
  await assertSynced(gateway, source);
  assert.equal(await gateway.watch(), "heartbeat");
});

test("a manifest of an older snapshot says what the newest version is", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateway = sync.gateway();
  await gateway.watch();
  for (let i = 0; i < 5; i++) source.commit((writer) => writer.key("k1", "acme", i % 2 === 0 ? "suspended" : "active"));
  const [manifest] = framesOf((await gateway.call("watch", { epoch: "0".repeat(16), version: "0" })).bytes);
  assert.ok(manifest?.type === "manifest");
  assert.deepEqual([manifest.version, manifest.current], [1n, 6n]);
});

test("changes while the snapshot is read aren't lost", async (t) => {
  const source = smallSource();
  source.commit((writer) => {
    for (let i = 0; i < 3000; i++) writer.key(`n${i}`, "acme");
  });
  let changes = 0;
  source.beforeKeysPage = async () => {
    if (changes++ < 5) source.commit((writer) => writer.key(`n${changes}`, "acme", "revoked"));
  };
  const sync = await startSync(t, source);
  const gateway = sync.gateway();
  await gateway.watch();
  assert.equal(gateway.version, 2n, "the version that the reading began at");
  assert.equal(
    await metric(sync, "tollgate_sync_version"),
    Number(source.state.version),
    "what was told meanwhile counts",
  );
  await gateway.reach(source.state.version);
  await assertSynced(gateway, source);
});

test("a long log makes a new snapshot; the old one is kept for those who load it", async (t) => {
  const source = smallSource();
  const feed = { ...feedBounds, rebuild: { maxRecords: 5, maxBytes: 1 << 20 }, rebuildEveryMs: 0, retireAfterMs: 1500 };
  const sync = await startSync(t, source, { feed });
  const slow = sync.gateway("token", "slow~1");
  const [manifest] = framesOf((await slow.call("watch")).bytes);
  assert.ok(manifest?.type === "manifest");
  source.commit((writer) => {
    for (let i = 0; i < 6; i++) writer.key(`n${i}`, "acme");
  });
  await eventually("a new base", async () => (await metric(sync, "tollgate_sync_base_version")) === 2);
  for (const answer of await slow.pages(manifest)) assert.equal(answer.status, 200);
  const page = { epoch: epochText(manifest.epoch), version: "1" };
  let last = Date.now();
  await eventually("the old base is gone", async () => {
    // asking keeps it alive
    if (Date.now() - last < 3000) return false;
    last = Date.now();
    return (await slow.call("pages/0", page)).status === 410;
  });
  const [newer] = framesOf((await slow.call("watch")).bytes);
  assert.ok(newer?.type === "manifest" && newer.version === 2n);
});

test("two hundred watchers share one reading and one encoding", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateways = Array.from({ length: 200 }, (_, i) => sync.gateway("token", `node~${i}`));
  await Promise.all(gateways.map((gateway) => gateway.watch()));
  const woken = gateways.map((gateway) => gateway.watch(50_000));
  await parked(sync, 200);
  const readings = source.calls.snapshotRead;
  source.commit((writer) => writer.key("k1", "acme", "revoked"));
  assert.deepEqual(new Set(await Promise.all(woken)), new Set(["delta"]));
  assert.equal(source.calls.snapshotRead - readings, 1);
  const expected = await truth(source);
  for (const gateway of gateways) assert.equal(gateway.table.size, expected.size);
});

test("gateways follow while everything changes", async (t) => {
  const source = smallSource();
  const feed = {
    ...feedBounds,
    delta: { maxRecords: 40, maxBytes: 4 << 20 },
    rebuild: { maxRecords: 20, maxBytes: 2 << 20 },
    rebuildEveryMs: 0,
  };
  const sync = await startSync(t, source, { feed });
  const gateways = Array.from({ length: 5 }, (_, i) => sync.gateway("token", `node~${i}`));
  let done = false;
  const following = gateways.map(async (gateway) => {
    while (!done || gateway.version < source.state.version) await gateway.watch(200);
  });
  for (let i = 0; i < 300; i++) {
    source.commit((writer) => {
      writer.consumer(`c${i % 17}`, { claims: { turn: String(i) } });
      writer.key(`n${i}`, `c${i % 17}`);
      if (i > 20) writer.delete("key", `n${i - 20}`);
      if (i % 10 === 0) writer.api(`a${i % 3}`, { paths: [`/${i}`] });
    });
    if (i % 25 === 0) source.forgetLog();
    await new Promise(setImmediate);
  }
  done = true;
  await Promise.all(following);
  for (const gateway of gateways) await assertSynced(gateway, source);
});
