/** What a gateway token can't do: a gateway that lies, against the real sync server. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { pino } from "pino";
import { MemoryCounterStore } from "../../control/counters/memory.ts";
import { leaseAction, verdict } from "../../control/counters/model.ts";
import type { AuthMode, Limit, Subject } from "../../control/domain/model.ts";
import { usageFrame } from "../../control/sync/usageFrames.ts";
import { aheadMinutes, gatewayMinuteMost, oldestMinutes, workerMinuteMost } from "../../control/sync/usageScope.ts";
import { View } from "../../control/sync/view.ts";
import type { UsageEntry } from "../../control/usage/model.ts";
import type { HttpAnswer } from "./gateway.ts";
import { ask, LaneClient, report } from "./laneClient.ts";
import { MemorySource, sha256 } from "./memorySource.ts";
import { MemoryUsage, parked, startSync, type Sync } from "./support.ts";
import { eventually } from "../kit/eventually.ts";

const digestOf = (key: string): string => sha256(key).toString("hex", 0, 16);
const nobody = "0".repeat(32);
const limit = (name: string, subject: Subject, more: Partial<Limit> = {}): Limit => ({
  name,
  kind: "quota",
  limit: 100,
  period: "day",
  anchor: "calendar",
  subject,
  enforcement: "global",
  mode: "enforce",
  ...more,
});
const codeOf = (answer: HttpAnswer): string => (JSON.parse(answer.bytes.toString()) as { code: string }).code;
const nowMinute = (): number => Math.floor(Date.now() / 60_000);

function subjectOf(consumer: number, api = 0): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(consumer, 0);
  bytes.writeUInt32LE(api, 4);
  return bytes.toString("hex");
}

interface Lines {
  lines: Record<string, unknown>[];
  logger: ReturnType<typeof pino>;
}

function logLines(): Lines {
  const lines: Record<string, unknown>[] = [];
  return {
    lines,
    logger: pino(
      { level: "warn" },
      { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
    ),
  };
}

/**
 * APIs open, shop and billing (out of the group's sight), tiers all (every API), money (billing alone) and both (open, billing); the token
 * "edge" sees open and shop.
 */
async function setting(t: TestContext) {
  const source = new MemorySource();
  source.addToken("token");
  source.addToken("edge", ["open", "shop"]);
  source.commit((writer) => {
    writer.api("open", { limits: [limit("own", "consumer")] });
    writer.api("shop", { auth: { mode: "none" } });
    writer.api("billing", { limits: [limit("own", "consumer"), limit("only-here", "key")] });
    writer.tier("all", undefined, [
      limit("day", "consumer"),
      limit("by-api", "consumer+api"),
      limit("of-api", "api"),
      limit("by-key", "key"),
    ]);
    writer.tier("money", ["billing"], [limit("day", "consumer"), limit("by-key", "key")]);
    writer.tier("both", ["open", "billing"], [limit("own", "consumer"), limit("day", "consumer")]);
    writer.consumer("acme", { tier: "all" });
    writer.consumer("closed", { tier: "all" });
    writer.key("anywhere", "acme");
    writer.key("elsewhere", "acme");
    writer.key("closed-key", "closed");
  });
  const billing = source.records.apis.get("billing")!.wireId;
  // Keys that are restricted to billing; one of them has a limit of its own.
  source.commit((writer) => {
    writer.restrict("elsewhere", [billing], [limit("mine", "key")]);
    writer.restrict("closed-key", [billing]);
  });
  const usage = new MemoryUsage();
  const log = logLines();
  const sync = await startSync(t, source, { usage, counters: new MemoryCounterStore(), logger: log.logger });
  const limitId = (owner: "apis" | "tiers" | "keys", id: string, name: string): number =>
    source.records[owner].get(id)!.limits!.find(({ limit: { name: of } }) => of === name)!.wireId;
  const lane = (token = "edge", view: string[] | null = ["open", "shop"], gateway = "node~1") =>
    new LaneClient({ url: sync.url, token, gateway, epoch: new View(view).epoch(source.state.epoch) });
  const wireId = (kind: "apis" | "consumers", id: string): number => source.records[kind].get(id)!.wireId;
  return { source, usage, sync, log, limitId, lane, wireId };
}

async function counted(sync: Sync, name: string, labels: Record<string, string>): Promise<number> {
  const { values } = (await sync.registry.getSingleMetric(name)!.get()) as {
    values: { value: number; labels: Record<string, string> }[];
  };
  return values
    .filter((one) => Object.entries(labels).every(([label, value]) => one.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0);
}

test("no allowance of counters that only requests elsewhere can meet; the customer's own is untouched", async (t) => {
  const { sync, lane, limitId, wireId, log } = await setting(t);
  const [acme, closed, open, billing] = [
    wireId("consumers", "acme"),
    wireId("consumers", "closed"),
    wireId("apis", "open"),
    wireId("apis", "billing"),
  ];
  const everything = { need: 100, want: 100 };
  const attacks: [string, number, string][] = [
    ["a tier without an API in sight", limitId("tiers", "money", "day"), subjectOf(acme)],
    ["the same by key", limitId("tiers", "money", "by-key"), digestOf("anywhere")],
    ["an API out of sight", limitId("apis", "billing", "own"), subjectOf(acme)],
    ["the same by key", limitId("apis", "billing", "only-here"), digestOf("anywhere")],
    ["a consumer whose keys are restricted to an API out of sight", limitId("tiers", "all", "day"), subjectOf(closed)],
    ["a key that is restricted so", limitId("tiers", "all", "by-key"), digestOf("elsewhere")],
    ["a limit of such a key", limitId("keys", "elsewhere", "mine"), digestOf("elsewhere")],
    ["a consumer at an API out of sight", limitId("tiers", "all", "by-api"), subjectOf(acme, billing)],
    ["an API out of sight by a tier's limit", limitId("tiers", "all", "of-api"), subjectOf(0, billing)],
    ["a limit that every API in sight replaces", limitId("tiers", "both", "own"), subjectOf(acme)],
    ["a consumer that there isn't", limitId("tiers", "all", "day"), subjectOf(4_000_000)],
    ["a key that there isn't", limitId("tiers", "all", "by-key"), "f".repeat(32)],
  ];
  const liar = lane();
  for (const [what, wire, subject] of attacks)
    assert.equal((await liar.ask(wire, subject, everything)).verdict, verdict.unknown, what);
  const together = await liar.call(
    ...attacks.map(([, wire, subject]) => ask(wire, subject, everything)),
    ask(limitId("tiers", "all", "day"), subjectOf(acme), { want: 10 }),
  );
  assert.deepEqual(
    together.map(({ verdict: of }) => of),
    [...attacks.map(() => verdict.unknown), verdict.granted],
    "the good one of a call is decided",
  );

  const honest = lane("token", null, "node~2");
  for (const [what, wire, subject] of attacks.slice(0, 10))
    assert.equal((await honest.ask(wire, subject, everything)).granted, 100, `${what}: all is there`);
  assert.ok(
    (await lane().ask(limitId("tiers", "all", "by-api"), subjectOf(acme, open))).granted > 0,
    "what is in sight is granted",
  );

  assert.equal(
    await counted(sync, "tollgate_sync_refused_total", { group: "group of edge", call: "leases" }),
    2 * attacks.length,
  );
  assert.equal(await counted(sync, "tollgate_sync_refused_total", { group: "group of token" }), 0);
  assert.ok((await counted(sync, "tollgate_sync_granted_total", { group: "group of edge" })) >= 11);
  assert.equal(log.lines.length, 2, "each reason is said once");
  assert.ok(log.lines.every((line) => line["group"] === "group of edge" && line["gateway"] === "node~1"));
});

test("what a caller's restriction has made invisible can still be given back", async (t) => {
  const { source, lane, limitId, wireId } = await setting(t);
  const edge = lane();
  const byKey = limitId("tiers", "all", "by-key");
  const { windowStartMs } = await edge.ask(byKey, digestOf("anywhere"), { need: 40, want: 40 });
  source.commit((writer) => writer.restrict("anywhere", [wireId("apis", "billing")]));
  assert.equal(
    (await edge.ask(byKey, digestOf("anywhere"))).verdict,
    verdict.unknown,
    "the change counts with the next call",
  );
  const [noted] = await edge.call(report(byKey, digestOf("anywhere"), windowStartMs, 0, 40));
  assert.deepEqual([noted!.verdict, noted!.remaining], [verdict.noted, 100]);
  source.commit((writer) => writer.restrict("anywhere", [wireId("apis", "open")]));
  assert.equal((await edge.ask(byKey, digestOf("anywhere"))).verdict, verdict.granted);
});

test("a share for outages only where an API in sight has failureMode local", async (t) => {
  const { source, lane, limitId, wireId } = await setting(t);
  const day = limitId("tiers", "all", "day");
  const subject = subjectOf(wireId("consumers", "acme"));
  assert.equal((await lane().ask(day, subject, { actions: leaseAction.local })).share, 0);
  source.commit((writer) => writer.api("open", { failureMode: "local" }));
  assert.ok((await lane().ask(day, subject, { actions: leaseAction.local })).share > 0);
});

test("usage: only of APIs in sight, near now, as much as a worker can serve; good entries of a batch count", async (t) => {
  const { usage, sync, lane, wireId, log } = await setting(t);
  const [open, billing, acme] = [wireId("apis", "open"), wireId("apis", "billing"), wireId("consumers", "acme")];
  const minute = nowMinute();
  const entry = (more: Partial<UsageEntry> = {}): UsageEntry => ({
    minute,
    api: open,
    consumer: acme,
    digest: digestOf("anywhere"),
    counts: [
      [0, 1],
      [1, 1],
    ],
    ...more,
  });
  const bad: UsageEntry[] = [
    entry({ api: billing }),
    entry({ minute: 1 }),
    entry({ minute: 0xffff_ffff }),
    entry({ minute: minute - oldestMinutes - 1 }),
    entry({ minute: minute + aheadMinutes + 2 }),
    entry({
      counts: [
        [0, 2 ** 34],
        [1, 2 ** 34],
      ],
    }),
    entry({
      counts: [
        [0, workerMinuteMost],
        [0, 1],
      ],
    }),
    entry({
      counts: [
        [0, 1],
        [1, 2],
      ],
    }),
    entry({ counts: [[4, 1]] }),
    entry({ counts: [[64, workerMinuteMost + 1]] }),
  ];
  const liar = lane();
  for (const one of bad) {
    const answer = await liar.post(
      "usage",
      usageFrame({ epoch: liar.epoch, seq: ++liar.usageSeq, lane: liar.lane, entries: [one] }),
    );
    assert.deepEqual([answer.status, codeOf(answer)], [400, "usage_refused"], JSON.stringify(one));
  }
  assert.equal(usage.batches.length, 0);
  const good = [
    entry(),
    entry({ minute: minute - oldestMinutes + 1 }),
    entry({ minute: minute + 600, counts: [[64, 3]] }),
    { minute, api: 0, consumer: 0, digest: nobody, counts: [[64, 1]] } as UsageEntry,
  ];
  await liar.usage([...bad, ...good]);
  assert.deepEqual(
    usage.batches.map(({ entries }) => entries),
    [good],
  );
  assert.equal(await counted(sync, "tollgate_sync_refused_total", { call: "usage", reason: "api" }), 2);
  assert.equal(await counted(sync, "tollgate_sync_refused_total", { call: "usage", reason: "minute" }), 8);
  assert.equal(await counted(sync, "tollgate_sync_refused_total", { call: "usage", reason: "count" }), 10);
  assert.equal(await counted(sync, "tollgate_sync_reported_cost_total", { group: "group of edge" }), 2);
  assert.equal(log.lines.length, 3, "each reason is said once");

  // However many lanes and batches a gateway splits it into.
  for (let sent = 0; sent < gatewayMinuteMost; sent += workerMinuteMost) {
    await lane().usage([entry({ minute: minute - 5, counts: [[0, workerMinuteMost]] })]);
  }
  const more = lane();
  assert.equal(
    codeOf(
      await more.post(
        "usage",
        usageFrame({ epoch: more.epoch, seq: 1n, lane: more.lane, entries: [entry({ minute: minute - 5 })] }),
      ),
    ),
    "usage_refused",
  );
});

test("a gateway's id is its group's: another group can't take it, write its row or hear its recalls", async (t) => {
  const { source, sync, lane, limitId, wireId } = await setting(t);
  const [owner, thief] = [sync.gateway("token", "node~1"), sync.gateway("edge", "node~1")];
  await owner.watch();
  const before = source.reports.length;
  const stolen = await thief.call("watch", { waitMs: "0", workers: "9" });
  assert.deepEqual([stolen.status, codeOf(stolen)], [403, "gateway_held"]);
  assert.equal((await thief.call("report", { applied: "9", workers: "9" })).status, 403);
  assert.equal(source.reports.length, before);

  // The holder is recalled by its own group's watch, whoever calls itself the same.
  const day = limitId("tiers", "all", "day");
  const acme = subjectOf(wireId("consumers", "acme"));
  const holder = lane("token", null, "node~1");
  await holder.ask(day, acme, { need: 100, want: 100 });
  const recalled = owner.watch(50_000);
  await parked(sync, 1);
  assert.equal((await lane("edge", ["open", "shop"], "node~3").ask(day, acme)).verdict, verdict.wait);
  assert.equal(await recalled, "recall");

  // Its id is free soon after it's gone.
  const leaving = new AbortController();
  const left = owner.call("watch", { waitMs: "50000" }, leaving.signal).catch(() => undefined);
  await parked(sync, 1);
  leaving.abort();
  await left;
  await eventually("the id is free", async () => (await thief.call("watch", { waitMs: "0" })).status === 200);
});

test("a token has only so many gateways; one that leaves makes room, and those that are there go on", async (t) => {
  const source = new MemorySource();
  source.addToken("token");
  source.addToken("other");
  source.commit((writer) => writer.api("open"));
  const sync = await startSync(t, source, { gatewaysPerToken: 3 });
  const gateways = [1, 2, 3].map((n) => sync.gateway("token", `node~${n}`));
  for (const gateway of gateways) await gateway.watch();
  const refused = await sync.gateway("token", "node~4").call("watch");
  assert.deepEqual([refused.status, codeOf(refused)], [429, "gateways_exhausted"]);
  assert.equal(await sync.gateway("other", "node~5").watch(), "manifest", "other tokens have their own");
  assert.equal(await gateways[0]!.watch(), "heartbeat");
  const leaving = new AbortController();
  const left = gateways[2]!.call("watch", { waitMs: "50000" }, leaving.signal).catch(() => undefined);
  await parked(sync, 1);
  leaving.abort();
  await left;
  await eventually("there is room", async () => (await sync.gateway("token", "node~4").call("watch")).status === 200);
});

test("what honest gateways ask and report is never refused, whatever their groups see", async (t) => {
  const modes: AuthMode[] = ["key", "none", "jwt", "key-or-jwt", "key-and-jwt", "mtls"];
  const subjects: Subject[] = ["key", "consumer", "api", "consumer+api", "ip"];
  const ids = ["a", "b", "c"];
  const some = fc.option(fc.subarray(ids, { minLength: 1 }), { nil: undefined });
  const world = fc.record({
    modes: fc.tuple(fc.constantFrom(...modes), fc.constantFrom(...modes), fc.constantFrom(...modes)),
    replaced: fc.subarray(ids),
    tierApis: some,
    keyApis: some,
    view: fc.subarray(ids, { minLength: 1 }),
    subject: fc.constantFrom(...subjects),
    requests: fc.integer({ min: 1, max: 1000 }),
  });
  let asked = 0;
  await fc.assert(
    fc.asyncProperty(world, async (plan) => {
      const source = new MemorySource();
      source.addToken("edge", plan.view);
      source.commit((writer) => {
        ids.forEach((id, index) =>
          writer.api(id, {
            auth: { mode: plan.modes[index]! },
            limits: plan.replaced.includes(id) ? [limit("l", plan.subject)] : [],
          }),
        );
        writer.tier("t", plan.tierApis, [limit("l", plan.subject)]);
        writer.consumer("c", { tier: "t" });
        writer.key("k", "c");
      });
      const wire = (id: string): number => source.records.apis.get(id)!.wireId;
      source.commit((writer) => writer.restrict("k", plan.keyApis?.map(wire), [limit("own", plan.subject)]));
      const sync = await startSync(t, source, { usage: new MemoryUsage() });
      const lane = new LaneClient({
        url: sync.url,
        token: "edge",
        epoch: new View(plan.view).epoch(source.state.epoch),
      });
      // As the filter does: the API, then the caller, then the limits that apply to both.
      for (const id of plan.view) {
        const mode = plan.modes[ids.indexOf(id)]!;
        const inTier = plan.tierApis?.includes(id) ?? true;
        const consumer = source.records.consumers.get("c")!.wireId;
        const byKey =
          (mode === "key" || mode === "key-or-jwt" || mode === "key-and-jwt") &&
          inTier &&
          (plan.keyApis?.includes(id) ?? true);
        const byToken = (mode === "jwt" || mode === "key-or-jwt" || mode === "mtls") && inTier;
        const tierLimit = (plan.replaced.includes(id) ? source.records.apis.get(id)! : source.records.tiers.get("t")!)
          .limits[0]!.wireId;
        const counts = (digest: string, of: number): string =>
          ({
            key: digest,
            consumer: subjectOf(of),
            api: subjectOf(0, wire(id)),
            "consumer+api": subjectOf(of, wire(id)),
            ip: `${"0".repeat(20)}ffff0a000001`,
            route: `${subjectOf(wire(id)).slice(0, 16)}${digest.slice(0, 16)}`,
          })[plan.subject];
        const ops = [
          ...(byKey
            ? [
                ask(tierLimit, counts(digestOf("k"), consumer)),
                ask(source.records.keys.get("k")!.limits![0]!.wireId, counts(digestOf("k"), consumer)),
              ]
            : []),
          ...(byToken ? [ask(tierLimit, counts(digestOf("a token's caller"), consumer))] : []),
        ];
        if (ops.length === 0) continue;
        for (const { verdict: of } of await lane.call(...ops))
          assert.notEqual(of, verdict.unknown, JSON.stringify({ id, plan }));
        asked += ops.length;
        await lane.usage([
          {
            minute: nowMinute(),
            api: wire(id),
            consumer,
            digest: digestOf("k"),
            counts: [
              [0, plan.requests],
              [1, plan.requests],
              [9, plan.requests],
            ],
          },
        ]);
      }
      assert.equal(await counted(sync, "tollgate_sync_refused_total", {}), 0);
      await sync.server.close();
    }),
    { numRuns: 60 },
  );
  assert.ok(asked > 0);
});
