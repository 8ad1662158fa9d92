/** A flood of addresses, each with a counter of its own: it takes no more memory than was set aside, and doesn't touch counters that are in use. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { newest } from "../kit/envoySetups.ts";
import { eventually } from "../kit/eventually.ts";
import { reasonOf, type Gateway } from "../kit/gateway.ts";
import { Connection, type Response } from "../kit/http1.ts";
import { Fleet } from "./support/fleet.ts";

const maxCounters = 1024;
const limit = 200;
const flood = 15_000;
/** A counter that wasn't used for so long is given up when others need its place, so each place serves one stranger in that time. */
const givenUpAfterMs = 10_000;
const regulars = ["198.51.100.1", "198.51.100.2", "198.51.100.3"];
/** So many that workers fill although each new address waits for control. */
const strangersAtOnce = 256;
/** However slow the machine is. */
const floodDeadlineMs = 600_000;

let strangersSeen = 0;
/** An address that was never seen. */
function stranger(): string {
  const n = ++strangersSeen;
  return `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
}

const outcomeOf = (answer: Response): string =>
  answer.status === 200 ? "200" : (reasonOf(answer) ?? String(answer.status));
const residentMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;

/** Clients that send from one address after the other until they are told to stop. */
class Crowd {
  /** answers by outcome */
  readonly outcomes: Record<string, number> = {};
  answered = 0;
  private isOver = false;
  private work: Promise<unknown> = Promise.resolve();

  private constructor(private readonly connections: Connection[]) {}

  static async open(gateway: Gateway, connections: number): Promise<Crowd> {
    return new Crowd(await Promise.all(Array.from({ length: connections }, () => Connection.open(gateway.port()))));
  }

  /** One request from each of the addresses that `next` gives to each connection, which sends one after the other. */
  async round(next: () => readonly string[]): Promise<void> {
    await Promise.all(
      this.connections.map(async (connection) => {
        for (const address of next()) await this.send(connection, address);
      }),
    );
  }

  /** Goes on until `stop`. */
  start(next: () => readonly string[], pauseMs = 0): void {
    this.work = Promise.all(
      this.connections.map(async (connection) => {
        while (!this.isOver) {
          for (const address of next()) await this.send(connection, address);
          if (pauseMs > 0) await sleep(pauseMs);
        }
      }),
    );
    // `stop` throws it.
    this.work.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.work;
  }

  close(): void {
    for (const connection of this.connections) connection.close();
  }

  private async send(connection: Connection, address: string): Promise<void> {
    const outcome = outcomeOf(await connection.send({ path: "/public", headers: [["x-forwarded-for", address]] }));
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1;
    this.answered++;
  }
}

/** What becomes of one request from each of the addresses that `next` gives to each of some connections to every worker. */
async function outcomesOf(gateway: Gateway, next: () => readonly string[]): Promise<string[]> {
  const crowd = await Crowd.open(gateway, 16);
  try {
    await crowd.round(next);
    return Object.keys(crowd.outcomes).sort();
  } finally {
    crowd.close();
  }
}

describe("a flood of addresses", () => {
  let fleet: Fleet;
  let gateway: Gateway;
  before(async () => {
    const api = {
      id: "public",
      hosts: ["*"],
      paths: ["/public"],
      upstream: { service: "echo.test", port: 80 },
      auth: { mode: "none" as const },
      limits: [{ name: "per-ip", kind: "rate" as const, windowSeconds: 86_400, limit, subject: "ip" as const }],
    };
    // As patient as it can be: a slow machine isn't what is tried here, and it refuses with the same reason.
    const configuration = {
      maxCounters,
      limitWaitTimeoutMs: 10_000,
      control: { cluster: "control", authority: "control.test", timeoutMs: 10_000, waitMs: 5000 },
    };
    fleet = await Fleet.start({
      setup: newest,
      gateways: 1,
      products: [{ apis: [api], tiers: [], consumers: [] }],
      configuration,
      listener: { trustedHops: 1 },
    });
    gateway = fleet.gateways[0]!;
  });
  after(() => fleet?.stop());

  it("finds no room beyond the bound, while counters in use go on exactly", async () => {
    const inUse = await Crowd.open(gateway, 16);
    const strangers = await Crowd.open(gateway, strangersAtOnce);
    try {
      // Each worker that they are connected to knows them before the flood, and sees them all the time.
      await inUse.round(() => regulars);
      assert.deepEqual(inUse.outcomes, { 200: 16 * regulars.length });
      const startMs = performance.now();
      strangers.start(() => [stranger()]);
      inUse.start(() => regulars, 20);
      await eventually(
        "the workers to be full",
        async () =>
          (strangers.outcomes["limit_unavailable"] ?? 0) >= 1000 && (await gateway.metric("counters")) === maxCounters,
        floodDeadlineMs,
      );
      const [before, answered] = [residentMb(gateway.envoy.pid), strangers.answered];
      await eventually(
        "the flood and the regulars' limits to be over",
        () =>
          strangers.answered >= answered + flood &&
          inUse.outcomes["200"]! >= regulars.length * limit &&
          inUse.outcomes["rate_limited"]! > 0,
        floodDeadlineMs,
      );
      await Promise.all([strangers.stop(), inUse.stop()]);
      const places = newest.workers * maxCounters * (1 + Math.floor((performance.now() - startMs) / givenUpAfterMs));
      const grown = residentMb(gateway.envoy.pid) - before;
      assert.deepEqual(Object.keys(strangers.outcomes).sort(), ["200", "limit_unavailable"]);
      assert.ok(
        strangers.outcomes["200"]! <= places,
        `${strangers.outcomes["200"]} strangers had one of ${places} places`,
      );
      assert.deepEqual(Object.keys(inUse.outcomes).sort(), ["200", "rate_limited"]);
      assert.equal(inUse.outcomes["200"], regulars.length * limit);
      assert.ok(grown < 10, `${grown} MB more`);
      assert.ok((await gateway.metric("counters")) <= maxCounters);
    } finally {
      strangers.close();
      inUse.close();
    }
  });

  it("leaves room for others once it is over, and what was spent stays spent", async () => {
    await eventually(
      "new addresses to be admitted",
      async () => (await outcomesOf(gateway, () => [stranger(), stranger()])).join() === "200",
      floodDeadlineMs,
    );
    assert.deepEqual(await outcomesOf(gateway, () => regulars), ["rate_limited"]);
  });
});
