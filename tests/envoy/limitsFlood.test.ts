/** A flood of addresses, each with a counter of its own: it takes no more memory than was set aside, and doesn't touch counters that are in use. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { Fleet } from "./support/fleet.ts";
import { Connection, type Response } from "../kit/http1.ts";
import { reasonOf, type Gateway } from "../kit/gateway.ts";
import { newest } from "../kit/envoySetups.ts";
import { eventually } from "../kit/eventually.ts";

const maxCounters = 1024;
const limit = 200;
const flood = 15_000;
/** Counters that weren't used for 10 s are given up when others need their places. */
const roomAgainMs = 45_000;
const regulars = ["198.51.100.1", "198.51.100.2", "198.51.100.3"];

let strangersSeen = 0;
/** So many addresses that were never seen. */
const strangers = (count: number): string[] => Array.from({ length: count }, () => `10.${(++strangersSeen >> 16) & 255}.${(strangersSeen >> 8) & 255}.${strangersSeen & 255}`);

/** Sends one request for each address, over connections to every worker; gives the answers. */
async function sendFrom(gateway: Gateway, addresses: readonly string[]): Promise<Response[]> {
  const connections = await Promise.all(Array.from({ length: 16 }, () => Connection.open(gateway.port())));
  try {
    const answers: Response[] = [];
    let next = 0;
    await Promise.all(
      connections.map(async (connection) => {
        for (let at = next++; at < addresses.length; at = next++) answers.push(await connection.send({ path: "/public", headers: [["x-forwarded-for", addresses[at]!]] }));
      }),
    );
    return answers;
  } finally {
    for (const connection of connections) connection.close();
  }
}

const outcomes = (answers: readonly Response[]): string[] => [...new Set(answers.map((answer) => (answer.status === 200 ? "200" : (reasonOf(answer) ?? String(answer.status)))))].sort();
const residentMb = (pid: number): number => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;
const repeated = (addresses: readonly string[], times: number): string[] => Array.from({ length: times }, () => addresses).flat();

describe("a flood of addresses", () => {
  let fleet: Fleet;
  let gateway: Gateway;
  before(async () => {
    const api = {
      id: "public", hosts: ["*"], paths: ["/public"], upstream: { service: "echo.test", port: 80 }, auth: { mode: "keyless" as const },
      limits: [{ name: "per-ip", kind: "rate" as const, windowSeconds: 86_400, limit, subject: "ip" as const }],
    };
    fleet = await Fleet.start({ setup: newest, gateways: 1, products: [{ apis: [api], tiers: [], consumers: [] }], configuration: { maxCounters }, listener: { trustedHops: 1 } });
    gateway = fleet.gateways[0]!;
  });
  after(() => fleet?.stop());

  it("finds no room beyond the bound, while counters in use go on exactly", async () => {
    assert.deepEqual(outcomes(await sendFrom(gateway, repeated(regulars, 20))), ["200"]);
    // Workers are not equally busy: the flood goes on until each of them has no room.
    await eventually("every worker to be full", async () => outcomes(await sendFrom(gateway, strangers(2000))).join() === "limit_unavailable");
    const before = residentMb(gateway.envoy.pid);
    const [late, inUse] = await Promise.all([
      sendFrom(gateway, strangers(flood)),
      sendFrom(gateway, repeated(regulars, limit)),
    ]);
    assert.deepEqual(outcomes(late), ["limit_unavailable"]);
    assert.deepEqual(outcomes(inUse), ["200", "rate_limited"]);
    assert.equal(inUse.filter(({ status }) => status === 200).length, regulars.length * (limit - 20));
    const grown = residentMb(gateway.envoy.pid) - before;
    assert.ok(grown < 10, `${grown} MB more`);
    assert.ok((await gateway.metric("counters")) <= maxCounters);
  });

  it("leaves room for others once it is over, and what was spent stays spent", async () => {
    await eventually("a new address to be admitted", async () => outcomes(await sendFrom(gateway, strangers(32))).join() === "200", roomAgainMs);
    assert.deepEqual(outcomes(await sendFrom(gateway, repeated(regulars, 5))), ["rate_limited"]);
  });
});
