/** Two controls over one PostgreSQL share the lanes; either may be killed in the middle, and no allowance is given twice or lost. */
import assert from "node:assert/strict";
import { after, describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type LeaseOp, verdict } from "../../control/counters/model.ts";
import { SqlCounterStore } from "../../control/counters/sql.ts";
import { openStore } from "../../control/store/open.ts";
import { type ControlProcess, startControlProcess } from "../control/process.ts";
import { adminToken } from "../control/support.ts";
import { type PostgresServer, startPostgres } from "../kit/postgres.ts";
import { eventually } from "../kit/eventually.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { framesOf, Gateway } from "./gateway.ts";
import { ask, LaneClient } from "./laneClient.ts";

const server = await startPostgres().catch((error: unknown) => String(error));
if (typeof server === "string")
  describe("two controls", { skip: `PostgreSQL can't run here, so they are UNTESTED: ${server}` }, () => undefined);
else {
  after(() => server.stop());
  describe("two controls over one PostgreSQL", () => twoControls(server));
}

const subject = "00112233445566778899aabbccddeeff";
const limit = 3000;
const file = {
  version: 1,
  apis: [{ id: "echo", hosts: ["*"], paths: ["/"], upstream: { service: "up", port: 1 } }],
  tiers: [{ id: "bronze", limits: [{ name: "day", kind: "quota", limit, period: "day" }] }],
};

interface Pair {
  url: string;
  controls: ControlProcess[];
  start(): Promise<ControlProcess>;
  token: string;
  wireId: number;
  epoch: bigint;
}

async function pair(t: TestContext, postgres: PostgresServer): Promise<Pair> {
  const url = await postgres.createDatabase();
  const start = () =>
    startControlProcess(t, {
      TOLLGATE_DATA_DIR: temporaryFolder(),
      TOLLGATE_DATABASE_URL: url,
      TOLLGATE_ADMIN_TOKEN: adminToken,
    });
  const controls = await Promise.all([start(), start()]);
  const call = async (path: string, body: object): Promise<unknown> => {
    const response = await fetch(`${controls[0]!.adminUrl}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    assert.ok(response.ok, await response.clone().text());
    return response.json();
  };
  await call("/v1/apply", file);
  const { token } = (await call("/v1/gateway-tokens", { group: "edge" })) as { token: string };
  const gateway = new Gateway(controls[1]!.syncUrl, token);
  await eventually("the other control knows the limit", async () => {
    await gateway.watch();
    return [...gateway.table.values()].some((record) => record.type === "limit");
  });
  const day = [...gateway.table.values()].find((record) => record.type === "limit");
  assert.ok(day?.type === "limit");
  return { url, controls, start, token, wireId: day.wireId, epoch: gateway.epoch };
}

/** A lane that spends what it's granted, and sends each call until it's answered, now to this control, now to that. */
class Spender {
  spent = 0;
  resends = 0;
  held = 0;
  windowStartMs = 0;
  readonly #lane: LaneClient;
  readonly #urls: string[];
  readonly #wireId: number;
  readonly #paced: () => Promise<void>;

  /** `paced` is awaited before each call. */
  constructor(lane: LaneClient, urls: string[], wireId: number, paced: () => Promise<void>) {
    this.#lane = lane;
    this.#urls = urls;
    this.#wireId = wireId;
    this.#paced = paced;
  }

  /** Until the counter is spent for good. Every call reports, so that what is returned can be granted again. */
  async run(): Promise<void> {
    for (let round = 0; ; round++) {
      await this.#paced();
      const returned = round % 5 === 4 ? Math.min(this.held, 2) : 0;
      this.held -= returned;
      const [answer] = await this.#call({
        ...ask(this.#wireId, subject, { need: 1, want: 8 }),
        windowStartMs: this.windowStartMs,
        held: this.held,
        returned,
      });
      if (answer!.verdict === verdict.granted) {
        this.windowStartMs = answer!.windowStartMs;
        this.held += answer!.granted;
      } else if (answer!.verdict === verdict.spent && this.held === 0 && answer!.untilMs === answer!.windowEndMs)
        return;
      else await sleep(10);
      const spending = Math.min(this.held, answer!.verdict === verdict.granted ? 5 : this.held);
      this.held -= spending;
      this.spent += spending;
    }
  }

  async #call(op: LeaseOp) {
    const body = this.#lane.next(op);
    for (;;) {
      this.#lane.url = this.#urls[Math.floor(Math.random() * this.#urls.length)]!;
      const answer = await this.#lane.post("leases", body).catch(() => undefined);
      if (answer?.status === 200) {
        const [frame] = framesOf(answer.bytes);
        assert.ok(frame?.type === "leasesAnswer");
        return frame.answers;
      }
      assert.ok(answer === undefined || answer.status === 503, answer?.bytes.toString());
      this.resends++;
      await sleep(20);
    }
  }
}

function twoControls(postgres: PostgresServer): void {
  test("admit exactly the limit, though one is killed and started again, then the other", {
    timeout: 240_000,
  }, async (t) => {
    const { url, controls, start, token, wireId, epoch } = await pair(t, postgres);
    // those that serve, in places that don't move
    const urls = controls.map((control) => control.syncUrl);
    // so much may be spent until the next control is up again
    let ceiling = limit * 0.4;
    const total = (): number => spenders.reduce((sum, { spent }) => sum + spent, 0);
    const paced = async (): Promise<void> => {
      while (total() >= ceiling) await sleep(5);
    };
    const spenders: Spender[] = Array.from(
      { length: 16 },
      (_, index) =>
        new Spender(new LaneClient({ url: urls[0]!, token, epoch, gateway: `node~${index % 4}` }), urls, wireId, paced),
    );
    const done = Promise.all(spenders.map((spender) => spender.run()));
    for (const place of [0, 1]) {
      await eventually("some was spent", () => total() >= ceiling * 0.6);
      controls[place]!.child.kill("SIGKILL");
      await controls[place]!.ended;
      controls[place] = await start();
      urls[place] = controls[place]!.syncUrl;
      ceiling = place === 0 ? limit * 0.8 : Infinity;
    }
    await done;
    assert.ok(
      spenders.some(({ resends }) => resends > 0),
      "no call was hit",
    );
    assert.equal(total(), limit);
    const store = await openStore(url, () => undefined);
    t.after(() => store.close());
    const counters = new SqlCounterStore(store.dialect);
    const [state] = await counters.inspect("default", [
      { limit: { wireId, kind: "quota", limit, windowSeconds: 0, period: "day", firstUse: false }, subject },
    ]);
    assert.deepEqual([state!.windows[0]!.used, state!.windows[0]!.remaining], [limit, 0]);
    for (const control of controls) {
      control.child.kill("SIGTERM");
      assert.equal(await control.ended, 0);
    }
  });

  test("a batch of usage that was sent to both counts once", { timeout: 240_000 }, async (t) => {
    const { controls, token, epoch } = await pair(t, postgres);
    const lane = new LaneClient({ url: controls[0]!.syncUrl, token, epoch });
    const entries = [
      {
        minute: Math.floor(Date.now() / 60_000),
        api: 0,
        consumer: 0,
        digest: "0".repeat(32),
        counts: [[0, 5]] as [number, number][],
      },
    ];
    await lane.usage(entries);
    controls[0]!.child.kill("SIGKILL");
    lane.url = controls[1]!.syncUrl;
    await lane.usage(entries, 1n);
    await lane.usage(entries);
    const metrics = await (await fetch(`${controls[1]!.adminUrl}/metrics`)).text();
    assert.match(metrics, /tollgate_sync_usage_batches_total\{outcome="repeated"\} 1/);
    assert.match(metrics, /tollgate_sync_usage_batches_total\{outcome="applied"\} 1/);
  });
}
