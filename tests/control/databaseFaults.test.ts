/** The control plane as a process whose SQLite file is in trouble: what probes, operators and gateways are answered. */
import assert from "node:assert/strict";
import { renameSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { lockFile, noSmallDisk, smallDisk } from "../store/faults.ts";
import { spawnControl, startControlProcess, type ControlProcess } from "./process.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { adminToken } from "./support.ts";

interface Answer {
  status: number;
  body: { detail?: string; remedy?: string; code?: string; token?: string };
}

async function call(base: string, method: string, path: string, body?: unknown): Promise<Answer> {
  const headers: Record<string, string> = {
    authorization: `Bearer ${adminToken}`,
    ...(body === undefined ? {} : { "content-type": "application/json" }),
  };
  const response = await fetch(`${base}${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Answer["body"] };
}

const start = (t: TestContext, dataDir: string): Promise<ControlProcess> =>
  startControlProcess(t, { TOLLGATE_DATA_DIR: dataDir, TOLLGATE_ADMIN_TOKEN: adminToken });
const put = ({ adminUrl }: ControlProcess, id: string) => call(adminUrl, "PUT", `/v1/consumers/${id}`, {});

/** Waits for a line of the log, which comes by a pipe of its own. */
async function logged(control: ControlProcess, message: string): Promise<void> {
  await control.until(`it logged "${message}"`, () => control.stdout.includes(`"${message}"`));
}

/** Writes are refused with this reason and a remedy, readiness says the same, the process lives, and the log has it once. */
async function refuses(control: ControlProcess, reason: RegExp, remedy: RegExp): Promise<void> {
  for (const answer of [await put(control, "refused"), await call(control.adminUrl, "GET", "/readyz")]) {
    assert.equal(answer.status, 503);
    assert.equal(answer.body.code, "not_ready");
    assert.match(answer.body.detail!, reason);
    assert.match(answer.body.remedy!, remedy);
  }
  assert.equal((await call(control.adminUrl, "GET", "/healthz")).status, 200);
  await logged(control, "database unavailable, trying again");
  const lines = control.stdout.split("\n").filter((line) => line.includes('"database unavailable, trying again"'));
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, reason);
  assert.ok(!control.stdout.includes("cannot rollback"));
}

/** Readiness comes back, writes are taken, and a start after kill -9 has them. */
async function recovers(t: TestContext, control: ControlProcess, dataDir: string): Promise<void> {
  await control.until(
    "it was ready again",
    async () => (await call(control.adminUrl, "GET", "/readyz")).status === 200,
  );
  assert.equal((await put(control, "after")).status, 201);
  await logged(control, "database available again");
  control.child.kill("SIGKILL");
  await control.ended;
  const again = await start(t, dataDir);
  assert.equal((await call(again.adminUrl, "GET", "/v1/consumers/after")).status, 200);
  assert.equal(
    (await call(again.adminUrl, "GET", "/v1/consumers/refused")).status,
    404,
    "what was refused wasn't done",
  );
}

describe("the control plane when its SQLite file is in trouble", () => {
  it("the file was moved: 503 until it's back", async (t) => {
    const dataDir = temporaryFolder();
    const control = await start(t, dataDir);
    assert.equal((await put(control, "before")).status, 201);
    const file = join(dataDir, "tollgate.db");
    renameSync(file, `${file}.aside`);
    await refuses(control, /deleted, moved or replaced/, /Put the file back/);
    assert.equal((await call(control.adminUrl, "GET", "/v1/consumers/before")).status, 200, "what is open can be read");
    renameSync(`${file}.aside`, file);
    await recovers(t, control, dataDir);
  });

  it("the disk is full: 503 until there is room", { skip: noSmallDisk() ?? false }, async (t) => {
    const disk = smallDisk(t, 8192);
    const control = await start(t, disk.folder);
    assert.equal((await put(control, "before")).status, 201);
    disk.fill();
    await refuses(control, /Disk full/, /Free space/);
    disk.free();
    await recovers(t, control, disk.folder);
  });

  it("a start on a full disk names it, without a stack", { skip: noSmallDisk() ?? false }, async (t) => {
    const disk = smallDisk(t, 256);
    disk.fill();
    const started = spawnControl(t, { TOLLGATE_DATA_DIR: disk.folder });
    assert.equal(await started.ended, 1);
    assert.match(started.stderr, /Disk full[^]*Free space/);
    assert.ok(!started.stderr.includes("    at "));
  });

  it("another process holds the write lock: probes, reads and long polls are answered meanwhile, and the write afterwards", async (t) => {
    const dataDir = temporaryFolder();
    const control = await start(t, dataDir);
    const { token } = (await call(control.adminUrl, "POST", "/v1/gateway-tokens", { group: "edge" })).body;
    const watch = () =>
      fetch(
        `${control.syncUrl}/sync/v1/watch?environment=default&gateway=n~1&epoch=0000000000000000&version=0&waitMs=0&applied=0&workers=1`,
        { headers: { authorization: `Bearer ${token}` } },
      );
    // A gateway's first call claims its id, which is a write; those of a connected one are answered from memory.
    assert.equal((await watch()).status, 200);
    const lock = await lockFile(t, join(dataDir, "tollgate.db"));
    let written: Answer | undefined;
    const writing = put(control, "waits").then((answer) => (written = answer));
    // Each of these begins and ends while the lock is held.
    for (let round = 0; round < 3; round++) {
      assert.equal((await call(control.adminUrl, "GET", "/healthz")).status, 200);
      assert.equal((await watch()).status, 200);
      assert.equal((await call(control.adminUrl, "GET", "/v1/consumers")).status, 200);
    }
    assert.ok(written === undefined || written.status === 503, "the write can't have been done");
    await lock.release();
    await writing;
    // On a machine so slow that the rounds above outlast its patience the write was refused, in words.
    if (written!.status === 503) assert.match(written!.body.detail!, /holds the database's write lock/);
    else assert.equal(written!.status, 201);
  });

  it("no end of it: 503 with the reason, and alive", async (t) => {
    const dataDir = temporaryFolder();
    const control = await start(t, dataDir);
    const lock = await lockFile(t, join(dataDir, "tollgate.db"));
    await refuses(control, /holds the database's write lock/, /sqlite3 shell/);
    await lock.release();
    await recovers(t, control, dataDir);
  });

  it("a start while another process holds the lock says so", async (t) => {
    const dataDir = temporaryFolder();
    const control = await start(t, dataDir);
    control.child.kill("SIGKILL");
    await control.ended;
    await lockFile(t, join(dataDir, "tollgate.db"));
    const started = spawnControl(t, { TOLLGATE_DATA_DIR: dataDir });
    assert.equal(await started.ended, 1);
    assert.match(started.stderr, /Another process holds the database's write lock/);
    assert.ok(!started.stderr.includes("    at "));
  });
});
