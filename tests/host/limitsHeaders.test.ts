/** What the client sees of limits: RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), the 429 problem, older headers. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { parseList } from "structured-headers";
import type { ApiInput, LimitInput } from "../../control/domain/schema.ts";
import type { Pair, Stream } from "./host.ts";
import { askMany, type Call, limitedGateway, limitedSpec, minute, send, settle } from "./limitsSupport.ts";
import { assertSound, keyNamed, outcome, pluginConfiguration, readyGateway, type Gateway } from "./support.ts";

afterEach(assertSound);

/** 20 seconds into a minute of a Tuesday in March. */
const wallMs = Date.parse("2026-03-10T12:34:20Z");
const day: LimitInput = { name: "day", kind: "quota", limit: 1000, period: "day" };

/** A list of strings with integer parameters, as both headers are. */
function list(header: string | undefined): [name: string, parameters: Record<string, number>][] {
  assert.notEqual(header, undefined, "there is no such header");
  return parseList(header!).map(([name, parameters]) => {
    assert.equal(typeof name, "string");
    for (const value of parameters.values()) assert.ok(Number.isInteger(value), `${String(value)} is no integer`);
    return [name as string, Object.fromEntries(parameters) as Record<string, number>];
  });
}

const policies = (stream: Stream) => list(stream.response!.headers.first("ratelimit-policy"));
const limits = (stream: Stream) => list(stream.response!.headers.first("ratelimit"));

function gatewayWith(limits: LimitInput[], api: Partial<ApiInput> = {}): Gateway {
  return limitedGateway(limits, { api, envoy: { wallMs } });
}

/** A request, decided, and answered by the upstream where it was admitted. */
function answered(gateway: Gateway, call: Call = {}, upstream: { status?: number; headers?: Pair[] } = {}): Stream {
  const stream = send(gateway, call);
  settle(gateway, stream);
  if (stream.state === "forwarded") gateway.workers[call.worker ?? 0]!.vm.respond(stream, upstream);
  return stream;
}

const shown = ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
const none = (stream: Stream): void =>
  assert.deepEqual(
    stream.response!.headers.pairs.filter(([name]) => shown.includes(name)),
    [],
  );

describe("an admitted request's response", () => {
  test("shows each limit's policy, what is left of it, and when it begins anew", () => {
    const gateway = gatewayWith([minute(60), day]);
    const stream = answered(gateway);
    assert.equal(stream.response!.headers.first("ratelimit-policy"), '"minute";q=60;w=60, "day";q=1000;w=86400');
    assert.equal(stream.response!.headers.first("ratelimit"), '"minute";r=59;t=40, "day";r=999;t=41140');
    assert.deepEqual(policies(stream), [
      ["minute", { q: 60, w: 60 }],
      ["day", { q: 1000, w: 86_400 }],
    ]);
    assert.deepEqual(limits(stream), [
      ["minute", { r: 59, t: 40 }],
      ["day", { r: 999, t: 41_140 }],
    ]);
    assert.equal(stream.response!.headers.has("retry-after"), false);
    assert.equal(stream.response!.headers.has("x-ratelimit-limit"), false);
  });

  test("counts down by a request's cost, and in seconds", () => {
    const gateway = gatewayWith([minute(60)], {
      routes: [
        { path: "/dear", cost: 7 },
        { path: "/free", cost: 0 },
      ],
    });
    assert.deepEqual(limits(answered(gateway)), [["minute", { r: 59, t: 40 }]]);
    assert.deepEqual(limits(answered(gateway, { path: "/dear" })), [["minute", { r: 52, t: 40 }]]);
    gateway.envoy.advance(3100);
    assert.deepEqual(limits(answered(gateway, { path: "/free" })), [["minute", { r: 52, t: 37 }]]);
    gateway.envoy.advance(40_000);
    assert.deepEqual(limits(answered(gateway)), [["minute", { r: 59, t: 57 }]]);
  });

  test("shows each request what was left after it, whenever its response comes", () => {
    const gateway = gatewayWith([minute(60)]);
    const streams = Array.from({ length: 5 }, () => send(gateway));
    streams.forEach((stream) => settle(gateway, stream));
    gateway.envoy.advance(2000);
    for (const stream of [...streams].reverse()) gateway.workers[0]!.vm.respond(stream);
    assert.deepEqual(
      streams.map((stream) => limits(stream)[0]![1]["r"]),
      [59, 58, 57, 56, 55],
    );
  });

  test("names windows by their real length", () => {
    const cases: [limit: LimitInput, w: number, t: number][] = [
      [
        { name: "m", kind: "quota", limit: 5, period: "month" },
        31 * 86_400,
        (Date.parse("2026-04-01T00:00:00Z") - wallMs) / 1000,
      ],
      [
        { name: "w", kind: "quota", limit: 5, period: "week" },
        7 * 86_400,
        (Date.parse("2026-03-16T00:00:00Z") - wallMs) / 1000,
      ],
      [{ name: "f", kind: "quota", limit: 5, period: "30d" }, 30 * 86_400, 30 * 86_400],
      [{ name: "s", kind: "rate", limit: 5, windowSeconds: 1 }, 1, 1],
    ];
    for (const enforcement of ["global", "gateway"] as const) {
      for (const [limit, w, t] of cases) {
        const stream = answered(gatewayWith([{ ...limit, enforcement }]));
        assert.deepEqual(policies(stream), [[limit.name, { q: 5, w }]]);
        assert.deepEqual(limits(stream), [[limit.name, { r: 4, t }]]);
      }
    }
    const february = limitedGateway([{ name: "m", kind: "quota", limit: 5, period: "month" }], {
      envoy: { wallMs: Date.parse("2027-02-10T00:00:00Z") },
    });
    assert.deepEqual(policies(answered(february)), [["m", { q: 5, w: 28 * 86_400 }]]);
  });

  test("shows what the worker knows: never more than it has admitted leaves, and nothing once it refuses", () => {
    const gateway = limitedGateway([minute(50)], { workers: 3, envoy: { wallMs } });
    const own = [0, 0, 0];
    for (let i = 0; i < 60; i++) {
      const worker = i % 3;
      const stream = answered(gateway, { worker });
      const r = limits(stream)[0]![1]["r"]!;
      if (outcome(stream) === "admitted") assert.ok(r <= 50 - ++own[worker]!, `${r} left after ${own[worker]}`);
      else assert.equal(r, 0);
    }
    assert.equal(own[0]! + own[1]! + own[2]!, 50);
  });

  test("shows a limit only once its window is known", () => {
    const gateway = gatewayWith([minute(60)], { failureMode: "open", routes: [{ path: "/free", cost: 0 }] });
    none(answered(gateway, { path: "/free" }));
    gateway.control.failure = "reset";
    const stream = answered(gateway);
    assert.equal(outcome(stream), "admitted");
    none(stream);
    gateway.control.failure = undefined;
    gateway.envoy.advance(5000);
    assert.equal(limits(answered(gateway, { path: "/free" }))[0]![1]["r"], 60);
  });

  test("has them when the request was held first", () => {
    const gateway = gatewayWith([minute(60)]);
    gateway.control.delayMs = 200;
    const stream = answered(gateway);
    assert.equal(stream.resumed, true);
    assert.deepEqual(limits(stream), [["minute", { r: 59, t: 40 }]]);
  });

  test("has them of a keyless API", () => {
    const spec = limitedSpec([]);
    spec.apis![1]!.limits = [
      { name: "per-ip", kind: "rate", limit: 600, windowSeconds: 60, subject: "ip", enforcement: "gateway" },
    ];
    const gateway = readyGateway({ spec, envoy: { wallMs } });
    const stream = gateway.get("/public");
    gateway.workers[0]!.vm.respond(stream);
    assert.deepEqual(policies(stream), [["per-ip", { q: 600, w: 60 }]]);
    assert.deepEqual(limits(stream), [["per-ip", { r: 599, t: 40 }]]);
  });

  test("keeps what the upstream says of its own limits", () => {
    const gateway = gatewayWith([minute(60)]);
    const stream = answered(
      gateway,
      {},
      {
        headers: [
          ["ratelimit", '"upstream";r=1;t=2'],
          ["ratelimit-policy", '"upstream";q=3;w=4'],
        ],
      },
    );
    assert.deepEqual(
      list(stream.response!.headers.all("ratelimit").join(", ")).map(([name]) => name),
      ["upstream", "minute"],
    );
    assert.deepEqual(
      list(stream.response!.headers.all("ratelimit-policy").join(", ")).map(([name]) => name),
      ["upstream", "minute"],
    );
  });

  test("shows no limit that only watches, and none where there is none", () => {
    assert.deepEqual(
      limits(answered(gatewayWith([minute(60), minute(5, { name: "watching", mode: "shadow" })]))).map(
        ([name]) => name,
      ),
      ["minute"],
    );
    none(answered(gatewayWith([minute(5, { mode: "shadow" })])));
    none(answered(gatewayWith([])));
  });

  test("has room for long names and great numbers; what doesn't fit is left out of both", () => {
    const name = (i: number): string => `${i}-${"n".repeat(60)}`;
    const gateway = gatewayWith(
      Array.from({ length: 12 }, (_, i) => ({
        name: name(i),
        kind: "quota",
        limit: 9_000_000_000_000,
        period: "month",
      })),
    );
    const stream = answered(gateway);
    const names = policies(stream).map(([given]) => given);
    assert.deepEqual(
      limits(stream).map(([given]) => given),
      names,
    );
    assert.ok(names.length >= 1);
    assert.deepEqual(
      names,
      names.map((_, i) => name(i)),
    );
    assert.equal(limits(stream)[0]![1]["r"], 8_999_999_999_999);
  });

  test("of many streams at once is each one's own", () => {
    const gateway = gatewayWith([minute(10_000)]);
    gateway.envoy.recording = false;
    const streams = Array.from({ length: 1000 }, () => send(gateway));
    gateway.envoy.until(() => streams.every(({ state }) => state === "forwarded"), 1000, 1);
    for (const stream of streams) gateway.workers[0]!.vm.respond(stream);
    const left = streams.map((stream) => limits(stream)[0]![1]["r"]!);
    assert.equal(new Set(left).size, 1000);
    assert.equal(Math.max(...left), 9999);
  });
});

describe("a refusal", () => {
  test("is a problem of the registered type that names what was violated", () => {
    const gateway = gatewayWith([minute(2), day]);
    askMany(gateway, 2);
    const stream = answered(gateway);
    const { status, headers, body } = stream.response!;
    assert.equal(status, 429);
    assert.equal(stream.localResponse!.details, "tollgate_rate_limited");
    assert.deepEqual(headers.toObject(), {
      ":status": "429",
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      "retry-after": "40",
      "ratelimit-policy": '"minute";q=2;w=60, "day";q=1000;w=86400',
      ratelimit: '"minute";r=0;t=40, "day";r=998;t=41140',
      "content-length": String(body.length),
    });
    assert.equal(
      body,
      '{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Too many requests","status":429,"reason":"rate_limited","violated-policies":["minute"]}',
    );
  });

  test("by a quota says so", () => {
    const gateway = gatewayWith([minute(60), { ...day, limit: 2 }]);
    askMany(gateway, 2);
    const stream = answered(gateway);
    assert.equal(outcome(stream), "quota_exceeded");
    assert.equal(stream.response!.headers.first("retry-after"), "41140");
    assert.deepEqual(JSON.parse(stream.response!.body), {
      type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
      title: "Quota exceeded",
      status: 429,
      reason: "quota_exceeded",
      "violated-policies": ["day"],
    });
  });

  test("by several names them all, and goes by the one that lasts longest", () => {
    const gateway = gatewayWith([minute(2), { ...day, limit: 2 }, minute(3, { name: "hour", windowSeconds: 3600 })]);
    askMany(gateway, 3);
    const stream = answered(gateway);
    const body = JSON.parse(stream.response!.body) as Record<string, unknown>;
    assert.deepEqual(body["violated-policies"], ["minute", "day"]);
    assert.equal(body["reason"], "quota_exceeded");
    assert.equal(stream.response!.headers.first("retry-after"), "41140");
    assert.deepEqual(
      limits(stream).map(([name, { r }]) => [name, r]),
      [
        ["minute", 0],
        ["day", 0],
        ["hour", 1],
      ],
    );
  });

  test("says when to come again: a second at least, and then it's admitted", () => {
    const gateway = gatewayWith([minute(1, { windowSeconds: 2 })]);
    for (let i = 0; i < 30; i++) {
      const stream = answered(gateway);
      if (outcome(stream) === "rate_limited") {
        const seconds = Number(stream.response!.headers.first("retry-after"));
        assert.ok(seconds >= 1 && seconds <= 2, `${seconds}`);
        gateway.envoy.advance(seconds * 1000);
        assert.equal(outcome(answered(gateway)), "admitted");
      }
      gateway.envoy.advance(170);
    }
  });

  test("takes the key out, says who it was, and carries no other claims", () => {
    const gateway = gatewayWith([minute(1)]);
    askMany(gateway, 1);
    const stream = answered(gateway, { headers: [["x-tollgate-tier", "forged"]] });
    assert.equal(outcome(stream), "rate_limited");
    assert.deepEqual(
      stream.headers.pairs.filter(([, value]) => value.includes(keyNamed("acme-1"))),
      [],
    );
    assert.equal(stream.headers.first("x-tollgate-tier"), "bronze");
    assert.equal(stream.headers.has("x-tollgate-claim-org"), false);
  });

  test("of a gRPC request is RESOURCE_EXHAUSTED in trailers alone, with the headers", () => {
    const gateway = gatewayWith([minute(1)]);
    askMany(gateway, 1);
    const stream = answered(gateway, { method: "POST", headers: [["content-type", "application/grpc"]] });
    const { status, headers, body } = stream.response!;
    assert.deepEqual([status, body], [200, ""]);
    assert.equal(headers.first("grpc-status"), "8");
    assert.equal(headers.first("grpc-message"), "rate_limited: Too many requests");
    assert.equal(headers.first("content-type"), "application/grpc");
    assert.equal(headers.first("retry-after"), "40");
    assert.deepEqual(limits(stream), [["minute", { r: 0, t: 40 }]]);
  });

  test("of a HEAD request has the headers and no body", () => {
    const gateway = gatewayWith([minute(1)]);
    askMany(gateway, 1);
    const { status, headers, body } = answered(gateway, { method: "HEAD" }).response!;
    assert.deepEqual([status, body], [429, ""]);
    assert.equal(headers.first("retry-after"), "40");
    assert.ok(headers.has("ratelimit"));
  });

  test("shows a browser why, by the API's CORS rules", () => {
    const gateway = gatewayWith([minute(1)], {
      cors: {
        allowOrigins: ["https://shop.example.com"],
        exposeHeaders: ["ratelimit", "retry-after"],
        allowCredentials: true,
      },
    });
    askMany(gateway, 1);
    const { headers } = answered(gateway, { headers: [["origin", "https://shop.example.com"]] }).response!;
    assert.equal(headers.first("access-control-allow-origin"), "https://shop.example.com");
    assert.equal(headers.first("access-control-allow-credentials"), "true");
    assert.match(headers.first("access-control-expose-headers")!, /ratelimit/);
    assert.ok(headers.has("ratelimit"));
    assert.equal(
      answered(gateway, { headers: [["origin", "https://other.example.com"]] }).response!.headers.has(
        "access-control-allow-origin",
      ),
      false,
    );
  });

  test("for another reason shows no limits", () => {
    const gateway = gatewayWith([minute(1)]);
    none(answered(gateway, { key: "nobody" }));
    gateway.control.failure = "reset";
    const stream = answered(gateway);
    assert.equal(outcome(stream), "limit_unavailable");
    none(stream);
  });

  test("by a limit that costs more than it has says until when", () => {
    const gateway = gatewayWith([minute(5)], { routes: [{ path: "/x", cost: 9 }] });
    const stream = answered(gateway);
    assert.equal(outcome(stream), "rate_limited");
    assert.equal(stream.response!.headers.first("retry-after"), "40");
  });
});

describe("an API's settings", () => {
  test("rateLimitHeaders false: nothing is shown, and the problem and Retry-After stay", () => {
    const gateway = gatewayWith([minute(1)], { rateLimitHeaders: false });
    none(answered(gateway));
    const stream = answered(gateway);
    none(stream);
    assert.equal(stream.response!.headers.first("retry-after"), "40");
    assert.deepEqual((JSON.parse(stream.response!.body) as Record<string, unknown>)["violated-policies"], ["minute"]);
  });

  test("legacyHeaders tyk: the reset is an epoch; of several limits the one with the least left", () => {
    const gateway = gatewayWith([day, minute(3)], { legacyHeaders: "tyk" });
    const legacy = (stream: Stream): (string | undefined)[] =>
      shown.slice(2).map((name) => stream.response!.headers.first(name));
    const reset = String(Date.parse("2026-03-10T12:35:00Z") / 1000);
    assert.deepEqual(legacy(answered(gateway)), ["3", "2", reset]);
    assert.deepEqual(legacy(answered(gateway)), ["3", "1", reset]);
    assert.deepEqual(legacy(answered(gateway)), ["3", "0", reset]);
    const refused = answered(gateway);
    assert.equal(outcome(refused), "rate_limited");
    assert.deepEqual(legacy(refused), ["3", "0", reset]);
    assert.ok(refused.response!.headers.has("ratelimit"));
  });

  test("legacyHeaders envoy: the reset is in seconds", () => {
    const gateway = gatewayWith([minute(3)], { legacyHeaders: "envoy", rateLimitHeaders: false });
    const stream = answered(gateway);
    assert.deepEqual(
      shown.slice(2).map((name) => stream.response!.headers.first(name)),
      ["3", "2", "40"],
    );
    assert.equal(stream.response!.headers.has("ratelimit"), false);
  });

  test("legacyHeaders replace those of the upstream", () => {
    const gateway = gatewayWith([minute(3)], { legacyHeaders: "envoy" });
    const stream = answered(
      gateway,
      {},
      {
        headers: [
          ["x-ratelimit-limit", "999"],
          ["x-ratelimit-remaining", "998"],
        ],
      },
    );
    assert.deepEqual(stream.response!.headers.all("x-ratelimit-limit"), ["3"]);
    assert.deepEqual(stream.response!.headers.all("x-ratelimit-remaining"), ["2"]);
  });

  test("act at once when they change", () => {
    const gateway = gatewayWith([minute(30)]);
    assert.ok(answered(gateway).response!.headers.has("ratelimit"));
    gateway.control.change((spec) => void Object.assign(spec.apis[0]!, { rateLimitHeaders: false }));
    gateway.envoy.pump();
    none(answered(gateway));
  });
});

test("in observe mode a response shows no limits: nothing is enforced", () => {
  const gateway = limitedGateway([minute(2)], { configuration: pluginConfiguration({ mode: "observe" }) });
  for (let i = 0; i < 4; i++) none(answered(gateway));
});
