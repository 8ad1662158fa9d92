import assert from "node:assert/strict";
import fc from "fast-check";
import { afterEach, test } from "node:test";
import {
  addRoot,
  assertSound,
  basicSpec,
  endGateway,
  keyNamed,
  keyRecord,
  outcome,
  pluginConfiguration,
  startGateway,
  startWorker,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

const KEYS = 12;
const WORKERS = 3;

/** Something that happens to a gateway or to its control. */
type Happening = (gateway: Gateway) => void;

const state = fc.constantFrom("active" as const, "revoked" as const, "suspended" as const);
const key = fc.nat(KEYS - 1);

function setState(at: number, to: "active" | "revoked" | "suspended"): Happening {
  return ({ control }) => control.change((spec) => void (spec.keys[at % spec.keys.length]!.state = to));
}

function kill(worker: number): Happening {
  return (gateway) => {
    const old = gateway.workers[worker]!;
    old.vm.kill();
    gateway.workers[worker] = startWorker(gateway.envoy, gateway.configuration, { thread: old.vm.thread });
  };
}

function reload(snapshotWaitTimeoutMs: number, prefix: string): Happening {
  return (gateway) => {
    gateway.configuration = pluginConfiguration({ snapshotWaitTimeoutMs, claims: { prefix } });
    for (const worker of [gateway.main, ...gateway.workers]) {
      const old = worker.root;
      worker.root = addRoot(worker.vm, gateway.configuration);
      worker.vm.closeRoot(old);
    }
  };
}

const happening: fc.Arbitrary<[name: string, happen: Happening]> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(key, state).map(([at, to]): [string, Happening] => [`key ${at} ${to}`, setState(at, to)]),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(key)
      .map(([at]): [string, Happening] => [
        `delete key ${at}`,
        ({ control }) =>
          control.change((spec) => void (spec.keys.length > 1 && spec.keys.splice(at % spec.keys.length, 1))),
      ]),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.nat(WORKERS - 1), key)
      .map(([worker, at]): [string, Happening] => [
        `ask ${worker} ${at}`,
        (gateway) => void gateway.get("/x", { "x-api-key": keyNamed(`key-${at}`) }, { worker }),
      ]),
  },
  {
    weight: 6,
    arbitrary: fc
      .constantFrom(1, 10, 100, 300, 1000, 5000, 20_000)
      .map((ms): [string, Happening] => [`${ms} ms pass`, ({ envoy }) => envoy.advance(ms)]),
  },
  { weight: 2, arbitrary: fc.nat(WORKERS - 1).map((worker): [string, Happening] => [`kill ${worker}`, kill(worker)]) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.nat(3000), fc.constantFrom("x-a-", "x-b-"))
      .map(([ms, prefix]): [string, Happening] => [`reload ${ms} ${prefix}`, reload(ms, prefix)]),
  },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom("reset" as const, "unavailable" as const, "silent" as const, 401, 410, 500, undefined)
      .map((failure): [string, Happening] => [
        `control: ${failure ?? "well"}`,
        ({ control }) => void (control.failure = failure),
      ]),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(0, 30, 700, 6000)
      .map((ms): [string, Happening] => [`answers take ${ms} ms`, ({ control }) => void (control.delayMs = ms)]),
  },
  { weight: 1, arbitrary: fc.constant<[string, Happening]>(["watches break", ({ control }) => control.dropWaiting()]) },
  {
    weight: 1,
    arbitrary: fc
      .boolean()
      .map((always): [string, Happening] => [
        `snapshots ${always ? "only" : "or deltas"}`,
        ({ control }) => void (control.alwaysSnapshot = always),
      ]),
  },
  {
    weight: 1,
    arbitrary: fc.constant<[string, Happening]>(["deltas forgotten", ({ control }) => control.forgetDeltas()]),
  },
  {
    weight: 1,
    arbitrary: fc
      .bigInt({ min: 1n, max: 9n })
      .map((version): [string, Happening] => [
        `new epoch at ${version}`,
        ({ control }) => control.newEpoch(control.epoch + 1n, version),
      ]),
  },
  {
    weight: 1,
    arbitrary: fc
      .nat()
      .map((at): [string, Happening] => [
        `answers are damaged at ${at}`,
        ({ control }) => void (control.tamper = (body) => ((body[at % body.length]! ^= 1), body)),
      ]),
  },
  {
    weight: 1,
    arbitrary: fc.constant<[string, Happening]>([
      "answers are whole",
      ({ control }) => void (control.tamper = undefined),
    ]),
  },
);

function expected(gateway: Gateway, id: string): string {
  const found = gateway.control.spec.keys.find((one) => one.id === id);
  if (found === undefined) return "unknown_key";
  return found.state === "active" ? "admitted" : `key_${found.state}`;
}

test("whatever happens, a key that was never issued is never admitted, and in the end every worker agrees with control", () => {
  fc.assert(
    fc.property(fc.array(happening, { minLength: 5, maxLength: 40 }), fc.integer(), (happenings, seed) => {
      const spec = { ...basicSpec(), keys: Array.from({ length: KEYS }, (_, i) => keyRecord(`key-${i}`, "acme")) };
      const gateway = startGateway({
        spec,
        workers: WORKERS,
        control: { recordsPerPage: 4, recordsPerDelta: 1 },
        envoy: { seed },
      });
      for (const [, happen] of happenings) {
        happen(gateway);
        for (let worker = 0; worker < WORKERS; worker++) {
          const { vm } = gateway.workers[worker]!;
          const stranger = gateway.get("/x", { "x-api-key": keyNamed("stranger") }, { worker });
          assert.notEqual(outcome(stranger), "admitted");
          vm.end(stranger);
        }
      }
      Object.assign(gateway.control, { failure: undefined, tamper: undefined, delayMs: 0 });
      gateway.envoy.advance(60_000);
      for (let worker = 0; worker < WORKERS; worker++) {
        // the first may find the worker without its table
        gateway.get("/x", [], { worker });
        gateway.envoy.advance(3000);
        for (let i = 0; i < KEYS; i++) {
          const id = `key-${i}`;
          assert.equal(
            outcome(gateway.get("/x", { "x-api-key": keyNamed(id) }, { worker })),
            expected(gateway, id),
            `worker ${worker}, ${id}`,
          );
        }
      }
      assert.equal(gateway.control.waiting.length, 1, "one VM watches");
      endGateway(gateway);
    }),
    { numRuns: 100 },
  );
});
