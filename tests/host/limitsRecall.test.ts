/** Allowance that one worker parks while another starves. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import {
  ask,
  askMany,
  keySubject,
  limitedGateway,
  minute,
  replaceWorker,
  send,
  settle,
  tally,
} from "./limitsSupport.ts";
import { assertSound, outcome, pluginConfiguration, readyGateway, type Gateway } from "./support.ts";

afterEach(assertSound);

/** What control thinks that each lane holds of the key's counter. */
async function held(gateway: Gateway, limit = "minute"): Promise<number[]> {
  const { windows } = await gateway.control.counters.inspect(
    gateway.control.limitId("tier bronze", limit),
    keySubject(),
  );
  return windows.flatMap(({ holdings }) => holdings.map(({ held }) => held));
}

describe("a worker that starves", () => {
  test("gets what another one of its Envoy parks, within milliseconds", () => {
    const gateway = limitedGateway([minute(20)], { workers: 2 });
    assert.equal(ask(gateway, { worker: 0 }), "admitted");
    gateway.envoy.advance(3000);
    const fromMs = gateway.envoy.nowMs;
    assert.deepEqual(askMany(gateway, 25, { worker: 1 }), { admitted: 19, rate_limited: 6 });
    assert.ok(gateway.envoy.nowMs - fromMs <= 40, `it took ${gateway.envoy.nowMs - fromMs} ms`);
  });

  test("gets what a worker of another Envoy parks", () => {
    const first = limitedGateway([minute(20)]);
    const second = readyGateway({ beside: first });
    assert.equal(ask(first), "admitted");
    first.envoy.advance(3000);
    const fromMs = first.envoy.nowMs;
    assert.deepEqual(askMany(second, 25), { admitted: 19, rate_limited: 6 });
    assert.ok(first.envoy.nowMs - fromMs <= 40, `it took ${first.envoy.nowMs - fromMs} ms`);
  });

  test("gets it from many that park one each", () => {
    const first = limitedGateway([minute(12)], { workers: 4 });
    const gateways = [first, readyGateway({ beside: first, workers: 4 }), readyGateway({ beside: first, workers: 4 })];
    for (let i = 0; i < 6; i++) assert.equal(ask(gateways[i % 2]!, { worker: i >> 1 }), "admitted");
    first.envoy.advance(2000);
    assert.deepEqual(askMany(gateways[2]!, 9, { worker: 3 }), { admitted: 6, rate_limited: 3 });
  });

  test("gets it though the first recalls are lost", () => {
    const first = limitedGateway([minute(20)]);
    const second = readyGateway({ beside: first });
    assert.equal(ask(first), "admitted");
    first.control.losesRecalls = true;
    first.envoy.loop.post(300, () => (first.control.losesRecalls = false));
    assert.deepEqual(askMany(second, 25), { admitted: 19, rate_limited: 6 });
  });

  test("is refused once nobody holds anything that could come back", async () => {
    const first = limitedGateway([minute(20)]);
    const second = readyGateway({ beside: first });
    assert.equal(askMany(first, 30)["admitted"], 20);
    assert.deepEqual(await held(first), []);
    const stream = send(second);
    first.envoy.pump();
    assert.equal(outcome(stream), "rate_limited");
  });

  test("waits no longer than a hold lasts for one whose returns don't come, and gets the failure rule", () => {
    const first = limitedGateway([minute(20)], { configuration: pluginConfiguration({ limitWaitTimeoutMs: 500 }) });
    const second = readyGateway({ beside: first, configuration: first.configuration });
    assert.equal(ask(first), "admitted");
    // everything of the first one's leases is lost from now on
    const gatewayOf = first.control.of("leases")[0]!.query.get("gateway");
    first.control.fault = ({ kind, query }) =>
      kind === "leases" && query.get("gateway") === gatewayOf ? { at: "request", how: "reset" } : undefined;
    const streams = Array.from({ length: 30 }, () => send(second));
    first.envoy.advance(800);
    const got = tally(streams.map(outcome));
    assert.equal(got["held"], undefined);
    assert.equal(got["rate_limited"], undefined);
    assert.ok(got["admitted"]! < 19 && got["limit_unavailable"]! > 11, JSON.stringify(got));
    first.control.fault = undefined;
    first.envoy.advance(2000);
    assert.equal(askMany(second, 25)["admitted"], 19 - got["admitted"]!);
  });

  test("isn't helped by the dead: what a killed worker held stays spent until the window ends", async () => {
    const gateway = limitedGateway([minute(20)], { workers: 2 });
    assert.equal(ask(gateway, { worker: 0 }), "admitted");
    const lost = (await held(gateway)).reduce((sum, amount) => sum + amount, 0) - 1;
    replaceWorker(gateway, 0);
    const { admitted } = askMany(gateway, 40, { worker: 1 });
    assert.equal(admitted, 20 - 1 - lost);
    assert.ok(lost > 0);
    gateway.envoy.advance(60_000);
    assert.equal(askMany(gateway, 40, { worker: 1 })["admitted"], 20);
  });

  test("takes turns with others that starve: all is admitted, whoever asks", () => {
    const first = limitedGateway([minute(300)], { workers: 3 });
    const gateways = [first, readyGateway({ beside: first, workers: 3 })];
    const streams = [];
    for (let i = 0; i < 400; i++) {
      streams.push(send(gateways[i % 2]!, { worker: (i * 7) % 3 }));
      first.envoy.advance(1);
    }
    first.envoy.advance(1500);
    assert.deepEqual(tally(streams.map(outcome)), { admitted: 300, rate_limited: 100 });
  });
});

describe("a recall", () => {
  test("of what was fetched for the next window gives that back too", async () => {
    const first = limitedGateway([minute(20, { windowSeconds: 10 })]);
    const second = readyGateway({ beside: first });
    first.envoy.advance(10_000 - (first.control.nowMs % 10_000) + 5000);
    for (let i = 0; i < 16; i++) {
      ask(first);
      first.envoy.advance(280);
    }
    assert.equal(Math.floor(first.control.nowMs / 1000) % 10, 9);
    const { windows } = await first.control.counters.inspect(
      first.control.limitId("tier bronze", "minute"),
      keySubject(),
    );
    assert.ok(windows.length === 2 && windows[1]!.used > 0, "the next window was fetched");
    first.envoy.advance(1500);
    assert.equal(askMany(second, 30)["admitted"], 20);
  });

  test("of a counter that the worker doesn't know is no harm", () => {
    const gateway = limitedGateway([minute(20)], { workers: 2 });
    assert.equal(askMany(gateway, 30, { worker: 0 })["admitted"], 20);
    gateway.envoy.advance(60_000);
    assert.equal(askMany(gateway, 30, { worker: 1 })["admitted"], 20);
  });
});

describe("what isn't used any more", () => {
  test("goes back after a while, and the counter's place is free", async () => {
    const gateway = limitedGateway([minute(1000, { windowSeconds: 3600 })]);
    assert.equal(ask(gateway), "admitted");
    assert.ok((await held(gateway))[0]! > 1);
    gateway.envoy.advance(70_000);
    assert.deepEqual(await held(gateway), []);
    assert.equal(gateway.envoy.stats.value("tollgate.default.counters"), 0);
    const { windows } = await gateway.control.counters.inspect(
      gateway.control.limitId("tier bronze", "minute"),
      keySubject(),
    );
    assert.equal(windows[0]!.used, 1);
  });

  test("doesn't go back while it's used now and then", async () => {
    const gateway = limitedGateway([minute(1000, { windowSeconds: 3600 })]);
    for (let i = 0; i < 10; i++) {
      assert.equal(ask(gateway), "admitted");
      gateway.envoy.advance(50_000);
    }
    assert.ok(gateway.control.of("leases").length <= 4, `${gateway.control.of("leases").length} calls`);
  });

  test("and is needed again while it goes back is asked for anew", () => {
    const gateway = limitedGateway([minute(1000, { windowSeconds: 3600 })]);
    assert.equal(ask(gateway), "admitted");
    gateway.control.delayMs = 400;
    gateway.envoy.until(() => gateway.control.of("leases").length > 1, 90_000);
    const stream = send(gateway);
    assert.equal(settle(gateway, stream), "admitted");
    gateway.control.delayMs = 0;
    gateway.envoy.advance(80_000);
    assert.equal(askMany(gateway, 1005)["admitted"], 998);
  });
});
