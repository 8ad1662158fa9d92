/** Usage: each admission, refusal and response is counted once, and reaches control in numbered batches. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { reasons } from "../../protocol/reasons.ts";
import {
  ask,
  askMany,
  calls,
  limitedGateway,
  limitedSpec,
  minute,
  replaceWorker,
  send,
  settle,
} from "./limitsSupport.ts";
import type { UsageEntry } from "./simulatedCounters.ts";
import {
  assertSound,
  counters,
  keyNamed,
  keyRecord,
  outcome,
  pluginConfiguration,
  readyGateway,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

const refused = (code: string): number => 64 + reasons.findIndex((reason) => reason.code === code);
const observed = (code: string): number => 128 + reasons.findIndex((reason) => reason.code === code);
const upstream = { service: "echo", port: 8080 };
const noDigest = "0".repeat(32);

/** A gateway that has delivered what its first requests left. */
function start(more: Parameters<typeof readyGateway>[0] = {}): Gateway {
  const gateway = readyGateway(more);
  gateway.envoy.advance(3000);
  gateway.control.counters.usage.length = 0;
  return gateway;
}

/** What control has been told, after enough time for it. */
function told(gateway: Gateway, ms = 3000): UsageEntry[] {
  gateway.envoy.advance(ms);
  return gateway.control.counters.usage;
}

/** Sums of a metric. */
function sum(gateway: Gateway, metric: number, of?: (entry: UsageEntry) => boolean): number {
  return gateway.control.counters.totals(of)[metric] ?? 0;
}

describe("an admission", () => {
  test("is counted once, by key, consumer, API, route and minute, with its cost", () => {
    const spec = limitedSpec([], {
      routes: [
        { path: "/dear", cost: 5 },
        { path: "/free", cost: 0 },
      ],
    });
    spec.apis!.push({ id: "other", hosts: ["*"], paths: ["/other"], upstream });
    spec.consumers!.push({ id: "beta", tier: "bronze" });
    spec.keys!.push(keyRecord("acme-2", "acme"), keyRecord("beta-1", "beta"));
    const gateway = start({ spec });
    const { control } = gateway;
    const minuteNow = Math.floor(gateway.envoy.wallMs / 60_000);
    askMany(gateway, 3);
    askMany(gateway, 2, { path: "/dear" });
    askMany(gateway, 4, { path: "/free" });
    ask(gateway, { key: "acme-2" });
    ask(gateway, { key: "beta-1", path: "/other" });
    const rows = told(gateway).map(({ minute, api, route, consumer, digest, counts }) => ({
      minute,
      api,
      route,
      consumer,
      digest,
      counts: Object.fromEntries(counts.filter(([metric]) => metric < 5)),
    }));
    const [acme, beta] = [control.wireId("consumer", "acme"), control.wireId("consumer", "beta")];
    const [echo, other] = [control.wireId("api", "echo"), control.wireId("api", "other")];
    const digest = (id: string) => control.spec.keys.find((key) => key.id === id)!.sha256.slice(0, 32);
    assert.deepEqual(rows, [
      {
        minute: minuteNow,
        api: echo,
        route: undefined,
        consumer: acme,
        digest: digest("acme-1"),
        counts: { 0: 3, 1: 3 },
      },
      { minute: minuteNow, api: echo, route: 0, consumer: acme, digest: digest("acme-1"), counts: { 0: 2, 1: 10 } },
      { minute: minuteNow, api: echo, route: 1, consumer: acme, digest: digest("acme-1"), counts: { 0: 4 } },
      {
        minute: minuteNow,
        api: echo,
        route: undefined,
        consumer: acme,
        digest: digest("acme-2"),
        counts: { 0: 1, 1: 1 },
      },
      {
        minute: minuteNow,
        api: other,
        route: undefined,
        consumer: beta,
        digest: digest("beta-1"),
        counts: { 0: 1, 1: 1 },
      },
    ]);
  });

  test("of a keyless API is nobody's", () => {
    const gateway = start();
    gateway.get("/public", { "x-api-key": keyNamed("acme-1") });
    const [row] = told(gateway);
    assert.deepEqual([row?.api, row?.consumer, row?.digest], [gateway.control.wireId("api", "public"), 0, noDigest]);
    assert.deepEqual(row?.counts[0], [0, 1]);
  });

  test("after the minute is over counts for the next one", () => {
    const gateway = start();
    const first = Math.floor(gateway.envoy.wallMs / 60_000);
    ask(gateway);
    gateway.envoy.advance(60_000);
    ask(gateway);
    ask(gateway);
    const rows = told(gateway).map(({ minute, counts }) => [minute - first, counts[0]]);
    assert.deepEqual(rows, [
      [0, [0, 1]],
      [1, [0, 2]],
    ]);
  });

  test("that was held counts once as well", () => {
    const gateway = limitedGateway([minute(100)]);
    gateway.control.delayMs = 300;
    const streams = Array.from({ length: 10 }, () => send(gateway));
    gateway.envoy.advance(4000);
    assert.ok(
      streams.every((stream) => outcome(stream) === "admitted"),
      "admitted",
    );
    assert.equal(sum(gateway, 0), 10);
  });

  test("isn't a preflight, nor a request of no API", () => {
    const spec = limitedSpec([], { cors: { allowOrigins: ["*"] } });
    const gateway = start({ spec, configuration: pluginConfiguration({ unknownApi: "allow" }) });
    gateway.control.change((file) => void (file.apis[0]!.hosts = ["api.example.com"]));
    gateway.envoy.pump();
    gateway.get("/x", { origin: "https://a.example", "access-control-request-method": "GET" }, { method: "OPTIONS" });
    gateway.get("/nothing", [], { host: "elsewhere.example" });
    assert.deepEqual(told(gateway), []);
  });
});

describe("a refusal", () => {
  test("is counted by its reason, and by as much as is known of the caller", () => {
    const spec = limitedSpec([minute(1)]);
    spec.keys!.push(keyRecord("acme-2", "acme", { state: "revoked" }));
    const gateway = start({ spec });
    const acme = gateway.control.wireId("consumer", "acme");
    const echo = gateway.control.wireId("api", "echo");
    ask(gateway);
    askMany(gateway, 4);
    ask(gateway, { key: "acme-2" });
    ask(gateway, { key: "nobody" });
    gateway.get("/x");
    gateway.get("/a/../b");
    told(gateway);
    const rows = (code: string) =>
      gateway.control.counters.usage.flatMap(({ api, consumer, digest, counts }) =>
        counts
          .filter(([metric]) => metric === refused(code))
          .map(([, count]) => ({ api, consumer, known: digest !== noDigest, count })),
      );
    assert.deepEqual(rows("rate_limited"), [{ api: echo, consumer: acme, known: true, count: 4 }]);
    assert.deepEqual(rows("key_revoked"), [{ api: echo, consumer: acme, known: true, count: 1 }]);
    assert.deepEqual(rows("unknown_key"), [{ api: echo, consumer: 0, known: false, count: 1 }]);
    assert.deepEqual(rows("key_missing"), [{ api: echo, consumer: 0, known: false, count: 1 }]);
    assert.deepEqual(rows("path_invalid"), [{ api: 0, consumer: 0, known: false, count: 1 }]);
    assert.equal(sum(gateway, 0), 1);
  });

  test("that was only noted in observe mode is another metric", () => {
    const gateway = start({ configuration: pluginConfiguration({ mode: "observe" }) });
    gateway.get("/x");
    gateway.get("/x", { "x-api-key": keyNamed("nobody") });
    told(gateway);
    assert.equal(sum(gateway, observed("key_missing")), 1);
    assert.equal(sum(gateway, observed("unknown_key")), 1);
    assert.equal(sum(gateway, refused("key_missing")), 0);
  });
});

describe("a response", () => {
  test("is counted by its status class, beside the admission", () => {
    const gateway = start();
    const { vm } = gateway.workers[0]!;
    for (const status of [200, 204, 301, 404, 404, 500, 503]) {
      const stream = send(gateway);
      vm.respond(stream, { status });
      vm.end(stream);
    }
    send(gateway);
    const [row, ...more] = told(gateway);
    assert.deepEqual(more, []);
    const of = Object.fromEntries(row!.counts);
    assert.deepEqual([of[0], of[8], of[9], of[10], of[11], of[12]], [8, undefined, 2, 1, 2, 2]);
  });

  test("is counted by how long it took, in buckets with upper bounds", () => {
    const bounds = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];
    const gateway = start();
    const times = [0, 1, 1.5, 2, 4, 10, 11, 25, 99, 100, 250, 251, 3000, 10_000, 10_001, 60_000];
    for (const ms of times) {
      const stream = send(gateway);
      gateway.envoy.advance(ms);
      gateway.workers[0]!.vm.respond(stream);
    }
    told(gateway);
    const expected: Record<number, number> = {};
    for (const ms of times) {
      const bucket = bounds.findIndex((bound) => ms <= bound);
      const metric = 16 + (bucket < 0 ? 13 : bucket);
      expected[metric] = (expected[metric] ?? 0) + 1;
    }
    const totals = gateway.control.counters.totals();
    assert.deepEqual(
      Object.fromEntries(Object.entries(totals).filter(([metric]) => Number(metric) >= 16 && Number(metric) < 30)),
      expected,
    );
  });

  test("is looked at one by one up to a number per second; of more, one in sixteen; the rest is told as not looked at", () => {
    const exact = 100;
    const seconds = 8;
    const perSecond = 1000;
    const gateway = start({ configuration: pluginConfiguration({ responseSamplesPerSecond: exact }) });
    const { vm } = gateway.workers[0]!;
    let asked = 0;
    for (let second = 0; second < seconds; second++) {
      for (let i = 0; i < perSecond; i++) {
        const stream = send(gateway);
        vm.respond(stream, { status: i % 4 === 0 ? 404 : 200 });
        if (stream.calls.some((call) => call.includes(":status"))) asked++;
        vm.end(stream);
      }
      gateway.envoy.advance(1500);
    }
    told(gateway);
    const all = perSecond * seconds;
    assert.equal(sum(gateway, 0), all);
    assert.equal(sum(gateway, 9) + sum(gateway, 11), asked);
    assert.equal(
      Array.from({ length: 14 }, (_, bucket) => sum(gateway, 16 + bucket)).reduce((total, one) => total + one),
      asked,
    );
    assert.equal(asked + sum(gateway, 5), all);
    const near = (count: number, expected: number): void =>
      assert.ok(Math.abs(count - expected) < 0.1 * all, `${count} where ${expected} are expected`);
    near((sum(gateway, 11) / asked) * all, 0.25 * all);
    near(asked, seconds * (exact + (perSecond - exact) / 16));
  });

  test("is looked at when it's the first of its caller, of so many callers a second", () => {
    const gateway = start({ configuration: pluginConfiguration({ responseSamplesPerSecond: 0 }) });
    gateway.envoy.recording = false;
    const { vm } = gateway.workers[0]!;
    for (let i = 0; i < 500; i++) vm.respond(send(gateway), { status: 200 });
    vm.respond(gateway.get("/public"), { status: 503 });
    told(gateway);
    assert.deepEqual([sum(gateway, 9) + sum(gateway, 5), sum(gateway, 12)], [500, 1]);
  });

  test("is always looked at where the number is not reached", () => {
    const gateway = start({ configuration: pluginConfiguration({ responseSamplesPerSecond: 1_000_000 }) });
    gateway.envoy.recording = false;
    const { vm } = gateway.workers[0]!;
    for (let i = 0; i < 3000; i++) {
      const stream = send(gateway);
      vm.respond(stream, { status: 200 });
      vm.end(stream);
    }
    told(gateway);
    assert.equal(sum(gateway, 9), 3000);
  });

  test("to a refusal isn't an upstream's", () => {
    const gateway = start();
    gateway.get("/x");
    told(gateway);
    assert.deepEqual(gateway.control.counters.totals(), { [refused("key_missing")]: 1 });
  });

  test("that comes tens of thousands of streams later is nobody else's", () => {
    const gateway = start();
    gateway.envoy.recording = false;
    const { vm } = gateway.workers[0]!;
    const late = send(gateway);
    for (let i = 0; i < 20_000; i++) vm.end(gateway.get("/public"));
    vm.respond(late, { status: 500 });
    told(gateway);
    assert.equal(sum(gateway, 12), 0);
    assert.equal(sum(gateway, 0), 20_001);
  });
});

describe("batches", () => {
  test("are numbered from 1 by each worker's own lane, about one a second, and none when nothing happened", () => {
    const gateway = readyGateway({ workers: 2 });
    for (let i = 0; i < 20; i++) {
      ask(gateway, { worker: i % 2 });
      gateway.envoy.advance(250);
    }
    gateway.envoy.advance(3000);
    const names = [...gateway.control.counters.batches.keys()].map((name) => name.split(" "));
    const lanes = new Set(names.map(([lane]) => lane));
    assert.equal(lanes.size, 2);
    for (const one of lanes) {
      const batches = names.filter(([lane]) => lane === one);
      assert.deepEqual(
        batches.map(([, seq]) => seq),
        batches.map((_, i) => String(i + 1)),
      );
      assert.ok(batches.length >= 4 && batches.length <= 8, `${batches.length}`);
    }
    const sent = calls(gateway, "usage");
    gateway.envoy.advance(60_000);
    assert.equal(calls(gateway, "usage"), sent);
    assert.equal(sum(gateway, 0), 20);
  });

  for (const how of ["reset", "silent", 500, 503] as const) {
    for (const at of ["request", "answer"] as const) {
      test(`whose ${at}s are lost (${how}) are sent again as they were, and all is counted once`, () => {
        const gateway = readyGateway({ workers: 2 });
        let lost = 0;
        gateway.control.fault = ({ kind }) => (kind === "usage" && lost++ % 3 !== 2 ? { at, how } : undefined);
        for (let i = 0; i < 200; i++) {
          ask(gateway, { worker: i % 2 });
          gateway.envoy.advance(97);
        }
        gateway.control.fault = undefined;
        gateway.envoy.advance(15_000);
        assert.deepEqual(gateway.control.counters.changedBatches, []);
        assert.equal(gateway.control.counters.resentBatches > 0, at === "answer");
        assert.equal(sum(gateway, 0), 200);
      });
    }
  }

  test("wait for a control that is away, and none of it is lost or counted twice", () => {
    const gateway = readyGateway({ workers: 2 });
    ask(gateway);
    gateway.control.failure = "reset";
    for (let i = 0; i < 300; i++) {
      ask(gateway, { worker: i % 2 });
      gateway.envoy.advance(1000);
    }
    assert.equal(sum(gateway, 0), 0);
    gateway.control.failure = undefined;
    gateway.envoy.advance(20_000);
    assert.equal(sum(gateway, 0), 301);
    assert.ok(gateway.control.counters.batches.size < 12, `${gateway.control.counters.batches.size} batches`);
  });

  test("of a restarted control go on where they were", () => {
    const gateway = readyGateway({ workers: 2 });
    Object.assign(gateway.control, { delayMs: 30, requestDelayMs: 30 });
    for (let i = 0; i < 300; i++) {
      ask(gateway, { worker: i % 2 });
      gateway.envoy.advance(50);
      if (i % 37 === 0) gateway.control.restart();
    }
    gateway.envoy.advance(10_000);
    assert.equal(sum(gateway, 0), 300);
    assert.deepEqual(gateway.control.counters.changedBatches, []);
  });

  test("that control will never take are given up, and the next ones come through", () => {
    const gateway = start();
    gateway.control.fault = ({ kind }) => (kind === "usage" ? { at: "request", how: 400 } : undefined);
    ask(gateway);
    gateway.envoy.advance(3000);
    gateway.control.fault = undefined;
    askMany(gateway, 3);
    told(gateway);
    assert.equal(sum(gateway, 0), 3);
    assert.equal(counters(gateway)["usage_failed"], 1);
  });

  test("of an epoch that is over carry that epoch, so that nobody takes their ids for others", () => {
    const gateway = start();
    const before = gateway.control.epoch;
    askMany(gateway, 4);
    gateway.control.newEpoch(0x77n);
    gateway.envoy.advance(200);
    askMany(gateway, 2);
    told(gateway, 10_000);
    assert.equal(
      sum(gateway, 0, ({ epoch }) => epoch === before),
      4,
    );
    assert.equal(
      sum(gateway, 0, ({ epoch }) => epoch === 0x77n),
      2,
    );
  });
});

describe("a VM that dies", () => {
  for (const [who, workers] of [
    ["a worker, with another one alive", 2],
    ["the only worker, with its successor", 1],
  ] as const) {
    test(`(${who}) leaves its batches to others, who send the same bytes`, () => {
      const gateway = readyGateway({ workers });
      askMany(gateway, 5);
      // its batch gets to control, whose answer is lost; nobody knows
      gateway.control.fault = ({ kind }) => (kind === "usage" ? { at: "answer", how: "silent" } : undefined);
      gateway.envoy.advance(1500);
      assert.equal(sum(gateway, 0), 5);
      askMany(gateway, 3);
      gateway.envoy.advance(1500);
      replaceWorker(gateway, 0);
      gateway.control.fault = undefined;
      const stream = send(gateway);
      settle(gateway, stream);
      gateway.envoy.advance(60_000);
      assert.equal(sum(gateway, 0), 5 + 3 + 1);
      assert.ok(gateway.control.counters.resentBatches > 0, "sent again");
      assert.deepEqual(gateway.control.counters.changedBatches, []);
    });
  }

  test("before its batch is made loses at most the last second", () => {
    const gateway = readyGateway({ workers: 2 });
    let before = 0;
    for (let i = 0; i < 100; i++) {
      ask(gateway);
      if (i < 80) before++;
      gateway.envoy.advance(50);
    }
    replaceWorker(gateway, 0);
    gateway.envoy.advance(60_000);
    const counted = sum(gateway, 0);
    assert.ok(counted >= before && counted <= 100, `${counted} of 100`);
  });

  test("one after the other, each while it sends its predecessor's: all is counted once", () => {
    const gateway = readyGateway({ workers: 1 });
    let admitted = 0;
    for (let round = 0; round < 5; round++) {
      gateway.control.fault = ({ kind }) =>
        kind === "usage" ? { at: round % 2 === 0 ? "answer" : "request", how: "reset" } : undefined;
      for (let i = 0; i < 4; i++) if (ask(gateway) === "admitted") admitted++;
      gateway.envoy.advance(2000);
      replaceWorker(gateway, 0);
      gateway.envoy.advance(16_000);
    }
    gateway.control.fault = undefined;
    ask(gateway);
    gateway.envoy.advance(120_000);
    assert.equal(sum(gateway, 0), admitted + 1);
    assert.deepEqual(gateway.control.counters.changedBatches, []);
  });
});

describe("very much usage", () => {
  test("by more keys than a batch has room for comes in several, at once, and whole", () => {
    const keys = 6000;
    const spec = limitedSpec([]);
    spec.keys = Array.from({ length: keys }, (_, i) => keyRecord(`key-${i}`, "acme"));
    const gateway = start({ spec });
    gateway.envoy.recording = false;
    for (let i = 0; i < keys; i++) gateway.workers[0]!.vm.end(send(gateway, { key: `key-${i}` }));
    told(gateway, 6000);
    assert.equal(sum(gateway, 0), keys);
    assert.equal(new Set(gateway.control.counters.usage.map(({ digest }) => digest)).size, keys);
  });

  test("by so many that detail is given up keeps the sums", () => {
    const keys = 12_000;
    const spec = limitedSpec([]);
    spec.keys = Array.from({ length: keys }, (_, i) => keyRecord(`key-${i}`, "acme"));
    const gateway = start({ spec });
    gateway.envoy.recording = false;
    gateway.control.failure = "silent";
    for (let i = 0; i < keys; i++) gateway.workers[0]!.vm.end(send(gateway, { key: `key-${i}` }));
    gateway.control.failure = undefined;
    told(gateway, 30_000);
    assert.equal(sum(gateway, 0), keys);
    const echo = gateway.control.wireId("api", "echo");
    assert.equal(
      sum(gateway, 0, ({ api }) => api === echo),
      keys,
    );
  });

  test("while control is away for long is bounded in memory and in shared data, and its sums stay exact", () => {
    const keys = 3000;
    const spec = limitedSpec([]);
    spec.keys = Array.from({ length: keys }, (_, i) => keyRecord(`key-${i}`, "acme"));
    const gateway = start({ spec });
    gateway.envoy.recording = false;
    gateway.control.failure = "reset";
    let admitted = 0;
    const sizes: number[] = [];
    for (let minutes = 0; minutes < 12; minutes++) {
      for (let i = 0; i < keys; i++) {
        gateway.workers[0]!.vm.end(send(gateway, { key: `key-${i}` }));
        admitted++;
        if (i % 100 === 0) gateway.envoy.advance(1);
      }
      gateway.envoy.advance(60_000);
      sizes.push(gateway.envoy.sharedData.byteSize(""));
    }
    assert.ok(sizes.at(-1)! < 48 << 20, `${sizes.at(-1)} bytes of shared data`);
    gateway.control.failure = undefined;
    gateway.envoy.advance(120_000);
    assert.equal(sum(gateway, 0), admitted);
  });
});
