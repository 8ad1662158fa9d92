/** What clients see while the module, control or istiod is missing, at start and in flight: rows of the table in docs/operate/failure-modes.md. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, beforeEach, describe, it } from "node:test";
import { reasonOf } from "../kit/gateway.ts";
import { Hammer, stopHammers, type Tally } from "../kit/hammer.ts";
import type { Response } from "../kit/http1.ts";
import { eventually } from "../kit/eventually.ts";
import { shopFile, shopRoute, shopServices, wasmPlugin } from "./support/definitions.ts";
import { Mesh } from "./support/mesh.ts";
import { skipReason } from "./tools.ts";

const missingModule = "/nowhere/tollgate.wasm";

describe("a mesh in which something is missing", { skip: await skipReason() }, () => {
  const { file, keys } = shopFile();
  let mesh: Mesh;
  let changes = 0;
  before(async () => {
    mesh = await Mesh.start({ file, services: shopServices, objects: { route: shopRoute() } });
  });
  after(async () => {
    stopHammers();
    await mesh?.stop();
  });
  beforeEach(() => plugs());

  describe("the module", () => {
    it("missing in a change: the gateway goes on with what it has", async () => {
      const load = new Hammer([mesh.gateway], { path: "/", key: keys.platinum, connections: 6 });
      await missesModule();
      await load.admitted(load.tally.admitted + 200);
      assertOnly(await load.stop(), 200);
      assert.equal((await withoutKey()).status, 401);
    });

    it("missing in a plugin that is added: everything is refused, until it is there", async () => {
      mesh.remove("plugin");
      await settles(200, 200);
      mesh.put("plugin", [wasmPlugin({ modulePath: missingModule, name: "never-loaded" })]);
      await settles(500, 500);
      mesh.put("plugin", [wasmPlugin({ modulePath: mesh.modulePath, name: "never-loaded" })]);
      await settles(200, 401);
    });

    it("missing when the gateway starts: everything is refused, until it is there", async () => {
      await missesModule();
      await mesh.gateway.stop();
      await mesh.gateway.start();
      await settles(500, 500);
      await plugs();
    });
  });

  describe("control", () => {
    it("down when the gateway starts: 503 not_ready, until it is there", async () => {
      await mesh.gateway.stop();
      await mesh.control.kill();
      await mesh.gateway.start();
      const first = await eventually("an answer", () => withKey());
      assert.deepEqual([first.status, reasonOf(first), first.header("retry-after")], [503, "not_ready", "1"]);
      await settles(503, 503);
      await mesh.control.start();
      await settles(200, 401);
    });

    it("killed in flight: keys go on", async () => {
      const load = new Hammer([mesh.gateway], { path: "/", key: keys.platinum, connections: 6 });
      await load.admitted(100);
      await mesh.control.kill();
      await load.admitted(load.tally.admitted + 500);
      assertOnly(await load.stop(), 200);
      assert.equal((await withoutKey()).status, 401);
      await mesh.control.start();
    });
  });

  describe("istiod", () => {
    for (const [how, leave, comeBack] of [
      ["down", () => mesh.istiod.stop(), () => mesh.istiod.start()],
      ["standing still", () => mesh.istiod.freeze(), () => mesh.istiod.thaw()],
    ] as const) {
      it(`${how} in flight: keys go on, and control's changes arrive all the same`, async () => {
        await leave();
        const load = new Hammer([mesh.gateway], { path: "/", key: keys.platinum, connections: 6 });
        const { id, key } = await mesh.control.call<{ id: string; key: string }>("POST", "/v1/keys", {
          consumer: "corner",
        });
        await eventually("the new key", async () => (await withKey(key)).status === 200);
        await mesh.control.call("POST", `/v1/keys/${id}/revoke`);
        await eventually("its revocation", async () => reasonOf(await withKey(key)) === "key_revoked");
        assertOnly(await load.stop(), 200);
        await comeBack();
        await plugs();
      });

      it(`${how} when the gateway starts: it listens only once istiod is there`, async () => {
        await mesh.gateway.stop();
        await leave();
        await mesh.gateway.start();
        await sleep(1000);
        await assert.rejects(withKey(), { code: "ECONNREFUSED" });
        await comeBack();
        await settles(200, 401);
      });
    }
  });

  /** Changes the plugin, and waits until the gateway has this very change: what it answered before says nothing of what istiod knows. */
  async function plugs(): Promise<void> {
    const prefix = `x-change-${++changes}-`;
    // Not the default, for the sake of the test's time.
    mesh.put("plugin", [
      wasmPlugin({ modulePath: mesh.modulePath, configuration: { snapshotWaitTimeoutMs: 300, claims: { prefix } } }),
    ]);
    await eventually("the gateway to have the change", async () =>
      (await withKey()).body.includes(`"${prefix}tier":"platinum"`),
    );
    await settles(200, 401);
  }

  /** Changes the plugin's module to one that isn't there, and waits until istiod has sent it and the gateway refused it. */
  async function missesModule(): Promise<void> {
    const refused = mesh.istiod.refusals();
    mesh.put("plugin", [wasmPlugin({ modulePath: missingModule })]);
    await eventually("Envoy's refusal", async () => mesh.istiod.refusals() > refused);
  }

  function withKey(key = keys.platinum): Promise<Response> {
    return mesh.gateway.send({ headers: [["x-api-key", key]] });
  }

  function withoutKey(): Promise<Response> {
    return mesh.gateway.send();
  }

  /** Waits until requests with a key and without are answered with these, on every worker. */
  async function settles(keyed: number, keyless: number): Promise<void> {
    let seen: number[] = [];
    try {
      await eventually("the gateway to settle", async () => {
        seen = [];
        for (let i = 0; i < 10; i++) {
          seen.push((await withKey()).status, (await withoutKey()).status);
          if (seen.at(-2) !== keyed || seen.at(-1) !== keyless) return false;
        }
        return true;
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}; wanted ${keyed} and ${keyless}, the last were ${seen.join(", ")}`, {
        cause: error,
      });
    }
  }
});

function assertOnly({ statuses, failed }: Tally, status: number): void {
  assert.deepEqual([Object.keys(statuses), failed], [[String(status)], 0]);
}
