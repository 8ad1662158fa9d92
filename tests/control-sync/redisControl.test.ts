/** Control with its counters in Redis: what the owner sees while Redis is away, and that nothing counts twice when it's back. */
import assert from "node:assert/strict";
import { after, describe, type TestContext, test } from "node:test";
import { readConfig } from "../../control/config.ts";
import { verdict } from "../../control/counters/model.ts";
import { startControl } from "../../control/main.ts";
import { adminToken, capturedLogger } from "../control/support.ts";
import { type RedisServer, startRedis } from "../kit/redis.ts";
import { eventually } from "../kit/eventually.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { Gateway } from "./gateway.ts";
import { ask, LaneClient } from "./laneClient.ts";

const server = await startRedis().catch((error: unknown) => String(error));
if (typeof server === "string")
  describe(
    "control over Redis",
    { skip: `it can't run here, so control with it is UNTESTED: ${server}` },
    () => undefined,
  );
else {
  after(() => server.stop());
  describe("control over Redis", () => overRedis(server));
}

const subject = "00112233445566778899aabbccddeeff";
const file = {
  version: 1,
  tiers: [{ id: "bronze", limits: [{ name: "day", kind: "quota", limit: 100, period: "day" }] }],
};

function overRedis(redis: RedisServer): void {
  test("says that it isn't ready while Redis is away, and goes on where it stood", async (t: TestContext) => {
    const { logger, logs } = capturedLogger();
    const env = {
      TOLLGATE_DATA_DIR: temporaryFolder(),
      TOLLGATE_REDIS_URL: redis.url,
      TOLLGATE_ADMIN_TOKEN: adminToken,
      TOLLGATE_CONTROL_PORT: "0",
      TOLLGATE_SYNC_PORT: "0",
    };
    const control = await startControl(readConfig(env), logger);
    t.after(() => control.close());
    const post = async (path: string, body: object): Promise<unknown> => {
      const response = await fetch(`${control.adminUrl}${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      assert.ok(response.ok, await response.clone().text());
      return response.json();
    };
    const ready = async (): Promise<number> => (await fetch(`${control.adminUrl}/readyz`)).status;
    await post("/v1/apply", file);
    const { token } = (await post("/v1/gateway-tokens", { group: "edge" })) as { token: string };
    const gateway = new Gateway(control.syncUrl, token);
    await gateway.reach(1n);
    const limit = [...gateway.table.values()].find((record) => record.type === "limit");
    assert.ok(limit?.type === "limit");
    const lane = new LaneClient({ url: control.syncUrl, token, epoch: gateway.epoch });
    assert.equal((await lane.ask(limit.wireId, subject, { need: 10, want: 10 })).remaining, 90);
    assert.equal(await ready(), 200);

    await redis.kill();
    await eventually("it says so", async () => (await ready()) === 503);
    const body = lane.next(ask(limit.wireId, subject, { need: 10, want: 10 }));
    const away = await lane.post("leases", body);
    assert.deepEqual([away.status, away.headers.get("retry-after")], [503, "1"], away.bytes.toString());
    assert.equal(await gateway.watch(), "heartbeat", "the feed goes on");

    await redis.restart();
    await eventually("it's ready again", async () => (await ready()) === 200);
    const frame = await lane.send();
    assert.deepEqual([frame.answers[0]!.verdict, frame.answers[0]!.remaining], [verdict.granted, 80]);
    assert.equal((await lane.send()).answers[0]!.remaining, 80);
    assert.match(logs(), /connection of the counter store lost, trying again/);
  });
}
