/** The simulation against the filter itself: the same requests, decided by the compiled module in a simulated Envoy that counts by itself. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import fc from "fast-check";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import { ApiRouter } from "../../tools/matching.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import { checkEnvironment } from "../../control/domain/semantics.ts";
import { Callers } from "../../tools/simulate/callers.ts";
import { Engine } from "../../tools/simulate/engine.ts";
import { FieldMap, LogEntry, slotIndex } from "../../tools/simulate/fields.ts";
import { JsonParser } from "../../tools/simulate/jsonLog.ts";
import { RequestReader } from "../../tools/simulate/requests.ts";
import { compileSnapshot } from "../../control/sync/compile.ts";
import { assertSound, endGateway, keyNamed, keyRecord, outcome, startGateway } from "../host/support.ts";

afterEach(assertSound);

const upstream = { service: "echo", port: 8080 };
const start = Date.UTC(2026, 10, 30, 23, 59, 40);

/** Limits of every kind, owner and subject, small enough to be reached. */
function spec(): FileInput {
  return {
    version: 1,
    environment: "default",
    apis: [
      {
        id: "echo",
        hosts: ["*"],
        paths: ["/"],
        upstream,
        limits: [
          { name: "all", kind: "rate", limit: 23, windowSeconds: 10, subject: "api" },
          { name: "minute", kind: "rate", limit: 40, windowSeconds: 60, subject: "consumer+api" },
        ],
        routes: [
          {
            path: "/search",
            methods: ["POST"],
            cost: 3,
            scopes: ["search"],
            limits: [{ name: "minute", kind: "rate", limit: 15, windowSeconds: 60, subject: "consumer" }],
          },
          { path: "/free", cost: 0 },
          {
            path: "/dear",
            cost: 7,
            limits: [{ name: "hours", kind: "quota", limit: 21, period: "1h", subject: "key" }],
          },
        ],
      },
      {
        id: "public",
        hosts: ["*"],
        paths: ["/public"],
        upstream,
        auth: { mode: "none" },
        limits: [{ name: "per-ip", kind: "rate", limit: 4, windowSeconds: 5, subject: "ip", enforcement: "gateway" }],
      },
    ],
    tiers: [
      {
        id: "bronze",
        scopes: ["read"],
        limits: [
          { name: "second", kind: "rate", limit: 3, windowSeconds: 1 },
          { name: "minute", kind: "rate", limit: 12, windowSeconds: 60 },
          { name: "day", kind: "quota", limit: 60, period: "day", subject: "consumer" },
          { name: "watched", kind: "rate", limit: 2, windowSeconds: 30, mode: "shadow" },
        ],
      },
      {
        id: "silver",
        scopes: ["*"],
        limits: [
          { name: "month", kind: "quota", limit: 70, period: "month", subject: "key" },
          { name: "pace", kind: "rate", limit: 1000, windowSeconds: 1, smoothing: { perSecond: 2, burst: 7 } },
          { name: "ip", kind: "rate", limit: 9, windowSeconds: 7, subject: "ip" },
        ],
      },
    ],
    consumers: [
      { id: "acme", tier: "bronze" },
      { id: "initech", tier: "silver" },
    ],
    keys: [
      keyRecord("a1", "acme"),
      keyRecord("a2", "acme", {
        limits: [
          { name: "second", kind: "rate", limit: 1, windowSeconds: 2 },
          { name: "week", kind: "quota", limit: 30, period: "week" },
        ],
      }),
      keyRecord("i1", "initech"),
      keyRecord("i2", "initech", { tier: "bronze", allowedCidrs: ["192.0.2.0/24"], expiresAt: "2026-12-01T00:00:30Z" }),
      keyRecord("gone", "acme", { state: "revoked" }),
    ],
  };
}

const filled = fillEnvironment(spec(), "default");

interface Shot {
  pauseMs: number;
  key: string;
  target: string;
  method: string;
  address: string;
}

const shot: fc.Arbitrary<Shot> = fc.record({
  pauseMs: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 300 }) },
    { weight: 2, arbitrary: fc.integer({ min: 300, max: 5000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 5000, max: 90_000 }) },
  ),
  key: fc.constantFrom("a1", "a1", "a2", "i1", "i1", "i2", "gone"),
  target: fc.constantFrom(
    "/",
    "/x?y=1",
    "/search",
    "/search",
    "/free",
    "/dear",
    "/public",
    "/public/x",
    "/%73earch",
    "/a/../b",
  ),
  method: fc.constantFrom("GET", "GET", "POST"),
  address: fc.constantFrom("192.0.2.1:40000", "192.0.2.2:1", "[2001:db8::1]:80", "[2001:db8::2]:80", "203.0.113.9:9"),
});

const mergedReasons = new Map([
  ["rate_limited", "limited"],
  ["quota_exceeded", "limited"],
]);

function compare(shots: readonly Shot[]): { limited: number; admitted: number } {
  const gateway = startGateway({
    configuration: { environment: "default", snapshot: compileSnapshot(filled).toString("base64") },
    envoy: { wallMs: start },
  });
  gateway.envoy.recording = false;
  const reader = new RequestReader(filled, new ApiRouter(filled.apis), new Callers(filled, undefined, false), {
    host: "",
    trustedHops: 0,
    withoutKey: "address",
  });
  const engine = new Engine({ countersMax: 1000, activeMax: 1000 });
  const parser = new JsonParser(new FieldMap(), []);
  const entry = new LogEntry();
  const counts = { limited: 0, admitted: 0 };
  shots.forEach(({ pauseMs, key, target, method, address }, index) => {
    gateway.envoy.advance(pauseMs);
    const { wallMs } = gateway.envoy;
    const stream = gateway.get(
      target,
      { "x-api-key": keyNamed(key) },
      { method, properties: { "source.address": address } },
    );
    const line = JSON.stringify({
      time: new Date(wallMs).toISOString(),
      method,
      path: target,
      host: "api.example.com",
      client: address,
      keyId: target.startsWith("/public") ? null : key,
    });
    assert.ok(parser.parse(line, entry));
    const request = reader.read(entry, parser.readTime(entry.get(slotIndex.time)!), undefined);
    const simulated =
      "what" in request ? (request.what === "refused" ? request.reason : request.what) : engine.decide(request);
    const real = outcome(stream);
    assert.equal(
      simulated,
      mergedReasons.get(real) ?? real,
      `request ${index} of ${JSON.stringify(shots.slice(0, index + 1))}`,
    );
    if (simulated === "limited" || simulated === "admitted") counts[simulated]++;
    gateway.workers[0]!.vm.end(stream);
  });
  endGateway(gateway);
  return counts;
}

test("the simulation refuses exactly what the filter refuses", () => {
  assert.deepEqual(
    checkEnvironment(filled).filter(({ severity }) => severity === "error"),
    [],
  );
  const all = { limited: 0, admitted: 0 };
  fc.assert(
    fc.property(fc.array(shot, { minLength: 100, maxLength: 400, size: "max" }), (shots) => {
      const { limited, admitted } = compare(shots);
      all.limited += limited;
      all.admitted += admitted;
    }),
    { numRuns: 25 },
  );
  assert.ok(all.limited > 300 && all.admitted > 300, `${JSON.stringify(all)}: too one-sided to prove much`);
});
