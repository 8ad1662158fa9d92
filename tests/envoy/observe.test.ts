/** `mode: observe`: everything is decided and reported, nothing is refused. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Gateway, reasonOf, standalone } from "../kit/gateway.ts";
import { makeFixture, unknownKey } from "../kit/fixture.ts";
import type { Http1Request, Pair } from "../kit/http1.ts";
import { twoSetups } from "../kit/envoySetups.ts";

const { keys, spec } = makeFixture();
const strip = 0;
const forward = 1;

for (const setup of twoSetups) {
  describe(setup.name, () => {
    let gateway: Gateway;
    before(async () => {
      gateway = await Gateway.start({
        setup,
        listeners: [
          {
            configuration: standalone(spec, { mode: "observe" }),
            plugin: { hostEnvironment: [] },
            listener: { headersMax: 2000 },
          },
          {
            configuration: standalone(spec, { mode: "observe", observe: { key: "keep" } }),
            plugin: { hostEnvironment: [] },
          },
        ],
      });
    });
    after(() => gateway?.stop());

    const observed: [string, Http1Request][] = [
      ["key_missing", { path: "/orders/1" }],
      ["unknown_key", { path: "/orders/1", headers: [["x-api-key", unknownKey()]] }],
      ["key_revoked", { path: "/orders/1", headers: [["x-api-key", keys.revoked]] }],
      ["unknown_api", { path: "/nowhere" }],
      ["method_not_allowed", { path: "/read-only", method: "PUT" }],
      ["api_not_allowed", { path: "/partner", headers: [["x-api-key", keys.silver]] }],
    ];
    for (const [reason, request] of observed) {
      it(`passes and counts ${reason}`, async () => {
        const before = await gateway.metric(`observed.${reason}`);
        const refusedBefore = await gateway.metric(`refused.${reason}`);
        const { seen, response } = await gateway.exchange(request, strip);
        assert.ok(seen, response.body);
        await gateway.metricReaches(`observed.${reason}`, before + 1);
        await gateway.metricReaches(`refused.${reason}`, refusedBefore);
        assert.equal(seen.headers["x-tollgate-consumer"], undefined);
      });
    }

    it("refuses what it can't clean of forged claims and keys all the same", async () => {
      const forged = Array.from({ length: 1100 }, (_, index): Pair => [`x-tollgate-n${index}`, "forged"]);
      const { response, log } = await gateway.exchange(
        { path: "/public", headers: [...forged, ["x-api-key", keys.gold]] },
        strip,
      );
      assert.equal(reasonOf(response), "headers_unreadable");
      assert.ok(!JSON.stringify(log).includes(keys.gold));
    });

    it("injects claims for a caller that would be admitted", async () => {
      const { seen } = await gateway.exchange({ path: "/orders/1", headers: [["x-api-key", keys.gold]] }, strip);
      assert.equal(seen!.headers["x-tollgate-consumer"], "acme");
      assert.equal(seen!.headers["x-api-key"], undefined);
    });

    it("forwards the key where it is told to, good or bad", async () => {
      for (const key of [keys.gold, keys.revoked]) {
        const { seen } = await gateway.exchange({ path: "/orders/1", headers: [["x-api-key", key]] }, forward);
        assert.equal(seen!.headers["x-api-key"], key);
      }
    });

    it("strips a bad key otherwise", async () => {
      const { seen, log } = await gateway.exchange(
        { path: "/orders/1", headers: [["x-api-key", keys.revoked]] },
        strip,
      );
      assert.ok(!JSON.stringify([seen, log]).includes(keys.revoked));
    });
  });
}
