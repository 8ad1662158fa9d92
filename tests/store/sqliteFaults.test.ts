/** SQLite's file in trouble: each fault is refused with its reason, nothing is answered that would be lost, and all goes on afterwards. */
import assert from "node:assert/strict";
import {
  closeSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { sql } from "kysely";
import Database from "libsql";
import { SqlCounterStore } from "../../control/counters/sql.ts";
import { CountersUnavailable } from "../../control/counters/store.ts";
import { openStore, type OpenOptions } from "../../control/store/open.ts";
import type { SqlStore } from "../../control/store/sqlStore.ts";
import { StoreTrouble, type TroubleName } from "../../control/store/trouble.ts";
import { SqlUsage } from "../../control/usage/usage.ts";
import { ask, Lane, rate } from "../counters/support.ts";
import { change, consumer, context, digest } from "./contract.ts";
import { lockFile, noSmallDisk, smallDisk } from "./faults.ts";

const environment = "default";

interface World {
  file: string;
  store: SqlStore;
  /** what was heard, in order: the kind of a trouble, or `recovered` */
  heard: string[];
}

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-faults-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function open(t: TestContext, file: string, options: OpenOptions = {}): Promise<World> {
  const heard: string[] = [];
  const store = await openStore(`file:${file}`, (error) => heard.push((error as StoreTrouble).kind), {
    ...options,
    onRecovered: () => heard.push("recovered"),
  });
  t.after(() => store.close());
  await store.createEnvironment(environment, context);
  await change(store, (writer) => writer.put("consumer", consumer("before")));
  return { file, store, heard };
}

const is = (kind: TroubleName) => (error: unknown) => {
  const trouble = error instanceof CountersUnavailable ? error.cause : error;
  assert.ok(trouble instanceof StoreTrouble, String(error));
  assert.equal(trouble.kind, kind);
  assert.ok(trouble.remedy.length > 20);
  return true;
};

let made = 0;
/** Every way in which something is written: records with their audit, tokens, gateways, leases, usage. */
function writes({ store }: World): Record<string, () => Promise<unknown>> {
  const counters = new SqlCounterStore(store.dialect);
  const usage = new SqlUsage(store.dialect);
  const entry = {
    minute: Math.floor(Date.now() / 60_000),
    api: 1,
    route: undefined,
    consumer: 1,
    digest: digest("k").slice(0, 32),
    counts: [[0, 1]] as [number, number][],
  };
  return {
    "a record": () => change(store, (writer) => writer.put("consumer", consumer(`c${++made}`))),
    "an environment": () => store.createEnvironment(`e${++made}`, context),
    "a token": () =>
      store.addAdminToken({ id: `t${++made}`, name: "t", digest: digest(`t${made}`), expiresAtMs: null }, context),
    "a gateway's report": () =>
      store.recordGateway({
        environment,
        id: `g${++made}`,
        group: "edge",
        version: 1n,
        applied: 1n,
        workers: 1,
        lastContactMs: 1,
        tokenId: "t",
        heldUntilMs: 2,
      }),
    "a gateway's claim": () =>
      store.claimGateway({
        environment,
        group: "edge",
        id: `g${++made}`,
        tokenId: "t",
        nowMs: 1,
        heldUntilMs: 2,
        most: 1000,
      }),
    "a lease": () => counters.apply([new Lane().call(ask())], () => rate()),
    "a reset": () => counters.reset(environment, [{ limit: rate(), subject: "0".repeat(32) }]),
    usage: () => usage.record(environment, "router~1", BigInt(++made), 1n, [entry]),
  };
}

async function refusesWrites(world: World, kind: TroubleName): Promise<void> {
  for (const [what, write] of Object.entries(writes(world))) await assert.rejects(write(), is(kind), what);
  await assert.rejects(world.store.ping(), is(kind));
}

async function works(world: World): Promise<void> {
  await world.store.ping();
  for (const write of Object.values(writes(world))) await write();
}

describe("SQLite: the file at the path isn't the open one", () => {
  const aside = (file: string) => `${file}.aside`;
  const move = (file: string, to: string) =>
    ["", "-wal", "-shm"].forEach((end) => renameSync(`${file}${end}`, `${to}${end}`));
  const faults: Record<string, { spoil(file: string): void; repair?(file: string): void }> = {
    "it was deleted": { spoil: (file) => ["", "-wal", "-shm"].forEach((end) => unlinkSync(`${file}${end}`)) },
    "it was moved": { spoil: (file) => move(file, aside(file)), repair: (file) => move(aside(file), file) },
    "it was moved without its side files": {
      spoil: (file) => renameSync(file, aside(file)),
      repair: (file) => renameSync(aside(file), file),
    },
    "a copy of it took its place": {
      spoil: (file) => {
        copyFileSync(file, aside(file));
        renameSync(file, `${file}.open`);
        renameSync(aside(file), file);
      },
      repair: (file) => renameSync(`${file}.open`, file),
    },
    "its folder was moved": {
      spoil: (file) => renameSync(join(file, ".."), `${join(file, "..")}.aside`),
      repair: (file) => renameSync(`${join(file, "..")}.aside`, join(file, "..")),
    },
    "its folder was replaced by a copy": {
      spoil: (file) => {
        renameSync(join(file, ".."), `${join(file, "..")}.aside`);
        cpSync(`${join(file, "..")}.aside`, join(file, ".."), { recursive: true });
      },
      repair: (file) => {
        rmSync(join(file, ".."), { recursive: true });
        renameSync(`${join(file, "..")}.aside`, join(file, ".."));
      },
    },
    "a file stands in the place of its folder": {
      spoil: (file) => {
        renameSync(join(file, ".."), `${join(file, "..")}.aside`);
        writeFileSync(join(file, ".."), "");
      },
      repair: (file) => {
        unlinkSync(join(file, ".."));
        renameSync(`${join(file, "..")}.aside`, join(file, ".."));
      },
    },
    "the write-ahead log was deleted": { spoil: (file) => unlinkSync(`${file}-wal`) },
    "the log's index was deleted": { spoil: (file) => unlinkSync(`${file}-shm`) },
  };
  for (const [what, { spoil, repair }] of Object.entries(faults)) {
    it(`${what}: writes are refused, ${repair === undefined ? "until the next start" : "until it's back"}`, async (t) => {
      const file = join(folderOf(t), "data", "tollgate.db");
      const world = await open(t, file);
      spoil(file);
      const there = existsSync(file);
      await refusesWrites(world, "file_replaced");
      assert.deepEqual(world.heard, ["file_replaced"]);
      assert.equal(existsSync(file), there, "no new database was made in its place");
      assert.deepEqual(
        (await world.store.spec(environment))!.consumers.map(({ id }) => id),
        ["before"],
        "what is open can be read, and nothing was added",
      );
      // More readers than are open: the others must not be led to another file.
      const together = await Promise.allSettled(Array.from({ length: 8 }, () => world.store.spec(environment)));
      for (const read of together) {
        if (read.status === "fulfilled")
          assert.deepEqual(
            read.value!.consumers.map(({ id }) => id),
            ["before"],
          );
        else is("file_replaced")(read.reason);
      }
      assert.equal(existsSync(file), there);
      if (repair === undefined) return;
      repair(file);
      await works(world);
      assert.deepEqual(world.heard, ["file_replaced", "recovered"]);
      const reached = (await world.store.spec(environment))!.consumers.length;
      await world.store.close();
      const again = await openStore(`file:${file}`, (error) => assert.fail(error));
      t.after(() => again.close());
      assert.equal(
        (await again.spec(environment))!.consumers.length,
        reached,
        "what was answered is there at the next start",
      );
    });
  }

  it("a link that leads elsewhere: as if the file were replaced", async (t) => {
    const folder = folderOf(t);
    for (const name of ["one", "two"]) mkdirSync(join(folder, name));
    symlinkSync(join(folder, "one"), join(folder, "data"));
    const world = await open(t, join(folder, "data", "tollgate.db"));
    await works(world);
    const relink = (name: string) => {
      unlinkSync(join(folder, "data"));
      symlinkSync(join(folder, name), join(folder, "data"));
    };
    relink("two");
    await refusesWrites(world, "file_replaced");
    assert.deepEqual(readdirSync(join(folder, "two")), []);
    relink("one");
    await works(world);
  });

  it("closing leaves another database at the path alone, with its log", async (t) => {
    const file = join(folderOf(t), "tollgate.db");
    const world = await open(t, file);
    for (const end of ["", "-wal", "-shm"]) renameSync(`${file}${end}`, `${file}.aside${end}`);
    const other = new Database(file);
    t.after(() => other.close());
    other.exec("PRAGMA journal_mode = WAL");
    other.exec("create table kept (n)");
    other.exec("insert into kept values (42)");
    const log = statSync(`${file}-wal`);
    await assert.rejects(world.store.createEnvironment("e", context), is("file_replaced"));
    await world.store.close();
    assert.deepEqual([statSync(`${file}-wal`).ino, statSync(`${file}-wal`).size], [log.ino, log.size]);
    const reader = new Database(file);
    t.after(() => reader.close());
    assert.equal((reader.prepare("select n from kept").get([]) as { n: number }).n, 42);
  });
});

describe("SQLite: no room", () => {
  const skip = noSmallDisk() ?? false;

  it("a full disk: every write is refused with that reason, and goes on once there is room", { skip }, async (t) => {
    const disk = smallDisk(t, 4096);
    const world = await open(t, join(disk.folder, "tollgate.db"));
    disk.fill();
    await refusesWrites(world, "disk_full");
    await refusesWrites(world, "disk_full");
    assert.deepEqual(world.heard, ["disk_full"], "told once, not with every write");
    assert.deepEqual(
      (await world.store.spec(environment))!.consumers.map(({ id }) => id),
      ["before"],
    );
    await world.store
      .addAdminToken({ id: "x", name: "x", digest: digest("x"), expiresAtMs: null }, context)
      .catch(() => undefined);
    disk.free();
    await works(world);
    assert.deepEqual(world.heard, ["disk_full", "recovered"]);
  });

  it("a full disk: whoever has a token may read", { skip }, async (t) => {
    const disk = smallDisk(t, 4096);
    const { store } = await open(t, join(disk.folder, "tollgate.db"));
    await store.addAdminToken({ id: "reader", name: "reader", digest: digest("reader"), expiresAtMs: null }, context);
    disk.fill();
    assert.equal((await store.adminToken(digest("reader"), context.nowMs))?.id, "reader");
  });

  it("readiness comes back by itself, without any other write", { skip }, async (t) => {
    const disk = smallDisk(t, 4096);
    const { store, heard } = await open(t, join(disk.folder, "tollgate.db"));
    disk.fill();
    await assert.rejects(store.createEnvironment("e", context), is("disk_full"));
    await assert.rejects(store.ping(), is("disk_full"));
    disk.free();
    await store.ping();
    assert.deepEqual(heard, ["disk_full", "recovered"]);
  });

  it("a start on a full disk says so", { skip }, async (t) => {
    const disk = smallDisk(t, 256);
    disk.fill();
    await assert.rejects(
      openStore(`file:${join(disk.folder, "tollgate.db")}`, () => undefined),
      is("disk_full"),
    );
  });

  it("a file at its limit: a change keeps its first error, and leaves the connection as it was", async (t) => {
    const world = await open(t, join(folderOf(t), "tollgate.db"));
    const { db } = world.store.dialect;
    const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db);
    await sql.raw(`pragma max_page_count = ${rows[0]!.page_count}`).execute(db);
    const large = "x".repeat(200_000);
    for (let round = 0; round < 3; round++) {
      await assert.rejects(
        change(world.store, (writer) => writer.put("consumer", consumer("large", { name: large }))),
        is("disk_full"),
      );
    }
    await change(world.store, (writer) => writer.put("consumer", consumer("small")));
    await sql.raw("pragma max_page_count = 1000000").execute(db);
    await change(world.store, (writer) => writer.put("consumer", consumer("large", { name: large })));
  });
});

describe("SQLite: another process holds the write lock", () => {
  it("a write waits without holding anything up, and is done once the lock is free", async (t) => {
    const world = await open(t, join(folderOf(t), "tollgate.db"), { lockWaitMs: 60_000 });
    const lock = await lockFile(t, world.file);
    const done: string[] = [];
    const pending = Object.entries(writes(world)).map(async ([what, write]) => {
      await write();
      done.push(what);
    });
    // The event loop goes round and reads are answered while every write waits.
    for (let round = 0; round < 50; round++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      assert.equal((await world.store.spec(environment))!.consumers.length, 1);
    }
    assert.deepEqual(done, [], "the lock is still held");
    await world.store.ping();
    await lock.release();
    await Promise.all(pending);
    assert.equal(done.length, pending.length);
    assert.deepEqual(world.heard, []);
  });

  it("no end of it: every write is refused after its own patience, together with readiness", async (t) => {
    const world = await open(t, join(folderOf(t), "tollgate.db"), { lockWaitMs: 100 });
    const lock = await lockFile(t, world.file);
    const all = await Promise.allSettled(Object.values(writes(world)).map((write) => write()));
    for (const one of all) is("locked")(one.status === "rejected" ? one.reason : undefined);
    await assert.rejects(world.store.ping(), is("locked"));
    assert.deepEqual(world.heard, ["locked"]);
    await lock.release();
    await works(world);
    assert.deepEqual(world.heard, ["locked", "recovered"]);
  });

  it("a start says so", async (t) => {
    const world = await open(t, join(folderOf(t), "tollgate.db"));
    await world.store.close();
    await lockFile(t, world.file);
    await assert.rejects(
      openStore(`file:${world.file}`, () => undefined, { lockWaitMs: 50 }),
      is("locked"),
    );
  });

  it("closing doesn't wait for it", async (t) => {
    const world = await open(t, join(folderOf(t), "tollgate.db"));
    await lockFile(t, world.file);
    await world.store.close();
  });
});

describe("SQLite: a file that can't be used", () => {
  it("a damaged one is named as such, until the next start", async (t) => {
    const file = join(folderOf(t), "tollgate.db");
    const world = await open(t, file);
    await world.store.close();
    const handle = openSync(file, "r+");
    const pages = Math.floor(statSync(file).size / 4096);
    for (let page = 1; page < pages; page++) writeSync(handle, Buffer.alloc(4096, 0xa5), 0, 4096, page * 4096);
    closeSync(handle);
    await assert.rejects(
      openStore(`file:${file}`, () => undefined).then((store) => store.createEnvironment("e", context)),
      is("damaged"),
    );
  });

  it("a read-only file system", { skip: noSmallDisk() ?? false }, async (t) => {
    const disk = smallDisk(t, 4096);
    const world = await open(t, join(folderOf(t), "tollgate.db"));
    await world.store.close();
    copyFileSync(world.file, join(disk.folder, "old.db"));
    disk.readOnly();
    await assert.rejects(
      openStore(`file:${join(disk.folder, "old.db")}`, () => undefined),
      is("read_only"),
    );
    await assert.rejects(
      openStore(`file:${join(disk.folder, "new.db")}`, () => undefined),
      is("read_only"),
    );
  });

  it("a folder in its place", async (t) => {
    await assert.rejects(
      openStore(`file:${folderOf(t)}`, () => undefined),
      is("cannot_open"),
    );
  });
});
