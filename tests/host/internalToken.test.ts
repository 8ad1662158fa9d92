/** Internal tokens: fetched for callers that are active, set as a claim, renewed ahead, and what happens without control. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import fc from "fast-check";
import type { FileInput } from "../../control/domain/schema.ts";
import { checksum } from "../../control/sync/frames.ts";
import type { HeaderInput, Properties, Stream } from "./host.ts";
import { calls, minute, settle, tally } from "./limitsSupport.ts";
import {
  assertSound,
  basicSpec,
  counters,
  endGateway,
  keyNamed,
  keyRecord,
  outcome,
  pluginConfiguration,
  readyGateway,
  startGateway,
  type Gateway,
  type GatewayOptions,
} from "./support.ts";
import { apiOf, tokenOf, tokenSpec } from "./tokenSupport.ts";

afterEach(assertSound);

const header = "x-tollgate-token";
const configuration = (more: object = {}) => pluginConfiguration({ claims: { token: header }, ...more });

function tokenGateway(options: GatewayOptions = {}): Gateway {
  return readyGateway({ configuration: configuration(), ...options });
}

function send(
  gateway: Gateway,
  {
    worker = 0,
    key = "acme-1",
    path = "/x",
    headers = {} as Record<string, string>,
    properties = {} as Properties,
  } = {},
): Stream {
  const own: HeaderInput = key === "" ? headers : { ...headers, "x-api-key": keyNamed(key) };
  return gateway.get(path, own, { worker, properties });
}

function ask(
  gateway: Gateway,
  call: Parameters<typeof send>[1] = {},
): { outcome: string; token: string | undefined; unchecked: string | undefined } {
  const stream = send(gateway, call);
  const result = settle(gateway, stream);
  return {
    outcome: result,
    token: stream.headers.first(header),
    unchecked: stream.headers.first("x-tollgate-unchecked"),
  };
}

/** Many consumers, each with a key of its id. */
function crowd(size: number): FileInput {
  const spec = basicSpec();
  const ids = Array.from({ length: size }, (_, i) => `c${i}`);
  spec.consumers!.push(...ids.map((id) => ({ id, tier: "bronze" })));
  spec.keys!.push(...ids.map((id) => keyRecord(id, id)));
  return spec;
}

describe("a token", () => {
  test("is fetched with the caller's first request, which waits, and serves the next ones from memory", () => {
    const gateway = tokenGateway();
    const first = send(gateway);
    assert.equal(first.state, "held");
    assert.equal(settle(gateway, first), "admitted");
    assert.equal(first.headers.first(header), "acme.bronze.all.1");
    for (let i = 0; i < 50; i++) {
      const stream = send(gateway);
      assert.equal(stream.state, "forwarded");
      assert.equal(stream.headers.first(header), "acme.bronze.all.1");
    }
    assert.equal(calls(gateway, "tokens"), 1);
    const [asked] = gateway.control.tokens.asks;
    assert.deepEqual([asked!.ask.kind, asked!.ask.scopes], ["key", undefined]);
  });

  test("is asked for once by many that wait, and for many callers with few calls", () => {
    const gateway = tokenGateway({ spec: crowd(150) });
    gateway.control.delayMs = 20;
    const streams = Array.from({ length: 450 }, (_, i) => send(gateway, { key: `c${i % 150}` }));
    gateway.envoy.advance(300);
    assert.deepEqual(tally(streams.map(outcome)), { admitted: 450 });
    streams.forEach((stream, i) => assert.match(stream.headers.first(header)!, new RegExp(`^c${i % 150}\\.bronze\\.`)));
    assert.equal(gateway.control.tokens.asks.length, 150);
    assert.ok(gateway.control.tokens.calls.length <= 5, `${gateway.control.tokens.calls}`);
  });

  test("that a client sends is removed wherever the request goes, in every spelling", () => {
    const gateway = tokenGateway();
    ask(gateway);
    const forged = { "x-tollgate-token": "forged", X_Tollgate_Token: "forged", "x-tollgate_token": "forged" };
    for (const [path, key, wanted] of [
      ["/x", "acme-1", ["acme.bronze.all.1"]],
      ["/public", "", []],
    ] as const) {
      const stream = send(gateway, { path, key, headers: forged });
      assert.equal(outcome(stream), "admitted");
      assert.deepEqual(
        stream.headers.pairs.filter(([name]) => /^x.tollgate.token$/i.test(name)).map(([, value]) => value),
        wanted,
      );
    }
    const refused = send(gateway, { key: "nobody", headers: forged });
    assert.equal(outcome(refused), "unknown_key");
    assert.equal(refused.headers.first(header), undefined);
  });

  test("may go into a header outside of the prefix, which is then removed as well", () => {
    const gateway = tokenGateway({ configuration: configuration({ claims: { token: "x-mesh-identity" } }) });
    const stream = send(gateway, { headers: { X_Mesh_Identity: "forged" } });
    settle(gateway, stream);
    assert.deepEqual(
      stream.headers.pairs.filter(([name]) => /mesh/i.test(name)),
      [["x-mesh-identity", "acme.bronze.all.1"]],
    );
  });

  test("isn't fetched unless it's configured", () => {
    const gateway = tokenGateway({ configuration: pluginConfiguration() });
    assert.deepEqual(ask(gateway), { outcome: "admitted", token: undefined, unchecked: undefined });
    assert.equal(calls(gateway, "tokens"), 0);
  });

  test("of a caller by token or certificate is about its consumer, tier and scopes", () => {
    const spec = tokenSpec([apiOf("jwt", { jwt: { tierClaim: "plan", scopeClaim: "scope" } }), apiOf("mtls")]);
    const gateway = tokenGateway({ spec });
    const of = (properties: Properties, path = "/jwt/x") => ask(gateway, { path, key: "", properties }).token;
    assert.equal(of(tokenOf("beta", { scope: "read write" })), "beta.gold.read+write.1");
    assert.equal(of(tokenOf("beta", { scope: "read" })), "beta.gold.read.2");
    assert.equal(of(tokenOf("beta", { scope: "read", plan: "bronze" })), "beta.bronze.read.3");
    assert.equal(of(tokenOf("beta", { scope: "read write" })), "beta.gold.read+write.1");
    assert.equal(
      of({ "connection.uri_san_peer_certificate": "spiffe://cluster.local/ns/shop/sa/beta" }, "/mtls/x"),
      "beta.gold.all.4",
    );
    assert.deepEqual(
      gateway.control.tokens.asks.map(({ ask: { kind } }) => kind),
      ["token", "token", "token", "peer"],
    );
  });

  test("isn't there for callers of whom there is no record: they go on without", () => {
    const spec = tokenSpec([apiOf("jwt", { jwt: { tierClaim: "plan", unknownConsumers: "allow" } })]);
    const gateway = tokenGateway({ spec });
    assert.deepEqual(ask(gateway, { path: "/jwt/x", key: "", properties: tokenOf("stranger", { plan: "gold" }) }), {
      outcome: "admitted",
      token: undefined,
      unchecked: undefined,
    });
    assert.equal(calls(gateway, "tokens"), 0);
  });
});

describe("renewal", () => {
  test("comes ahead of the end while the caller is active: nobody waits again", () => {
    const gateway = tokenGateway();
    gateway.control.tokens.lifetimeMs = 60_000;
    ask(gateway);
    let last = "";
    for (let second = 0; second < 300; second++) {
      const stream = send(gateway);
      assert.equal(stream.state, "forwarded", `second ${second}`);
      last = stream.headers.first(header)!;
      gateway.envoy.advance(1000);
    }
    const { asks } = gateway.control.tokens;
    assert.ok(asks.length >= 7 && asks.length <= 10, `${asks.length} tokens in 300 s`);
    assert.match(last, new RegExp(`\\.${asks.length}$`));
  });

  test("isn't there for who doesn't call: it waits for a new one afterwards", () => {
    const gateway = tokenGateway();
    gateway.control.tokens.lifetimeMs = 60_000;
    ask(gateway);
    gateway.envoy.advance(600_000);
    assert.equal(calls(gateway, "tokens"), 1);
    const stream = send(gateway);
    assert.equal(stream.state, "held");
    assert.equal(settle(gateway, stream), "admitted");
    assert.equal(stream.headers.first(header), "acme.bronze.all.2");
  });

  test("follows a change of tier, claims or scopes at once; other changes cost no call", () => {
    const gateway = tokenGateway();
    assert.equal(ask(gateway).token, "acme.bronze.all.1");
    gateway.control.change((spec) => void spec.tiers.push({ id: "gold", scopes: ["read"], limits: [] }));
    gateway.envoy.advance(200);
    assert.equal(send(gateway).headers.first(header), "acme.bronze.all.1");
    gateway.control.change((spec) => void (spec.consumers[0]!.tier = "gold"));
    gateway.envoy.advance(200);
    assert.equal(ask(gateway).token, "acme.gold.all.2");
    gateway.control.change((spec) => void (spec.consumers[0]!.claims = { org: "other" }));
    gateway.envoy.advance(200);
    assert.equal(ask(gateway).token, "acme.gold.all.3");
    gateway.control.change((spec) => void (spec.tiers.find(({ id }) => id === "gold")!.scopes = ["write"]));
    gateway.envoy.advance(200);
    assert.equal(ask(gateway).token, "acme.gold.all.4");
    assert.equal(ask(gateway).token, "acme.gold.all.4");
  });

  test("ends with the key: a revoked one gets nothing, nor does its token live on for a new key of the digest", () => {
    const gateway = tokenGateway();
    ask(gateway);
    gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
    gateway.envoy.advance(200);
    assert.deepEqual(ask(gateway), { outcome: "key_revoked", token: undefined, unchecked: undefined });
    gateway.control.change((spec) => {
      spec.consumers.push({ id: "beta", tier: "bronze", claims: {}, suspended: false });
      Object.assign(spec.keys[0]!, { state: "active", consumer: "beta" });
    });
    gateway.envoy.advance(200);
    assert.equal(ask(gateway).token, "beta.bronze.all.2");
  });

  test("another epoch's wire ids are never mixed up with this one's", () => {
    const gateway = tokenGateway();
    ask(gateway);
    gateway.control.newEpoch(0x99n);
    gateway.envoy.advance(2000);
    assert.equal(ask(gateway).token, "acme.bronze.all.2");
  });
});

describe("without control", () => {
  test("a token is used until its end, then the API is closed; back again, all goes on", () => {
    const gateway = tokenGateway();
    gateway.control.tokens.lifetimeMs = 60_000;
    ask(gateway);
    gateway.control.failure = "reset";
    for (let second = 0; second < 58; second++) {
      assert.equal(send(gateway).headers.first(header), "acme.bronze.all.1", `second ${second}`);
      gateway.envoy.advance(1000);
    }
    gateway.envoy.advance(2000);
    const late = send(gateway);
    assert.equal(outcome(late), "token_unavailable");
    assert.equal(late.localResponse!.status, 503);
    assert.ok(late.localResponse!.headers.some(([name]) => name === "retry-after"));
    assert.equal(late.headers.first(header), undefined);
    gateway.control.failure = undefined;
    gateway.envoy.advance(3000);
    assert.equal(ask(gateway).outcome, "admitted");
    assert.ok(counters(gateway)["tokens_failed"]! > 3);
  });

  test("a caller without a token waits as long as it may, then is refused; later ones aren't held in vain", () => {
    const gateway = tokenGateway({ configuration: configuration({ limitWaitTimeoutMs: 500 }) });
    gateway.control.failure = 503;
    const start = gateway.envoy.nowMs;
    assert.equal(ask(gateway).outcome, "token_unavailable");
    const waited = gateway.envoy.nowMs - start;
    assert.ok(waited >= 480 && waited < 700, `${waited} ms`);
    gateway.envoy.advance(1000);
    assert.equal(outcome(send(gateway)), "token_unavailable");
  });

  for (const failureMode of ["open", "local"] as const) {
    test(`failureMode ${failureMode}: the request goes on without a token, marked`, () => {
      const spec = basicSpec();
      spec.apis![0]!.failureMode = failureMode;
      const gateway = tokenGateway({ spec, configuration: configuration({ limitWaitTimeoutMs: 100 }) });
      gateway.control.failure = "reset";
      assert.deepEqual(ask(gateway), { outcome: "admitted", token: undefined, unchecked: "token_unavailable" });
    });
  }

  test("a lost answer is asked for again, within the time that requests wait", () => {
    for (const how of ["reset", 503, 500] as const) {
      const gateway = tokenGateway();
      let lost = 3;
      gateway.control.fault = ({ kind }) => (kind === "tokens" && lost-- > 0 ? { at: "answer", how } : undefined);
      assert.equal(ask(gateway).outcome, "admitted");
    }
  });

  test("answers that are broken, of another call or cut count as lost", () => {
    for (const spoil of [
      (body: Buffer) => body.subarray(0, 40),
      (body: Buffer) => ((body[60]! ^= 1), body),
      (body: Buffer) => Buffer.concat([body, body]),
      () => Buffer.alloc(0),
    ]) {
      const gateway = tokenGateway();
      let times = 2;
      gateway.control.tamper = (body, { kind }) => (kind === "tokens" && times-- > 0 ? spoil(Buffer.from(body)) : body);
      assert.equal(ask(gateway).outcome, "admitted");
    }
  });

  test("a request that waits has taken nothing from its limits", () => {
    const spec = basicSpec();
    spec.tiers![0]!.limits = [minute(10)];
    const gateway = tokenGateway({ spec });
    gateway.control.delayMs = 50;
    const outcomes = Array.from({ length: 15 }, () => send(gateway)).map((stream) => settle(gateway, stream));
    assert.deepEqual(tally(outcomes), { admitted: 10, rate_limited: 5 });
  });

  test("no more wait than may", () => {
    const gateway = tokenGateway({ configuration: configuration({ maxLimitWaiters: 5 }) });
    gateway.control.delayMs = 200;
    const streams = Array.from({ length: 8 }, () => send(gateway));
    assert.deepEqual(tally(streams.map(outcome)), { held: 5, token_unavailable: 3 });
    gateway.envoy.advance(500);
    assert.deepEqual(tally(streams.map(outcome)), { admitted: 5, token_unavailable: 3 });
  });

  test("clients that go away while they wait harm nobody", () => {
    const gateway = tokenGateway();
    gateway.control.delayMs = 100;
    const streams = Array.from({ length: 20 }, () => send(gateway));
    streams.forEach((stream, i) => i % 2 === 0 && gateway.workers[0]!.vm.end(stream));
    gateway.envoy.advance(500);
    assert.ok(streams.filter((_, i) => i % 2 === 1).every((stream) => outcome(stream) === "admitted"));
  });
});

describe("control's word", () => {
  test("that the environment issues none lets requests go on without, and is asked anew after a while", () => {
    const gateway = tokenGateway();
    gateway.control.tokens.enabled = false;
    assert.deepEqual(ask(gateway), { outcome: "admitted", token: undefined, unchecked: undefined });
    assert.equal(send(gateway).state, "forwarded");
    assert.equal(calls(gateway, "tokens"), 1);
    gateway.control.tokens.enabled = true;
    gateway.envoy.advance(6000);
    send(gateway);
    gateway.envoy.advance(100);
    assert.equal(send(gateway).headers.first(header), "acme.bronze.all.1");
  });

  test("that a token would be too large closes the API for that caller, and the log says so", () => {
    const gateway = tokenGateway();
    gateway.control.tokens.padding = "x".repeat(9000);
    assert.equal(ask(gateway).outcome, "token_unavailable");
    assert.ok(gateway.envoy.logs.some(({ message }) => message.includes("too large for a header")));
    assert.equal(outcome(send(gateway)), "token_unavailable");
    assert.equal(calls(gateway, "tokens"), 1);
  });

  test("large tokens fit", () => {
    const gateway = tokenGateway({ spec: crowd(100) });
    gateway.control.tokens.padding = "x".repeat(8000);
    const streams = Array.from({ length: 100 }, (_, i) => send(gateway, { key: `c${i}` }));
    gateway.envoy.advance(500);
    streams.forEach((stream, i) =>
      assert.match(stream.headers.first(header)!, new RegExp(`^c${i}\\.bronze\\.all\\.\\d+x{8000}$`)),
    );
  });
});

describe("the cache", () => {
  test("is bounded: more callers than it has places are served all the same", () => {
    const size = 20_000;
    const gateway = tokenGateway({ spec: crowd(size), control: { recordsPerPage: 5000 } });
    gateway.envoy.recording = false;
    for (let i = 0; i < size; i++) {
      const stream = send(gateway, { key: `c${i}` });
      if (stream.state === "held") gateway.envoy.until(() => stream.state !== "held");
      assert.match(stream.headers.first(header)!, new RegExp(`^c${i}\\.`));
      gateway.workers[0]!.vm.end(stream);
    }
    assert.equal(ask(gateway, { key: `c${size - 1}` }).outcome, "admitted");
    assert.ok(gateway.control.tokens.asks.length <= size + 1);
  });

  test("takes no memory on the request path", () => {
    const gateway = tokenGateway({ spec: crowd(200) });
    gateway.envoy.recording = false;
    gateway.control.tokens.lifetimeMs = 60_000;
    const { vm } = gateway.workers[0]!;
    const round = (times: number): void => {
      for (let i = 0; i < times; i++) {
        const stream = send(gateway, { key: `c${i % 200}` });
        if (stream.state === "held" || i % 50 === 0) gateway.envoy.advance(100);
        vm.end(stream);
      }
    };
    round(2000);
    const before = vm.memoryBytes;
    round(8000);
    assert.equal(vm.memoryBytes, before);
    assert.deepEqual(gateway.envoy.traps, []);
  });
});

describe("any answer", () => {
  test("changed on its way counts as none, and tokens are still whose they are", () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.tuple(fc.nat(), fc.nat(7), fc.boolean())), (damage) => {
        const gateway = tokenGateway({ spec: crowd(10) });
        let times = 5;
        gateway.control.tamper = (body, { kind }) => {
          if (kind !== "tokens" || times-- <= 0) return body;
          const [at, bit, cut] = damage.next().value;
          if (cut) return body.subarray(0, at % body.length);
          body[at % body.length]! ^= 1 << bit;
          return body;
        };
        for (let i = 0; i < 20; i++) send(gateway, { key: `c${i % 10}` });
        gateway.envoy.advance(3000);
        for (let i = 0; i < 10; i++) assert.match(ask(gateway, { key: `c${i}` }).token!, new RegExp(`^c${i}\\.`));
        endGateway(gateway);
      }),
      { numRuns: 30 },
    );
  });

  test("of any content with a right checksum never traps, and puts nothing but visible ASCII into the header", () => {
    fc.assert(
      fc.property(
        fc.infiniteStream(fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 10 }), fc.boolean())),
        (damage) => {
          const gateway = tokenGateway({ spec: crowd(10), configuration: configuration({ limitWaitTimeoutMs: 200 }) });
          gateway.control.tamper = (body, { kind }) => {
            if (kind !== "tokens") return body;
            const [at, patch, whole] = damage.next().value;
            if (whole && body.length > 56) body.fill(patch[0]!, 56);
            body.set(patch.subarray(0, body.length - (at % body.length)), at % body.length);
            if (body.readUInt32LE(8) + 48 === body.length) body.writeUInt32LE(checksum(body, body.subarray(48)), 12);
            return body;
          };
          for (let i = 0; i < 40; i++) {
            const { outcome, token = "t" } = ask(gateway, { key: `c${i % 10}` });
            assert.notEqual(outcome, "trap");
            assert.match(token, /^[\x21-\x7e]+$/);
          }
          endGateway(gateway);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe("observe", () => {
  test("sets tokens where there are some, and holds and refuses nobody", () => {
    const gateway = tokenGateway({ configuration: configuration({ mode: "observe" }) });
    const first = send(gateway);
    assert.equal(first.state, "forwarded");
    assert.equal(first.headers.first(header), undefined);
    gateway.envoy.advance(100);
    assert.equal(send(gateway).headers.first(header), "acme.bronze.all.1");
    assert.equal(counters(gateway)["observed.token_unavailable"], 1);
  });
});

test("the configuration is refused with a snapshot, with another claim's header, and with a header of the message", () => {
  const refused = (more: object): string => {
    const gateway = startGateway();
    const vm = gateway.envoy.newVm({});
    const root = vm.newRoot(pluginConfiguration(more), { pluginName: "other", rootId: "other" });
    assert.equal(root.accepted, false);
    return gateway.envoy.logTail();
  };
  assert.match(refused({ claims: { token: "authorization" } }), /claims\.token/);
  assert.match(refused({ claims: { token: "x-tollgate-tier" } }), /two claims/);
  assert.match(
    refused({ control: undefined, snapshot: "AAAA", claims: { token: header } }),
    /claims\.token: not with snapshot/,
  );
});
