/** Changes of limits reach counters that are in use: on every worker of every gateway, without a restart. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Fleet, product, quotaOfDay } from "./support/fleet.ts";
import { environment } from "../kit/fixture.ts";
import { newest } from "../kit/envoySetups.ts";
import { Workers } from "./support/workers.ts";

const query = `?environment=${environment}`;
const rounds = 5;
const small = quotaOfDay(20);
const medium = quotaOfDay(400);
const large = quotaOfDay(100_000);

describe("a change of what is limited", () => {
  let fleet: Fleet;
  let workers: Workers;
  before(async () => {
    const limits = { tier: small, key: small, other: large, reset: medium, grant: medium };
    fleet = await Fleet.start({
      setup: newest,
      gateways: 3,
      products: Object.entries(limits).map(([name, limit]) => product(name, [limit])),
    });
    workers = await Workers.open(fleet.gateways);
  });
  after(async () => {
    workers?.close();
    await fleet?.stop();
  });

  const requestFor = (name: string) => ({ path: `/${name}`, key: fleet.key(name) });

  /** Makes changes of one kind, one after the other; after each, every worker must have the outcome. */
  async function change(
    name: string,
    steps: readonly (readonly [make: () => Promise<unknown>, outcome: string | undefined])[],
  ): Promise<void> {
    await workers.all(requestFor(name), "quota_exceeded");
    for (let round = 0; round < rounds; round++) {
      for (const [make, outcome] of steps) {
        await make();
        await workers.all(requestFor(name), outcome);
      }
    }
  }

  it("acts when a tier's limit is raised and lowered", async () => {
    const put = (limit: typeof small) => () =>
      fleet.control.call("PUT", `/v1/tiers/tier${query}`, { id: "tier", limits: [limit] });
    await change("tier", [
      [put(large), undefined],
      [put(small), "quota_exceeded"],
    ]);
  });

  it("acts when a key is moved to another tier, and back", async () => {
    const [{ sha256 }] = [await fleet.control.call<{ sha256: string }>("GET", `/v1/keys/key${query}`)];
    const put = (tier: string) => () =>
      fleet.control.call("PUT", `/v1/keys/key${query}`, { id: "key", consumer: "key", sha256, tier });
    await change("key", [
      [put("other"), undefined],
      [put("key"), "quota_exceeded"],
    ]);
  });

  it("acts when a quota is reset: exactly as much again", async () => {
    const reset = () => fleet.control.call("POST", `/v1/keys/reset/quota/reset${query}`, {});
    await change("reset", [
      [reset, undefined],
      [spend("reset"), "quota_exceeded"],
    ]);
    assert.equal(fleet.reached("reset"), medium.limit * (1 + rounds));
  });

  it("acts when more is granted: exactly as much more", async () => {
    const grant = () => fleet.control.call("POST", `/v1/keys/grant/quota/grant${query}`, { amount: medium.limit });
    await change("grant", [
      [grant, undefined],
      [spend("grant"), "quota_exceeded"],
    ]);
    assert.equal(fleet.reached("grant"), medium.limit * (1 + rounds));
  });

  function spend(name: string): () => Promise<void> {
    return () => workers.all(requestFor(name), "quota_exceeded");
  }
});
