/** Limits of the Envoy's own, without control: exact over its workers, shown to the client. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import { digestHex } from "../../control/domain/keys.ts";
import type { FileInput, LimitInput } from "../../control/domain/schema.ts";
import { Gateway, reasonOf, standalone } from "../kit/gateway.ts";
import { environment } from "../kit/fixture.ts";
import { Connection, type Response } from "../kit/http1.ts";
import { everySetup } from "../kit/envoySetups.ts";
import { eventually } from "../kit/eventually.ts";

const upstream = { service: "echo.test", port: 80 };
const keyless = { mode: "none" } as const;
const api = (id: string, limits: LimitInput[], more: object = {}) => ({
  id,
  hosts: ["*"],
  paths: [`/${id}`],
  upstream,
  auth: keyless,
  limits,
  ...more,
});
const keys = { one: "the key of route limits, one", two: "the key of route limits, two" };
const hour = { kind: "rate", windowSeconds: 3600, subject: "api", enforcement: "gateway" } as const;
const file: FileInput = {
  version: 1,
  apis: [
    api("hundred", [{ ...hour, name: "hour", limit: 100 }]),
    api("address", [{ ...hour, name: "per-ip", limit: 5, subject: "ip" }]),
    api("two", [
      { ...hour, name: "small", limit: 7 },
      { name: "month", kind: "quota", limit: 1000, period: "month", subject: "api", enforcement: "gateway" },
    ]),
    api("priced", [{ ...hour, name: "hour", limit: 20 }], {
      routes: [
        { path: "/priced/free", cost: 0 },
        { path: "/priced/dear", cost: 7 },
      ],
    }),
    api("paced", [
      {
        name: "pace",
        kind: "rate",
        limit: 100_000,
        windowSeconds: 60,
        subject: "api",
        enforcement: "gateway",
        smoothing: { perSecond: 20, burst: 10 },
      },
    ]),
    api("routes", [], { auth: { mode: "key" }, routes: [{ path: "/routes/a" }, { path: "/routes/b" }] }),
    api("shadow", [{ ...hour, name: "hour", limit: 3, mode: "shadow" }]),
  ],
  tiers: [{ id: "t", limits: [{ ...hour, name: "each", limit: 10, subject: "route" }] }],
  consumers: [{ id: "c", tier: "t" }],
  keys: Object.entries(keys).map(([id, key]) => ({ id, consumer: "c", sha256: digestHex(key) })),
};

/** Sends `count` requests over as many connections as reach every worker; gives the answers. */
async function hammer(
  gateway: Gateway,
  path: string,
  count: number,
  headers: [string, string][] = [],
): Promise<Response[]> {
  const connections = await Promise.all(Array.from({ length: 16 }, () => Connection.open(gateway.port())));
  try {
    const answers: Response[] = [];
    let left = count;
    await Promise.all(
      connections.map(async (connection) => {
        while (left-- > 0) answers.push(await connection.send({ path, headers }));
      }),
    );
    return answers;
  } finally {
    for (const connection of connections) connection.close();
  }
}

const admitted = (answers: readonly Response[]): number => answers.filter(({ status }) => status === 200).length;

for (const setup of everySetup) {
  describe(setup.name, () => {
    let gateway: Gateway;
    before(async () => {
      const configuration = standalone(fillEnvironment(file, environment), { failureMode: "closed" });
      gateway = await Gateway.start({ setup, listeners: [{ configuration, plugin: { hostEnvironment: [] } }] });
    });
    after(() => gateway?.stop());

    it("admits exactly what the limit says, over all workers", async () => {
      const answers = await hammer(gateway, "/hundred", 400);
      assert.equal(admitted(answers), 100);
      const refused = answers.filter(({ status }) => status !== 200);
      for (const answer of refused) assert.equal(reasonOf(answer), "rate_limited", answer.body);
    });

    it("counts each key at each route by itself, over all workers", async () => {
      const by = async (path: string, key: string) => admitted(await hammer(gateway, path, 40, [["x-api-key", key]]));
      assert.equal(await by("/routes/a", keys.one), 10);
      assert.equal(await by("/routes/b/c", keys.one), 10);
      assert.equal(await by("/routes", keys.one), 10);
      assert.equal(await by("/routes/other", keys.one), 0);
      assert.equal(await by("/routes/a", keys.two), 10);
    });

    it("shows what is left, and says what was violated and when to come again", async () => {
      const first = (await hammer(gateway, "/two", 1))[0]!;
      assert.equal(first.status, 200);
      assert.match(
        first.header("ratelimit-policy") ?? "",
        /^"small";q=7;w=3600, "month";q=1000;w=(2419200|2505600|2592000|2678400)$/,
      );
      assert.match(first.header("ratelimit") ?? "", /^"small";r=6;t=\d+, "month";r=999;t=\d+$/);
      const answers = await hammer(gateway, "/two", 30);
      assert.equal(admitted(answers), 6);
      const refused = answers.find(({ status }) => status !== 200)!;
      assert.equal(refused.status, 429);
      const seconds = Number(refused.header("retry-after"));
      assert.ok(seconds >= 1 && seconds <= 3600, String(seconds));
      assert.match(refused.header("ratelimit") ?? "", /^"small";r=0;t=\d+, "month";r=9[5-9]\d;t=\d+$/);
      assert.deepEqual(refused.json(), {
        type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
        title: "Too many requests",
        status: 429,
        reason: "rate_limited",
        "violated-policies": ["small"],
      });
    });

    it("counts by address", async () => {
      assert.equal(admitted(await hammer(gateway, "/address", 30)), 5);
    });

    it("takes a route's cost, all or nothing", async () => {
      assert.equal(admitted(await hammer(gateway, "/priced/dear", 10)), 2);
      assert.equal(admitted(await hammer(gateway, "/priced/free", 10)), 10);
      assert.equal(admitted(await hammer(gateway, "/priced", 10)), 6);
      assert.equal(admitted(await hammer(gateway, "/priced/free", 10)), 10);
    });

    it("keeps the pace over all workers", async () => {
      const startMs = performance.now();
      const answers = await hammer(gateway, "/paced", 300);
      const seconds = (performance.now() - startMs) / 1000;
      const count = admitted(answers);
      assert.ok(count >= 8 && count <= 10 + 20 * seconds + 1, `${count} in ${seconds} s`);
    });

    it("only counts what a shadow limit would refuse", async () => {
      assert.equal(admitted(await hammer(gateway, "/shadow", 20)), 20);
      // What a worker let through while another one might have had the rest is counted with its next request.
      const rounds: number[] = [];
      await eventually("all to be counted", async () => {
        rounds.push(admitted(await hammer(gateway, "/shadow", 16)));
        return (await gateway.metric("observed.rate_limited")) >= 17;
      });
      assert.deepEqual(new Set(rounds), new Set([16]));
    });
  });
}
