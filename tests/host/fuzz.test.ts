import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { afterEach, describe, test } from "node:test";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import { compileSnapshot } from "../../control/sync/compile.ts";
import { recallFrame } from "../../control/sync/recallFrame.ts";
import { utf8, type Pair, type Stream } from "./host.ts";
import { keySubject, limitedSpec, minute, send } from "./limitsSupport.ts";
import {
  assertSound,
  basicSpec,
  endGateway,
  keyNamed,
  keyRecord,
  outcome,
  pluginConfiguration,
  readyGateway,
  startGateway,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

const key = keyNamed("acme-1");
const upstream = { service: "echo", port: 8080 };
const keySources = [{ header: "x-api-key" }, { bearer: true }, { query: "api_key" }, { cookie: "api_key" }];

function richSpec(): FileInput {
  const spec = basicSpec();
  return {
    ...spec,
    apis: [
      ...spec.apis!,
      {
        id: "orders",
        hosts: ["shop.example.com", "*.example.org"],
        paths: ["/orders", "/v2/orders"],
        methods: ["GET", "POST"],
        upstream,
        scopes: ["read"],
        routes: [{ path: "/orders/export", methods: ["GET"], scopes: ["export"] }],
        limits: [{ name: "m", kind: "rate", limit: 5, windowSeconds: 60 }],
        cors: { allowOrigins: ["https://*.example.com"], exposeHeaders: ["etag"] },
      },
    ],
    tiers: [
      { id: "bronze", scopes: ["read"], limits: [{ name: "day", kind: "quota", limit: 5, period: "day" }] },
      { id: "few", scopes: ["*"], apis: ["orders"] },
    ],
    consumers: [{ id: "acme", tier: "bronze", claims: { org: "acme-corp", region: "eu" } }, { id: "b" }],
    keys: [
      keyRecord("acme-1", "acme"),
      keyRecord("acme-2", "acme", {
        expiresAt: "2027-01-01T00:00:00Z",
        allowedCidrs: ["10.0.0.0/8", "2001:db8::/32"],
        apis: ["orders"],
        scopes: ["read"],
        tier: "few",
      }),
      keyRecord("b-1", "b"),
    ],
  };
}

/** Any bytes but NUL, CR and LF, as a header can carry them. */
const bytes = fc.string({
  unit: fc
    .integer({ min: 1, max: 255 })
    .filter((c) => c !== 10 && c !== 13)
    .map((c) => String.fromCharCode(c)),
  maxLength: 400,
});
const pieces = fc.constantFrom(
  "/",
  "..",
  ".",
  "%2e",
  "%2f",
  "%5c",
  "\\",
  ";",
  "//",
  "?",
  "&",
  "=",
  "api_key",
  key,
  keyNamed("acme-2"),
  "%",
  "%zz",
  "public",
  "orders",
  "export",
  "#",
  "+",
  "%00",
  '"',
  ",",
  " ",
  "Bearer ",
  "tg_",
  "tg_default_",
  "\xff",
  utf8("ü"),
);
const pieced = fc
  .array(fc.oneof(pieces, bytes), { maxLength: 12 })
  .map((parts) => parts.join("").replace(/[\r\n\0]/g, ""));
const path = fc.oneof(
  pieced.map((text) => `/${text}`),
  pieced,
  bytes,
);
const names = fc.constantFrom(
  "x-api-key",
  "authorization",
  "cookie",
  "origin",
  "access-control-request-method",
  "content-type",
  "x-tollgate-tier",
  "x_tollgate_consumer",
  "X-Tollgate-",
  "accept",
  "",
);
const header = fc.tuple(
  fc.oneof(names, fc.stringMatching(/^[a-z_-]{1,30}$/)),
  fc.oneof(
    pieced,
    bytes,
    fc.constant(`Bearer ${key}`),
    fc.constant(`api_key=${key}`),
    pieced.map((text) => `api_key=${text}; a=${text}`),
  ),
);

const arrangements = { numRuns: 1500 };

/** What becomes of a request once its allowance has come. */
function decided(gateway: Gateway, stream: Stream): string {
  gateway.envoy.pump();
  return outcome(stream);
}

function leaks(stream: Stream): string[] {
  return stream.headers.pairs.filter(([, value]) => value.includes(key)).map(([name]) => name);
}

describe("any request", () => {
  const modes: [name: string, configuration: object][] = [
    ["enforced", { keySources }],
    ["observed", { keySources, mode: "observe" }],
    ["passed when unknown", { keySources, unknownApi: "allow" }],
  ];
  for (const [name, configuration] of modes) {
    test(`${name}: never traps, never lets a forged claim pass`, () => {
      const gateway = readyGateway({ spec: richSpec(), configuration: pluginConfiguration(configuration) });
      gateway.envoy.recording = false;
      fc.assert(
        fc.property(
          path,
          fc.array(header, { maxLength: 20 }),
          fc.constantFrom("GET", "POST", "OPTIONS", "HEAD", "CONNECT", "X"),
          fc.oneof(fc.constant("shop.example.com"), bytes),
          (target, headers, method, host) => {
            const stream = gateway.get(target, headers as Pair[], { method, host, trailers: headers as Pair[] });
            assert.notEqual(decided(gateway, stream), "trap");
            assert.notEqual(stream.state, "held");
            const forged = stream.headers.pairs.filter(([header]) => /^x[-_]tollgate[-_]/i.test(header));
            if (!stream.headers.has("x-tollgate-consumer")) assert.deepEqual(forged, []);
            if (stream.state === "forwarded")
              for (const [header] of stream.trailers!.pairs) assert.doesNotMatch(header, /^x[-_]tollgate[-_]/i);
            gateway.workers[0]!.vm.end(stream);
          },
        ),
        arrangements,
      );
    });
  }

  test("with a key in one place of any request: it's gone from there, and only the right key admits", () => {
    const gateway = readyGateway({ spec: richSpec(), configuration: pluginConfiguration({ keySources }) });
    gateway.envoy.recording = false;
    const plain = fc.stringMatching(/^[a-z0-9/._~-]{0,40}$/);
    const query = fc.array(fc.stringMatching(/^[a-z0-9%=+._-]{0,20}$/), { maxLength: 5 });
    fc.assert(
      fc.property(
        plain,
        query,
        fc.nat(3),
        fc.constantFrom(key, keyNamed("nobody")),
        (tail, parameters, place, sent) => {
          const headers: Pair[] = [];
          const all = [...parameters];
          if (place === 0) headers.push(["x-api-key", sent]);
          if (place === 1) headers.push(["authorization", `Bearer ${sent}`]);
          if (place === 2) all.splice(Math.floor(all.length / 2), 0, `api_key=${sent}`);
          if (place === 3) headers.push(["cookie", `${parameters.join("; ")}; api_key=${sent}`]);
          const stream = gateway.get(`/${tail}${all.length > 0 ? `?${all.join("&")}` : ""}`, headers);
          const result = decided(gateway, stream);
          assert.notEqual(result, "trap");
          assert.notEqual(stream.state, "held");
          assert.deepEqual(leaks(stream), []);
          const keyed = stream.headers.has("x-tollgate-key-id");
          if (sent !== key) assert.equal(keyed, false);
          else if (keyed) assert.equal(stream.headers.first("x-tollgate-key-id"), "acme-1");
          gateway.workers[0]!.vm.end(stream);
        },
      ),
      arrangements,
    );
  });
});

/** Changes bytes anywhere; gives something of any length. */
function mutations(whole: Buffer): fc.Arbitrary<Buffer> {
  const flips = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(7)), { minLength: 1, maxLength: 4 }).map((list) => {
    const copy = Buffer.from(whole);
    for (const [at, bit] of list) copy[at]! ^= 1 << bit;
    return copy;
  });
  const cuts = fc.nat(whole.length - 1).map((length) => Buffer.from(whole.subarray(0, length)));
  const overwrites = fc
    .tuple(fc.nat(whole.length - 1), fc.uint8Array({ minLength: 1, maxLength: 12 }))
    .map(([at, patch]) => {
      const copy = Buffer.from(whole);
      copy.set(patch.subarray(0, copy.length - at), at);
      return copy;
    });
  return fc.oneof(flips, cuts, overwrites);
}

/** Makes the checksums of all frames right again, so that what is behind them is read. */
function reseal(frames: Buffer): Buffer {
  for (let at = 0; at + 48 <= frames.length; ) {
    const end = at + 48 + frames.readUInt32LE(at + 8);
    if (end > frames.length) break;
    frames.writeUInt32LE(crc32(frames.subarray(at + 16, end), crc32(frames.subarray(at, at + 12))), at + 12);
    at = end;
  }
  return frames;
}

/** Requests that touch every kind of record. */
function exercise(gateway: Gateway): string[] {
  const requests: [string, Record<string, string>, string][] = [
    ["/x", { "x-api-key": key }, "a"],
    ["/orders/export", { "x-api-key": keyNamed("acme-2") }, "shop.example.com"],
    ["/orders", { "x-api-key": keyNamed("b-1"), origin: "https://a.example.com" }, "x.example.org"],
    ["/orders", { origin: "https://a.example.com", "access-control-request-method": "GET" }, "x.example.org"],
    ["/public", {}, "a"],
    ["/v2/orders", { "x-api-key": keyNamed("nobody") }, "shop.example.com"],
  ];
  return requests.map(([target, headers, host]) => {
    const stream = gateway.get(target, headers, {
      host,
      method: "access-control-request-method" in headers ? "OPTIONS" : "GET",
      properties: { "source.address": "10.1.1.1:1" },
    });
    return decided(gateway, stream);
  });
}

describe("any snapshot in the configuration", () => {
  const whole = compileSnapshot(fillEnvironment(richSpec(), "default"));
  const configurationOf = (snapshot: Buffer): Record<string, unknown> => ({
    environment: "default",
    snapshot: snapshot.toString("base64"),
  });

  test("that was changed on its way is refused, never a trap", () => {
    const gateway = startGateway({ configuration: configurationOf(whole) });
    gateway.envoy.recording = false;
    fc.assert(
      fc.property(mutations(whole), (snapshot) => {
        fc.pre(!snapshot.equals(whole));
        assert.equal(gateway.envoy.accepts(configurationOf(snapshot)), false);
        assert.deepEqual(gateway.envoy.traps, []);
      }),
      { numRuns: 400 },
    );
  });

  test("with right checksums and any content is refused or used, never a trap", () => {
    fc.assert(
      fc.property(mutations(whole).map(reseal), (snapshot) => {
        const gateway = startGateway({ configuration: configurationOf(whole), workers: 0 });
        const vm = gateway.envoy.newVm();
        const root = vm.newRoot(configurationOf(snapshot));
        if (root.accepted) {
          gateway.workers.push({ vm, root });
          assert.equal(exercise(gateway).includes("trap"), false);
          gateway.envoy.advance(500);
        }
        endGateway(gateway);
      }),
      { numRuns: 400 },
    );
  });
});

describe("any answer of control", () => {
  const kinds = ["watch", "page"] as const;
  for (const kind of kinds) {
    test(`to a ${kind}, changed on its way, never traps and never changes what is in force`, () => {
      fc.assert(
        fc.property(fc.infiniteStream(fc.tuple(fc.nat(), fc.nat(7), fc.boolean())), (damage) => {
          const gateway = readyGateway({ spec: richSpec(), control: { recordsPerPage: 4 } });
          const before = exercise(gateway);
          gateway.envoy.advance(300);
          if (kind === "page") gateway.control.alwaysSnapshot = true;
          gateway.control.tamper = (body, request) => {
            if (request.kind !== kind) return body;
            const [at, bit, cut] = damage.next().value;
            if (cut) return body.subarray(0, at % body.length);
            body[at % body.length]! ^= 1 << bit;
            return body;
          };
          gateway.control.change((spec) => void (spec.keys = []));
          gateway.envoy.advance(3000);
          assert.deepEqual(exercise(gateway), before);
          gateway.control.tamper = undefined;
          gateway.envoy.advance(12_000);
          assert.equal(outcome(gateway.get("/x", { "x-api-key": key })), "unknown_key");
          endGateway(gateway);
        }),
        { numRuns: 60 },
      );
    });

    test(`to a ${kind}, of any content with right checksums, never traps`, () => {
      fc.assert(
        fc.property(fc.infiniteStream(fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 8 }))), (damage) => {
          const gateway = readyGateway({ spec: richSpec(), control: { recordsPerPage: 4 } });
          gateway.envoy.advance(300);
          if (kind === "page") gateway.control.alwaysSnapshot = true;
          gateway.control.tamper = (body, request) => {
            if (request.kind !== kind || body.length <= 48) return body;
            const [at, patch] = damage.next().value;
            const from = 48 + (at % (body.length - 48));
            body.set(patch.subarray(0, body.length - from), from);
            return reseal(body);
          };
          gateway.control.change(
            (spec) => (spec.keys.pop(), spec.apis[2]!.paths.push("/v3"), void (spec.consumers[0]!.claims["x"] = "y")),
          );
          gateway.envoy.advance(2000);
          exercise(gateway);
          gateway.control.change((spec) => void spec.tiers.pop());
          gateway.envoy.advance(2000);
          assert.equal(exercise(gateway).includes("trap"), false);
          endGateway(gateway);
        }),
        { numRuns: 60 },
      );
    });
  }
});

describe("any answer to a lane", () => {
  /** A gateway whose limits are in use, and a way to use them more. */
  function limited(): { gateway: Gateway; use: () => string[] } {
    const gateway = readyGateway({
      spec: limitedSpec(
        [minute(30, { windowSeconds: 2 }), minute(500, { name: "hour", windowSeconds: 3600, subject: "consumer" })],
        { failureMode: "local" },
      ),
      workers: 2,
    });
    gateway.envoy.recording = false;
    const use = (): string[] => {
      const streams = Array.from({ length: 12 }, (_, i) => send(gateway, { worker: i % 2 }));
      gateway.envoy.advance(300);
      for (const stream of streams)
        gateway.workers[gateway.workers.findIndex(({ root }) => root === stream.root)]!.vm.end(stream);
      return streams.map(outcome);
    };
    return { gateway, use };
  }

  for (const kind of ["leases", "usage"] as const) {
    test(`for ${kind}, changed on its way, counts as none: nothing is granted or lost by it`, () => {
      fc.assert(
        fc.property(fc.infiniteStream(fc.tuple(fc.nat(), fc.nat(7), fc.boolean())), (damage) => {
          const { gateway, use } = limited();
          let spoil = true;
          gateway.control.tamper = (body, request) => {
            if (request.kind !== kind || !spoil) return body;
            const [at, bit, cut] = damage.next().value;
            if (cut) return body.subarray(0, at % body.length);
            body[at % body.length]! ^= 1 << bit;
            return body;
          };
          for (let i = 0; i < 6; i++) use();
          spoil = false;
          gateway.envoy.advance(12_000);
          gateway.envoy.advance(2000 - (gateway.control.nowMs % 2000));
          const admitted = [use(), use(), use(), use()].flat().filter((one) => one === "admitted").length;
          assert.ok(admitted <= 30 && admitted >= 20, `${admitted} of 30, of which shares are charged`);
          assert.deepEqual(gateway.control.counters.changedBatches, []);
          endGateway(gateway);
        }),
        { numRuns: 40 },
      );
    });

    test(`for ${kind}, of any content with right checksums, never traps`, () => {
      fc.assert(
        fc.property(
          fc.infiniteStream(fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 10 }), fc.boolean())),
          (damage) => {
            const { gateway, use } = limited();
            gateway.control.tamper = (body, request) => {
              if (request.kind !== kind) return body;
              const [at, patch, whole] = damage.next().value;
              if (whole && body.length > 56) body.fill(patch[0]!, 56);
              body.set(patch.subarray(0, body.length - (at % body.length)), at % body.length);
              return reseal(body);
            };
            for (let i = 0; i < 8; i++) assert.equal(use().includes("trap"), false);
            gateway.envoy.advance(5000);
            assert.equal(use().includes("trap"), false);
            endGateway(gateway);
          },
        ),
        { numRuns: 60 },
      );
    });
  }

  test("in a watch that recalls anything never traps", () => {
    const entry = fc.record({
      wireId: fc.nat(6),
      subject: fc.oneof(fc.constant(keySubject()), fc.stringMatching(/^[0-9a-f]{32}$/)),
      windowStartMs: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(fc.array(entry, { maxLength: 300 }), { minLength: 1, maxLength: 5 }), (frames) => {
        const { gateway, use } = limited();
        use();
        for (const entries of frames) {
          const recalls = entries.map((one) => ({ ...one, environment: "default", gateway: "" }));
          // in place of one answer; the next one says that there is a newer version
          gateway.control.tamper = (body, { kind }) => {
            if (kind !== "watch") return body;
            gateway.control.tamper = undefined;
            return recallFrame({ epoch: gateway.control.epoch, version: gateway.control.version, timeMs: 0 }, recalls);
          };
          gateway.control.change(() => {});
          gateway.envoy.pump();
          assert.equal(use().includes("trap"), false);
        }
        gateway.envoy.advance(4000);
        endGateway(gateway);
      }),
      { numRuns: 40 },
    );
  });
});

test("any configuration is refused or taken, never a trap", () => {
  const gateway = startGateway();
  gateway.envoy.recording = false;
  const field = fc.constantFrom(
    "control",
    "environment",
    "keySources",
    "claims",
    "unknownApi",
    "failureMode",
    "snapshotWaitTimeoutMs",
    "maxSnapshotWaiters",
    "maxSnapshotAgeSeconds",
    "mode",
    "observe",
    "snapshot",
    "limitWaitTimeoutMs",
    "maxLimitWaiters",
    "maxCounters",
    "responseSamplesPerSecond",
    "x",
  );
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constant(pluginConfiguration()["control"]),
    fc.constant([{ header: "x-api-key" }]),
    fc.constant("default"),
    fc.constant({ prefix: "x-a-", names: { tier: "x-b" } }),
  );
  const configuration = fc.oneof(
    fc.dictionary(field, value as fc.Arbitrary<unknown>, { maxKeys: 8 }).map((object) => JSON.stringify(object)),
    fc
      .dictionary(field, value as fc.Arbitrary<unknown>, { maxKeys: 3 })
      .map((object) => JSON.stringify({ ...pluginConfiguration(), ...object })),
    fc
      .tuple(
        fc.constant(
          JSON.stringify(
            pluginConfiguration({ keySources, claims: { prefix: "x-a-", names: { "claim-org": "x-org" } } }),
          ),
        ),
        fc.nat(),
        fc.nat(255),
      )
      .map(([text, at, byte]) => {
        const copy = Buffer.from(text);
        copy[at % copy.length] = byte;
        return copy;
      }),
    fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array)),
  );
  fc.assert(
    fc.property(configuration, (text) => {
      gateway.envoy.accepts(text);
      assert.deepEqual(gateway.envoy.traps, []);
      gateway.envoy.logs.length = 0;
    }),
    { numRuns: 1500 },
  );
});
