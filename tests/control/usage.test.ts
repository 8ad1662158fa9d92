/** GET /v1/usage */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import type { UsageEntry } from "../../control/usage/model.ts";
import { reasons } from "../../protocol/reasons.ts";
import { digestHex } from "../../control/domain/keys.ts";
import { api, expect, type Harness, seed, startApi } from "./support.ts";

const minuteMs = 60_000;
const reason = (code: string) => reasons.findIndex((one) => one.code === code);

interface Numbers {
  admitted: number;
  cost: number;
  overshoot: number;
  refused: number;
  observed: number;
  responses: Record<string, number>;
  refusals: Record<string, number>;
  observations: Record<string, number>;
  latency: { p50: number | null; p90: number | null; p99: number | null };
}
type Row = Numbers & {
  time: string;
  api?: string | null;
  route?: string | null;
  consumer?: string | null;
  key?: string | null;
  tier?: string | null;
  reason?: string;
  status?: string;
  answers?: number;
};
interface Answer {
  from: string;
  to: string;
  interval: string;
  group: string[];
  rows: Row[];
  totals: Numbers;
}

/** An environment in which something was used: two keys of acme, an hour and two minutes ago, and refusals of nobody in particular. */
async function used(t: TestContext): Promise<{ h: Harness; get: (query: string) => Promise<Answer> }> {
  const h = await startApi(t);
  await seed(h);
  h.clock.nowMs = Date.UTC(2026, 2, 10, 12, 30);
  await h.call(
    "POST",
    "/v1/apis",
    api("echo", { routes: [{ path: "/echo/search", methods: ["GET", "POST"], cost: 5 }] }),
  );
  for (const id of ["k1", "k2"]) await h.call("PUT", `/v1/keys/${id}`, { consumer: "acme", sha256: digestHex(id) });
  const wire = (await h.store.snapshotRead("default", async (reader) => ({
    api: (await reader.apiById("echo"))!.wireId,
    consumer: (await reader.consumerById("acme"))!.wireId,
  })))!;
  const entry = (agoMinutes: number, key: string, counts: UsageEntry["counts"], route?: number): UsageEntry => ({
    minute: Math.floor(h.clock.nowMs / minuteMs) - agoMinutes,
    ...wire,
    route,
    digest: digestHex(key).slice(0, 32),
    counts,
  });
  await h.services.usage.record("default", "gw~1", 1n, 1n, [
    entry(2, "k1", [
      [0, 10],
      [1, 10],
      [9, 8],
      [12, 2],
      [18, 10],
    ]),
    entry(
      2,
      "k1",
      [
        [0, 4],
        [1, 20],
        [9, 4],
        [24, 4],
      ],
      0,
    ),
    entry(60, "k2", [
      [0, 100],
      [1, 100],
      [2, 3],
      [9, 100],
      [17, 100],
    ]),
    entry(60, "k2", [
      [64 + reason("rate_limited"), 7],
      [64 + reason("quota_exceeded"), 2],
      [128 + reason("rate_limited"), 5],
    ]),
    {
      minute: Math.floor(h.clock.nowMs / minuteMs) - 2,
      api: 0,
      route: undefined,
      consumer: 0,
      digest: "0".repeat(32),
      counts: [
        [64 + reason("unknown_key"), 6],
        [64 + 60, 1],
      ],
    },
  ]);
  return { h, get: async (query) => expect<Answer>(await h.call("GET", `/v1/usage${query}`), 200) };
}

describe("GET /v1/usage", () => {
  it("sums up the last day", async (t) => {
    const { get } = await used(t);
    const answer = await get("");
    assert.deepEqual(
      [answer.from, answer.to, answer.interval, answer.group],
      ["2026-03-09T12:30:00Z", "2026-03-10T12:30:00Z", "total", []],
    );
    assert.equal(answer.rows.length, 1);
    assert.deepEqual({ ...answer.totals, time: answer.from }, answer.rows[0]);
    const { admitted, cost, overshoot, refused, observed, responses, refusals, observations } = answer.totals;
    assert.deepEqual([admitted, cost, overshoot, refused, observed], [114, 130, 3, 16, 5]);
    assert.deepEqual(responses, { "1xx": 0, "2xx": 112, "3xx": 0, "4xx": 0, "5xx": 2 });
    assert.deepEqual(refusals, { rate_limited: 7, unknown_key: 6, quota_exceeded: 2, reason_60: 1 });
    assert.deepEqual(observations, { rate_limited: 5 });
    assert.deepEqual(answer.totals.latency, { p50: 1.6, p90: 2.8, p99: 428.8 });
  });

  it("groups by what was counted; nobody is null", async (t) => {
    const { get } = await used(t);
    const brief = ({ rows }: Answer) =>
      rows.map((row) => [row.api, row.route, row.consumer, row.key, row.tier, row.admitted, row.refused]);
    assert.deepEqual(brief(await get("?group=api,route,consumer,key,tier")), [
      ["echo", null, "acme", "k2", "bronze", 100, 9],
      ["echo", null, "acme", "k1", "bronze", 10, 0],
      [null, null, null, null, null, 0, 7],
      ["echo", "GET,POST /echo/search", "acme", "k1", "bronze", 4, 0],
    ]);
    const { rows } = await get("?group=key&top=1");
    assert.deepEqual(
      rows.map(({ key, admitted }) => [key, admitted]),
      [["k2", 100]],
    );
    assert.equal((await get("?group=key&top=1")).totals.admitted, 114);
  });

  it("splits by reason and by status", async (t) => {
    const { get } = await used(t);
    assert.deepEqual(
      (await get("?group=consumer,reason")).rows.map(({ consumer, reason, refused, observed }) => [
        consumer,
        reason,
        refused,
        observed,
      ]),
      [
        ["acme", "rate_limited", 7, 5],
        ["acme", "quota_exceeded", 2, 0],
        [null, "unknown_key", 6, 0],
        [null, "reason_60", 1, 0],
      ],
    );
    assert.deepEqual(
      (await get("?group=status")).rows.map(({ status, answers }) => [status, answers]),
      [
        ["2xx", 112],
        ["5xx", 2],
      ],
    );
  });

  it("goes by minute, hour and day, and narrows", async (t) => {
    const { get } = await used(t);
    const brief = ({ rows }: Answer) => rows.map(({ time, admitted }) => [time, admitted]);
    assert.deepEqual(brief(await get("?interval=minute&from=90m")), [
      ["2026-03-10T11:30:00Z", 100],
      ["2026-03-10T12:28:00Z", 14],
    ]);
    assert.deepEqual(brief(await get("?interval=hour&from=2026-03-10T12:00:00Z")), [["2026-03-10T12:00:00Z", 14]]);
    assert.deepEqual(brief(await get("?interval=day&from=400d&key=k2")), [["2026-03-10T00:00:00Z", 100]]);
    assert.deepEqual(brief(await get("?from=2h&to=30m&consumer=acme")), [["2026-03-10T10:30:00Z", 100]]);
    assert.deepEqual(brief(await get(`?route=${encodeURIComponent("GET,POST /echo/search")}`)), [
      ["2026-03-09T12:30:00Z", 4],
    ]);
    assert.deepEqual(brief(await get("?api=echo&key=nobody")), []);
    assert.equal((await get("?tier=bronze")).totals.admitted, 114);
  });

  it("comes as CSV", async (t) => {
    const { h } = await used(t);
    const csv = async (query: string, headers = {}) => {
      const response = await h.call("GET", `/v1/usage${query}`, undefined, headers);
      assert.match(String(response.headers["content-type"]), /^text\/csv; charset=utf-8/);
      return response.body.split("\r\n");
    };
    assert.deepEqual(await csv("?group=api,route&key=k1", { accept: "text/csv" }), [
      "time,api,route,admitted,cost,overshoot,shadowed,local,refused,observed,responses_1xx,responses_2xx,responses_3xx,responses_4xx,responses_5xx,p50_ms,p90_ms,p99_ms",
      "2026-03-09T12:30:00Z,echo,,10,10,0,0,0,0,0,0,8,0,0,2,3.5,4.7,5",
      '2026-03-09T12:30:00Z,echo,"GET,POST /echo/search",4,20,0,0,0,0,0,0,4,0,0,0,375,475,497.5',
      "",
    ]);
    assert.deepEqual(await csv("?format=csv&group=reason&consumer=acme"), [
      "time,reason,refused,observed",
      "2026-03-09T12:30:00Z,rate_limited,7,5",
      "2026-03-09T12:30:00Z,quota_exceeded,2,0",
      "",
    ]);
    assert.deepEqual((await csv("?format=csv&group=status"))[0], "time,status,answers");
    const json = await h.call("GET", "/v1/usage?format=json", undefined, { accept: "text/csv" });
    assert.equal(json.json<Answer>().totals.admitted, 114);
  });

  it("says what is wrong with a question", async (t) => {
    const { h } = await used(t);
    const refused = async (query: string, status: number, code: string, detail: RegExp) =>
      assert.match(String(expect(await h.call("GET", `/v1/usage${query}`), status, code)["detail"]), detail);
    await refused(
      "?group=api,colour",
      400,
      "invalid_request",
      /`colour`: use api, route, consumer, key, tier, reason, status/,
    );
    await refused("?group=reason,status", 400, "invalid_request", /either reason or status/);
    await refused("?from=yesterday", 400, "invalid_request", /`from` is `yesterday`\. Give a time/);
    await refused("?from=1h&to=2h", 400, "invalid_request", /`from` must be before `to`/);
    await refused("?interval=week", 400, "invalid_request", /interval/);
    await refused(
      "?interval=minute&from=7d",
      422,
      "usage_minutes_gone",
      /Minutes are kept from 2026-03-08T12:30:00Z on/,
    );
    await refused("?environment=nope", 404, "environment_not_found", /nope/);
    const body = await h.call("POST", "/v1/usage");
    assert.equal(body.statusCode, 405);
  });

  it("is bounded", async (t) => {
    const { h, get } = await used(t);
    // 2,800 minutes of eight APIs.
    const minutes = 2800;
    for (let index = 0; index < 8; index++) {
      await h.call("POST", "/v1/apis", api(`a${index}`));
      const wireId = (await h.store.snapshotRead(
        "default",
        async (reader) => (await reader.apiById(`a${index}`))!.wireId,
      ))!;
      const entries = Array.from(
        { length: minutes },
        (_, ago): UsageEntry => ({
          minute: Math.floor(h.clock.nowMs / minuteMs) - 1 - ago,
          api: wireId,
          route: undefined,
          consumer: 0,
          digest: "0".repeat(32),
          counts: [[0, 1]],
        }),
      );
      await h.services.usage.record("default", "gw~1", 3n, BigInt(index + 1), entries);
    }
    const deadline = performance.now() + 60_000;
    while ((await get("?from=3d")).totals.admitted < 114 + 8 * minutes) assert.ok(performance.now() < deadline);
    assert.match(
      String(
        expect(await h.call("GET", "/v1/usage?interval=minute&from=48h&group=api"), 422, "usage_too_large")["detail"],
      ),
      /more than 20000 rows/,
    );
    assert.equal((await get("?interval=minute&from=48h&group=api&top=2")).rows.length, 2 * minutes);
    assert.equal((await get("?interval=hour&from=48h&group=api")).totals.admitted, 114 + 8 * minutes);
  });
});
