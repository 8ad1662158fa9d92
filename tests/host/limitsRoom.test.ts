/** Room for counters is bounded: a full worker keeps those that it has, and new ones get the failure rule until places are free. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { ApiInput, LimitInput } from "../../control/domain/schema.ts";
import type { Stream } from "./host.ts";
import { ask, limitedSpec, send, settle, tally } from "./limitsSupport.ts";
import {
  assertSound,
  counters,
  endGateway,
  outcome,
  pluginConfiguration,
  readyGateway,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

/** The least that `maxCounters` may be, and what a worker has places for. */
const MOST = 1024;
const perAddress = (limit: number, more: Partial<LimitInput> = {}): LimitInput => ({
  name: "ip",
  kind: "rate",
  limit,
  windowSeconds: 3600,
  subject: "ip",
  ...more,
});
const address = (i: number): string => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}:1`;

function start(
  limit: LimitInput,
  { api = {}, ...more }: { api?: Partial<ApiInput>; maxCounters?: number; limitWaitTimeoutMs?: number } = {},
): Gateway {
  const gateway = readyGateway({
    spec: limitedSpec([limit], api),
    configuration: pluginConfiguration({ maxCounters: MOST, ...more }),
  });
  gateway.envoy.recording = false;
  gateway.envoy.advance(500);
  return gateway;
}

/** A request from each of so many addresses; ended once it's decided, for there are many. */
function flood(gateway: Gateway, from: number, count: number): Record<string, number> {
  const outcomes: string[] = [];
  for (let i = from; i < from + count; i++) {
    const stream = send(gateway, { address: address(i) });
    outcomes.push(settle(gateway, stream));
    gateway.workers[0]!.vm.end(stream);
  }
  return tally(outcomes);
}

const places = (gateway: Gateway): number => {
  gateway.envoy.advance(1500);
  return gateway.envoy.stats.value("tollgate.default.counters");
};

for (const enforcement of ["global", "gateway"] as const) {
  describe(`when all places are taken (${enforcement})`, () => {
    test("new counters get the failure rule, old ones go on as before", () => {
      const gateway = start(perAddress(3, { enforcement }));
      assert.deepEqual(flood(gateway, 0, MOST), { admitted: MOST });
      assert.equal(places(gateway), MOST);
      assert.deepEqual(flood(gateway, MOST, 300), { limit_unavailable: 300 });
      assert.equal(places(gateway), MOST);
      for (const i of [0, 511, 1023]) {
        assert.deepEqual(
          Array.from({ length: 4 }, () => ask(gateway, { address: address(i) })),
          ["admitted", "admitted", "rate_limited", "rate_limited"],
        );
      }
    });

    test("an open API admits new ones, counts and marks them", () => {
      const gateway = start(perAddress(3, { enforcement }), { api: { failureMode: "open" } });
      flood(gateway, 0, MOST);
      const stream = send(gateway, { address: address(5000) });
      assert.equal(outcome(stream), "admitted");
      assert.equal(stream.headers.first("x-tollgate-unchecked"), "limit_unavailable");
      assert.equal(counters(gateway)["overshoot"], 1);
    });

    test("nothing is forgotten that would let anybody start over", () => {
      const gateway = start(perAddress(2, { enforcement }));
      for (let round = 0; round < 2; round++) flood(gateway, 0, MOST);
      flood(gateway, MOST, 2000);
      for (let i = 0; i < MOST; i += 101) assert.equal(ask(gateway, { address: address(i) }), "rate_limited");
    });

    test("places become free once their windows are over", () => {
      const gateway = start(perAddress(2, { enforcement, windowSeconds: 10 }));
      flood(gateway, 0, MOST);
      assert.equal(outcome(send(gateway, { address: address(9000) })), "limit_unavailable");
      gateway.envoy.advance(12_000);
      assert.equal(places(gateway), 0);
      assert.deepEqual(flood(gateway, MOST, MOST), { admitted: MOST });
    });

    test("places become free when their counters aren't used any more, and what they held is back", async () => {
      const gateway = start(perAddress(1000, { enforcement }));
      flood(gateway, 0, MOST);
      gateway.envoy.advance(90_000);
      assert.equal(places(gateway), 0);
      assert.deepEqual(flood(gateway, MOST, 100), { admitted: 100 });
      // whoever comes back finds what it has spent
      const stream = send(gateway, { address: address(7) });
      assert.equal(settle(gateway, stream), "admitted");
      gateway.workers[0]!.vm.respond(stream);
      assert.match(stream.response!.headers.first("ratelimit")!, /r=998;/);
    });
  });
}

describe("a flood over very many subjects", () => {
  test("neither grows the worker past its bound nor stops those who are known", () => {
    const gateway = start(perAddress(1000), { maxCounters: 4096, limitWaitTimeoutMs: 200 });
    const { vm } = gateway.workers[0]!;
    flood(gateway, 0, 4096);
    gateway.envoy.advance(2000);
    const memory = vm.memoryBytes;
    const got: Record<string, number> = {};
    for (let i = 0; i < 30_000; i++) {
      const stream: Stream = send(gateway, { address: address(4096 + i) });
      if (i % 50 === 0) {
        gateway.envoy.advance(1);
        assert.equal(outcome(send(gateway, { address: address(i % 4096) })), "admitted");
      }
      got[outcome(stream)] = (got[outcome(stream)] ?? 0) + 1;
      vm.end(stream);
    }
    assert.deepEqual(got, { limit_unavailable: 30_000 });
    assert.equal(vm.memoryBytes, memory);
    assert.deepEqual(gateway.envoy.traps, []);
  });

  test("within the bound takes memory ahead of need, so that nobody is refused for it", () => {
    const gateway = start(perAddress(5), { maxCounters: 65_536 });
    const got: Record<string, number> = {};
    for (let i = 0; i < 20_000; i++) {
      const stream = send(gateway, { address: address(i) });
      gateway.envoy.pump();
      got[outcome(stream)] = (got[outcome(stream)] ?? 0) + 1;
      gateway.workers[0]!.vm.end(stream);
    }
    assert.deepEqual(got, { admitted: 20_000 });
    assert.equal(places(gateway), 20_000);
    endGateway(gateway);
  });
});
