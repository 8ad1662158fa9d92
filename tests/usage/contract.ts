/** What usage must do on every database: one suite. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { sql } from "kysely";
import { reasons } from "../../protocol/reasons.ts";
import { openStore } from "../../control/store/open.ts";
import type { RecordWriter } from "../../control/store/store.ts";
import type { SqlStore } from "../../control/store/sqlStore.ts";
import { countColumns, type CountColumn } from "../../control/usage/columns.ts";
import type { UsageCell } from "../../control/usage/cells.ts";
import type { UsageEntry } from "../../control/usage/model.ts";
import { MinutesGone, type UsageQuery, type UsageRow } from "../../control/usage/query.ts";
import { SqlUsage, type UsageOptions } from "../../control/usage/usage.ts";
import { api, change, consumer, context, digest, key, tier } from "../store/contract.ts";
import { eventually } from "../kit/eventually.ts";

export interface Databases {
  /** the URL of an empty database */
  url(): Promise<string>;
}

const opened: { close(): Promise<void> }[] = [];

async function open(url: string): Promise<SqlStore> {
  const store = await openStore(url, (error) => assert.fail(error));
  opened.push(store);
  return store;
}

const environment = "default";
const gateway = "router~1";
/** 2027-01-15T08:30:00Z */
const startMs = Date.UTC(2027, 0, 15, 8, 30);
const [minuteMs, hourMs, dayMs] = [60_000, 3_600_000, 86_400_000];
const minuteOf = (ms: number) => Math.floor(ms / minuteMs);
const metric = {
  admitted: 0,
  cost: 1,
  overshoot: 2,
  shadowed: 3,
  local: 4,
  unsampled: 5,
  status: (hundreds: number) => 7 + hundreds,
  latency: (bucket: number) => 16 + bucket,
  refused: 64,
  observed: 128,
};
const reason = (code: string) => reasons.findIndex((one) => one.code === code);

class Clock {
  nowMs = startMs;
  readonly read = () => this.nowMs;
}

/** A database with two APIs, a tier, a consumer and its key, and what their wire ids are. */
async function world(databases: Databases, options: UsageOptions = {}) {
  const url = await databases.url();
  const store = await open(url);
  await store.createEnvironment(environment, context);
  await change(store, async (writer) => {
    await writer.put(
      "api",
      api("echo", {
        routes: [
          { path: "/echo/search", methods: ["POST", "GET"], scopes: [], cost: 5, limits: [] },
          { path: "/echo/free", methods: [], scopes: [], cost: 0, limits: [] },
        ],
      }),
    );
    await writer.put("api", api("other"));
    await writer.put("tier", tier("bronze"));
    await writer.put("tier", tier("gold"));
    await writer.put("consumer", consumer("acme", { tier: "bronze" }));
    await writer.put("key", key("k1"));
    await writer.put("key", key("k2", { tier: "gold" }));
  });
  const wire = (await store.snapshotRead(environment, async (reader) => ({
    echo: (await reader.apiById("echo"))!.wireId,
    other: (await reader.apiById("other"))!.wireId,
    acme: (await reader.consumerById("acme"))!.wireId,
  })))!;
  const clock = new Clock();
  const fresh = (of: SqlStore) => {
    const usage = new SqlUsage(of.dialect, { nowMs: clock.read, ...options });
    opened.push(usage);
    return usage;
  };
  const entry = (more: Partial<UsageEntry> = {}): UsageEntry => ({
    minute: minuteOf(clock.nowMs),
    api: wire.echo,
    route: undefined,
    consumer: wire.acme,
    digest: digest("k1").slice(0, 32),
    counts: [
      [metric.admitted, 1],
      [metric.cost, 1],
    ],
    ...more,
  });
  return {
    store,
    again: () => open(url),
    wire,
    clock,
    usage: fresh(store),
    fresh,
    entry,
    change: (edit: (writer: RecordWriter) => Promise<unknown>) => change(store, edit),
  };
}

const query = (more: Partial<UsageQuery> = {}): UsageQuery => ({
  environment,
  fromMs: startMs - dayMs,
  toMs: startMs + dayMs,
  interval: "total",
  group: [],
  filter: {},
  rowsMax: 10_000,
  ...more,
});

const count = (cell: UsageCell, column: CountColumn) => cell.counts[countColumns.indexOf(column)]!;
const total = async (usage: SqlUsage, column: CountColumn = "admitted", more: Partial<UsageQuery> = {}) => {
  await usage.settle();
  return count((await usage.read(query(more))).totals, column);
};
const named = (rows: UsageRow[]) => rows.map((row) => [...row.names, count(row, "admitted")]);

export function usageContract(name: string, databases: Databases, { replicas }: { replicas: boolean }): void {
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
  });

  describe(`${name}: a batch of usage`, () => {
    it("is applied once, whatever is resent", async () => {
      const { usage, entry } = await world(databases);
      const batch = [entry(), entry({ route: 0 })];
      assert.equal(await usage.record(environment, gateway, 7n, 1n, batch), "applied");
      assert.equal(await usage.record(environment, gateway, 7n, 1n, batch), "repeated");
      assert.equal(await usage.record(environment, gateway, 7n, 2n, batch), "applied");
      assert.equal(await usage.record(environment, gateway, 7n, 1n, batch), "repeated");
      assert.equal(await total(usage), 4);
    });

    it("is known by lane and environment, and numbers are compared as 64 bits", async () => {
      const { usage, entry, store } = await world(databases);
      await store.createEnvironment("staging", context);
      const lane = 2n ** 64n - 1n;
      assert.equal(await usage.record(environment, gateway, lane, 2n ** 63n, [entry()]), "applied");
      assert.equal(await usage.record(environment, gateway, lane, 9n, [entry()]), "repeated");
      assert.equal(await usage.record(environment, gateway, lane, 2n ** 64n - 1n, [entry()]), "applied");
      assert.equal(await usage.record(environment, gateway, 8n, 1n, [entry()]), "applied");
      assert.equal(await usage.record("staging", gateway, lane, 1n, [entry()]), "applied");
      assert.equal(await total(usage), 3);
      assert.equal(await total(usage, "admitted", { environment: "staging" }), 1);
    });

    it("is applied once when both tries are under way together", async () => {
      const { usage, entry } = await world(databases);
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, () => usage.record(environment, gateway, 7n, 1n, [entry()])),
      );
      assert.deepEqual(outcomes.sort(), ["applied", ...Array.from({ length: 19 }, () => "repeated")]);
      assert.equal(await total(usage), 1);
    });

    it("may be empty, and may be large", async () => {
      const { usage, entry } = await world(databases);
      assert.equal(await usage.record(environment, gateway, 7n, 1n, []), "applied");
      assert.equal(await usage.record(environment, gateway, 7n, 1n, [entry()]), "repeated");
      assert.equal(
        await usage.record(
          environment,
          gateway,
          7n,
          2n,
          Array.from({ length: 3000 }, (_, index) => entry({ minute: minuteOf(startMs) - (index % 50) })),
        ),
        "applied",
      );
      assert.equal(await total(usage), 3000);
    });

    it("that was taken in is counted by whoever comes next, once", async () => {
      const { usage, entry, again, fresh } = await world(databases);
      for (let lane = 1n; lane <= 30n; lane++)
        await usage.record(
          environment,
          gateway,
          lane,
          1n,
          Array.from({ length: 40 }, () => entry()),
        );
      // What was taken in is durable; nothing of it needs to have been counted.
      await usage.close();
      const next = fresh(await again());
      assert.equal(await total(next), 1200);
      assert.equal(await total(next), 1200);
    });

    it("is counted by itself, and stays whole when counting fails half-way", async () => {
      const failed: unknown[] = [];
      const { usage, entry, store } = await world(databases, { roundMs: 100, onError: (error) => failed.push(error) });
      const { db } = store.dialect;
      usage.start();
      // What is written last can't be written: nothing of the transaction may stay, nor be remembered.
      await sql`alter table usage_refusals rename to usage_refusals_away`.execute(db);
      await usage.record(environment, gateway, 7n, 1n, [
        entry({
          counts: [
            [0, 5],
            [metric.refused, 2],
          ],
        }),
      ]);
      await eventually("a round to fail", () => failed.length > 0);
      assert.deepEqual(
        [
          await db.selectFrom("usage_counts").selectAll().execute(),
          await db.selectFrom("usage_series").selectAll().execute(),
          await usage.waiting(),
        ],
        [[], [], 1],
      );
      await sql`alter table usage_refusals_away rename to usage_refusals`.execute(db);
      await eventually("everything to be counted", async () => (await usage.waiting()) === 0);
      const { totals } = await usage.read(query());
      assert.deepEqual([count(totals, "admitted"), count(totals, "refused"), totals.refused.get(0)], [5, 2, 2]);
    });

    it("is counted in rounds, each caller's entries together; at once when somebody asks", async () => {
      const { usage, entry, store } = await world(databases, { roundMs: 60_000 });
      const { db } = store.dialect;
      // The first round begins at once.
      await usage.record(environment, gateway, 8n, 1n, [entry()]);
      await eventually("everything to be counted", async () => (await usage.waiting()) === 0);
      const digests = Array.from({ length: 50 }, (_, index) => digest(`round ${index}`).slice(0, 32));
      for (let seq = 1n; seq <= 4n; seq++)
        await usage.record(
          environment,
          gateway,
          7n,
          seq,
          digests.map((one) => entry({ digest: one })),
        );
      await sleep(300);
      assert.equal(await usage.waiting(), 200);
      // Each part of the inbox has few callers, so that a step adds up what those did.
      const rows = await db
        .selectFrom("usage_inbox")
        .select("part")
        .select((eb) => eb.fn.sum("entry_count").as("entries"))
        .groupBy("part")
        .execute();
      assert.ok(rows.length > 20 && rows.every((row) => Number(row.entries) % 4 === 0), JSON.stringify(rows));
      const began = performance.now();
      assert.equal(await total(usage), 201);
      assert.ok(performance.now() - began < 50_000, "before the next round");
      assert.equal(await usage.waiting(), 0);
    });

    it("of more callers than a step counts is counted whole", async () => {
      const { usage, entry } = await world(databases);
      // All in one part: their digests begin alike.
      const one = (index: number) => entry({ digest: `00${index.toString(16).padStart(30, "0")}` });
      for (let seq = 1n; seq <= 2n; seq++)
        await usage.record(
          environment,
          gateway,
          7n,
          seq,
          Array.from({ length: 2500 }, (_, index) => one(index)),
        );
      assert.equal(await total(usage), 5000);
      assert.equal(await usage.waiting(), 0);
    });

    it("that can't be taken in is refused, and taken when it comes again", async () => {
      const { usage, entry, store } = await world(databases);
      await sql`alter table usage_inbox rename to usage_inbox_away`.execute(store.dialect.db);
      await assert.rejects(usage.record(environment, gateway, 7n, 1n, [entry()]));
      await sql`alter table usage_inbox_away rename to usage_inbox`.execute(store.dialect.db);
      assert.equal(await usage.record(environment, gateway, 7n, 1n, [entry()]), "applied");
      assert.equal(await total(usage), 1);
    });

    it("keeps all that it counts", async () => {
      const { usage, entry } = await world(databases);
      const counts: UsageEntry["counts"] = [
        [metric.admitted, 10],
        [metric.cost, 50],
        [metric.overshoot, 3],
        [metric.shadowed, 2],
        [metric.local, 1],
        [metric.unsampled, 20],
        [metric.status(1), 1],
        [metric.status(2), 4],
        [metric.status(3), 2],
        [metric.status(4), 2],
        [metric.status(5), 1],
        ...Array.from({ length: 14 }, (_, bucket): [number, number] => [metric.latency(bucket), bucket + 1]),
        [metric.refused + reason("rate_limited"), 7],
        [metric.refused + reason("quota_exceeded"), 5],
        [metric.observed + reason("unknown_key"), 9],
      ];
      await usage.record(environment, gateway, 7n, 1n, [
        entry({ counts }),
        entry({
          counts: [
            [metric.refused + reason("rate_limited"), 1],
            [6, 99],
            [200 - 137, 99],
          ],
        }),
      ]);
      await usage.settle();
      const { totals } = await usage.read(query());
      const expected = [
        10,
        50,
        3,
        2,
        1,
        13,
        9,
        1,
        4,
        2,
        2,
        1,
        ...Array.from({ length: 14 }, (_, bucket) => bucket + 1),
        20,
      ];
      assert.deepEqual(totals.counts, expected);
      assert.deepEqual(
        [...totals.refused].sort((a, b) => a[0] - b[0]),
        [
          [reason("rate_limited"), 8],
          [reason("quota_exceeded"), 5],
        ],
      );
      assert.deepEqual([...totals.observed], [[reason("unknown_key"), 9]]);
    });
  });

  describe(`${name}: what usage is counted by`, () => {
    const group = ["api", "route", "consumer", "key", "tier"] as const;

    it("has the names of what it was sent for", async () => {
      const { usage, entry, wire } = await world(databases);
      await usage.record(environment, gateway, 7n, 1n, [
        entry({ counts: [[0, 5]] }),
        entry({ route: 0, counts: [[0, 4]] }),
        entry({ route: 1, api: wire.echo, digest: digest("k2").slice(0, 32), counts: [[0, 3]] }),
        entry({ api: wire.other, consumer: 0, digest: "0".repeat(32), counts: [[0, 2]] }),
        entry({ api: 0, consumer: 0, counts: [[0, 1]] }),
      ]);
      await usage.settle();
      const { rows } = await usage.read(query({ group }));
      assert.deepEqual(named(rows), [
        ["echo", "", "acme", "k1", "bronze", 5],
        ["echo", "POST,GET /echo/search", "acme", "k1", "bronze", 4],
        ["echo", "/echo/free", "acme", "k2", "gold", 3],
        ["other", "", "", "", "", 2],
        ["", "", "acme", "k1", "bronze", 1],
      ]);
    });

    it("is counted under empty names when it isn't known", async () => {
      const { usage, entry } = await world(databases);
      await usage.record(environment, gateway, 7n, 1n, [
        entry({ api: 4_000_000_000, route: 3, consumer: 4_000_000_001, digest: "f".repeat(32) }),
        entry({ route: 99 }),
      ]);
      await usage.settle();
      assert.deepEqual(named((await usage.read(query({ group }))).rows).sort(), [
        ["", "", "", "", "", 1],
        ["echo", "", "acme", "k1", "bronze", 1],
      ]);
    });

    it("follows changes at once", async () => {
      const { usage, entry, change: edit } = await world(databases);
      await usage.record(environment, gateway, 7n, 1n, [entry({ route: 0 })]);
      await usage.settle();
      await edit(async (writer) => {
        await writer.put("consumer", consumer("acme", { tier: "gold" }));
        await writer.put(
          "api",
          api("echo", { routes: [{ path: "/echo/find", methods: [], scopes: [], cost: 1, limits: [] }] }),
        );
      });
      await usage.record(environment, gateway, 7n, 2n, [entry({ route: 0 })]);
      await usage.settle();
      await edit((writer) => writer.put("key", key("k1", { tier: "bronze" })));
      await usage.record(environment, gateway, 7n, 3n, [entry({ route: 0 })]);
      await usage.settle();
      assert.deepEqual(named((await usage.read(query({ group: ["route", "tier"] }))).rows), [
        ["/echo/find", "bronze", 1],
        ["/echo/find", "gold", 1],
        ["POST,GET /echo/search", "bronze", 1],
      ]);
    });

    it("keeps the name of a key that was deleted meanwhile, and gives a digest's new name", async () => {
      const { usage, entry, change: edit } = await world(databases);
      await usage.record(environment, gateway, 7n, 1n, [entry()]);
      await usage.settle();
      await edit((writer) => writer.delete("key", "k1"));
      await usage.record(environment, gateway, 7n, 2n, [entry()]);
      await usage.settle();
      assert.deepEqual(named((await usage.read(query({ group: ["key"] }))).rows), [["k1", 2]]);
      await edit((writer) => writer.put("key", key("renamed", { sha256: digest("k1") })));
      await usage.record(environment, gateway, 7n, 3n, [entry()]);
      await usage.settle();
      assert.deepEqual(named((await usage.read(query({ group: ["key"] }))).rows), [
        ["k1", 2],
        ["renamed", 1],
      ]);
    });

    it("narrows what is read", async () => {
      const { usage, entry, wire } = await world(databases);
      await usage.record(environment, gateway, 7n, 1n, [
        entry({ counts: [[0, 1]] }),
        entry({
          api: wire.other,
          counts: [
            [0, 10],
            [metric.refused, 1],
          ],
        }),
        entry({ digest: digest("k2").slice(0, 32), counts: [[0, 100]] }),
        entry({ consumer: 0, digest: "0".repeat(32), counts: [[0, 1000]] }),
      ]);
      assert.equal(await total(usage), 1111);
      assert.equal(await total(usage, "admitted", { filter: { key: "k1" } }), 11);
      assert.equal(await total(usage, "admitted", { filter: { key: "k1", api: "echo" } }), 1);
      assert.equal(await total(usage, "refused", { filter: { key: "k1" } }), 1);
      assert.equal(await total(usage, "admitted", { filter: { consumer: "acme" } }), 111);
      assert.equal(await total(usage, "admitted", { filter: { api: "echo" } }), 1101);
      assert.equal(await total(usage, "admitted", { filter: { tier: "gold" } }), 100);
      assert.equal(await total(usage, "admitted", { filter: { key: "nobody" } }), 0);
      assert.equal(await total(usage, "admitted", { environment: "elsewhere" }), 0);
    });
  });

  describe(`${name}: time`, () => {
    it("is told by the minute, the hour and the day, before and after rolling up", async () => {
      const { usage, entry, clock } = await world(databases);
      const first = minuteOf(startMs);
      clock.nowMs = startMs + 3 * dayMs;
      await usage.record(environment, gateway, 7n, 1n, [
        entry({ minute: first }),
        entry({ minute: first + 1 }),
        entry({ minute: first + 40 }),
        entry({ minute: first + 1440 }),
      ]);
      await usage.settle();
      const at = async (interval: "hour" | "day" | "minute", more: Partial<UsageQuery> = {}) =>
        (await usage.read(query({ interval, fromMs: startMs, toMs: startMs + 2 * dayMs, ...more }))).rows.map((row) => [
          new Date(row.atMs).toISOString().slice(0, 16),
          count(row, "admitted"),
        ]);
      const look = async () => {
        assert.deepEqual(await at("hour"), [
          ["2027-01-15T08:00", 2],
          ["2027-01-15T09:00", 1],
          ["2027-01-16T08:00", 1],
        ]);
        assert.deepEqual(await at("day"), [
          ["2027-01-15T00:00", 3],
          ["2027-01-16T00:00", 1],
        ]);
      };
      await look();
      await usage.rollUp();
      await look();
      await usage.prune();
      await look();
      // The minutes are gone, all but the last two days'.
      await assert.rejects(at("minute"), MinutesGone);
      assert.deepEqual(await at("minute", { fromMs: clock.nowMs - 2 * dayMs, toMs: clock.nowMs }), [
        ["2027-01-16T08:30", 1],
      ]);
    });

    it("is widened to whole intervals", async () => {
      const { usage, entry } = await world(databases);
      await usage.record(environment, gateway, 7n, 1n, [
        entry({ minute: minuteOf(startMs) - 20 }),
        entry(),
        entry({ minute: minuteOf(startMs) + 2 }),
      ]);
      await usage.settle();
      const of = async (interval: UsageQuery["interval"]) => {
        const { fromMs, toMs, totals } = await usage.read(
          query({ interval, fromMs: startMs + 1, toMs: startMs + minuteMs + 1 }),
        );
        return [fromMs, toMs, count(totals, "admitted")];
      };
      assert.deepEqual(await of("minute"), [startMs, startMs + 2 * minuteMs, 1]);
      assert.deepEqual(await of("total"), [startMs, startMs + 2 * minuteMs, 1]);
      assert.deepEqual(await of("hour"), [Date.UTC(2027, 0, 15, 8), Date.UTC(2027, 0, 15, 9), 3]);
      assert.deepEqual(await of("day"), [Date.UTC(2027, 0, 15), Date.UTC(2027, 0, 16), 3]);
    });

    it("of a gateway whose clock is far off is now", async () => {
      const { usage, entry } = await world(databases);
      const now = minuteOf(startMs);
      await usage.record(environment, gateway, 7n, 1n, [
        entry({ minute: 0 }),
        entry({ minute: 4_294_967_295 }),
        entry({ minute: now + 4 }),
        entry({ minute: now - 3 * 1440 }),
      ]);
      await usage.settle();
      const { rows } = await usage.read(query({ interval: "hour", fromMs: startMs - 4 * dayMs }));
      assert.deepEqual(
        rows.map((row) => [row.atMs, count(row, "admitted")]),
        [
          [Date.UTC(2027, 0, 12, 8), 1],
          [Date.UTC(2027, 0, 15, 8), 3],
        ],
      );
    });

    it("past 400 days is forgotten, with what it was counted by", async () => {
      const { usage, entry, clock, store } = await world(databases);
      await usage.record(environment, gateway, 7n, 1n, [
        entry({
          counts: [
            [0, 1],
            [metric.refused, 1],
          ],
        }),
      ]);
      await usage.settle();
      await usage.rollUp();
      clock.nowMs = startMs + 402 * dayMs;
      await usage.rollUp();
      await usage.prune();
      for (const table of ["usage_counts", "usage_refusals", "usage_series", "usage_lanes"] as const) {
        assert.deepEqual(await store.dialect.db.selectFrom(table).selectAll().execute(), [], table);
      }
      // What was remembered of the series is not relied upon.
      await usage.record(environment, gateway, 7n, 2n, [entry()]);
      assert.equal(await total(usage, "admitted", { fromMs: startMs, toMs: clock.nowMs + hourMs, group: ["key"] }), 1);
    });

    it("loses nothing, whatever is rolled up and pruned when", async () => {
      const { clock, entry, store, fresh } = await world(databases);
      const usage = fresh(store);
      const codes = [metric.admitted, metric.cost, metric.latency(3), metric.refused + 24, metric.observed + 24];
      const step = fc.oneof(
        {
          weight: 6,
          arbitrary: fc.record({
            kind: fc.constant("record" as const),
            ageMinutes: fc.oneof(fc.nat(5), fc.nat(200), fc.nat(6000)),
            api: fc.nat(2),
            code: fc.nat(codes.length - 1),
            count: fc.integer({ min: 1, max: 1000 }),
          }),
        },
        {
          weight: 2,
          arbitrary: fc.record({
            kind: fc.constant("pass" as const),
            minutes: fc.oneof(fc.nat(5), fc.nat(200), fc.nat(5000)),
          }),
        },
        { weight: 2, arbitrary: fc.constant({ kind: "rollUp" as const }) },
        { weight: 1, arbitrary: fc.constant({ kind: "prune" as const }) },
      );
      let seq = 0n;
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
          // Each run has a time of its own, a hundred days after the one before.
          const beginMs = (clock.nowMs = startMs + ++run * 100 * dayMs);
          const model = new Map<string, number>();
          for (const one of steps) {
            if (one.kind === "pass") clock.nowMs += one.minutes * minuteMs;
            else if (one.kind === "rollUp") await usage.rollUp();
            else if (one.kind === "prune") await usage.prune();
            else {
              const minute = minuteOf(clock.nowMs) - one.ageMinutes;
              const code = codes[one.code]!;
              await usage.record(environment, gateway, 7n, ++seq, [
                entry({ minute, api: one.api, counts: [[code, one.count]] }),
              ]);
              if (seq % 3n === 0n) await usage.settle();
              const place = `${code} ${minute - (minute % 60)}`;
              model.set(place, (model.get(place) ?? 0) + one.count);
            }
          }
          await usage.settle();
          const stretch = { fromMs: beginMs - 5 * dayMs, toMs: clock.nowMs + hourMs };
          const expected = (code: number) =>
            [...model]
              .filter(([place]) => place.startsWith(`${code} `))
              .map(([place, sum]): [number, number] => [Number(place.split(" ")[1]), sum])
              .sort((a, b) => a[0] - b[0]);
          const column = ["admitted", "cost", "latency_3", "refused", "observed"] as const;
          const hours = await usage.read(query({ ...stretch, interval: "hour" }));
          const days = await usage.read(query({ ...stretch, interval: "day", group: ["api"] }));
          const all = await usage.read(query({ ...stretch, group: ["api", "key"] }));
          codes.forEach((code, index) => {
            const sum = expected(code).reduce((so, [, more]) => so + more, 0);
            assert.deepEqual(
              hours.rows
                .filter((row) => count(row, column[index]!) > 0)
                .map((row) => [row.atMs / minuteMs, count(row, column[index]!)]),
              expected(code),
            );
            for (const { totals } of [hours, days, all]) assert.equal(count(totals, column[index]!), sum);
          });
          for (const { totals } of [hours, days, all]) {
            assert.equal(totals.refused.get(24) ?? 0, count(totals, "refused"));
            assert.equal(totals.observed.get(24) ?? 0, count(totals, "observed"));
          }
        }),
        { numRuns: 25 },
      );
    });
  });

  if (!replicas) return;
  describe(`${name}: usage of two replicas`, () => {
    it("is applied once, whoever gets it and counts it", async () => {
      const { usage, entry, again, fresh } = await world(databases, { roundMs: 50 });
      const other = fresh(await again());
      const outcomes = { applied: 0, repeated: 0 };
      const send = async (to: SqlUsage, lane: bigint, seq: bigint) =>
        outcomes[await to.record(environment, gateway, lane, seq, [entry(), entry({ route: 0 })])]++;
      usage.start();
      other.start();
      for (let seq = 1n; seq <= 10n; seq++) {
        await Promise.all(
          Array.from({ length: 16 }, (_, index) => send(index % 2 === 0 ? usage : other, BigInt(index >> 1), seq)),
        );
        await Promise.all([usage.rollUp(), other.rollUp()]);
      }
      assert.deepEqual(outcomes, { applied: 80, repeated: 80 });
      await Promise.all([usage.settle(), other.settle()]);
      assert.equal(await total(usage), 160);
      assert.equal(await total(other), 160);
    });
  });
}
