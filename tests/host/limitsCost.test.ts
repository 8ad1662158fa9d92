import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { askMany, calls, limitedGateway, minute } from "./limitsSupport.ts";
import { assertSound, endGateway } from "./support.ts";

afterEach(assertSound);

describe("a route's cost", () => {
  for (const enforcement of ["global", "gateway"] as const) {
    for (const cost of [2, 3, 5, 7]) {
      test(`of ${cost} is taken whole, and what remains serves whoever asks (${enforcement})`, () => {
        for (const limit of [10, 25, 50, 101]) {
          for (const workers of [1, 2, 3]) {
            const gateway = limitedGateway([minute(limit, { enforcement })], {
              workers,
              api: { routes: [{ path: "/x", cost }] },
            });
            const { admitted } = askMany(gateway, Math.floor(limit / cost) + 3 * workers, (i) => ({
              worker: i % workers,
            }));
            assert.equal(admitted, Math.floor(limit / cost), `${workers} workers, a limit of ${limit}`);
            endGateway(gateway);
          }
        }
      });
    }

    test(`leaves a smaller rest to cheaper requests (${enforcement})`, () => {
      const gateway = limitedGateway([minute(12, { enforcement })], {
        workers: 2,
        api: {
          routes: [
            { path: "/x", cost: 5 },
            { path: "/y", cost: 1 },
          ],
        },
      });
      assert.deepEqual(
        askMany(gateway, 6, (i) => ({ worker: i % 2 })),
        { admitted: 2, rate_limited: 4 },
      );
      assert.deepEqual(
        askMany(gateway, 6, (i) => ({ worker: i % 2, path: "/y" })),
        { admitted: 2, rate_limited: 4 },
      );
    });

    test(`that is more than the limit is never admitted (${enforcement})`, () => {
      const gateway = limitedGateway([minute(4, { enforcement })], { api: { routes: [{ path: "/x", cost: 5 }] } });
      assert.deepEqual(askMany(gateway, 3), { rate_limited: 3 });
      assert.deepEqual(askMany(gateway, 5, { path: "/y" }), { admitted: 4, rate_limited: 1 });
    });
  }

  test("of 0 takes nothing and asks for nothing, whatever is spent", () => {
    const gateway = limitedGateway([minute(3)], { api: { routes: [{ path: "/free", cost: 0 }] } });
    assert.deepEqual(askMany(gateway, 20, { path: "/free" }), { admitted: 20 });
    assert.equal(calls(gateway, "leases"), 0);
    assert.deepEqual(askMany(gateway, 5), { admitted: 3, rate_limited: 2 });
    assert.deepEqual(askMany(gateway, 20, { path: "/free" }), { admitted: 20 });
  });

  test("changed in the middle of a window counts from then on", () => {
    const gateway = limitedGateway([minute(10)], { api: { routes: [{ path: "/x", cost: 1 }] } });
    assert.deepEqual(askMany(gateway, 4), { admitted: 4 });
    gateway.control.change((spec) => void (spec.apis[0]!.routes[0]!.cost = 3));
    gateway.envoy.pump();
    assert.deepEqual(askMany(gateway, 4), { admitted: 2, rate_limited: 2 });
  });
});
