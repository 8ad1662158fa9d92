/** Control is slow, loses calls, is away, comes back, forgets; workers and Envoys die. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import {
  ask,
  askMany,
  calls,
  keySubject,
  limitedGateway,
  minute,
  replaceWorker,
  send,
  settle,
  tally,
} from "./limitsSupport.ts";
import type { Fault } from "./simulatedControl.ts";
import {
  assertSound,
  counters,
  endGateway,
  outcome,
  pluginConfiguration,
  readyGateway,
  startWorker,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

const counterId = (gateway: Gateway): number => gateway.control.limitId("tier bronze", "minute");

/** The next lease calls are lost like this, then all is well. */
function lose(gateway: Gateway, ...faults: Fault[]): void {
  gateway.control.fault = ({ kind }) => (kind === "leases" ? faults.shift() : undefined);
}

const ways: Fault[] = (["request", "answer"] as const).flatMap((at) =>
  (["reset", "silent", 503, 500, 504, 429] as const).map((how) => ({ at, how })),
);

describe("a lease call", () => {
  for (const fault of ways) {
    test(`whose ${fault.at} is lost (${fault.how}) is sent again with the same number and bytes, and grants once`, async () => {
      const gateway = limitedGateway([minute(10)]);
      lose(gateway, fault, fault);
      const stream = send(gateway);
      const result = settle(gateway, stream);
      // a call that gets no answer at all is given up after a second, which is as long as a request waits
      assert.equal(result, fault.how === "silent" ? "limit_unavailable" : "admitted");
      gateway.envoy.advance(4000);
      const bodies = gateway.control.of("leases").map(({ call }) => call.body.toString("hex"));
      assert.equal(new Set(bodies.slice(0, 3)).size, 1);
      assert.equal(
        gateway.control.counters.calls.filter(({ call }) => call.seq === 1n).length,
        fault.at === "answer" ? 3 : 1,
      );
      const already = result === "admitted" ? 1 : 0;
      assert.deepEqual(askMany(gateway, 13), { admitted: 10 - already, rate_limited: 3 + already });
      const { windows } = await gateway.control.counters.inspect(counterId(gateway), keySubject());
      assert.equal(windows[0]!.used, 10);
    });
  }

  test("that is lost again and again is sent ever more rarely, and at last admits all", () => {
    const gateway = limitedGateway([minute(10)], { configuration: pluginConfiguration({ limitWaitTimeoutMs: 100 }) });
    lose(gateway, ...Array.from({ length: 12 }, () => ({ at: "answer" as const, how: "reset" as const })));
    send(gateway);
    gateway.envoy.advance(60);
    const first = calls(gateway, "leases");
    assert.ok(first >= 2 && first <= 5, `${first} calls in 60 ms`);
    gateway.envoy.advance(12_000);
    assert.equal(calls(gateway, "leases"), 13);
    assert.deepEqual(askMany(gateway, 13), { admitted: 10, rate_limited: 3 });
  });

  test("whose answer says another number, another lane or is broken counts as unanswered", () => {
    for (const spoil of [
      (body: Buffer) => body.subarray(0, 40),
      (body: Buffer) => ((body[60]! ^= 1), body),
      (body: Buffer) => Buffer.concat([body, body]),
      () => Buffer.alloc(0),
    ]) {
      const gateway = limitedGateway([minute(10)]);
      let times = 2;
      gateway.control.tamper = (body, { kind }) => (kind === "leases" && times-- > 0 ? spoil(body) : body);
      assert.equal(ask(gateway), "admitted");
      assert.deepEqual(askMany(gateway, 12), { admitted: 9, rate_limited: 3 });
      endGateway(gateway);
    }
  });

  test("is only one at a time from a worker, however many wait", () => {
    const gateway = limitedGateway([minute(200)]);
    gateway.control.delayMs = 100;
    gateway.control.fault = ({ kind }) => {
      if (kind === "leases")
        assert.ok(
          gateway.control
            .of("leases")
            .slice(0, -1)
            .every(({ call }) => call.done),
          "two at a time",
        );
      return undefined;
    };
    for (let i = 0; i < 300; i++) {
      send(gateway);
      gateway.envoy.advance(3);
    }
    assert.ok(calls(gateway, "leases") > 4, `${calls(gateway, "leases")} calls`);
  });

  test("of a lane that control no longer knows by that number begins a new lane", () => {
    const gateway = limitedGateway([minute(10)]);
    assert.equal(ask(gateway), "admitted");
    let refused = false;
    gateway.control.fault = ({ kind }) => {
      if (kind !== "leases" || refused) return undefined;
      refused = true;
      return { at: "request", how: 409 };
    };
    const { admitted } = askMany(gateway, 30);
    const lanes = new Set(gateway.control.counters.calls.map(({ call }) => call.lane));
    assert.equal(lanes.size, 2);
    // what the old lane held is lost
    assert.ok(admitted! >= 1 && admitted! <= 9, `${admitted}`);
    gateway.envoy.advance(60_000);
    assert.equal(askMany(gateway, 13)["admitted"], 10);
  });

  test("that takes 400 ms is waited for, each time anew", () => {
    const gateway = limitedGateway([minute(40)]);
    gateway.control.delayMs = 400;
    const streams = Array.from({ length: 100 }, () => send(gateway));
    gateway.envoy.advance(3000);
    const got = tally(streams.map(outcome));
    assert.equal(got["held"], undefined);
    assert.ok(got["admitted"]! <= 40);
    gateway.control.delayMs = 0;
    gateway.envoy.advance(3000);
    assert.equal(askMany(gateway, 60)["admitted"] ?? 0, 40 - got["admitted"]!);
  });
});

describe("control away", () => {
  for (const failure of ["reset", "unavailable", 503, "silent"] as const) {
    test(`(${failure}): what is leased is used up first, then the API's rule applies; back again, all goes on exactly`, () => {
      for (const failureMode of ["closed", "open"] as const) {
        const gateway = limitedGateway([minute(200)], { api: { failureMode } });
        assert.equal(askMany(gateway, 20)["admitted"], 20);
        gateway.control.failure = failure;
        gateway.envoy.advance(3000);
        const away = askMany(gateway, 50);
        if (failureMode === "closed") {
          assert.ok(away["admitted"]! >= 1, "what is leased");
          assert.equal(away["admitted"]! + away["limit_unavailable"]!, 50);
        } else assert.deepEqual(away, { admitted: 50 });
        const overshoot = counters(gateway)["overshoot"] ?? 0;
        gateway.control.failure = undefined;
        gateway.envoy.advance(8000);
        const later = askMany(gateway, 220)["admitted"]!;
        // what was admitted without allowance is on top
        assert.equal(20 + away["admitted"]! - overshoot + later, 200);
        gateway.envoy.advance(5000);
        assert.equal(gateway.control.counters.totals()[2] ?? 0, overshoot);
        assert.equal(gateway.control.counters.totals()[0], 20 + away["admitted"]! + later);
        endGateway(gateway);
      }
    });
  }

  test("for longer than a window: the closed API admits nothing of the new one, and all of it once control is back", () => {
    const gateway = limitedGateway([minute(10, { windowSeconds: 5 })]);
    assert.equal(askMany(gateway, 3)["admitted"], 3);
    gateway.control.failure = "reset";
    gateway.envoy.advance(12_000);
    assert.equal(askMany(gateway, 5)["admitted"], undefined);
    gateway.control.failure = undefined;
    gateway.envoy.advance(8000);
    gateway.envoy.advance(5000 - (gateway.control.nowMs % 5000) + 50);
    assert.equal(askMany(gateway, 13)["admitted"], 10);
  });

  test("past the leases' end: nothing of them is spent any more, and they come back", async () => {
    const gateway = limitedGateway([minute(100, { windowSeconds: 3600 })], { control: { leaseMs: 3000 } });
    assert.equal(ask(gateway), "admitted");
    gateway.control.failure = "reset";
    gateway.envoy.advance(3500);
    assert.equal(ask(gateway), "limit_unavailable");
    gateway.control.failure = undefined;
    gateway.envoy.advance(8000);
    assert.equal(askMany(gateway, 120)["admitted"], 99);
  });

  test("restarted in the middle of calls: nothing is granted twice, nothing lost", () => {
    const gateway = limitedGateway([minute(400)], { workers: 3 });
    Object.assign(gateway.control, { delayMs: 20, requestDelayMs: 20 });
    const streams = [];
    for (let i = 0; i < 1000; i++) {
      streams.push(send(gateway, { worker: i % 3 }));
      gateway.envoy.advance(2);
      if (i % 150 === 149) gateway.control.restart();
    }
    gateway.envoy.advance(3000);
    const early = tally(streams.map(outcome));
    assert.ok((early["limit_unavailable"] ?? 0) <= 60, JSON.stringify(early));
    Object.assign(gateway.control, { delayMs: 0, requestDelayMs: 0 });
    assert.equal(early["admitted"]! + (askMany(gateway, 100, (i) => ({ worker: i % 3 }))["admitted"] ?? 0), 400);
  });

  test("with another database: counters begin anew by the new epoch's ids, and no call of the old one is taken for them", () => {
    const gateway = limitedGateway([minute(10)], { workers: 2 });
    assert.equal(askMany(gateway, 12, (i) => ({ worker: i % 2 }))["admitted"], 10);
    gateway.control.newEpoch(0x99n);
    gateway.envoy.advance(500);
    assert.equal(askMany(gateway, 15, (i) => ({ worker: i % 2 }))["admitted"], 10);
    assert.deepEqual(gateway.envoy.traps, []);
  });

  test("with another database while a call is under way: it's refused, and a new lane goes on", () => {
    const gateway = limitedGateway([minute(10)]);
    assert.equal(askMany(gateway, 2)["admitted"], 2);
    gateway.control.delayMs = 200;
    const streams = Array.from({ length: 20 }, () => send(gateway));
    gateway.envoy.advance(50);
    gateway.control.newEpoch(0x99n);
    gateway.control.delayMs = 0;
    gateway.envoy.advance(3000);
    assert.ok(streams.every(({ state }) => state !== "held"));
    const inNew = gateway.control.counters.calls.length;
    assert.ok(inNew > 0);
    gateway.envoy.advance(60_000);
    assert.equal(askMany(gateway, 13)["admitted"], 10);
  });

  test("whose clock jumps never lets a window admit more than its limit by its own numbers", () => {
    for (const jumpMs of [30_000, -30_000, 1500, -1500]) {
      const gateway = limitedGateway([minute(10, { windowSeconds: 2 })], { workers: 2 });
      gateway.envoy.advance(2000 - (gateway.control.nowMs % 2000) + 500);
      assert.equal(askMany(gateway, 4, (i) => ({ worker: i % 2 }))["admitted"], 4);
      gateway.control.clockOffsetMs += jumpMs;
      gateway.envoy.advance(6000);
      for (let window = 0; window < 3; window++) {
        gateway.envoy.advance(2000 - (gateway.control.nowMs % 2000) + 300);
        assert.equal(askMany(gateway, 14, (i) => ({ worker: i % 2 }))["admitted"], 10, `after a jump of ${jumpMs} ms`);
      }
      endGateway(gateway);
    }
  });
});

describe("a local share", () => {
  /** One worker has asked once, with 20 a window: its share is 5. */
  function local(limit = 20, more: Parameters<typeof limitedGateway>[1] = {}): Gateway {
    const gateway = limitedGateway([minute(limit, { windowSeconds: 10 })], { api: { failureMode: "local" }, ...more });
    gateway.envoy.advance(10_000 - (gateway.control.nowMs % 10_000) + 100);
    assert.equal(ask(gateway), "admitted");
    return gateway;
  }

  test("is spent once what is leased is used up, and no further", async () => {
    const gateway = local();
    const { windows } = await gateway.control.counters.inspect(counterId(gateway), keySubject());
    assert.equal(windows[0]!.shares, 5);
    const leased = windows[0]!.used - 5 - 1;
    gateway.control.failure = "reset";
    gateway.envoy.advance(1500);
    const got = askMany(gateway, 40);
    assert.deepEqual(got, { admitted: leased + 5, limit_unavailable: 40 - leased - 5 });
    assert.equal(counters(gateway)["local_share"], 5);
  });

  test("is there in each later window while control is away, and all together stay within the limit", async () => {
    const gateway = local();
    gateway.control.failure = "reset";
    for (let window = 0; window < 3; window++) {
      gateway.envoy.advance(10_000 - (gateway.control.nowMs % 10_000) + 1000);
      assert.deepEqual(askMany(gateway, 10), { admitted: 5, limit_unavailable: 5 });
    }
    gateway.control.failure = undefined;
    gateway.envoy.advance(6000);
    // control charges this window with the share, spent or not
    const got = askMany(gateway, 30)["admitted"]!;
    assert.equal(got + 5, 20);
    gateway.envoy.advance(3000);
    const totals = gateway.control.counters.totals();
    assert.equal(totals[4], 15);
  });

  test("isn't spent in the few milliseconds around a border in which the window isn't certain", () => {
    const gateway = local(20, {});
    gateway.control.failure = "reset";
    gateway.envoy.advance(10_000 - (gateway.control.nowMs % 10_000));
    const at = outcome(send(gateway));
    assert.ok(at === "held" || at === "limit_unavailable" || at === "admitted");
    gateway.envoy.advance(2000);
    const { admitted } = askMany(gateway, 10);
    assert.ok(admitted! + (at === "admitted" ? 1 : 0) <= 5);
  });

  test("runs out after an hour", () => {
    const gateway = local(20, { configuration: pluginConfiguration({ maxSnapshotAgeSeconds: 0 }) });
    gateway.control.failure = "reset";
    gateway.envoy.sleep(3_590_000);
    gateway.envoy.advance(1000);
    assert.ok(askMany(gateway, 10)["admitted"]! >= 1);
    gateway.envoy.advance(60_000);
    assert.equal(askMany(gateway, 10)["admitted"], undefined);
  });

  test("is there for who comes once in a minute", () => {
    const gateway = local();
    gateway.envoy.advance(60_000);
    gateway.control.failure = "reset";
    for (let i = 0; i < 5; i++) {
      gateway.envoy.advance(60_000);
      assert.equal(ask(gateway), "admitted");
    }
  });

  test("isn't given to more lanes than half of the limit allows", async () => {
    const first = limitedGateway([minute(20, { windowSeconds: 10 })], { workers: 4, api: { failureMode: "local" } });
    const second = readyGateway({ beside: first, workers: 4 });
    for (let worker = 0; worker < 4; worker++) for (const gateway of [first, second]) ask(gateway, { worker });
    const { windows } = await first.control.counters.inspect(counterId(first), keySubject());
    assert.ok(windows[0]!.shares <= 10 && windows[0]!.shares >= 5, `${windows[0]!.shares}`);
    first.control.failure = "reset";
    first.envoy.advance(20_000 - (first.control.nowMs % 10_000) + 1000);
    let admitted = 0;
    for (let worker = 0; worker < 4; worker++)
      for (const gateway of [first, second]) admitted += askMany(gateway, 8, { worker })["admitted"] ?? 0;
    assert.equal(admitted, windows[0]!.shares);
  });

  test("isn't there for an API that is closed, nor for a counter that was never asked for", () => {
    const gateway = limitedGateway([minute(20)]);
    ask(gateway);
    assert.equal(gateway.control.counters.calls[0]!.answers![0]!.share, 0);
    const other = limitedGateway([minute(20)], { api: { failureMode: "local" } });
    other.control.failure = "reset";
    assert.equal(ask(other), "limit_unavailable");
  });
});

describe("a worker that is killed", () => {
  test("with a call under way leaves its charge, and its successor goes on with a lane of its own", async () => {
    const gateway = limitedGateway([minute(20)]);
    gateway.control.delayMs = 100;
    send(gateway);
    gateway.envoy.advance(50);
    replaceWorker(gateway, 0);
    gateway.control.delayMs = 0;
    // the successor's first request waits for its table
    const { windows } = await gateway.control.counters.inspect(counterId(gateway), keySubject());
    const lost = windows[0]!.used;
    assert.ok(lost > 0 && lost < 20);
    assert.equal(askMany(gateway, 40)["admitted"], 20 - lost);
  });

  test("with its whole Envoy: what it held is lost until the window ends, and no more", async () => {
    const first = limitedGateway([minute(100)], { workers: 2 });
    const second = readyGateway({ beside: first, workers: 2 });
    for (let worker = 0; worker < 2; worker++) assert.equal(ask(first, { worker }), "admitted");
    const state = await first.control.counters.inspect(counterId(first), keySubject());
    const held = state.windows[0]!.used - 2;
    first.envoy.kill();
    first.envoy.loop.advance(6000);
    const got = askMany(second, 140, (i) => ({ worker: i % 2 }))["admitted"]!;
    assert.equal(got, 100 - 2 - held);
    second.envoy.advance(60_000);
    assert.equal(askMany(second, 140, (i) => ({ worker: i % 2 }))["admitted"], 100);
  });

  test("an Envoy that starts again under the same name is another one", () => {
    const first = limitedGateway([minute(50)], { workers: 1 });
    assert.equal(ask(first), "admitted");
    const name = first.control.of("leases")[0]!.query.get("gateway")!;
    first.envoy.kill();
    first.workers[0] = startWorker(first.envoy, first.configuration);
    assert.ok(["admitted", "rate_limited"].includes(ask(first)));
    const last = first.control.of("leases").at(-1)!.query.get("gateway")!;
    assert.notEqual(last, name);
    assert.equal(last.split("~")[0], name.split("~")[0]);
  });
});

describe("a gateway cut off past its lease's end", () => {
  test("doesn't spend what it still holds, and returns it when it's back", async () => {
    const first = limitedGateway([minute(100, { windowSeconds: 3600 })], { control: { leaseMs: 5000 } });
    const second = readyGateway({ beside: first });
    assert.equal(ask(first), "admitted");
    const name = first.control.of("leases")[0]!.query.get("gateway");
    first.control.fault = ({ query }) => (query.get("gateway") === name ? { at: "request", how: "silent" } : undefined);
    first.envoy.advance(6000);
    assert.equal(ask(first), "limit_unavailable");
    const got = askMany(second, 120)["admitted"]!;
    first.control.fault = undefined;
    first.envoy.advance(8000);
    assert.equal(got + (askMany(second, 120)["admitted"] ?? 0) + (askMany(first, 120)["admitted"] ?? 0), 99);
  });
});
