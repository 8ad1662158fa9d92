/** Which limits a request has, and whom they count. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { FileInput, LimitInput, RouteInput } from "../../control/domain/schema.ts";
import { routeKeys } from "../../control/domain/subjects.ts";
import { ask, askMany, calls, limitedGateway, limitedSpec, minute } from "./limitsSupport.ts";
import { assertSound, keyNamed, keyRecord, outcome, readyGateway, type Gateway } from "./support.ts";

afterEach(assertSound);

const upstream = { service: "echo", port: 8080 };
const named = (name: string, limit: number, more: Partial<LimitInput> = {}): LimitInput => ({
  name,
  kind: "rate",
  limit,
  windowSeconds: 60,
  ...more,
});

/** How many requests are admitted before one is refused. */
function room(gateway: Gateway, call: Parameters<typeof ask>[1] = {}, most = 60): number {
  for (let i = 0; i < most; i++) if (ask(gateway, call) !== "admitted") return i;
  return most;
}

describe("several limits", () => {
  test("are taken together or not at all", async () => {
    const gateway = limitedGateway([named("few", 3, { windowSeconds: 3600 }), named("many", 50)], { workers: 2 });
    assert.deepEqual(
      askMany(gateway, 20, (i) => ({ worker: i % 2 })),
      { admitted: 3, rate_limited: 17 },
    );
    // what refused requests would have taken is still there
    gateway.control.change((spec) => void (spec.tiers[0]!.limits = spec.tiers[0]!.limits.slice(1)));
    gateway.envoy.pump();
    assert.equal(askMany(gateway, 60, (i) => ({ worker: i % 2 }))["admitted"], 47);
  });

  test("of every authority hold at once, and what one refuses the others keep", () => {
    const gateway = limitedGateway(
      [named("g", 5, { enforcement: "gateway" }), named("c", 9, { subject: "consumer" })],
      { workers: 2 },
    );
    assert.deepEqual(
      askMany(gateway, 12, (i) => ({ worker: i % 2 })),
      { admitted: 5, rate_limited: 7 },
    );
    gateway.envoy.advance(60_000);
    assert.equal(askMany(gateway, 12, (i) => ({ worker: i % 2 }))["admitted"], 5);
    gateway.control.change((spec) => void (spec.tiers[0]!.limits = spec.tiers[0]!.limits.slice(1)));
    gateway.envoy.pump();
    assert.equal(askMany(gateway, 12, (i) => ({ worker: i % 2 }))["admitted"], 4);
  });

  test("as many as a request can have are all kept", () => {
    const many = (prefix: string, least: number): LimitInput[] =>
      Array.from({ length: 32 }, (_, i) => named(`${prefix}-${i}`, i === 31 ? least : 100));
    const gateway = limitedGateway(many("t", 40), {
      api: {
        limits: many("a", 30).map((limit) => ({ ...limit, subject: "api" as const })),
        routes: [{ path: "/r", limits: many("r", 7) }],
      },
    });
    assert.equal(room(gateway, { path: "/r" }), 7);
    assert.equal(room(gateway, { path: "/x" }), 23);
  });
});

describe("of limits with one name the most specific counts", () => {
  function spec(): FileInput {
    const file = limitedSpec([named("m", 3)], {
      limits: [],
      routes: [{ path: "/route", limits: [named("m", 9)] }],
    });
    file.apis!.push({
      id: "own",
      hosts: ["*"],
      paths: ["/own"],
      upstream,
      limits: [named("m", 6)],
      routes: [{ path: "/own/route", limits: [named("m", 12)] }],
    });
    file.keys = [
      keyRecord("acme-1", "acme"),
      keyRecord("acme-2", "acme"),
      keyRecord("acme-3", "acme", { limits: [named("m", 15)] }),
      keyRecord("acme-4", "acme", { limits: [named("m", 2)] }),
    ];
    return file;
  }

  const cases: [what: string, path: string, key: string, expected: number][] = [
    ["the tier's, where there is no other", "/x", "acme-1", 3],
    ["the API's before the tier's", "/own", "acme-1", 6],
    ["the route's before the tier's", "/route", "acme-1", 9],
    ["the route's before the API's", "/own/route", "acme-1", 12],
    ["the key's before the tier's", "/x", "acme-3", 15],
    ["the key's before the API's", "/own", "acme-3", 15],
    ["the key's before the route's", "/own/route", "acme-3", 15],
    ["the key's, though it is the smaller", "/own/route", "acme-4", 2],
  ];
  for (const [what, path, key, expected] of cases) {
    test(what, () => {
      assert.equal(room(readyGateway({ spec: spec() }), { path, key }), expected);
    });
  }

  test("and each of them counts for itself", () => {
    const gateway = readyGateway({ spec: spec() });
    assert.equal(room(gateway, { path: "/x" }), 3);
    assert.equal(room(gateway, { path: "/own" }), 6);
    assert.equal(room(gateway, { path: "/route" }), 9);
    assert.equal(room(gateway, { path: "/own/route" }), 12);
    assert.equal(room(gateway, { path: "/x", key: "acme-2" }), 3);
  });

  test("a key's own limit of another name comes on top", () => {
    const file = spec();
    file.keys![0]!.limits = [named("own", 2)];
    assert.equal(room(readyGateway({ spec: file })), 2);
  });

  test("a name that begins like another is another", () => {
    const file = limitedSpec([named("m", 3)], { limits: [named("mm", 5)] });
    assert.equal(room(readyGateway({ spec: file })), 3);
  });

  test("a key's own limit that is taken away leaves the tier's", () => {
    const gateway = readyGateway({ spec: spec() });
    assert.equal(room(gateway, { key: "acme-3" }), 15);
    gateway.control.change((file) => void (file.keys.find(({ id }) => id === "acme-3")!.limits = []));
    gateway.envoy.pump();
    assert.equal(room(gateway, { key: "acme-3" }), 3);
  });
});

describe("a limit counts", () => {
  function spec(subject: NonNullable<LimitInput["subject"]>, owner: "tier" | "api" = "tier"): FileInput {
    const limit = named("m", 5, { subject });
    const file = limitedSpec(owner === "tier" ? [limit] : [], owner === "api" ? { limits: [limit] } : {});
    file.apis!.push({ id: "other", hosts: ["*"], paths: ["/other"], upstream });
    file.consumers!.push({ id: "beta", tier: "bronze" });
    file.keys = [keyRecord("acme-1", "acme"), keyRecord("acme-2", "acme"), keyRecord("beta-1", "beta")];
    return file;
  }

  test("key: each key has its own", () => {
    const gateway = readyGateway({ spec: spec("key") });
    assert.equal(room(gateway), 5);
    assert.equal(room(gateway, { path: "/other" }), 0);
    assert.equal(room(gateway, { key: "acme-2" }), 5);
    assert.equal(room(gateway, { key: "beta-1" }), 5);
  });

  test("consumer: a consumer's keys share", () => {
    const gateway = readyGateway({ spec: spec("consumer") });
    assert.equal(room(gateway, {}, 3), 3);
    assert.equal(room(gateway, { key: "acme-2", path: "/other" }), 2);
    assert.equal(room(gateway, { key: "beta-1" }), 5);
  });

  test("api: all callers of an API share", () => {
    const gateway = readyGateway({ spec: spec("api") });
    assert.equal(room(gateway, {}, 3), 3);
    assert.equal(room(gateway, { key: "beta-1" }), 2);
    assert.equal(room(gateway, { path: "/other" }), 5);
  });

  test("consumer+api: each consumer at each API", () => {
    const gateway = readyGateway({ spec: spec("consumer+api") });
    assert.equal(room(gateway, {}, 3), 3);
    assert.equal(room(gateway, { key: "acme-2" }), 2);
    assert.equal(room(gateway, { path: "/other" }), 5);
    assert.equal(room(gateway, { key: "beta-1" }), 5);
  });

  test("route: each key at each route, and what belongs to no route as one more", () => {
    const file = spec("route");
    const routes = [{ path: "/a", methods: ["GET"] }, { path: "/a", methods: ["POST"] }, { path: "/b" }];
    Object.assign(file.apis![0]!, { routes });
    const gateway = readyGateway({ spec: file });
    assert.equal(room(gateway, { path: "/a/1" }), 5);
    assert.equal(room(gateway, { path: "/a/2", method: "POST" }), 5);
    assert.equal(room(gateway, { path: "/b" }, 3), 3);
    assert.equal(room(gateway, { path: "/x" }), 5);
    assert.equal(room(gateway, { path: "/y" }), 0);
    assert.equal(room(gateway, { path: "/other" }), 5);
    assert.equal(room(gateway, { path: "/a/1", key: "acme-2" }), 5);
    // A route keeps its counters wherever it stands among the others.
    gateway.control.change(
      (change) =>
        void (change.apis[0]!.routes = [
          { path: "/new", methods: [], scopes: [], cost: 1, limits: [] },
          ...change.apis[0]!.routes.reverse(),
        ]),
    );
    gateway.envoy.pump();
    assert.equal(room(gateway, { path: "/a/3" }), 0);
    assert.equal(room(gateway, { path: "/b" }), 2);
    assert.equal(room(gateway, { path: "/new" }), 5);
  });

  test("ip: an IPv4 address, with or without its port, however it's written", () => {
    const gateway = readyGateway({ spec: spec("ip") });
    assert.equal(room(gateway, { address: "203.0.113.7:1234" }, 3), 3);
    assert.equal(room(gateway, { address: "203.0.113.7:9", key: "beta-1" }, 1), 1);
    assert.equal(room(gateway, { address: "[::ffff:203.0.113.7]:80" }), 1);
    assert.equal(room(gateway, { address: "203.0.113.8:1234" }), 5);
  });

  test("ip: all of an IPv6 /64", () => {
    const gateway = readyGateway({ spec: spec("ip") });
    assert.equal(room(gateway, { address: "[2001:db8:1:2::1]:1234" }, 3), 3);
    assert.equal(room(gateway, { address: "[2001:db8:1:2:ffff:ffff:ffff:ffff]:1234" }), 2);
    assert.equal(room(gateway, { address: "[2001:db8:1:3::1]:1234" }), 5);
    assert.equal(room(gateway, { address: "[2001:db9:1:2::1]:1234" }), 5);
  });

  test("ip: what is no address, as one", () => {
    const gateway = readyGateway({ spec: spec("ip") });
    assert.equal(room(gateway, { address: "/run/envoy.sock" }, 2), 2);
    assert.equal(room(gateway, { address: "" }), 3);
  });

  test("with the subjects of the wire, which control sees", () => {
    const seen = (
      subject: NonNullable<LimitInput["subject"]>,
      address = "192.0.2.9:1",
      routes: RouteInput[] = [],
    ): string => {
      const file = spec(subject);
      Object.assign(file.apis![0]!, { routes });
      const gateway = readyGateway({ spec: file });
      ask(gateway, { address });
      return gateway.control.counters.calls[0]!.call.ops[0]!.subject;
    };
    const gateway = readyGateway({ spec: spec("key") });
    const word = (n: number): string => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(n);
      return bytes.toString("hex");
    };
    const consumer = word(gateway.control.wireId("consumer", "acme"));
    const api = word(gateway.control.wireId("api", "echo"));
    assert.equal(seen("key"), gateway.control.spec.keys[0]!.sha256.slice(0, 32));
    assert.equal(seen("consumer"), `${consumer}${"0".repeat(24)}`);
    assert.equal(seen("api"), `${"0".repeat(8)}${api}${"0".repeat(16)}`);
    assert.equal(seen("consumer+api"), `${consumer}${api}${"0".repeat(16)}`);
    const route = routeKeys([{ path: "/x", methods: [] }])[0]!;
    assert.equal(seen("route"), `${api}${"0".repeat(8)}${gateway.control.spec.keys[0]!.sha256.slice(0, 16)}`);
    assert.equal(
      seen("route", "192.0.2.9:1", [{ path: "/x" }]),
      `${api}${word(route)}${gateway.control.spec.keys[0]!.sha256.slice(0, 16)}`,
    );
    assert.equal(seen("ip"), "00000000000000000000ffffc0000209");
    assert.equal(seen("ip", "[2001:db8:1:2:3:4:5:6]:1"), "20010db8000100020000000000000000");
    assert.equal(seen("ip", "[::ffff:192.0.2.9]:1"), "00000000000000000000ffffc0000209");
  });
});

describe("without limits", () => {
  test("a tier is unlimited, and nothing is asked of control", () => {
    const gateway = limitedGateway([]);
    assert.equal(room(gateway, {}, 500), 500);
    assert.equal(calls(gateway, "leases"), 0);
  });

  test("of its own a tier has those of the API", () => {
    const gateway = limitedGateway([], { api: { limits: [named("m", 4)] } });
    assert.equal(room(gateway), 4);
  });
});

describe("a keyless API", () => {
  const keyless = (limits: LimitInput[]): Gateway => {
    const file = limitedSpec([minute(1)]);
    file.apis![1]!.limits = limits;
    return readyGateway({ spec: file });
  };
  const get = (gateway: Gateway, address: string): string => {
    const stream = gateway.get(
      "/public",
      { "x-api-key": keyNamed("acme-1") },
      { properties: { "source.address": address } },
    );
    gateway.envoy.until(() => stream.state !== "held", 2000, 1);
    return outcome(stream);
  };

  test("has its own limits by address and by API, not those of a caller's tier", () => {
    const gateway = keyless([named("each", 3, { subject: "ip" }), named("all", 5, { subject: "api" })]);
    assert.deepEqual(
      Array.from({ length: 4 }, () => get(gateway, "192.0.2.1:1")),
      ["admitted", "admitted", "admitted", "rate_limited"],
    );
    assert.deepEqual(
      Array.from({ length: 3 }, () => get(gateway, "192.0.2.2:1")),
      ["admitted", "admitted", "rate_limited"],
    );
  });

  test("isn't limited by subjects that nobody is there for", () => {
    const gateway = keyless([
      named("k", 1, { subject: "key" }),
      named("c", 1, { subject: "consumer" }),
      named("ca", 1, { subject: "consumer+api" }),
      named("r", 1, { subject: "route" }),
    ]);
    assert.deepEqual(new Set(Array.from({ length: 9 }, () => get(gateway, "192.0.2.1:1"))), new Set(["admitted"]));
  });
});
