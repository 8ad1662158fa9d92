import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { FileInput } from "../../control/domain/schema.ts";
import {
  addRoot,
  assertSound,
  basicSpec,
  counters,
  keyNamed,
  keyRecord,
  outcome,
  pluginConfiguration,
  readyGateway,
  startGateway,
  startWorker,
  type Gateway,
} from "./support.ts";

afterEach(assertSound);

const key = keyNamed("acme-1");
const ask = (gateway: Gateway, id = "acme-1", worker = 0): string =>
  outcome(gateway.get("/x", { "x-api-key": keyNamed(id) }, { worker }));

function manyKeys(count: number): FileInput {
  return { ...basicSpec(), keys: Array.from({ length: count }, (_, i) => keyRecord(`key-${i}`, "acme")) };
}

describe("the first load", () => {
  test("begins on a tick, not while configuring", () => {
    const gateway = startGateway();
    assert.equal(gateway.control.requests.length, 0);
    gateway.envoy.advance(50);
    assert.equal(gateway.control.of("watch").length > 0, true);
  });

  test("asks with token, gateway, environment and no version", () => {
    const gateway = startGateway({ envoy: { nodeId: "router~10.0.0.1~gw.ns~ns.svc" } });
    gateway.envoy.advance(100);
    const [watch] = gateway.control.of("watch");
    assert.equal(watch?.authorization, "Bearer tgg_simulated");
    assert.equal(watch.call.authority, "tollgate-control");
    assert.equal(watch.query.get("environment"), "default");
    assert.match(watch.query.get("gateway")!, /^router~10\.0\.0\.1~gw\.ns~ns\.svc~[0-9a-f]{16}$/);
    assert.equal(watch.query.get("epoch"), "0000000000000000");
    assert.equal(watch.query.get("version"), "0");
    assert.equal(Number(watch.query.get("waitMs")) <= 55_000, true);
  });

  test("fetches every page once for all workers", () => {
    const gateway = readyGateway({ spec: manyKeys(500), control: { recordsPerPage: 50 }, workers: 3 });
    const indexes = gateway.control.of("page").map(({ path }) => /pages\/(\d+)/.exec(path)![1]);
    assert.deepEqual(
      indexes,
      Array.from({ length: 11 }, (_, i) => String(i)),
    );
    for (const worker of [0, 1, 2]) {
      assert.equal(ask(gateway, "key-0", worker), "admitted");
      assert.equal(ask(gateway, "key-499", worker), "admitted");
      assert.equal(ask(gateway, "key-500", worker), "unknown_key");
    }
  });

  test("takes a VM that doesn't serve no memory for a table", () => {
    const gateway = startGateway({ spec: manyKeys(250_000), control: { recordsPerPage: 10_000 }, workers: 2 });
    const [serving, idle] = gateway.workers;
    const before = idle!.vm.memoryBytes;
    const stream = gateway.get("/x", { "x-api-key": keyNamed("key-1") });
    gateway.envoy.until(() => stream.state !== "held");
    gateway.envoy.advance(3000);
    assert.equal(outcome(stream), "admitted");
    assert.equal(idle!.vm.memoryBytes, before);
    assert.notEqual(serving!.vm.memoryBytes, before);
  });

  test("with a clock that moves while it builds ends all the same, in slices", () => {
    const gateway = startGateway({ spec: manyKeys(5000), control: { recordsPerPage: 1000 } });
    gateway.envoy.clockStepMs = 0.2;
    const stream = gateway.get("/x", { "x-api-key": keyNamed("key-4999") });
    gateway.envoy.until(() => stream.state !== "held");
    assert.equal(outcome(stream), "admitted");
  });

  test("of an environment without anything refuses every API", () => {
    const gateway = readyGateway({ spec: { version: 1, environment: "default" } });
    assert.equal(ask(gateway), "unknown_api");
  });
});

describe("a change", () => {
  test("reaches every serving worker without a tick between", () => {
    const gateway = readyGateway({ workers: 4 });
    gateway.envoy.advance(1000);
    assert.equal(gateway.control.waiting.length, 1);
    gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
    gateway.envoy.pump();
    for (const worker of [0, 1, 2, 3]) assert.equal(ask(gateway, "acme-1", worker), "key_revoked");
  });

  const changes: [name: string, edit: Parameters<Gateway["control"]["change"]>[0], expected: string][] = [
    ["a key deleted", (spec) => void spec.keys.splice(0), "unknown_key"],
    ["a key suspended", (spec) => void (spec.keys[0]!.state = "suspended"), "key_suspended"],
    [
      "a key's tier",
      (spec) => (spec.tiers.push({ id: "t2", scopes: [], apis: [], limits: [] }), void (spec.keys[0]!.tier = "t2")),
      "api_not_allowed",
    ],
    ["a consumer suspended", (spec) => void (spec.consumers[0]!.suspended = true), "consumer_suspended"],
    ["a consumer without a tier", (spec) => void delete spec.consumers[0]!.tier, "tier_missing"],
    ["a tier's APIs", (spec) => void (spec.tiers[0]!.apis = ["public"]), "api_not_allowed"],
    ["an API's scopes", (spec) => void (spec.apis[0]!.scopes = ["admin"]), "scope_missing"],
    ["an API's mode", (spec) => void (spec.apis[0]!.auth.mode = "none"), "admitted"],
    ["an API deleted", (spec) => void spec.apis.splice(0, 1), "unknown_api"],
    ["an API's paths", (spec) => void (spec.apis[0]!.paths = ["/y"]), "unknown_api"],
    ["an API's methods", (spec) => void (spec.apis[0]!.methods = ["POST"]), "method_not_allowed"],
    ["everything deleted", (spec) => ({ ...spec, apis: [], tiers: [], consumers: [], keys: [] }), "unknown_api"],
  ];
  for (const [name, edit, expected] of changes) {
    test(`${name}: ${expected}`, () => {
      const gateway = readyGateway();
      assert.equal(ask(gateway), "admitted");
      gateway.envoy.advance(500);
      gateway.control.change(edit);
      gateway.envoy.pump();
      assert.equal(ask(gateway), expected);
    });
  }

  test("adds and removes many keys in parts", () => {
    const gateway = readyGateway({ control: { recordsPerDelta: 100 } });
    gateway.envoy.advance(500);
    gateway.control.change(
      (spec) =>
        void spec.keys.push(
          ...Array.from({ length: 1000 }, (_, i) => ({
            ...spec.keys[0]!,
            ...keyRecord(`key-${i}`, "acme"),
            limits: [],
            allowedCidrs: [],
            state: "active" as const,
          })),
        ),
    );
    gateway.envoy.advance(100);
    for (const id of ["key-0", "key-500", "key-999", "acme-1"]) assert.equal(ask(gateway, id), "admitted");
    gateway.control.change((spec) => void (spec.keys = spec.keys.filter(({ id }) => id !== "key-500")));
    gateway.envoy.advance(100);
    assert.equal(ask(gateway, "key-500"), "unknown_key");
    assert.equal(ask(gateway, "key-501"), "admitted");
  });

  test("one after another for long keeps memory and shared data bounded", () => {
    const gateway = readyGateway({ spec: manyKeys(200) });
    gateway.envoy.recording = false;
    const { vm } = gateway.workers[0]!;
    // 4 MiB of deltas, after which a new snapshot is due, are some 550 of these changes
    const churn = (rounds: number): void => {
      for (let i = 0; i < rounds; i++) {
        gateway.control.change((spec) => {
          for (const one of spec.keys) one.state = one.state === "active" ? "suspended" : "active";
        });
        gateway.envoy.advance(20);
      }
    };
    churn(1300);
    const memory = vm.memoryBytes;
    const shared = gateway.envoy.sharedData.byteSize("");
    churn(1300);
    assert.equal(vm.memoryBytes, memory);
    assert.ok(
      gateway.envoy.sharedData.byteSize("") <= shared + (1 << 20),
      `shared data grew from ${shared} to ${gateway.envoy.sharedData.byteSize("")} bytes`,
    );
    const state = gateway.control.spec.keys[0]!.state;
    assert.equal(ask(gateway, "key-0"), state === "active" ? "admitted" : "key_suspended");
  });

  test("tells control what is applied, when all serving workers have it", () => {
    const gateway = readyGateway({ workers: 2 });
    gateway.envoy.advance(2000);
    gateway.control.change(() => {});
    gateway.envoy.advance(2000);
    const last = gateway.control.requests.filter(({ query }) => query.has("applied")).at(-1)!;
    assert.equal(last.query.get("applied"), "2");
    assert.equal(last.query.get("workers"), "2");
  });
});

describe("a snapshot in place of deltas", () => {
  test("replaces all, for a gateway that is too far behind", () => {
    const gateway = readyGateway({ workers: 2 });
    gateway.control.alwaysSnapshot = true;
    gateway.envoy.advance(500);
    gateway.control.change(
      (spec) =>
        void (spec.keys = [
          { ...spec.keys[0]!, ...keyRecord("next", "acme"), limits: [], allowedCidrs: [], state: "active" },
        ]),
    );
    gateway.envoy.advance(100);
    for (const worker of [0, 1]) {
      assert.equal(ask(gateway, "acme-1", worker), "unknown_key");
      assert.equal(ask(gateway, "next", worker), "admitted");
    }
  });

  test("of another epoch replaces all, though its version is lower", () => {
    const gateway = readyGateway();
    for (let i = 0; i < 5; i++) gateway.control.change(() => {});
    gateway.envoy.advance(1000);
    gateway.control.spec.keys[0]!.state = "revoked";
    gateway.control.newEpoch(77n, 2n);
    gateway.envoy.advance(1000);
    assert.equal(ask(gateway), "key_revoked");
    gateway.control.change((spec) => void (spec.keys[0]!.state = "active"));
    gateway.envoy.advance(1000);
    assert.equal(ask(gateway), "admitted");
  });

  test("that goes away while it's fetched is asked for anew", () => {
    const gateway = startGateway({ spec: manyKeys(300), control: { recordsPerPage: 50 } });
    let changed = false;
    gateway.control.tamper = (body, request) => {
      if (request.kind === "page" && request.path.includes("pages/3") && !changed) {
        changed = true;
        gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
      }
      return body;
    };
    const stream = gateway.get("/x", { "x-api-key": keyNamed("key-0") });
    gateway.envoy.until(() => stream.state !== "held");
    assert.equal(outcome(stream), "key_revoked");
  });

  test("many times over reuses memory and shared data", () => {
    const gateway = readyGateway({ spec: manyKeys(2000), control: { recordsPerPage: 500 } });
    gateway.envoy.recording = false;
    gateway.control.alwaysSnapshot = true;
    const { vm } = gateway.workers[0]!;
    const reload = (times: number): void => {
      for (let i = 0; i < times; i++) {
        gateway.control.change((spec) => void (spec.keys[i % 2000]!.state = "suspended"));
        gateway.envoy.advance(300);
      }
    };
    reload(10);
    const memory = vm.memoryBytes;
    const keys = gateway.envoy.sharedData.keys("").length;
    reload(100);
    assert.equal(vm.memoryBytes, memory);
    assert.equal(gateway.envoy.sharedData.keys("").length, keys);
    assert.equal(ask(gateway, "key-50"), "key_suspended");
    assert.equal(ask(gateway, "key-500"), "admitted");
  });
});

describe("control that fails", () => {
  const failures: (Gateway["control"]["failure"] & {})[] = ["reset", "unavailable", "silent", 500, 503, 401, 403, 404];
  for (const failure of failures) {
    test(`${failure}: what is loaded stays, and when it's back it goes on`, () => {
      const gateway = readyGateway();
      gateway.control.failure = failure;
      gateway.control.dropWaiting();
      gateway.envoy.advance(60_000);
      assert.equal(ask(gateway), "admitted");
      assert.notEqual(counters(gateway)["sync_failed"] ?? 0, 0);
      gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
      gateway.control.failure = undefined;
      gateway.envoy.until(() => ask(gateway) === "key_revoked", 40_000);
    });
  }

  test("is asked again after 0.1 s, then more rarely, at most every 5 s", () => {
    const gateway = startGateway();
    gateway.control.failure = "reset";
    gateway.envoy.advance(120_000);
    const times = gateway.control.requests.map(({ atMs }) => atMs);
    const gaps = times.slice(1).map((at, i) => at - times[i]!);
    assert.ok(gaps[0]! >= 40 && gaps[0]! <= 350, `first gap ${gaps[0]}`);
    assert.ok(Math.max(...gaps) <= 5500, `gaps up to ${Math.max(...gaps)}`);
    assert.ok(
      gaps.slice(10).every((gap) => gap >= 2000),
      `later gaps ${gaps.slice(10).join(" ")}`,
    );
  });

  test("at the start, and there later, is found", () => {
    const gateway = startGateway();
    gateway.control.failure = "unavailable";
    gateway.envoy.advance(20_000);
    assert.equal(ask(gateway), "held");
    gateway.control.failure = undefined;
    gateway.envoy.until(() => ask(gateway) === "admitted", 10_000);
  });

  test("with an unknown cluster says so and loads nothing", () => {
    const gateway = startGateway({
      configuration: pluginConfiguration({
        control: { cluster: "missing", authority: "x" },
        snapshotWaitTimeoutMs: 100,
      }),
    });
    const stream = gateway.get("/x", { "x-api-key": key });
    gateway.envoy.advance(1000);
    assert.equal(outcome(stream), "not_ready");
    assert.match(gateway.envoy.logTail(), /cluster/);
  });

  test("a watch that is cut off when control is killed is taken up again", () => {
    const gateway = readyGateway();
    gateway.envoy.advance(1000);
    gateway.control.dropWaiting();
    gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
    gateway.envoy.until(() => ask(gateway) === "key_revoked", 2000);
  });

  test("answers slowly: nothing is asked twice at a time", () => {
    const gateway = startGateway();
    gateway.control.delayMs = 1500;
    const stream = gateway.get("/x", { "x-api-key": key });
    gateway.envoy.until(() => stream.state !== "held", 20_000);
    for (let i = 1; i < gateway.control.requests.length; i++) {
      const [before, after] = [gateway.control.requests[i - 1]!, gateway.control.requests[i]!];
      if (before.kind !== "report" && after.kind !== "report")
        assert.ok(
          after.atMs - before.atMs >= 1500,
          `${before.path} and ${after.path} within ${after.atMs - before.atMs} ms`,
        );
    }
  });
});

describe("a broken answer", () => {
  const breakages: [name: string, breakIt: (body: Buffer) => Buffer][] = [
    ["a flipped bit in the payload", (body) => ((body[body.length - 1]! ^= 1), body)],
    ["a flipped bit in the header", (body) => ((body[25]! ^= 4), body)],
    ["a wrong magic", (body) => ((body[0] = 0), body)],
    ["a cut end", (body) => body.subarray(0, body.length - 1)],
    ["a cut header", (body) => body.subarray(0, 20)],
    ["nothing", () => Buffer.alloc(0)],
    ["HTML", () => Buffer.from("<html>login</html>")],
    ["more behind the end", (body) => Buffer.concat([body, Buffer.from([1, 2, 3])])],
  ];
  for (const [name, breakIt] of breakages) {
    test(`${name} in a delta: the old state stays, and the change comes when answers are whole again`, () => {
      const gateway = readyGateway();
      gateway.envoy.advance(500);
      gateway.control.tamper = breakIt;
      gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
      gateway.envoy.advance(10_000);
      assert.equal(ask(gateway), "admitted");
      gateway.control.tamper = undefined;
      gateway.envoy.until(() => ask(gateway) === "key_revoked", 40_000);
    });

    test(`${name} in a page of a new snapshot: the old state stays`, () => {
      const gateway = readyGateway({ control: { recordsPerPage: 2 } });
      gateway.envoy.advance(500);
      gateway.control.alwaysSnapshot = true;
      gateway.control.tamper = (body, request) =>
        request.kind === "page" && request.path.includes("pages/1") ? breakIt(body) : body;
      gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
      gateway.envoy.advance(10_000);
      assert.equal(ask(gateway), "admitted");
      gateway.control.tamper = undefined;
      gateway.envoy.until(() => ask(gateway) === "key_revoked", 40_000);
    });
  }

  test("in the first page: not ready, then ready", () => {
    const gateway = startGateway({ configuration: pluginConfiguration({ snapshotWaitTimeoutMs: 500 }) });
    gateway.control.tamper = (body, request) => (request.kind === "page" ? ((body[60]! ^= 0x10), body) : body);
    const stream = gateway.get("/x", { "x-api-key": key });
    gateway.envoy.advance(2000);
    assert.equal(outcome(stream), "not_ready");
    gateway.control.tamper = undefined;
    gateway.envoy.until(() => ask(gateway) === "admitted", 20_000);
  });

  test("of a newer format: the old state stays, and the log says so", () => {
    const gateway = readyGateway();
    gateway.envoy.advance(500);
    gateway.control.tamper = (body) => (body.writeUInt16LE(2, 4), body);
    gateway.control.change((spec) => void (spec.keys[0]!.state = "revoked"));
    gateway.envoy.advance(5000);
    assert.equal(ask(gateway), "admitted");
    assert.match(gateway.envoy.logTail(100), /newer format/);
  });

  test("of another version or snapshot than was asked for is not mixed in", () => {
    const gateway = startGateway({ spec: manyKeys(100), control: { recordsPerPage: 20 } });
    const pages: Buffer[] = [];
    gateway.control.tamper = (body, request) => {
      if (request.kind !== "page") return body;
      pages.push(Buffer.from(body));
      // each page is answered with the one before
      return pages.at(-2) ?? body;
    };
    gateway.envoy.advance(20_000);
    assert.notEqual(ask(gateway, "key-1"), "admitted");
    gateway.control.tamper = undefined;
    gateway.envoy.until(() => ask(gateway, "key-1") === "admitted", 40_000);
  });
});

describe("the age of a snapshot", () => {
  const configuration = pluginConfiguration({
    maxSnapshotAgeSeconds: 60,
    control: { cluster: "control", authority: "c", waitMs: 5000 },
  });

  test("counts from control's last word: within it all goes on, beyond it nothing is believed, and it recovers", () => {
    const gateway = readyGateway({ configuration });
    gateway.envoy.advance(100_000);
    assert.equal(ask(gateway), "admitted");
    gateway.control.failure = "reset";
    gateway.control.dropWaiting();
    gateway.envoy.advance(50_000);
    assert.equal(ask(gateway), "admitted");
    gateway.envoy.advance(20_000);
    const stream = gateway.get("/x", { "x-api-key": key });
    assert.equal(outcome(stream), "snapshot_stale");
    assert.equal(stream.response?.status, 503);
    assert.equal(outcome(gateway.get("/public")), "snapshot_stale");
    gateway.control.failure = undefined;
    gateway.envoy.until(() => ask(gateway) === "admitted", 10_000);
  });

  test("fails open where the plugin says so, marked as unchecked and without claims", () => {
    const gateway = readyGateway({ configuration: { ...configuration, failureMode: "open" } });
    gateway.control.failure = "reset";
    gateway.control.dropWaiting();
    gateway.envoy.advance(120_000);
    const stream = gateway.get("/x", { "x-api-key": key, "x-tollgate-consumer": "forged" });
    assert.equal(outcome(stream), "admitted");
    assert.deepEqual(
      stream.headers.pairs.filter(([name]) => name.startsWith("x-")),
      [["x-tollgate-unchecked", "snapshot_stale"]],
    );
  });

  test("doesn't depend on the wall clock", () => {
    const gateway = readyGateway({ configuration });
    gateway.envoy.wallMs += 10 * 86_400_000;
    gateway.envoy.advance(1000);
    assert.equal(ask(gateway), "admitted");
  });

  test("0 is no limit", () => {
    const gateway = readyGateway({ configuration: { ...configuration, maxSnapshotAgeSeconds: 0 } });
    gateway.control.failure = "reset";
    gateway.control.dropWaiting();
    gateway.envoy.advance(10_000);
    gateway.envoy.sleep(10 * 86_400_000);
    gateway.envoy.advance(1000);
    assert.equal(ask(gateway), "admitted");
  });
});

test("a worker that begins to serve later, and one more VM, get the table from shared data", () => {
  const gateway = readyGateway({ spec: manyKeys(100), workers: 2 });
  const requests = gateway.control.requests.length;
  const late = startWorker(gateway.envoy, gateway.configuration);
  gateway.workers.push(late);
  gateway.control.failure = "reset";
  gateway.control.dropWaiting();
  const stream = gateway.get("/x", { "x-api-key": keyNamed("key-7") }, { worker: 2 });
  gateway.envoy.until(() => stream.state !== "held", 2000);
  assert.equal(outcome(stream), "admitted");
  assert.deepEqual(
    gateway.control.requests.slice(requests).filter(({ kind }) => kind === "page"),
    [],
  );
});

test("an environment variable that is missing refuses the configuration, and says which", () => {
  const gateway = startGateway();
  assert.equal(
    gateway.envoy.accepts(
      pluginConfiguration({ control: { cluster: "control", authority: "c", tokenEnv: "OTHER_TOKEN" } }),
    ),
    false,
  );
  assert.match(gateway.envoy.logTail(), /tokenEnv/);
  assert.doesNotThrow(() => addRoot(gateway.main.vm, gateway.configuration));
});
