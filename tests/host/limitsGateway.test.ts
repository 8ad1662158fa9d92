/** Limits that an Envoy counts by itself, over its workers: `enforcement: gateway`, standalone gateways, and smoothing. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { ApiInput, LimitInput } from "../../control/domain/schema.ts";
import { compileSnapshot } from "../../control/sync/compile.ts";
import {
  ask,
  askMany,
  calls,
  limitedGateway,
  limitedSpec,
  minute,
  replaceWorker,
  send,
  tally,
} from "./limitsSupport.ts";
import { addRoot, assertSound, endGateway, outcome, startGateway, type Gateway } from "./support.ts";

afterEach(assertSound);

const perGateway = (limit: number, more: Partial<LimitInput> = {}): LimitInput =>
  minute(limit, { enforcement: "gateway", ...more });

function standalone(
  limits: LimitInput[],
  { workers = 1, more = {}, api = {} }: { workers?: number; more?: object; api?: Partial<ApiInput> } = {},
): Gateway {
  const snapshot = compileSnapshot(fillEnvironment(limitedSpec(limits, api), "default")).toString("base64");
  const gateway = startGateway({ configuration: { environment: "default", snapshot, ...more }, workers });
  gateway.envoy.advance(300);
  return gateway;
}

for (const [kind, start] of Object.entries({
  "of enforcement gateway": (limit: number, workers: number, more: Partial<LimitInput> = {}) =>
    limitedGateway([perGateway(limit, more)], { workers }),
  "of a standalone gateway": (limit: number, workers: number, more: Partial<LimitInput> = {}) =>
    standalone([minute(limit, more)], { workers }),
})) {
  describe(`a limit ${kind}`, () => {
    test("admits exactly N over its workers, and calls nobody", () => {
      for (const limit of [1, 2, 10, 500]) {
        for (const workers of [1, 2, 4]) {
          const gateway = start(limit, workers);
          assert.equal(
            askMany(gateway, limit + 3 * workers, (i) => ({ worker: i % workers }))["admitted"],
            limit,
            `${limit} over ${workers}`,
          );
          assert.equal(calls(gateway, "leases"), 0);
          endGateway(gateway);
        }
      }
    });

    test("rolls with the wall clock's windows", () => {
      const gateway = start(6, 2, { windowSeconds: 2 });
      for (let window = 0; window < 4; window++) {
        gateway.envoy.advance(2000 - (gateway.envoy.wallMs % 2000));
        assert.equal(askMany(gateway, 12, (i) => ({ worker: i % 2 }))["admitted"], 6);
        gateway.envoy.advance(1900 - (gateway.envoy.wallMs % 2000));
        assert.equal(askMany(gateway, 2, (i) => ({ worker: i % 2 }))["admitted"], undefined);
      }
    });

    test("never holds a request while a worker alone has what it needs", () => {
      const gateway = start(50, 1);
      for (let i = 0; i < 60; i++) assert.equal(outcome(send(gateway)), i < 50 ? "admitted" : "rate_limited");
    });

    test("takes back what other workers park, within a tick", () => {
      const gateway = start(30, 3);
      for (const worker of [0, 1]) assert.equal(ask(gateway, { worker }), "admitted");
      gateway.envoy.advance(1000);
      const fromMs = gateway.envoy.nowMs;
      assert.deepEqual(askMany(gateway, 31, { worker: 2 }), { admitted: 28, rate_limited: 3 });
      assert.ok(gateway.envoy.nowMs - fromMs <= 40, `it took ${gateway.envoy.nowMs - fromMs} ms`);
    });

    test("gives up what a dead worker parked after a second, and admits no more than N", () => {
      const gateway = start(30, 2);
      assert.equal(ask(gateway, { worker: 0 }), "admitted");
      gateway.envoy.advance(500);
      replaceWorker(gateway, 0);
      const first = Array.from({ length: 40 }, () => send(gateway, { worker: 1 }));
      gateway.envoy.advance(1300);
      const got = tally(first.map(outcome));
      assert.equal(got["held"], undefined);
      assert.ok(got["admitted"]! >= 30 - 1 - 9 && got["admitted"]! < 30, JSON.stringify(got));
      // from then on it's known
      assert.equal(outcome(send(gateway, { worker: 1 })), "rate_limited");
      gateway.envoy.advance(60_000);
      assert.equal(askMany(gateway, 36, (i) => ({ worker: i % 2 }))["admitted"], 30);
    });

    test("is kept when the wall clock is set back", () => {
      const gateway = start(5, 2, { windowSeconds: 10 });
      gateway.envoy.advance(10_000 - (gateway.envoy.wallMs % 10_000) + 5000);
      assert.equal(askMany(gateway, 8, (i) => ({ worker: i % 2 }))["admitted"], 5);
      gateway.envoy.wallMs -= 8000;
      assert.equal(askMany(gateway, 8, (i) => ({ worker: i % 2 }))["admitted"], undefined);
      gateway.envoy.advance(14_000);
      assert.equal(askMany(gateway, 8, (i) => ({ worker: i % 2 }))["admitted"], 5);
    });

    test("goes on when its counters in shared data are spoiled", () => {
      const gateway = start(10, 2);
      assert.equal(askMany(gateway, 4, (i) => ({ worker: i % 2 }))["admitted"], 4);
      for (const name of gateway.envoy.sharedData.keys(""))
        if (/\/g\/|recalls/.test(name)) gateway.envoy.sharedData.set("", name, Buffer.from("garbage"), 0);
      gateway.envoy.advance(60_000);
      assert.equal(askMany(gateway, 20, (i) => ({ worker: i % 2 }))["admitted"], 10);
    });

    test("counts each Envoy for itself", () => {
      const [first, second] = [start(5, 1), start(5, 1)];
      assert.equal(askMany(first!, 8)["admitted"], 5);
      assert.equal(askMany(second!, 8)["admitted"], 5);
    });
  });
}

describe("a limit of enforcement gateway", () => {
  test("doesn't need control once the snapshot is there", () => {
    const gateway = limitedGateway([perGateway(5)], { workers: 2 });
    gateway.control.failure = "reset";
    gateway.envoy.advance(5000);
    assert.equal(askMany(gateway, 8, (i) => ({ worker: i % 2 }))["admitted"], 5);
  });

  test("changed to global, and back, goes on by the other authority at once", () => {
    const gateway = limitedGateway([perGateway(5)], { workers: 2 });
    assert.equal(askMany(gateway, 8, (i) => ({ worker: i % 2 }))["admitted"], 5);
    gateway.control.change((spec) => void (spec.tiers[0]!.limits[0]!.enforcement = "global"));
    gateway.envoy.pump();
    assert.equal(askMany(gateway, 8, (i) => ({ worker: i % 2 }))["admitted"], 5);
    gateway.control.change((spec) => void (spec.tiers[0]!.limits[0]!.enforcement = "gateway"));
    gateway.envoy.pump();
    assert.equal(askMany(gateway, 8, (i) => ({ worker: i % 2 }))["admitted"], undefined);
  });

  test("raised, and lowered, in the middle of a window counts what was admitted before", () => {
    const gateway = limitedGateway([perGateway(10)], { workers: 2 });
    assert.equal(askMany(gateway, 4, (i) => ({ worker: i % 2 }))["admitted"], 4);
    gateway.control.change((spec) => void (spec.tiers[0]!.limits[0]!.limit = 6));
    gateway.envoy.pump();
    assert.equal(askMany(gateway, 8, (i) => ({ worker: i % 2 }))["admitted"], 2);
    gateway.control.change((spec) => void (spec.tiers[0]!.limits[0]!.limit = 9));
    gateway.envoy.pump();
    assert.equal(askMany(gateway, 8, (i) => ({ worker: i % 2 }))["admitted"], 3);
  });
});

describe("a standalone gateway", () => {
  test("counts on when its configuration is loaded again with the same snapshot", () => {
    const gateway = standalone([minute(10)], { workers: 2 });
    assert.equal(askMany(gateway, 6, (i) => ({ worker: i % 2 }))["admitted"], 6);
    for (const worker of gateway.workers) {
      const old = worker.root;
      worker.root = addRoot(worker.vm, { ...gateway.configuration, snapshotWaitTimeoutMs: 1 });
      worker.vm.closeRoot(old);
    }
    gateway.envoy.advance(2000);
    assert.equal(askMany(gateway, 12, (i) => ({ worker: i % 2 }))["admitted"], 4);
  });

  test("keeps all subjects and periods, global ones too", () => {
    const gateway = standalone([
      minute(9, { name: "a", subject: "consumer" }),
      { name: "q", kind: "quota", limit: 4, period: "day" },
      { name: "f", kind: "quota", limit: 7, period: "1h", subject: "ip" },
    ]);
    assert.deepEqual(askMany(gateway, 6), { admitted: 4, quota_exceeded: 2 });
  });

  test("applies an API's failure rule never: it needs nobody", () => {
    const gateway = standalone([minute(3)], { api: { failureMode: "open" }, workers: 2 });
    assert.equal(askMany(gateway, 9, (i) => ({ worker: i % 2 }))["admitted"], 3);
  });
});

describe("smoothing", () => {
  const paced = (perSecond: number, burst: number, more: Partial<LimitInput> = {}): LimitInput =>
    minute(100_000, { smoothing: { perSecond, burst }, ...more });

  for (const enforcement of ["global", "gateway"] as const) {
    test(`lets a burst through, then so many a second, over all workers (${enforcement})`, () => {
      for (const workers of [1, 3]) {
        const gateway = limitedGateway([paced(10, 5, { enforcement })], { workers });
        gateway.envoy.advance(1000);
        let turn = 0;
        const burst = askMany(gateway, 20, () => ({ worker: turn++ % workers }));
        assert.equal(burst["admitted"], 5, `${workers} workers`);
        // a second of one request each 10 ms
        const fromMs = gateway.envoy.nowMs;
        let admitted = 0;
        while (gateway.envoy.nowMs < fromMs + 10_000) {
          if (ask(gateway, { worker: turn++ % workers }) === "admitted") admitted++;
          gateway.envoy.advance(10);
        }
        assert.ok(admitted >= 99 && admitted <= 101, `${admitted} in 10 s at ${workers} workers`);
        // a pause fills the burst again, and no more
        gateway.envoy.advance(60_000);
        assert.equal(askMany(gateway, 20, () => ({ worker: turn++ % workers }))["admitted"], 5);
        endGateway(gateway);
      }
    });
  }

  test("of a large burst and a high pace isn't let through more than once over", () => {
    const gateway = limitedGateway([paced(1000, 200)], { workers: 4 });
    gateway.envoy.advance(1000);
    let turn = 0;
    assert.equal(askMany(gateway, 400, () => ({ worker: turn++ % 4 }))["admitted"], 200);
  });

  test("counts a request's cost", () => {
    const gateway = limitedGateway([paced(10, 6)], { api: { routes: [{ path: "/x", cost: 3 }] } });
    gateway.envoy.advance(1000);
    assert.equal(askMany(gateway, 5)["admitted"], 2);
    gateway.envoy.advance(300);
    assert.equal(askMany(gateway, 5)["admitted"], 1);
  });

  test("that refuses takes nothing from the limit itself, nor from other paces", () => {
    const gateway = limitedGateway([
      minute(40, { name: "a", smoothing: { perSecond: 1, burst: 30 } }),
      minute(40, { name: "b", smoothing: { perSecond: 10, burst: 5 } }),
    ]);
    gateway.envoy.advance(1000);
    assert.equal(askMany(gateway, 50)["admitted"], 5);
    // b lets one through every 100 ms; a, from which refused requests took nothing, has 25 of its burst left
    let admitted = 0;
    for (let i = 0; i < 30; i++) {
      gateway.envoy.advance(100);
      if (ask(gateway) === "admitted") admitted++;
    }
    assert.equal(admitted, 25 + 3);
  });

  test("says when to come again", () => {
    const gateway = limitedGateway([paced(1, 2)]);
    gateway.envoy.advance(1000);
    askMany(gateway, 2);
    const stream = send(gateway);
    assert.equal(outcome(stream), "rate_limited");
    assert.equal(stream.response!.headers.first("retry-after"), "1");
  });

  test("doesn't outlive its limit", () => {
    const gateway = limitedGateway([paced(1, 1)]);
    gateway.envoy.advance(1000);
    assert.equal(askMany(gateway, 3)["admitted"], 1);
    gateway.control.change((spec) => void delete spec.tiers[0]!.limits[0]!.smoothing);
    gateway.envoy.pump();
    assert.equal(askMany(gateway, 3)["admitted"], 3);
  });
});
