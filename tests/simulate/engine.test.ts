import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import type { ApiInput, KeyInput, LimitInput, TierInput } from "../../control/domain/schema.ts";
import { CapacityError } from "../../tools/simulate/engine.ts";
import type { LimitReport, Report } from "../../tools/simulate/report.ts";
import { environment, type LoggedCall, replay, upstream } from "./support.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

interface Parts {
  tier?: LimitInput[];
  api?: LimitInput[];
  routes?: NonNullable<ApiInput["routes"]>;
  keys?: Partial<KeyInput>[];
  more?: Partial<TierInput>;
}

/** Two consumers of one tier, one API. */
function spec({ tier = [], api = [], routes = [], keys = [], more = {} }: Parts): EnvironmentSpec {
  return environment({
    apis: [
      { id: "echo", hosts: ["*"], paths: ["/"], upstream, limits: api, routes },
      {
        id: "public",
        hosts: ["*"],
        paths: ["/public"],
        upstream,
        auth: { mode: "none" },
        limits: api.filter(({ subject }) => subject === "ip"),
      },
    ],
    tiers: [{ id: "bronze", scopes: ["*"], limits: tier, ...more }],
    consumers: [
      { id: "acme", tier: "bronze" },
      { id: "initech", tier: "bronze" },
    ],
    keys: keys.map((key, index) => ({
      id: `a${index + 1}`,
      consumer: "acme",
      sha256: String(index).repeat(64),
      ...key,
    })),
  });
}

const rate = (limit: number, windowSeconds: number, more: Partial<LimitInput> = {}): LimitInput => ({
  name: "rate",
  kind: "rate",
  limit,
  windowSeconds,
  ...more,
});
const quota = (limit: number, period: string, more: Partial<LimitInput> = {}): LimitInput => ({
  name: "quota",
  kind: "quota",
  limit,
  period,
  ...more,
});
const calls = (times: readonly number[], more: Partial<LoggedCall> = {}): LoggedCall[] =>
  times.map((ms) => ({ ms, consumer: "acme", key: "k1", ...more }));

async function limited(parts: Parts, all: readonly LoggedCall[], more = {}): Promise<number> {
  return (await replay(spec(parts), all, more)).requests.limited;
}

function only({ limits }: Report): LimitReport {
  assert.equal(limits.length, 1);
  return limits[0]!;
}

describe("windows", () => {
  test("of a rate begin at multiples of their length", async () => {
    assert.equal(await limited({ tier: [rate(2, 10)] }, calls([0, 5000, 9999, 10_000, 10_001, 10_002])), 2);
    assert.equal(await limited({ tier: [rate(2, 10)] }, calls([9998, 9999, 10_000, 10_001])), 0);
  });

  test("of quotas are days, weeks from Monday, months, all UTC", async () => {
    // The calls begin on Monday, 2 November 2026.
    const at = [0, day - 1, day, 7 * day - 1, 7 * day, 29 * day - 1, 29 * day];
    assert.equal(await limited({ tier: [quota(1, "day")] }, calls(at)), 1);
    assert.equal(await limited({ tier: [quota(1, "week")] }, calls(at)), 4);
    assert.equal(await limited({ tier: [quota(1, "month")] }, calls(at)), 5);
  });

  test("from first use begin with the first call and are over after their length", async () => {
    const parts = { tier: [quota(2, "24h", { anchor: "firstUse" })] };
    assert.equal(
      await limited(parts, calls([5 * hour, 6 * hour, 28 * hour, 29 * hour - 1, 29 * hour, 29 * hour + 1, 52 * hour])),
      3,
    );
  });

  test("give nobody anything where the limit is 0, and cost nothing where a route is free", async () => {
    const routes = [{ path: "/free", cost: 0 }];
    assert.equal(
      await limited({ tier: [rate(0, 1)], routes }, [...calls([0, 1]), ...calls([2, 3], { path: "/free/x" })]),
      2,
    );
  });
});

describe("what a limit counts", () => {
  const two = [
    ...calls([0, 1], { key: "k1" }),
    ...calls([2, 3], { key: "k2" }),
    ...calls([4, 5], { key: "k3", consumer: "initech" }),
  ];
  test("keys, consumers, APIs, both", async () => {
    assert.equal(await limited({ tier: [rate(2, 60, { subject: "key" })] }, two), 0);
    assert.equal(await limited({ tier: [rate(1, 60, { subject: "key" })] }, two), 3);
    assert.equal(await limited({ tier: [rate(2, 60, { subject: "consumer" })] }, two), 2);
    assert.equal(await limited({ tier: [rate(2, 60, { subject: "consumer+api" })] }, two), 2);
    assert.equal(await limited({ tier: [rate(2, 60, { subject: "api" })] }, two), 4);
  });

  test("keys at each route, and what belongs to no route as one more", async () => {
    const routes = [
      { path: "/a", cost: 1 },
      { path: "/b", cost: 1 },
    ];
    const at = (path: string, ...times: number[]) => calls(times, { path });
    const limits = [rate(2, 60, { subject: "route" })];
    const all = [...at("/a/1", 0, 1, 2), ...at("/b", 3, 4), ...at("/x", 5), ...at("/y", 6, 7)];
    const report = await replay(spec({ tier: limits, routes }), all);
    assert.equal(report.requests.limited, 2);
    assert.deepEqual(
      report.limitedCallers.map(({ subject, api, route, refused }) => ({ subject, api, route, refused })),
      [
        { subject: "route", api: "echo", route: "/a", refused: 1 },
        { subject: "route", api: "echo", route: "", refused: 1 },
      ],
    );
    assert.match(report.limitedCallers[0]!.caller, / on \/a of echo$/);
  });

  test("addresses, of IPv6 the /64, on keyless APIs too", async () => {
    const from = (address: string, ms: number, path = "/") => calls([ms], { address, path });
    const all = [
      ...from("192.0.2.1", 0),
      ...from("192.0.2.1:55", 1),
      ...from("[2001:db8::1]:80", 2),
      ...from("2001:db8::2", 3),
      ...from("2001:db8:0:1::2", 4),
      ...from("::ffff:192.0.2.1", 5),
    ];
    assert.equal(await limited({ tier: [rate(1, 60, { subject: "ip" })] }, all), 3);
    const api = [rate(1, 60, { subject: "ip" }), rate(1, 60, { name: "key" })];
    const report = await replay(spec({ api }), [
      ...from("192.0.2.1", 0, "/public"),
      ...from("192.0.2.1", 1, "/public"),
      ...from("192.0.2.2", 2, "/public"),
    ]);
    assert.deepEqual([report.requests.limited, report.limits.map(({ name }) => name)], [1, ["rate"]]);
  });

  test("a gateway's limits for each gateway, others for all, where the log tells them apart", async () => {
    const all = [...calls([0, 1], { pod: "a" }), ...calls([2, 3], { pod: "b" })];
    const own = { tier: [rate(2, 60, { enforcement: "gateway" as const })] };
    assert.equal(await limited(own, all, { fields: { gateway: "pod" } }), 0);
    assert.equal(await limited(own, all), 2);
    assert.equal(await limited({ tier: [rate(2, 60)] }, all, { fields: { gateway: "pod" } }), 2);
    const paced = rate(100, 60, { smoothing: { perSecond: 1, burst: 2 } });
    assert.equal(await limited({ tier: [paced] }, all, { fields: { gateway: "pod" } }), 0);
    assert.equal(await limited({ tier: [paced] }, all), 2);
  });
});

describe("limits of one name", () => {
  test("give way to the more specific: tier, API, route, key", async () => {
    const ladder: Parts = {
      tier: [rate(1, 60)],
      api: [rate(2, 60)],
      routes: [{ path: "/r", limits: [rate(3, 60)] }],
      keys: [{ limits: [rate(4, 60)] }, {}],
    };
    const ten = Array.from({ length: 10 }, (_, ms) => ms);
    assert.equal(await limited({ tier: ladder.tier! }, calls(ten, { key: "a2" })), 9);
    assert.equal(await limited(ladder, calls(ten, { key: "a2" })), 8);
    assert.equal(await limited(ladder, calls(ten, { key: "a2", path: "/r" })), 7);
    assert.equal(await limited(ladder, calls(ten, { key: "a1", path: "/r" })), 6);
  });

  test("others add up: all are taken or none", async () => {
    // The one that has nothing left must not cost the other anything.
    const parts = { tier: [rate(1, 1, { name: "second" }), rate(3, 60, { name: "minute" })] };
    const report = await replay(spec(parts), calls([0, 1, 2, 3, 1000, 1001, 2000, 3000]));
    assert.equal(report.requests.limited, 5);
    assert.deepEqual(
      report.limits.map(({ name, refused }) => [name, refused]),
      [
        ["second", 4],
        ["minute", 1],
      ],
    );
  });

  test("in mode shadow are counted and reported, and refuse nothing", async () => {
    const report = await replay(
      spec({ tier: [rate(1, 60, { mode: "shadow" }), rate(3, 60, { name: "real" })] }),
      calls([0, 1, 2, 3]),
    );
    assert.deepEqual([report.requests.limited, report.requests.shadowed, report.requests.admitted], [1, 2, 3]);
    assert.deepEqual(
      report.limits.map(({ refused }) => refused),
      [3, 1],
    );
  });
});

describe("costs", () => {
  test("are taken whole or not at all", async () => {
    const routes = [{ path: "/dear", cost: 5 }];
    const report = await replay(spec({ tier: [rate(7, 60)], routes }), [
      ...calls([0], { path: "/dear" }),
      ...calls([1], { path: "/dear" }),
      ...calls([2, 3, 4]),
    ]);
    assert.equal(report.requests.limited, 2);
    assert.equal(only(report).worst!.demand, 13);
  });
});

describe("smoothing", () => {
  test("lets a burst through, then one at a time", async () => {
    const parts = { tier: [rate(1000, 60, { smoothing: { perSecond: 2, burst: 3 } })] };
    assert.equal(await limited(parts, calls([0, 0, 0, 0])), 1);
    assert.equal(await limited(parts, calls([0, 0, 0, 499, 500, 999, 1000])), 2);
    const report = only(await replay(spec(parts), calls([0, 0, 0, 0, 0, 500])));
    assert.deepEqual([report.refused, report.paced, report.enough.allBurst], [2, 2, 5]);
  });

  test("isn't asked where a window is used up", async () => {
    const report = only(
      await replay(spec({ tier: [rate(2, 60, { smoothing: { perSecond: 1, burst: 3 } })] }), calls([0, 0, 0, 0])),
    );
    assert.deepEqual([report.refused, report.paced], [2, 0]);
  });
});

describe("what would be enough", () => {
  test("for all, and for 99 % of the callers", async () => {
    const all = Array.from({ length: 200 }, (_, caller) =>
      calls(
        Array.from({ length: caller === 7 ? 50 : caller === 8 ? 40 : caller === 9 ? 30 : 5 }, (_, ms) => ms),
        { key: `k${caller}` },
      ),
    ).flat();
    const { enough, callers, callersRefused } = only(await replay(spec({ tier: [rate(4, 60)] }), all));
    assert.deepEqual([callers, callersRefused, enough], [200, 200, { most: 30, all: 50, exact: true }]);
  });

  const limitKinds = [
    (n: number) => rate(n, 10),
    (n: number) => quota(n, "day"),
    (n: number) => quota(n, "1h", { anchor: "firstUse" }),
    (n: number) => rate(n, 10, { smoothing: { perSecond: 1, burst: n } }),
  ];
  test("refuses nothing, and one less refuses something", async () => {
    const times = fc.array(fc.oneof(fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: 0, max: 2 * day })), {
      minLength: 1,
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(times, fc.constantFrom(...limitKinds), fc.integer({ min: 1, max: 3 }), async (at, kind, n) => {
        const all = calls(at.sort((a, b) => a - b));
        const { enough } = only(await replay(spec({ tier: [kind(n)] }), all));
        const least = Math.max(enough.all, enough.allBurst ?? 0);
        assert.equal(await limited({ tier: [kind(least)] }, all), 0);
        if (least > 1) assert.ok((await limited({ tier: [kind(least - 1)] }, all)) > 0);
      }),
      { numRuns: 150 },
    );
  });
});

/** The same once more, slowly: every counter is the list of all that it admitted. */
function slowly(tier: readonly LimitInput[], all: readonly LoggedCall[], startMs: number): number {
  const admitted: { limit: LimitInput; subject: string; ms: number }[] = [];
  const opened = new Map<string, number>();
  let refused = 0;
  for (const { ms, key, consumer } of [...all].sort((a, b) => a.ms - b.ms)) {
    const now = startMs + ms;
    const found = tier.map((limit) => {
      const subject = limit.subject === "consumer" ? consumer! : key!;
      const name = `${limit.name} ${subject}`;
      const length = limit.windowSeconds === undefined ? day : limit.windowSeconds * 1000;
      const firstUse = limit.anchor === "firstUse";
      let from = Math.floor(now / length) * length;
      if (firstUse) {
        const open = opened.get(name);
        from = open !== undefined && now < open + length ? open : now;
      }
      const used = admitted.filter(
        (one) => one.limit === limit && one.subject === subject && one.ms >= from && one.ms < from + length,
      ).length;
      return { limit, subject, name, from, firstUse, room: used < limit.limit };
    });
    if (found.every(({ room }) => room)) {
      for (const { limit, subject, name, from, firstUse } of found) {
        admitted.push({ limit, subject, ms: now });
        if (firstUse) opened.set(name, from);
      }
    } else refused++;
  }
  return refused;
}

const tiers: LimitInput[][] = [
  [rate(3, 7)],
  [rate(2, 3, { name: "a" }), rate(5, 60, { name: "b", subject: "consumer" })],
  [quota(6, "day", { subject: "consumer" }), rate(2, 10)],
  [quota(4, "24h", { anchor: "firstUse" }), rate(3, 3600, { name: "b" })],
];
const loggedCalls = fc.array(
  fc
    .record({
      ms: fc.oneof(fc.integer({ min: 0, max: 30_000 }), fc.integer({ min: 0, max: 3 * day })),
      key: fc.constantFrom("k1", "k2"),
      consumer: fc.constantFrom("acme", "initech"),
    })
    .map((call) => ({ ...call, key: `${call.consumer} ${call.key}` })),
  { maxLength: 80, size: "max" },
);

describe("any requests", () => {
  test("are decided as by counters that remember everything", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...tiers), loggedCalls, async (tier, all) => {
        const sorted = [...all].sort((a, b) => a.ms - b.ms);
        assert.equal(await limited({ tier }, sorted), slowly(tier, sorted, Date.UTC(2026, 10, 2)));
      }),
      { numRuns: 150 },
    );
  });

  test("are decided the same with few counters in memory as with many", async () => {
    const tier = [
      rate(2, 10),
      rate(6, 100, { name: "b", smoothing: { perSecond: 1, burst: 3 } }),
      quota(9, "1h", { anchor: "firstUse", subject: "consumer" }),
    ];
    const many = fc.array(
      fc.record({ ms: fc.integer({ min: 0, max: 3 * hour }), key: fc.integer({ min: 0, max: 40 }) }),
      { maxLength: 200, size: "max" },
    );
    await fc.assert(
      fc.asyncProperty(many, async (shots) => {
        const all = shots
          .sort((a, b) => a.ms - b.ms)
          .map(({ ms, key }) => ({ ms, key: `k${key}`, consumer: `c${key % 10}` }));
        const one = await replay(spec({ tier }), all, { tier: "bronze" });
        const few = await replay(spec({ tier }), all, { tier: "bronze", countersMax: 1 });
        assert.deepEqual(few.requests, one.requests);
        assert.deepEqual(
          few.limits.map(({ name, refused, paced, requests }) => [name, refused, paced, requests]),
          one.limits.map(({ name, refused, paced, requests }) => [name, refused, paced, requests]),
        );
        if (few.limits[0] !== undefined && all.length > 0)
          assert.equal(few.limits[0].enough.all, one.limits[0]!.enough.all);
      }),
      { numRuns: 60 },
    );
  });

  test("are given up when more counters are in use than memory holds", async () => {
    const all = calls(Array.from({ length: 20 }, (_, ms) => ms)).map((call, index) => ({ ...call, key: `k${index}` }));
    await assert.rejects(
      replay(spec({ tier: [rate(1, 60)] }), all, { activeMax: 10 }),
      (error: Error) => error instanceof CapacityError && /more than 10 counters are in use/.test(error.message),
    );
    const apart = all.map((call, index) => ({ ...call, ms: index * 61 * second }));
    assert.equal(await limited({ tier: [rate(0, 60)] }, apart, { activeMax: 10 }), 20);
  });

  test("in any order within the tolerance give the same report", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...tiers),
        loggedCalls,
        fc.func(fc.integer({ min: 0, max: 20_000 })),
        async (tier, all, delay) => {
          const sorted = [...new Map(all.map((call) => [call.ms, call])).values()].sort((a, b) => a.ms - b.ms);
          const logged = [...sorted].sort((a, b) => a.ms + delay(a.ms) - (b.ms + delay(b.ms)));
          assert.deepEqual(await replay(spec({ tier }), logged), await replay(spec({ tier }), sorted));
        },
      ),
      { numRuns: 60 },
    );
  });
});
