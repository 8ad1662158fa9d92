import assert from "node:assert/strict";
import { after, afterEach, describe, it } from "node:test";
import { connectRedis } from "../../control/counters/redisClient.ts";
import { RedisCounterStore } from "../../control/counters/redis.ts";
import { groupOf, slotGroups } from "../../control/counters/redisRows.ts";
import { CountersUnavailable } from "../../control/counters/store.ts";
import { counterContract } from "./contract.ts";
import { type RedisServer, startRedis, startRedisCluster } from "./redisServer.ts";
import { ask, Clock, Desk, environment, Lane, rate, subject } from "./support.ts";

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
  describe("Redis: recalls", () => recalls(server.url));
  const cluster = await startRedisCluster(3);
  after(() => cluster.stop());
  contractOver("Redis cluster", cluster.url);
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
    const failing = new RedisCounterStore({
      ...connection,
      async run(script, keys, args) {
        if (args.some((arg) => arg.endsWith(";")) && ++scripts > 5) throw new CountersUnavailable();
        return connection.run(script, keys, args);
      },
    }, { nowMs: clock.read });
    opened.push(failing);
    await assert.rejects(failing.apply([call], () => rate()), CountersUnavailable);
    const used = async (store: RedisCounterStore) => (await store.inspect(environment, subjects.map((one) => ({ limit: rate(), subject: one })))).map(({ windows }) => windows[0]!.used);
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
    while (again === undefined) again = await here.send(call).catch((error: unknown) => {
      if (!(error instanceof CountersUnavailable) || Date.now() > deadline) throw error;
      return new Promise<undefined>((resolve) => setTimeout(resolve, 20, undefined));
    });
    assert.deepEqual(again, [first]);
    assert.equal(await here.used(rate({ windowSeconds: 86_400 })), 30);
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
    for (const key of keys.filter((name) => !name.includes("{tgc}"))) assert.ok(Number(await connection.send("", ["PTTL", key])) > 0, key);
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

function recalls(url: string): void {
  it("are passed on to other replicas, not to oneself", async () => {
    const [one, two] = [await open(url), await open(url)];
    const recall = { environment, gateway: "router~1", wireId: 1, subject, windowStartMs: 60_000 };
    const heard: unknown[] = [];
    await one.listen(() => assert.fail("its own"));
    const arrived = new Promise((resolve) => void two.listen((some) => resolve(heard.push(...some))).then(() => one.broadcast([recall])));
    await arrived;
    assert.deepEqual(heard, [recall]);
  });
}
