/** Lanes' calls for allowance: who may, what is refused, what is granted, and that nothing counts twice. */
import assert from "node:assert/strict";
import { request } from "node:http";
import { type TestContext, test } from "node:test";
import { MemoryCounterStore } from "../../control/counters/memory.ts";
import { type LaneCall, leaseAction, type LimitsOf, verdict } from "../../control/counters/model.ts";
import { type Applied, CountersUnavailable } from "../../control/counters/store.ts";
import type { Limit } from "../../control/domain/model.ts";
import { heartbeatFrame } from "../../control/sync/frames.ts";
import { leasesFrame } from "../../control/sync/leaseFrames.ts";
import { usageFrame } from "../../control/sync/usageFrames.ts";
import { eventually } from "../kit/eventually.ts";
import type { HttpAnswer } from "./gateway.ts";
import { ask, LaneClient, type LaneOptions, report } from "./laneClient.ts";
import type { MemorySource } from "./memorySource.ts";
import { metric, smallSource, startSync, type Sync } from "./support.ts";

const subject = "00112233445566778899aabbccddeeff";
const other = "f".repeat(32);
/** a day's quota: no test comes to its end unless it begins at midnight */
const limit = (name: string, more: Partial<Limit> = {}): Limit => ({
  name,
  kind: "quota",
  limit: 100,
  period: "day",
  anchor: "calendar",
  subject: "key",
  enforcement: "global",
  mode: "enforce",
  ...more,
});

interface Setting {
  sync: Sync;
  source: MemorySource;
  counters: MemoryCounterStore;
  lane(options?: Partial<LaneOptions>): LaneClient;
  limitOf(owner: "api" | "tier", id: string): number;
}

async function setting(t: TestContext, counters = new MemoryCounterStore()): Promise<Setting> {
  const source = smallSource();
  source.commit((writer) => writer.tier("bronze", undefined, [limit("day")]));
  const sync = await startSync(t, source, { counters });
  return {
    sync,
    source,
    counters,
    lane: (options = {}) => new LaneClient({ url: sync.url, epoch: source.state.epoch, ...options }),
    limitOf: (owner, id) => (owner === "api" ? source.records.apis : source.records.tiers).get(id)!.limits[0]!.wireId,
  };
}

const codeOf = (answer: HttpAnswer): string => (JSON.parse(answer.bytes.toString()) as { code: string }).code;

test("an ask is granted; a return gives back; the rest is what the limit says", async (t) => {
  const { lane: laneOf, limitOf } = await setting(t);
  const lane = laneOf();
  const day = limitOf("tier", "bronze");
  const granted = await lane.ask(day, subject, { need: 1, want: 20 });
  assert.equal(granted.verdict, verdict.granted);
  assert.equal(granted.granted, 20);
  assert.equal(granted.remaining, 80);
  assert.ok(granted.windowStartMs <= Date.now() && granted.windowEndMs === granted.windowStartMs + 86_400_000);
  assert.ok(granted.leaseEndMs > Date.now() && granted.leaseEndMs <= granted.windowEndMs);
  const [noted] = await lane.call(report(day, subject, granted.windowStartMs, 5, 12));
  assert.deepEqual(
    [noted!.verdict, noted!.remaining, noted!.windowStartMs],
    [verdict.noted, 92, granted.windowStartMs],
  );
  const [again, spent] = await lane.call(
    ask(day, subject, { need: 92, want: 92 }),
    ask(day, subject, { need: 1, want: 1 }),
  );
  assert.deepEqual([again!.verdict, again!.granted, again!.remaining], [verdict.granted, 92, 0]);
  assert.deepEqual([spent!.verdict, spent!.untilMs], [verdict.spent, granted.windowEndMs]);
  assert.equal((await laneOf().ask(day, other)).verdict, verdict.granted, "another subject has a counter of its own");
});

test("a call that is sent again gets the same bytes and counts once; an older one is refused", async (t) => {
  const { lane: laneOf, limitOf, sync } = await setting(t);
  const lane = laneOf();
  const day = limitOf("tier", "bronze");
  const first = lane.next(ask(day, subject, { need: 10, want: 10 }));
  const answers = [
    await lane.post("leases", first),
    await lane.post("leases", first),
    await lane.post("leases", first),
  ];
  assert.ok(answers.every(({ status, bytes }) => status === 200 && bytes.equals(answers[0]!.bytes)));
  assert.equal((await lane.call(ask(day, subject)))[0]!.remaining, 89);
  const outdated = await lane.post("leases", first);
  assert.deepEqual([outdated.status, codeOf(outdated)], [409, "call_outdated"]);
  const unknown = laneOf();
  unknown.seq = 41n;
  assert.equal((await unknown.ask(day, subject)).remaining, 88, "of a lane that isn't known, any number is taken");
  assert.equal(await metric(sync, "tollgate_sync_leases_total"), 5);
});

test("unknown: no such limit, one of the gateway's own, one of an API out of sight", async (t) => {
  const { lane: laneOf, source } = await setting(t);
  source.commit((writer) => {
    writer.api("seen", { limits: [limit("seen")] });
    writer.api("hidden", { limits: [limit("hidden")] });
    writer.tier("own", undefined, [limit("own", { enforcement: "gateway" })]);
  });
  source.addToken("edge", ["seen"]);
  const [seen, hidden, own] = [
    source.records.apis.get("seen")!,
    source.records.apis.get("hidden")!,
    source.records.tiers.get("own")!,
  ].map(({ limits }) => limits[0]!.wireId) as [number, number, number];
  const verdicts = async (lane: LaneClient) =>
    (await lane.call(...[seen, hidden, own, 4_294_967_295, 0].map((wireId) => ask(wireId, subject)))).map(
      (answer) => answer.verdict,
    );
  assert.deepEqual(await verdicts(laneOf()), [
    verdict.granted,
    verdict.granted,
    verdict.unknown,
    verdict.unknown,
    verdict.unknown,
  ]);
  const edge = laneOf({ token: "edge" });
  const refused = await edge.post("leases", edge.next());
  assert.deepEqual(
    [refused.status, codeOf(refused)],
    [409, "epoch_changed"],
    "a group with another view has another epoch",
  );
  const { View } = await import("../../control/sync/view.ts");
  edge.epoch = new View(["seen"]).epoch(source.state.epoch);
  assert.deepEqual(await verdicts(edge), [
    verdict.granted,
    verdict.unknown,
    verdict.unknown,
    verdict.unknown,
    verdict.unknown,
  ]);
});

test("a limit that was changed, added or taken away counts with the next call", async (t) => {
  const { lane: laneOf, source } = await setting(t);
  const lane = laneOf();
  const put = (limits: Limit[]): number[] => {
    source.commit((writer) => writer.api("echo", { limits }));
    return source.records.apis.get("echo")!.limits.map(({ wireId }) => wireId);
  };
  const [first] = put([limit("day", { limit: 10 })]);
  assert.equal((await lane.ask(first!, subject)).remaining, 9);
  const [second, third] = put([limit("day", { limit: 20 }), limit("minute", { limit: 3 })]);
  assert.equal((await lane.ask(first!, subject)).verdict, verdict.unknown, "this source gives new ids");
  assert.equal((await lane.ask(second!, subject)).remaining, 19);
  assert.equal((await lane.ask(third!, subject)).remaining, 2);
  put([]);
  assert.equal((await lane.ask(second!, subject)).verdict, verdict.unknown);
  source.commit((writer) => writer.tier("silver", undefined, [limit("day", { limit: 7 })]));
  const silver = source.records.tiers.get("silver")!.limits[0]!.wireId;
  assert.equal((await lane.ask(silver, subject)).remaining, 6);
  source.forgetLog();
  source.commit((writer) => writer.delete("tier", "silver"));
  source.forgetLog();
  assert.equal((await lane.ask(silver, subject)).verdict, verdict.unknown, "without the log all limits are read anew");
});

test("another epoch is refused, though nobody told of it", async (t) => {
  const { lane: laneOf, source, limitOf } = await setting(t);
  const lane = laneOf();
  const day = limitOf("tier", "bronze");
  await lane.ask(day, subject);
  source.mute = true;
  source.renewEpoch();
  const newer = laneOf();
  assert.equal((await newer.ask(day, subject)).verdict, verdict.granted);
  const refused = await lane.post("leases", lane.next(ask(day, subject)));
  assert.deepEqual([refused.status, codeOf(refused)], [409, "epoch_changed"]);
});

test("lanes don't wait for a snapshot to be encoded", async (t) => {
  const { lane: laneOf, source, sync, limitOf } = await setting(t);
  let encode: () => void = () => undefined;
  const encoding = new Promise<void>((resolve) => (encode = resolve));
  source.beforeKeysPage = () => encoding;
  const gateway = sync.gateway();
  const watching = gateway.watch();
  assert.equal((await laneOf().ask(limitOf("tier", "bronze"), subject)).verdict, verdict.granted);
  assert.equal(sync.server.ready, false);
  encode();
  assert.equal(await watching, "manifest");
  assert.equal(sync.server.ready, true);
});

test("a lane's call alone makes its environment ready", async (t) => {
  const { lane: laneOf, sync, limitOf } = await setting(t);
  await laneOf().ask(limitOf("tier", "bronze"), subject);
  await eventually(
    "ready",
    () => sync.server.ready && sync.registry.getSingleMetric("tollgate_sync_base_seconds") !== undefined,
  );
  assert.equal(await metric(sync, "tollgate_sync_base_seconds"), 1);
});

test("strangers are refused before their body is taken in", async (t) => {
  const { lane: laneOf, source, sync } = await setting(t);
  source.addToken("staging", null, "staging");
  for (const path of ["leases", "usage"] as const) {
    const stranger = await laneOf({ token: "wrong" }).post(path, Buffer.alloc(64));
    assert.deepEqual([stranger.status, codeOf(stranger)], [401, "token_unknown"]);
    const neighbour = await laneOf({ token: "staging" }).post(path, Buffer.alloc(64));
    assert.deepEqual([neighbour.status, codeOf(neighbour)], [403, "token_of_other_environment"]);
    // A body is announced and never comes.
    const { hostname, port } = new URL(sync.url);
    const status = await new Promise((resolve, reject) => {
      const call = request({
        hostname,
        port,
        path: `/sync/v1/${path}`,
        method: "POST",
        headers: { "content-length": 1000, "content-type": "application/vnd.tollgate.frames" },
      });
      call.once("response", (response) => {
        resolve(response.statusCode);
        call.destroy();
      });
      call.once("error", reject);
      call.flushHeaders();
    });
    assert.equal(status, 401);
  }
});

test("400 for what is no call, 404 for other methods", async (t) => {
  const { lane: laneOf, source } = await setting(t);
  const lane = laneOf();
  const { epoch } = source.state;
  const good = leasesFrame({ epoch, seq: 1n, lane: 1n, ops: [] });
  const refused = async (
    body: Uint8Array,
    more: Record<string, string> = {},
    headers: Record<string, string> = {},
  ): Promise<void> => {
    const answer = await lane.post("leases", body, more, headers);
    assert.deepEqual([answer.status, codeOf(answer)], [400, "parameter_invalid"], answer.bytes.toString());
  };
  await refused(Buffer.alloc(0));
  await refused(Buffer.alloc(64));
  await refused(Buffer.concat([good, good]));
  await refused(good.subarray(0, good.length - 1));
  await refused(heartbeatFrame({ epoch, version: 1n, timeMs: 0 }));
  await refused(usageFrame({ epoch, seq: 1n, lane: 1n, entries: [] }));
  await refused(leasesFrame({ epoch, seq: 0n, lane: 1n, ops: [] }));
  await refused(leasesFrame({ epoch, seq: 1n, lane: 0n, ops: [] }));
  await refused(Buffer.alloc((1 << 20) + 1));
  await refused(good, { epoch: "12" });
  await refused(good, { gateway: "nameless" });
  await refused(Buffer.from("{}"), {}, { "content-type": "application/json" });
  await refused(Buffer.from("{}"), {}, { "content-type": "text/plain" });
  assert.equal((await lane.post("leases", good)).status, 200);
  const got = await fetch(`${lane.url}/sync/v1/leases`);
  assert.equal(got.status, 404);
});

test("the largest call is answered: 4096 ops", async (t) => {
  const { lane: laneOf, limitOf } = await setting(t);
  const day = limitOf("tier", "bronze");
  const answers = await laneOf().call(
    ...Array.from({ length: 4096 }, (_, index) =>
      ask(day, index.toString(16).padStart(32, "0"), { want: 64, actions: index % 2 === 0 ? leaseAction.next : 0 }),
    ),
  );
  assert.equal(answers.length, 4096);
  assert.ok(answers.every(({ verdict: one, granted }) => one === verdict.granted && granted === 50));
});

test("many lanes at once get exactly the limit, in groups", async (t) => {
  const { lane: laneOf, limitOf, sync } = await setting(t);
  const day = limitOf("tier", "bronze");
  const lanes = Array.from({ length: 50 }, (_, index) => laneOf({ gateway: `node~${index % 7}` }));
  let granted = 0;
  await Promise.all(
    lanes.map(async (lane) => {
      for (let calls = 0; calls < 10; calls++) {
        const answer = await lane.ask(day, subject, { need: 1, want: 4 });
        granted += answer.granted;
      }
    }),
  );
  assert.equal(granted, 100);
  const groups = await metric(sync, "tollgate_sync_lease_group_calls");
  assert.ok(groups < 450, `500 calls in ${groups} groups`);
});

/** Decides once it's let. */
class HeldStore extends MemoryCounterStore {
  calls: LaneCall[] = [];
  failure: Error | undefined;
  #release: () => void = () => undefined;
  #held: Promise<void> | undefined;

  hold(): void {
    this.#held = new Promise((resolve) => (this.#release = resolve));
  }

  release(): void {
    this.#release();
    this.#held = undefined;
  }

  override async apply(calls: readonly LaneCall[], limits: LimitsOf): Promise<Applied> {
    this.calls.push(...calls);
    await this.#held;
    if (this.failure !== undefined) throw this.failure;
    return super.apply(calls, limits);
  }
}

test("a call that is sent again while it's being decided waits for the same decision", async (t) => {
  const counters = new HeldStore();
  const { lane: laneOf, limitOf } = await setting(t, counters);
  const lane = laneOf();
  const day = limitOf("tier", "bronze");
  counters.hold();
  const body = lane.next(ask(day, subject, { need: 10, want: 10 }));
  const sent = [lane.post("leases", body), lane.post("leases", body), lane.post("leases", body)];
  await eventually("it's being decided", () => counters.calls.length > 0);
  const another = laneOf({ lane: lane.lane });
  const changed = another.post("leases", another.next(ask(day, other, { need: 1, want: 1 }), ask(day, subject)));
  await new Promise((resolve) => setTimeout(resolve, 50));
  counters.release();
  const answers = await Promise.all(sent);
  assert.ok(answers.every(({ status, bytes }) => status === 200 && bytes.equals(answers[0]!.bytes)));
  assert.equal(counters.calls.length, 2, "one of them, and the one with other bytes");
  assert.equal((await changed).status, 409, "other bytes under the same number are no resend");
});

test("503 while the counter store is away; the same call counts once when it's back", async (t) => {
  const counters = new HeldStore();
  const { lane: laneOf, limitOf } = await setting(t, counters);
  const lane = laneOf();
  const day = limitOf("tier", "bronze");
  await lane.ask(day, subject);
  counters.failure = new CountersUnavailable();
  const body = lane.next(ask(day, subject, { need: 10, want: 10 }));
  for (let tries = 0; tries < 3; tries++) {
    const away = await lane.post("leases", body);
    assert.deepEqual([away.status, codeOf(away), away.headers.get("retry-after")], [503, "not_ready", "1"]);
  }
  counters.failure = undefined;
  assert.equal((await lane.send()).answers[0]!.remaining, 89);
});

test("closing answers the calls that are being decided, and lets nobody in", async (t) => {
  const counters = new HeldStore();
  const { lane: laneOf, limitOf, sync } = await setting(t, counters);
  const lane = laneOf();
  const day = limitOf("tier", "bronze");
  await lane.ask(day, subject);
  counters.hold();
  const under = lane.post("leases", lane.next(ask(day, subject)));
  await eventually("it's being decided", () => counters.calls.length > 1);
  const closing = sync.server.close();
  await assert.rejects(async () => {
    const late = await laneOf().post("leases", laneOf().next(ask(day, subject)));
    assert.equal(late.status, 503);
    throw new Error("refused");
  });
  counters.release();
  assert.equal((await under).status, 200);
  await closing;
});
