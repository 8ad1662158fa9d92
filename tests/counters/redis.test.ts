import assert from "node:assert/strict";
import { after, afterEach, describe, it } from "node:test";
import fc from "fast-check";
import { MemoryCounterStore } from "../../control/counters/memory.ts";
import { type LaneCall, leaseAction } from "../../control/counters/model.ts";
import { connectRedis } from "../../control/counters/redisClient.ts";
import { RedisCounterStore } from "../../control/counters/redis.ts";
import { groupOf, slotGroups } from "../../control/counters/redisRows.ts";
import { CountersUnavailable } from "../../control/counters/store.ts";
import { counterContract } from "./contract.ts";
import { type RedisServer, startRedis, startRedisCluster } from "../kit/redis.ts";
import {
  ask,
  Clock,
  dayMs,
  Desk,
  environment,
  firstUse,
  Lane,
  minuteMs,
  otherSubject,
  quota,
  rate,
  startMs,
  subject,
  tell,
} from "./support.ts";

/* Tests run while this module still waits for a server: what they use stands above. */
/** No shares: they are sized by a count of lanes that may be a second old. */
const anOp = fc.record({
  wireId: fc.constantFrom(1, 1, 2, 3),
  actions: fc.constantFrom(
    leaseAction.ask,
    leaseAction.ask,
    leaseAction.ask,
    0,
    leaseAction.close,
    leaseAction.ask | leaseAction.next,
  ),
  subject: fc.constantFrom(subject, otherSubject),
  windowStartMs: fc.constantFrom(0, startMs),
  held: fc.nat(20),
  returned: fc.nat(10),
  need: fc.integer({ min: 1, max: 5 }),
  want: fc.integer({ min: 1, max: 30 }),
});
const step = fc.record({
  kind: fc.constantFrom("call", "call", "call", "call", "call", "call", "resend", "reset", "grant"),
  replica: fc.nat(1),
  lane: fc.nat(2),
  ops: fc.array(anOp, { minLength: 1, maxLength: 4 }),
  passMs: fc.constantFrom(0, 0, 5, 300, 2000, 20_000),
});

const server = await startRedis().catch((error: unknown) => String(error));
const opened: RedisCounterStore[] = [];

async function open(url: string, nowMs?: () => number): Promise<RedisCounterStore> {
  const store = await RedisCounterStore.open(url, () => undefined, nowMs === undefined ? {} : { nowMs });
  opened.push(store);
  return store;
}

async function empty(url: string): Promise<void> {
  const connection = await connectRedis(url, () => undefined);
  if (!connection.cluster) await connection.send("", ["FLUSHALL"]);
  // Each primary has some of the groups.
  else for (let group = 0; group < slotGroups; group++) await connection.send(`{tg${group}}`, ["FLUSHALL"]);
  if (connection.cluster) await connection.send("{tgc}", ["FLUSHALL"]);
  await connection.close();
}

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

if (typeof server === "string") {
  describe("Redis", { skip: `it can't run here, so its counters are UNTESTED: ${server}` }, () => undefined);
} else {
  after(() => server.stop());
  contractOver("Redis", server.url);
  describe("Redis: the server", () => theServer(server));
  describe("Redis: replicas of control", () => replicas(server.url));
  describe("Redis: recalls", () => recalls(server.url));
  const cluster = await startRedisCluster(3);
  after(() => cluster.stop());
  contractOver("Redis cluster", cluster.url);
  describe("Redis cluster: replicas of control", () => replicas(cluster.url));
  describe("Redis cluster: recalls", () => recalls(cluster.url));
}

function contractOver(name: string, url: string): void {
  counterContract(name, {
    async open(nowMs) {
      await empty(url);
      return { store: await open(url, nowMs), again: () => open(url, nowMs) };
    },
    shared: true,
  });
}

function theServer(redis: RedisServer): void {
  it("completes a call that had reached only some groups before a crash", async () => {
    await empty(redis.url);
    const clock = new Clock();
    const subjects = Array.from({ length: 64 }, (_, index) => index.toString(16).padStart(32, "0"));
    assert.ok(new Set(subjects.map((one) => groupOf(environment, one))).size > 8, "the ops concern many groups");
    const lane = new Lane();
    const call = lane.call(...subjects.map((one) => ask({ subject: one, want: 10 })));
    const connection = await connectRedis(redis.url, () => undefined);
    let scripts = 0;
    const failing = new RedisCounterStore(
      {
        ...connection,
        async run(script, keys, args) {
          if (args.some((arg) => arg.endsWith(";")) && ++scripts > 5) throw new CountersUnavailable();
          return connection.run(script, keys, args);
        },
      },
      { nowMs: clock.read },
    );
    opened.push(failing);
    await assert.rejects(
      failing.apply([call], () => rate()),
      CountersUnavailable,
    );
    const used = async (store: RedisCounterStore) =>
      (
        await store.inspect(
          environment,
          subjects.map((one) => ({ limit: rate(), subject: one })),
        )
      ).map(({ windows }) => windows[0]!.used);
    const store = await open(redis.url, clock.read);
    const before = await used(store);
    assert.ok(before.includes(0) && before.includes(10), "it was cut short");
    clock.pass(50);
    const [answer] = await new Desk(store, rate()).send(call);
    assert.ok(answer?.kind === "answered");
    assert.ok(answer.answers.every(({ granted }) => granted === 10));
    assert.deepEqual(new Set(await used(store)), new Set([10]));
    assert.deepEqual(await new Desk(store, rate()).send(call), [answer]);
  });

  it("keeps what it has answered when the server is killed", async () => {
    await empty(redis.url);
    const store = await open(redis.url);
    const here = new Desk(store, rate({ windowSeconds: 86_400 }));
    const lane = new Lane();
    const call = lane.call(ask({ want: 30 }));
    const [first] = await here.send(call);
    await redis.kill();
    await assert.rejects(here.send(lane.call(ask())), CountersUnavailable);
    await assert.rejects(store.inspect(environment, [{ limit: rate(), subject }]), CountersUnavailable);
    await redis.restart();
    lane.seq = call.seq;
    const deadline = Date.now() + 10_000;
    let again;
    while (again === undefined)
      again = await here.send(call).catch((error: unknown) => {
        if (!(error instanceof CountersUnavailable) || Date.now() > deadline) throw error;
        return new Promise<undefined>((resolve) => setTimeout(resolve, 20, undefined));
      });
    assert.deepEqual(again, [first]);
    assert.equal(await here.used(rate({ windowSeconds: 86_400 })), 30);
  });

  it("is unavailable while the server stands still, and then goes on", async () => {
    await empty(redis.url);
    const store = new RedisCounterStore(await connectRedis(redis.url, () => undefined, 2000));
    opened.push(store);
    const here = new Desk(store, rate({ windowSeconds: 86_400 }));
    await here.op(new Lane(), ask({ want: 10 }));
    redis.freeze();
    const lane = new Lane();
    const call = lane.call(ask({ want: 10 }));
    try {
      await assert.rejects(here.send(call), CountersUnavailable);
    } finally {
      redis.thaw();
    }
    const [answer] = await here.send(call);
    assert.ok(answer?.kind === "answered" && answer.answers[0]!.granted === 10);
    assert.equal(await here.used(rate({ windowSeconds: 86_400 })), 20);
  });

  it("decides by the server's clock, whatever this host's says", async (t) => {
    await empty(redis.url);
    const store = await open(redis.url);
    const before = Date.now();
    t.mock.method(Date, "now", () => before - 3_600_000);
    const [answer] = await new Desk(store, rate()).send(new Lane().call(ask()));
    t.mock.restoreAll();
    assert.ok(answer?.kind === "answered");
    assert.ok(answer.timeMs >= before && answer.timeMs <= Date.now(), `${answer.timeMs}`);
    assert.ok(answer.answers[0]!.windowStartMs <= before);
  });

  it("ends what it keeps by its time to live", async () => {
    await empty(redis.url);
    const store = await open(redis.url);
    await new Desk(store, rate()).send(new Lane().call(ask()));
    const connection = await connectRedis(redis.url, () => undefined);
    const keys = (await connection.send("", ["KEYS", "tg:{tg*}:[lwh]:*"])) as string[];
    assert.equal(keys.filter((key) => !key.includes("{tgc}")).length, 3);
    for (const key of keys.filter((name) => !name.includes("{tgc}")))
      assert.ok(Number(await connection.send("", ["PTTL", key])) > 0, key);
    await connection.close();
  });

  it("says what of its settings may forget counters", async () => {
    const store = await open(redis.url);
    assert.deepEqual(await store.durabilityGaps(), []);
    const connection = await connectRedis(redis.url, () => undefined);
    await connection.send("", ["CONFIG", "SET", "appendfsync", "everysec"]);
    await connection.send("", ["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert.match((await store.durabilityGaps()).join(), /appendfsync is everysec.*maxmemory-policy is allkeys-lru/);
    await connection.send("", ["CONFIG", "SET", "appendfsync", "always"]);
    await connection.send("", ["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    await connection.close();
  });

  it("answers nothing that too few replicas have confirmed", async () => {
    await empty(redis.url);
    const store = new RedisCounterStore(await connectRedis(redis.url, () => undefined), { waitReplicas: 1 });
    opened.push(store);
    await assert.rejects(new Desk(store, rate()).send(new Lane().call(ask())), CountersUnavailable);
  });
}

/** Replicas of control share what is in Redis, and know nothing else. */
function replicas(url: string): void {
  it("know what a lane said elsewhere, even where the window is as it was", async () => {
    await empty(url);
    const clock = new Clock();
    const limits = [rate({ limit: 1000 }), quota("day", { limit: 1000 })];
    const [here, there, lane] = [
      new Desk(await open(url, clock.read), ...limits),
      new Desk(await open(url, clock.read), ...limits),
      new Lane(),
    ];
    const day = Math.floor(startMs / dayMs) * dayMs;
    await here.op(lane, ask({ wireId: 2, want: 10 }));
    // All but one was spent, which changes the holding alone.
    await there.op(lane, tell({ wireId: 2, windowStartMs: day, held: 1 }));
    await here.op(lane, ask({ want: 1 }));
    await here.op(lane, tell({ wireId: 2, actions: leaseAction.close, windowStartMs: day, held: 0, returned: 10 }));
    assert.equal(await here.used(limits[1]!), 9);
  });

  it("answer as one store in memory would, whichever of them gets the call", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
        await empty(url);
        const clock = new Clock();
        const limits = new Map(
          [rate({ limit: 60 }), quota("day", { limit: 200 }), firstUse({ limit: 90 })].map((limit) => [
            limit.wireId,
            limit,
          ]),
        );
        const limitsOf = (_environment: string, wireId: number) => limits.get(wireId);
        const stores = [await open(url, clock.read), await open(url, clock.read)];
        const model = new MemoryCounterStore({ nowMs: clock.read });
        const lanes = Array.from({ length: 3 }, () => new Lane());
        const last = new Map<number, LaneCall>();
        for (const { kind, replica, lane, ops, passMs } of steps) {
          clock.pass(passMs);
          const store = stores[replica]!;
          const refs = ops.map(({ wireId, subject: of }) => ({ limit: limits.get(wireId)!, subject: of }));
          if (kind === "reset")
            assert.deepEqual(await store.reset(environment, refs), await model.reset(environment, refs));
          else if (kind === "grant")
            assert.deepEqual(await store.grant(environment, refs, 7), await model.grant(environment, refs, 7));
          else {
            const call =
              (kind === "resend" ? last.get(lane) : undefined) ??
              lanes[lane]!.call(
                ...ops.map((op) => ({
                  ...op,
                  windowStartMs: op.windowStartMs === 0 ? 0 : Math.floor(clock.nowMs / minuteMs) * minuteMs,
                })),
              );
            last.set(lane, call);
            const [{ answers }, { answers: expected }] = [
              await store.apply([call], limitsOf),
              await model.apply([call], limitsOf),
            ];
            assert.deepEqual(answers, expected);
          }
        }
      }),
      { numRuns: 25 },
    );
  });
}

function recalls(url: string): void {
  it("are passed on to other replicas, not to oneself", async () => {
    const [one, two] = [await open(url), await open(url)];
    const recall = { environment, gateway: "router~1", wireId: 1, subject, windowStartMs: 60_000 };
    const heard: unknown[] = [];
    await one.listen(() => assert.fail("its own"));
    const arrived = new Promise(
      (resolve) => void two.listen((some) => resolve(heard.push(...some))).then(() => one.broadcast([recall])),
    );
    await arrived;
    assert.deepEqual(heard, [recall]);
  });
}
