/** /v1/keys/{id}/quota and /v1/consumers/{id}/quota, with reset and grant. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { leaseAction, type LeaseAnswer, type LeaseOp } from "../../control/counters/model.ts";
import { digestHex } from "../../control/domain/keys.ts";
import { routeKeys, subjectText } from "../../control/domain/subjects.ts";
import type { LimitReport, QuotaReport, WindowReport } from "../../control/quota/report.ts";
import { Catalog } from "../../control/sync/catalog.ts";
import { gatewayName } from "../../control/store/gatewayName.ts";
import { api, expect, type Harness, startApi } from "./support.ts";

type Adjusted = QuotaReport & { version: number; adjusted: { name: string; api?: string; route?: string }[] };

const minute = { name: "minute", kind: "rate", limit: 60, windowSeconds: 60 };
const day = { name: "day", kind: "quota", limit: 1000, period: "day", subject: "consumer" };

/** Tier bronze with a rate by key, a quota by consumer, one by consumer and API, one in each gateway; consumer acme with the key k1. */
async function world(t: TestContext): Promise<Harness> {
  const h = await startApi(t);
  h.clock.nowMs = Date.UTC(2026, 2, 10, 12, 30);
  const ok = async (method: string, path: string, body: object) =>
    assert.ok((await h.call(method, path, body)).statusCode < 300, `${method} ${path}`);
  await ok(
    "POST",
    "/v1/apis",
    api("echo", { routes: [{ path: "/echo/search", cost: 5, limits: [{ ...minute, limit: 10 }] }] }),
  );
  await ok("POST", "/v1/apis", api("other", { limits: [{ ...day, limit: 50 }] }));
  await ok(
    "POST",
    "/v1/apis",
    api("open", { auth: { mode: "none" }, limits: [{ ...minute, subject: "ip", enforcement: "gateway" }] }),
  );
  const limits = [
    minute,
    day,
    { name: "each", kind: "quota", limit: 200, period: "month", subject: "consumer+api" },
    { ...minute, name: "near", enforcement: "gateway" },
    { ...minute, name: "all", subject: "api" },
  ];
  await ok("POST", "/v1/tiers", { id: "bronze", limits });
  await ok("POST", "/v1/tiers", { id: "narrow", apis: ["echo"], limits: [{ ...minute, name: "slow" }] });
  await ok("POST", "/v1/consumers", { id: "acme", tier: "bronze" });
  await ok("PUT", "/v1/keys/k1", { consumer: "acme", sha256: digestHex("k1") });
  return h;
}

/** One gateway VM that takes allowance. */
class Lane {
  private readonly h: Harness;
  private readonly lane: bigint;
  private seq = 0n;
  readonly gateway: string;

  constructor(h: Harness, lane: bigint) {
    this.h = h;
    this.lane = lane;
    this.gateway = gatewayName("edge", `edge~${lane}`);
  }

  async ask(wireId: number, subject: string, amount: number, more: Partial<LeaseOp> = {}): Promise<LeaseAnswer> {
    const catalog = new Catalog(this.h.store, "default");
    await catalog.reach((await this.h.store.environment("default"))!.version);
    const op: LeaseOp = {
      wireId,
      actions: leaseAction.ask,
      subject,
      windowStartMs: 0,
      held: 0,
      returned: 0,
      need: amount,
      want: amount,
      ...more,
    };
    const call = { environment: "default", gateway: this.gateway, lane: this.lane, seq: ++this.seq, ops: [op] };
    const [answer] = (await this.h.services.counters.apply([call], (_environment, id) => catalog.limit(id)?.shape))
      .answers;
    assert.equal(answer!.kind, "answered");
    return answer!.kind === "answered" ? answer!.answers[0]! : assert.fail();
  }
}

/** Wire ids, and the subjects of key k1 and of acme. */
async function wires(h: Harness) {
  return (await h.store.snapshotRead("default", async (reader) => {
    const [tier] = (await reader.tiers()).filter(({ tier: { id } }) => id === "bronze");
    const limit = (name: string) => tier!.limits.find((one) => one.limit.name === name)!.wireId;
    const apis = new Map((await reader.apis()).map((one) => [one.api.id, one]));
    const acme = (await reader.consumerById("acme"))!.wireId;
    const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer).toString("hex");
    return {
      minute: limit("minute"),
      day: limit("day"),
      each: limit("each"),
      near: limit("near"),
      otherDay: apis.get("other")!.limits[0]!.wireId,
      echo: apis.get("echo")!.wireId,
      other: apis.get("other")!.wireId,
      consumer: acme,
      k1: digestHex("k1").slice(0, 32),
      acme: `${u32(acme)}${"0".repeat(24)}`,
      acmeAtEcho: `${u32(acme)}${u32(apis.get("echo")!.wireId)}${"0".repeat(16)}`,
    };
  }))!;
}

const quota = async (h: Harness, holder = "keys/k1") =>
  expect<QuotaReport>(await h.call("GET", `/v1/${holder}/quota`), 200);
const limitOf = (report: QuotaReport, name: string, at?: string): LimitReport =>
  report.limits.find(
    (one) =>
      one.name === name && (at === undefined || one.api === at || (one.api === undefined && one.apis.includes(at))),
  )!;
const windowOf = (report: QuotaReport, name: string, at?: string): WindowReport =>
  limitOf(report, name, at).windows[0]!;
const brief = (report: QuotaReport) =>
  report.limits.map(({ name, owner, api: one, apis }) => [name, owner.kind, one ?? "", apis.join("+")].join(" "));

describe("GET …/quota", () => {
  it("names each limit that counts the key or its consumer, where it does", async (t) => {
    const h = await world(t);
    const report = await quota(h);
    assert.deepEqual(
      [report.key, report.consumer, report.time, report.partial],
      ["k1", "acme", "2026-03-10T12:30:00Z", false],
    );
    assert.deepEqual(brief(report), [
      "day tier  echo",
      "day api  other",
      "each tier echo echo",
      "each tier other other",
      "minute tier  echo+other",
      "minute route  echo",
      "near tier  echo+other",
    ]);
    const {
      windows: [window],
      ...limit
    } = limitOf(report, "day", "echo");
    assert.deepEqual(limit, {
      name: "day",
      kind: "quota",
      limit: 1000,
      period: "day",
      subject: "consumer",
      enforcement: "global",
      mode: "enforce",
      owner: { kind: "tier", tier: "bronze" },
      apis: ["echo"],
      generation: 0,
      pendingExtra: 0,
    });
    assert.deepEqual(window, {
      start: "2026-03-10T00:00:00Z",
      resets: "2026-03-11T00:00:00Z",
      limit: 1000,
      used: 0,
      extra: 0,
      remaining: 1000,
      held: 0,
      heldBySilent: 0,
      shares: 0,
      counted: 0,
      difference: 0,
      holders: [],
    });
    assert.deepEqual(limitOf(report, "near").windows, []);
    assert.deepEqual(brief(await quota(h, "consumers/acme")), [
      "day tier  echo",
      "day api  other",
      "each tier echo echo",
      "each tier other other",
    ]);
  });

  it("follows the key's tier, its APIs and its own limits", async (t) => {
    const h = await world(t);
    await h.call("PUT", "/v1/keys/k2", {
      consumer: "acme",
      sha256: digestHex("k2"),
      tier: "narrow",
      limits: [
        { ...minute, limit: 7 },
        { ...day, limit: 9 },
      ],
    });
    assert.deepEqual(brief(await quota(h, "keys/k2")), ["day key  echo", "minute key  echo", "slow tier  echo"]);
    assert.deepEqual(brief(await quota(h, "consumers/acme")), [
      "day tier  echo",
      "day api  other",
      "day key  echo",
      "each tier echo echo",
      "each tier other other",
    ]);
    await h.call("PUT", "/v1/keys/k3", { consumer: "acme", sha256: digestHex("k3"), apis: ["other"] });
    assert.deepEqual(brief(await quota(h, "keys/k3")), [
      "day api  other",
      "each tier other other",
      "minute tier  other",
      "near tier  other",
    ]);
    await h.call("POST", "/v1/consumers", { id: "nobody" });
    assert.deepEqual((await quota(h, "consumers/nobody")).limits, []);
  });

  it("shows who holds what, what is lost if silent gateways are gone, and what usage counted", async (t) => {
    const h = await world(t);
    const wire = await wires(h);
    const [one, two] = [new Lane(h, 1n), new Lane(h, 2n)];
    assert.equal((await one.ask(wire.day, wire.acme, 100)).granted, 100);
    h.clock.nowMs += 76_000;
    assert.equal((await two.ask(wire.day, wire.acme, 30)).granted, 30);
    const start = Date.UTC(2026, 2, 10);
    // The second spends 12 of its 30 and tells so; usage says that 11 of them arrived so far.
    await two.ask(wire.day, wire.acme, 0, { actions: 0, need: 0, want: 0, windowStartMs: start, held: 18 });
    const count = (digest: string, api: number, cost: number) => ({
      minute: Math.floor(h.clock.nowMs / 60_000),
      api,
      route: undefined,
      consumer: wire.consumer,
      digest,
      counts: [
        [0, 1],
        [1, cost],
      ] as [number, number][],
    });
    await h.services.usage.record("default", "edge~2", 9n, 1n, [
      count(wire.k1, wire.echo, 11),
      count(wire.k1, wire.other, 500),
    ]);
    const window = windowOf(await quota(h, "consumers/acme"), "day", "echo");
    assert.deepEqual(
      {
        ...window,
        holders: window.holders.map(({ group, gateway, held, silent }) => [group, gateway, held, silent]).sort(),
      },
      {
        start: "2026-03-10T00:00:00Z",
        resets: "2026-03-11T00:00:00Z",
        limit: 1000,
        used: 130,
        extra: 0,
        remaining: 870,
        held: 118,
        heldBySilent: 100,
        shares: 0,
        counted: 11,
        difference: 1,
        holders: [
          ["edge", "edge~1", 100, true],
          ["edge", "edge~2", 18, false],
        ],
      },
    );
    assert.equal(
      window.holders[0]!.lastContact,
      window.holders[0]!.silent ? "2026-03-10T12:30:00Z" : "2026-03-10T12:31:16Z",
    );
    // The key sees the same of its consumer, and its own share of what was counted by key.
    assert.deepEqual(windowOf(await quota(h), "day", "echo"), window);
    const byKey = windowOf(await quota(h), "minute");
    assert.deepEqual([byKey.used, byKey.counted, byKey.difference], [0, 511, -511]);
    assert.equal(windowOf(await quota(h), "each", "other").counted, 500);
    // A gateway that needs nothing for now still asks for changes.
    await h.store.recordGateway({
      id: "edge~1",
      group: "edge",
      environment: "default",
      tokenId: "edge-1",
      heldUntilMs: 0,
      version: 1n,
      applied: 1n,
      workers: 1,
      lastContactMs: h.clock.nowMs - 50_000,
    });
    assert.equal(windowOf(await quota(h), "day", "echo").heldBySilent, 0);
  });

  it("counts a consumer's usage against the limit that each key has", async (t) => {
    const h = await world(t);
    await h.call("PUT", "/v1/keys/k2", { consumer: "acme", sha256: digestHex("k2"), limits: [{ ...day, limit: 9 }] });
    await h.call("PUT", "/v1/keys/k3", { consumer: "acme", sha256: digestHex("k3"), tier: "narrow" });
    const wire = await wires(h);
    const count = (id: string, cost: number) => ({
      minute: Math.floor(h.clock.nowMs / 60_000),
      api: wire.echo,
      route: undefined,
      consumer: wire.consumer,
      digest: digestHex(id).slice(0, 32),
      counts: [
        [0, 1],
        [1, cost],
      ] as [number, number][],
    });
    await h.services.usage.record("default", "edge~1", 9n, 1n, [count("k1", 1), count("k2", 10), count("k3", 100)]);
    const report = await quota(h, "consumers/acme");
    const counted = report.limits
      .filter(({ name }) => name === "day")
      .map(({ owner, windows }) => [owner.kind, windows[0]!.counted]);
    assert.deepEqual(counted, [
      ["tier", 1],
      ["api", 0],
      ["key", 10],
    ]);
  });

  it("refuses what isn't there", async (t) => {
    const h = await world(t);
    for (const holder of ["keys/nope", "consumers/nope"]) {
      for (const [method, act, body] of [
        ["GET", "", undefined],
        ["POST", "/reset", {}],
        ["POST", "/grant", { amount: 1 }],
      ] as const) {
        expect(await h.call(method, `/v1/${holder}/quota${act}`, body), 404, "record_not_found");
      }
    }
    expect(await h.call("GET", "/v1/keys/k1/quota?environment=nope"), 404, "environment_not_found");
  });
});

describe("POST …/quota/reset and /grant", () => {
  const post = async (h: Harness, path: string, body: object | undefined, status: number, code?: string) =>
    expect<Adjusted>(await h.call("POST", `/v1/${path}`, body), status, code);

  it("a reset forgets what was spent, tells the gateways and the audit log", async (t) => {
    const h = await world(t);
    const wire = await wires(h);
    const lane = new Lane(h, 1n);
    const start = Date.UTC(2026, 2, 10, 12, 30);
    await lane.ask(wire.minute, wire.k1, 60);
    await lane.ask(wire.minute, wire.k1, 0, { actions: 0, need: 0, want: 0, windowStartMs: start, held: 5 });
    await lane.ask(wire.day, wire.acme, 200);
    const before = (await h.store.environment("default"))!.version;
    const done = await post(h, "keys/k1/quota/reset", undefined, 200);
    assert.deepEqual(done.adjusted, [{ name: "minute" }, { name: "minute" }], "of the tier and of the route");
    assert.equal(BigInt(done.version), before + 1n);
    assert.deepEqual(
      [windowOf(done, "minute").used, windowOf(done, "minute").held, limitOf(done, "minute").generation],
      [5, 5, 1],
    );
    assert.equal(windowOf(done, "day", "echo").used, 200, "the consumer's is left alone");
    const changes = (await h.store.snapshotRead("default", (reader) => reader.changesSince(before, 100)))!;
    assert.deepEqual(
      changes
        .map((change) => change.kind === "counter" && [change.wireId, change.subject, change.generation])
        .find((one) => one && one[0] === wire.minute),
      [wire.minute, wire.k1, 1],
    );
    const {
      items: [entry],
    } = expect<{ items: Record<string, unknown>[] }>(await h.call("GET", "/v1/audit?limit=1"), 200);
    assert.deepEqual(
      [entry!["action"], entry!["kind"], entry!["id"], entry!["after"], entry!["version"]],
      ["reset-quota", "key", "k1", { limits: done.adjusted }, done.version],
    );
  });

  it("a grant goes to the one quota, or to the limit that is named", async (t) => {
    const h = await world(t);
    const byKey = await post(h, "keys/k1/quota/grant", { amount: 40, limit: "minute", api: "other" }, 200);
    assert.deepEqual(
      [byKey.adjusted, windowOf(byKey, "minute").extra, windowOf(byKey, "minute").remaining],
      [[{ name: "minute" }], 40, 100],
    );
    const granted = await post(h, "consumers/acme/quota/grant", { amount: 7, limit: "each", api: "echo" }, 200);
    assert.deepEqual(
      [granted.adjusted, windowOf(granted, "each", "echo").extra, windowOf(granted, "each", "other").extra],
      [[{ name: "each", api: "echo" }], 7, 0],
    );
    await h.call("POST", "/v1/tiers", { id: "one", limits: [day, { ...minute, subject: "consumer" }] });
    await h.call("DELETE", "/v1/apis/other");
    await h.call("POST", "/v1/consumers", { id: "solo", tier: "one" });
    await h.call("POST", "/v1/keys", { consumer: "solo" });
    const only = await post(h, "consumers/solo/quota/grant", { amount: 5 }, 200);
    assert.deepEqual(only.adjusted, [{ name: "day" }], "of a quota and a rate, the quota");
    const again = await post(h, "consumers/solo/quota/grant", { amount: 5 }, 200);
    assert.deepEqual([windowOf(again, "day").extra, limitOf(again, "day").generation], [10, 2]);
    const cleared = await post(h, "consumers/solo/quota/reset", { limit: "day" }, 200);
    assert.deepEqual([windowOf(cleared, "day").extra, limitOf(cleared, "day").generation], [0, 3]);
  });

  it("acts on what gateways ask for afterwards", async (t) => {
    const h = await world(t);
    const wire = await wires(h);
    const [one, two] = [new Lane(h, 1n), new Lane(h, 2n)];
    assert.equal((await one.ask(wire.otherDay, wire.acme, 50)).granted, 50);
    await one.ask(wire.otherDay, wire.acme, 0, {
      actions: 0,
      need: 0,
      want: 0,
      windowStartMs: Date.UTC(2026, 2, 10),
      held: 0,
    });
    assert.equal((await two.ask(wire.otherDay, wire.acme, 1)).granted, 0);
    await post(h, "consumers/acme/quota/grant", { amount: 3, limit: "day", api: "other" }, 200);
    assert.equal((await two.ask(wire.otherDay, wire.acme, 3)).granted, 3);
    assert.equal((await two.ask(wire.otherDay, wire.acme, 1)).granted, 0);
    await post(h, "consumers/acme/quota/reset", { limit: "day", api: "other" }, 200);
    assert.ok((await two.ask(wire.otherDay, wire.acme, 10)).granted >= 10);
  });

  it("keeps what is granted before the first use", async (t) => {
    const h = await world(t);
    await h.call("POST", "/v1/tiers", {
      id: "trial",
      limits: [{ name: "trial", kind: "quota", limit: 10, period: "30d" }],
    });
    await h.call("PUT", "/v1/keys/k9", { consumer: "acme", sha256: digestHex("k9"), tier: "trial" });
    const granted = await post(h, "keys/k9/quota/grant", { amount: 5 }, 200);
    assert.deepEqual([limitOf(granted, "trial").pendingExtra, limitOf(granted, "trial").windows], [5, []]);
  });

  it("says why it can't", async (t) => {
    const h = await world(t);
    const why = async (path: string, body: object, code: string, detail: RegExp) =>
      assert.match(String(((await post(h, path, body, 409, code)) as unknown as { detail: string }).detail), detail);
    await why(
      "keys/k1/quota/reset",
      { limit: "nope" },
      "limit_not_applicable",
      /No counter of `nope` counts key `k1`; there are `minute`, `minute` \(api echo\)\./,
    );
    await why(
      "keys/k1/quota/grant",
      { amount: 1, limit: "day", api: "echo" },
      "limit_not_applicable",
      /`day` at API `echo` counts by consumer: ask for it at \/v1\/consumers\/acme\/quota\./,
    );
    await why(
      "consumers/acme/quota/grant",
      { amount: 1, limit: "minute" },
      "limit_not_applicable",
      /No counter of `minute` counts consumer `acme`/,
    );
    await why(
      "keys/k1/quota/reset",
      { limit: "near" },
      "limit_not_applicable",
      /`near` is counted by each gateway for itself/,
    );
    await why(
      "keys/k1/quota/reset",
      { limit: "minute", api: "open" },
      "limit_not_applicable",
      /No counter of `minute` at API `open`/,
    );
    await why(
      "consumers/acme/quota/grant",
      { amount: 1 },
      "limit_ambiguous",
      /`day`, `day` \(api other\), `each` \(api echo\), `each` \(api other\)\./,
    );
    await why("keys/k1/quota/grant", { amount: 1 }, "limit_ambiguous", /`minute`, `minute` \(api echo\)\./);
    await post(h, "keys/k1/quota/grant", {}, 400, "invalid_request");
    await post(h, "keys/k1/quota/grant", { amount: 0 }, 400, "invalid_request");
    await post(h, "keys/k1/quota/reset", { limits: "x" }, 400, "invalid_request");
  });

  it("a counter store that can't be reached is a 503", async (t) => {
    const h = await world(t);
    const { CountersUnavailable } = await import("../../control/counters/store.ts");
    h.services.counters = Object.assign(Object.create(h.services.counters) as typeof h.services.counters, {
      reset: () => Promise.reject(new CountersUnavailable()),
      inspect: () => Promise.reject(new CountersUnavailable()),
    });
    await post(h, "keys/k1/quota/reset", {}, 503, "not_ready");
    expect(await h.call("GET", "/v1/keys/k1/quota"), 503, "not_ready");
  });
});

describe("a limit by route", () => {
  it("has a counter of the key at each route, which can be told apart, granted extra and reset", async (t) => {
    const h = await world(t);
    await h.call("PUT", "/v1/tiers/bronze", {
      limits: [{ name: "calls", kind: "quota", limit: 100, period: "day", subject: "route" }],
    });
    const wire = await h.store.snapshotRead("default", async (reader) => ({
      limit: (await reader.tiers()).find(({ tier: { id } }) => id === "bronze")!.limits[0]!.wireId,
      echo: (await reader.apis()).find(({ api: { id } }) => id === "echo")!.wireId,
    }));
    const at = (route: number) =>
      subjectText("route", {
        digest: Buffer.from(digestHex("k1"), "hex"),
        consumer: 0,
        api: wire!.echo,
        routeKey: route,
      });
    const [search] = routeKeys([{ methods: [], path: "/echo/search" }]);
    const lane = new Lane(h, 1n);
    assert.equal((await lane.ask(wire!.limit, at(search!), 30)).granted, 30);
    assert.equal((await lane.ask(wire!.limit, at(0), 5)).granted, 5);
    const used = (report: QuotaReport) =>
      report.limits
        .filter(({ name }) => name === "calls")
        .map(({ api: one, route, windows: [window] }) => [one, route, window!.used, window!.extra]);
    assert.deepEqual(used(await quota(h)), [
      ["echo", "", 5, 0],
      ["echo", "/echo/search", 30, 0],
      ["other", "", 0, 0],
    ]);
    // It's the key's, not its consumer's.
    assert.deepEqual(
      (await quota(h, "consumers/acme")).limits.filter(({ name }) => name === "calls"),
      [],
    );

    const ambiguous = await h.call("POST", "/v1/keys/k1/quota/grant", { amount: 7, limit: "calls", api: "echo" });
    assert.equal(ambiguous.statusCode, 409);
    assert.match(ambiguous.body, /`calls` \(api echo, no route\), `calls` \(api echo, route \/echo\/search\)/);
    const granted = expect<Adjusted>(
      await h.call("POST", "/v1/keys/k1/quota/grant", { amount: 7, limit: "calls", route: "/echo/search" }),
      200,
    );
    assert.deepEqual(granted.adjusted, [{ name: "calls", api: "echo", route: "/echo/search" }]);
    assert.deepEqual(used(granted), [
      ["echo", "", 5, 0],
      ["echo", "/echo/search", 30, 7],
      ["other", "", 0, 0],
    ]);
    const reset = expect<Adjusted>(
      await h.call("POST", "/v1/keys/k1/quota/reset", { limit: "calls", api: "echo", route: "" }),
      200,
    );
    assert.deepEqual(reset.adjusted, [{ name: "calls", api: "echo", route: "" }]);
    assert.deepEqual(
      reset.limits.filter(({ name }) => name === "calls").map(({ generation }) => generation),
      [1, 1, 0],
    );
  });
});
