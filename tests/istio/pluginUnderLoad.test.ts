/** The plugin is added, changed and deleted by istiod while clients send: nobody sees a failure, and nobody passes without a key while it is there. */
import assert from "node:assert/strict";
import { appendFileSync, copyFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Hammer, stopHammers, type Tally } from "../kit/hammer.ts";
import { eventually } from "../kit/eventually.ts";
import { shopFile, shopRoute, shopServices, wasmPlugin } from "./support/definitions.ts";
import { Mesh } from "./support/mesh.ts";
import type { Echo } from "./support/upstream.ts";
import { skipReason } from "./tools.ts";

/** Refused in a row, each on a connection of its own, until every worker is taken to have the plugin. */
const inARow = 20;
/** Of clients with a key, and of those without. */
const connections = 6;

describe("the plugin under load, by istiod", { skip: await skipReason() }, () => {
  const { file, keys } = shopFile();
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.start({ file, services: shopServices, objects: { route: shopRoute() } });
    await answers(undefined, 200);
  });
  after(async () => {
    stopHammers();
    await mesh?.stop();
  });

  it("is added: keys pass all the while, and without one nobody does once it is there", async () => {
    const load = new Load();
    await load.flows();
    mesh.put("plugin", [wasmPlugin({ modulePath: mesh.modulePath })]);
    await answers(undefined, 401);
    const atFirst = load.withoutKey.tally.admitted;
    await load.flows(); // what was connected before has its last answer without the plugin
    const { admitted } = load.withoutKey.tally;
    assert.ok(admitted - atFirst <= connections, `${admitted - atFirst} passed on ${connections} connections`);
    await load.flows();
    assert.equal(load.withoutKey.tally.admitted, admitted, "nobody passes without a key");
    const { withKey, withoutKey } = await load.stop();
    assertOnly(withKey, 200);
    assertOnly(withoutKey, 200, 401);
  });

  it("gets another configuration: keys pass, and without one nobody does", async () => {
    const load = new Load();
    await load.flows();
    mesh.put("plugin", [wasmPlugin({ modulePath: mesh.modulePath, configuration: { claims: { prefix: "x-shop-" } } })]);
    await eventually("the claims' new names", async () => (await claims(keys.platinum))["x-shop-tier"] === "platinum");
    await load.flows();
    const { withKey, withoutKey } = await load.stop();
    assertOnly(withKey, 200);
    assertOnly(withoutKey, 401);
  });

  it("gets another module: keys pass, and without one nobody does", async () => {
    const load = new Load();
    await load.flows();
    mesh.put("plugin", [wasmPlugin({ modulePath: otherModule() })]);
    await eventually(
      "the claims' old names",
      async () => (await claims(keys.platinum))["x-tollgate-tier"] === "platinum",
    );
    await load.flows();
    const { withKey, withoutKey } = await load.stop();
    assertOnly(withKey, 200);
    assertOnly(withoutKey, 401);
  });

  it("is deleted: nobody sees a failure", async () => {
    const load = new Load();
    await load.flows();
    mesh.remove("plugin");
    await answers(undefined, 200);
    await load.flows();
    const { withKey, withoutKey } = await load.stop();
    assertOnly(withKey, 200);
    assertOnly(withoutKey, 200, 401);
  });

  /** Clients with a key and clients without one. */
  class Load {
    readonly withKey = new Hammer([mesh.gateway], { path: "/", key: keys.platinum, connections });
    readonly withoutKey = new Hammer([mesh.gateway], { path: "/", connections });

    /** Until so many more were answered. */
    async flows(): Promise<void> {
      const loads = [this.withKey, this.withoutKey].map((load) => ({ load, before: answered(load.tally) }));
      await eventually("answers", () => loads.every(({ load, before: had }) => answered(load.tally) > had + 300));
    }

    async stop(): Promise<{ withKey: Tally; withoutKey: Tally }> {
      const [withKey, withoutKey] = await Promise.all([this.withKey.stop(), this.withoutKey.stop()]);
      return { withKey, withoutKey };
    }
  }

  async function answers(key: string | undefined, status: number): Promise<void> {
    await eventually(`only ${status}`, async () => {
      for (let i = 0; i < inARow; i++)
        if ((await mesh.gateway.send({ headers: key === undefined ? [] : [["x-api-key", key]] })).status !== status)
          return false;
      return true;
    });
  }

  async function claims(key: string): Promise<Record<string, string>> {
    return (await mesh.gateway.send({ headers: [["x-api-key", key]] })).json<Echo & Record<string, unknown>>().headers;
  }

  /** The same filter in other bytes: a custom section more. */
  function otherModule(): string {
    const path = join(mesh.folder, "other.wasm");
    copyFileSync(mesh.modulePath, path);
    appendFileSync(path, Buffer.from([0, 2, 1, 0x78]));
    return path;
  }
});

function answered({ statuses }: Tally): number {
  return Object.values(statuses).reduce((sum, count) => sum + count, 0);
}

function assertOnly(tally: Tally, ...allowed: number[]): void {
  for (const status of Object.keys(tally.statuses))
    assert.ok(allowed.includes(Number(status)), `${status} isn't among ${allowed.join(", ")}: ${tally.toString()}`);
  assert.equal(tally.failed, 0, `connections broke: ${tally.toString()}`);
}
