import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { LaneCall } from "../../control/counters/model.ts";
import { openCounters } from "../../control/counters/open.ts";
import { openStore } from "../../control/store/open.ts";
import { startPostgres } from "../kit/postgres.ts";
import { startRedis } from "../kit/redis.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { ask, environment, Lane, otherSubject, rate, subject } from "./support.ts";

const program = new URL("crashing.ts", import.meta.url).pathname;
const root = temporaryFolder("crash");
const newFile = (name: string) => `file:${join(root, name, "tollgate.db")}`;

const [postgres, redis] = await Promise.all([startPostgres().catch(String), startRedis().catch(String)]);

describe("a replica killed between its transaction and its answer", () => {
  it("has counted in SQLite, and the next one knows the answer", () => crashAndResend(newFile("sqlite"), undefined));
  it("has counted in PostgreSQL, and the next one knows the answer", {
    skip: typeof postgres === "string" && `UNTESTED: ${postgres}`,
  }, async () => {
    assert.ok(typeof postgres !== "string");
    await crashAndResend(await postgres.createDatabase(), undefined);
  });
  it("has counted in Redis, and the next one knows the answer", {
    skip: typeof redis === "string" && `UNTESTED: ${redis}`,
  }, async () => {
    assert.ok(typeof redis !== "string");
    await crashAndResend(newFile("redis"), redis.url);
  });
});
if (typeof postgres !== "string") after(() => postgres.stop());
if (typeof redis !== "string") after(() => redis.stop());

async function crashAndResend(databaseUrl: string, redisUrl: string | undefined): Promise<void> {
  const limit = rate({ windowSeconds: 86_400 });
  const lane = new Lane();
  const calls = [
    lane.call(ask({ want: 30 }), ask({ subject: otherSubject, want: 7 })),
    new Lane().call(ask({ want: 5 })),
  ];
  const started = Date.now();
  const child = spawn(process.execPath, ["--import", "tsx", program, databaseUrl, redisUrl ?? "", textOf(calls)], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const [, signal] = (await once(child, "exit")) as [number | null, string | null];
  assert.equal(signal, "SIGKILL");

  const database = await openStore(databaseUrl, () => undefined);
  const counters = await openCounters(database, {
    onLost: () => undefined,
    ...(redisUrl === undefined ? {} : { redisUrl }),
  });
  try {
    const used = async () =>
      (
        await counters.inspect(environment, [
          { limit, subject },
          { limit, subject: otherSubject },
        ])
      ).map(({ windows }) => windows[0]!.used);
    assert.deepEqual(await used(), [35, 7]);
    const { answers } = await counters.apply(calls, () => limit);
    const granted = answers.map((answer) =>
      answer.kind === "answered" ? answer.answers.map((one) => one.granted) : [],
    );
    assert.deepEqual(granted, [[30, 7], [5]]);
    for (const answer of answers)
      assert.ok(answer.kind === "answered" && answer.timeMs >= started && answer.timeMs <= Date.now());
    assert.deepEqual(await used(), [35, 7]);
  } finally {
    await counters.close();
    await database.close();
  }
}

function textOf(calls: readonly LaneCall[]): string {
  return JSON.stringify(calls, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
}
