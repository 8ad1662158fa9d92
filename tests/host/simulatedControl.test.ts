import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { digestHex } from "../../control/domain/keys.ts";
import { leasesFrame } from "../../control/sync/leaseFrames.ts";
import { decodeFrames, type DecodedFrame } from "../../control/sync/reader.ts";
import { usageFrame } from "../../control/sync/usageFrames.ts";
import { CONTENT_TYPE } from "../../control/sync/wire.ts";
import { compileFixture } from "./compile.ts";
import { Envoy, type HttpAnswer } from "./host.ts";
import { SimulatedControl, type ControlOptions } from "./simulatedControl.ts";
import { basicSpec, keyNamed } from "./support.ts";

let module: WebAssembly.Module;

before(async () => {
  module = await compileFixture("tests/host/fixtures/probe.ts", "tests/host/fixtures/probe/abort");
});

interface Client {
  envoy: Envoy;
  control: SimulatedControl;
  /** sends a call, gives what the answer will be put into */
  send(path: string, body?: Buffer): { answer?: HttpAnswer | "broken" };
}

/** Calls control's cluster directly, without a module between. */
function client(options: ControlOptions = {}): Client {
  return connected(new Envoy({ module }), new SimulatedControl(basicSpec(), options));
}

function connected(envoy: Envoy, control: SimulatedControl): Client {
  control.serve(envoy);
  const send = (path: string, body?: Buffer): { answer?: HttpAnswer | "broken" } => {
    const got: { answer?: HttpAnswer | "broken" } = {};
    const headers = new Map([
      ["authorization", `Bearer ${control.token}`],
      ...(body === undefined ? [] : [["content-type", CONTENT_TYPE] as const]),
    ]);
    const direct = envoy.clusters.get("control")!({
      cluster: "control",
      headers: { first: (name: string) => headers.get(name) } as never,
      method: body === undefined ? "GET" : "POST",
      path,
      authority: "control",
      body: body ?? Buffer.alloc(0),
      timeoutMs: 0,
      sentAtMs: 0,
      get done() {
        return got.answer !== undefined;
      },
      answer: (answer) => void (got.answer = answer),
      reset: () => void (got.answer = "broken"),
    });
    if (direct !== undefined && direct !== "unavailable") got.answer = direct;
    return got;
  };
  return { envoy, control, send };
}

const watch = (control: SimulatedControl, version: bigint, epoch = control.epoch): string =>
  `/sync/v1/watch?environment=default&gateway=a~b&epoch=${epoch.toString(16).padStart(16, "0")}&version=${version}&waitMs=25000&applied=0&workers=1`;

function frames(got: { answer?: HttpAnswer | "broken" }): DecodedFrame[] {
  if (got.answer === undefined || got.answer === "broken") assert.fail("no answer");
  assert.equal(got.answer.status, 200);
  const decoded = decodeFrames(got.answer.body as Buffer);
  assert.equal(decoded.ok, true);
  return decoded.frames;
}

test("a new gateway gets a manifest, then pages that hold everything", () => {
  const { control, send } = client({ recordsPerPage: 2 });
  const [manifest] = frames(send(watch(control, 0n, 0n)));
  assert.equal(manifest?.type, "manifest");
  const pageCount = manifest.type === "manifest" ? manifest.counts.pageCount : 0;
  assert.equal(pageCount, 3);
  const pages = Array.from(
    { length: pageCount },
    (_, index) =>
      frames(send(`/sync/v1/pages/${index}?environment=default&epoch=1122334455667788&version=1&gateway=a~b`))[0]!,
  );
  const records = pages.flatMap((page) => (page.type === "page" ? page.records : []));
  assert.deepEqual(
    records.map((record) => record.type),
    ["api", "api", "tier", "consumer", "key"],
  );
  assert.equal(
    manifest.type === "manifest" && manifest.counts.totalBytes,
    pages.reduce((sum, page) => sum + page.frameBytes, 0),
  );
});

test("a watch waits for a change and gets it as a delta", () => {
  const { control, send } = client();
  const got = send(watch(control, 1n));
  assert.equal(got.answer, undefined);
  control.change((spec) => {
    spec.keys[0]!.state = "revoked";
    spec.consumers.push({ id: "b", claims: {}, suspended: false });
  });
  const [delta] = frames(got);
  if (delta?.type !== "delta") assert.fail("no delta");
  assert.equal(delta.base, 1n);
  assert.equal(delta.version, 2n);
  assert.deepEqual(
    delta.records.map((record) => record.type),
    ["consumer", "key"],
  );
});

test("deletions come last, dependants first; wire ids aren't used again", () => {
  const { control, send } = client();
  control.change((spec) => ({ ...spec, keys: [], consumers: [] }));
  control.change((spec) => ({ ...spec, consumers: [{ id: "c", claims: {}, suspended: false }] }));
  const [first, second] = frames(send(watch(control, 1n)));
  if (first?.type !== "delta" || second?.type !== "delta") assert.fail("no deltas");
  assert.deepEqual(
    first.records.map((record) => record.type === "delete" && record.kind),
    ["key", "consumer"],
  );
  assert.equal(second.base, 2n);
  const [gone] = first.records.slice(1);
  const [made] = second.records;
  if (gone?.type !== "delete" || gone.kind !== "consumer" || made?.type !== "consumer") assert.fail("no such records");
  assert.notEqual(gone.wireId, made.wireId);
});

test("nothing new for waitMs is a heartbeat", () => {
  const { control, envoy, send } = client();
  const got = send(watch(control, 1n));
  envoy.advance(24_999);
  assert.equal(got.answer, undefined);
  envoy.advance(1);
  assert.equal(frames(got)[0]?.type, "heartbeat");
});

test("another epoch, a version that is ahead and forgotten deltas give a manifest", () => {
  const { control, send } = client();
  control.change(() => {});
  assert.equal(frames(send(watch(control, 1n)))[0]?.type, "delta");
  assert.equal(frames(send(watch(control, 9n)))[0]?.type, "manifest");
  control.forgetDeltas();
  assert.equal(frames(send(watch(control, 1n)))[0]?.type, "manifest");
  control.newEpoch(5n);
  assert.equal(frames(send(watch(control, 1n, 0x1122334455667788n)))[0]?.type, "manifest");
});

test("refuses a wrong token, another environment and bad parameters", () => {
  const { control, send } = client();
  const status = (path: string) => (send(path).answer as HttpAnswer).status;
  assert.equal(status(watch(control, 1n).replace("environment=default", "environment=other")), 403);
  assert.equal(status(watch(control, 1n).replace("waitMs=25000", "waitMs=99999")), 400);
  assert.equal(status("/sync/v1/pages/7?environment=default&epoch=1122334455667788&version=1&gateway=a~b"), 410);
  assert.equal(status("/sync/v1/report?environment=default&gateway=a~b"), 204);
});

describe("lanes", () => {
  const subject = "ab".repeat(16);
  const limited = (limit: number) => ({
    ...basicSpec(),
    tiers: [{ id: "bronze", limits: [{ name: "m", kind: "rate" as const, limit, windowSeconds: 60 }] }],
  });
  const where = (kind: "leases" | "usage", epoch = "1122334455667788", gateway = "a~b"): string =>
    `/sync/v1/${kind}?environment=default&gateway=${gateway}&epoch=${epoch}`;

  function limitedClient(limit = 10): Client & {
    ask(
      seq: bigint,
      want: number,
      more?: { lane?: bigint; gateway?: string; epoch?: bigint },
    ): { answer?: HttpAnswer | "broken" };
  } {
    const envoy = new Envoy({ module });
    const control = new SimulatedControl(limited(limit));
    const { send } = connected(envoy, control);
    return {
      envoy,
      control,
      send,
      ask(seq, want, { lane = 7n, gateway = "a~b", epoch = control.epoch } = {}) {
        const op = {
          wireId: control.limitId("tier bronze", "m"),
          actions: 1,
          subject,
          windowStartMs: 0,
          held: 0,
          returned: 0,
          need: 1,
          want,
        };
        return send(where("leases", control.epoch.toString(16), gateway), leasesFrame({ epoch, seq, lane, ops: [op] }));
      },
    };
  }

  function granted(got: { answer?: HttpAnswer | "broken" }): number {
    const [frame] = frames(got);
    if (frame?.type !== "leasesAnswer") assert.fail("no answer to a lane");
    return frame.answers[0]!.granted;
  }

  test("are granted what is left, by control's clock, and told the same again", () => {
    const { control, ask } = limitedClient(10);
    control.clockOffsetMs = 12_345;
    const first = ask(1n, 4);
    assert.equal(granted(first), 4);
    assert.deepEqual((ask(1n, 4).answer as HttpAnswer).body, (first.answer as HttpAnswer).body);
    assert.equal(granted(ask(2n, 100)), 3);
    assert.equal((ask(1n, 4).answer as HttpAnswer).status, 409);
    assert.equal(frames(first)[0]!.timeMs, control.nowMs);
  });

  test("are refused by another epoch, a wrong body or a wrong type", () => {
    const { control, ask, send } = limitedClient();
    assert.equal((ask(1n, 1, { epoch: 5n }).answer as HttpAnswer).status, 409);
    assert.equal((send(where("leases"), Buffer.from("nonsense")).answer as HttpAnswer).status, 400);
    assert.equal((send(where("leases")).answer as HttpAnswer).status, 400);
    assert.equal(control.counters.calls.length, 0);
  });

  test("whose request is lost leave nothing, whose answer is lost leave what was decided", () => {
    const { control, ask } = limitedClient();
    control.fault = () => ({ at: "request", how: 503 });
    assert.equal((ask(1n, 4).answer as HttpAnswer).status, 503);
    assert.equal(control.counters.calls.length, 0);
    control.fault = () => ({ at: "answer", how: "reset" });
    assert.equal(ask(1n, 4).answer, "broken");
    control.fault = () => ({ at: "answer", how: "silent" });
    assert.equal(ask(1n, 4).answer, undefined);
    control.fault = undefined;
    assert.equal(granted(ask(1n, 4)), 4);
    assert.equal(control.counters.calls.length, 3);
  });

  test("that starve have the others' gateway recalled, by its watch or the next one", () => {
    const { control, envoy, ask, send } = limitedClient(2);
    const watching = send(watch(control, 1n));
    granted(ask(1n, 2));
    ask(2n, 2);
    ask(1n, 1, { lane: 9n, gateway: "c~d" });
    envoy.pump();
    assert.equal(frames(watching)[0]?.type, "recall");
    envoy.advance(30);
    ask(2n, 1, { lane: 9n, gateway: "c~d" });
    assert.equal(frames(send(watch(control, 1n)))[0]?.type, "recall");
  });

  test("have their usage applied once", () => {
    const { control, send } = limitedClient();
    const entry = { minute: 5, api: 1, consumer: 2, digest: subject, counts: [[0, 3]] as [number, number][] };
    const batch = (seq: bigint) => usageFrame({ epoch: control.epoch, seq, lane: 3n, entries: [entry] });
    for (const seq of [1n, 1n, 2n, 1n])
      assert.equal((send(where("usage"), batch(seq)).answer as HttpAnswer).status, 200);
    assert.equal(control.counters.totals()[0], 6);
    assert.equal(control.counters.resentBatches, 2);
    assert.deepEqual(control.counters.changedBatches, []);
  });

  test("lose what is under way when control restarts, and keep what it has committed", () => {
    const { control, envoy, ask } = limitedClient();
    Object.assign(control, { requestDelayMs: 10, delayMs: 10 });
    const before = ask(1n, 4);
    envoy.advance(15);
    const late = ask(2n, 4);
    control.restart();
    envoy.advance(30);
    assert.deepEqual([before.answer, late.answer], ["broken", "broken"]);
    assert.equal(control.counters.calls.length, 1);
    Object.assign(control, { requestDelayMs: 0, delayMs: 0 });
    assert.equal(granted(ask(1n, 4)), 4);
  });

  test("hear of a reset and of a grant by a COUNTER record", async () => {
    const { control, send, ask } = limitedClient();
    granted(ask(1n, 4));
    const got = send(watch(control, 1n));
    await control.resetCounter(control.limitId("tier bronze", "m"), subject);
    await control.grantExtra(control.limitId("tier bronze", "m"), subject, 5);
    const [reset] = frames(got);
    assert.deepEqual(
      reset?.type === "delta" && reset.records.map((record) => record.type === "counter" && record.generation),
      [1],
    );
    const [grant] = frames(send(watch(control, 2n)));
    assert.deepEqual(
      grant?.type === "delta" && grant.records.map((record) => record.type === "counter" && record.generation),
      [2],
    );
  });
});

test("keys of support are well-formed, stable and different", () => {
  assert.match(keyNamed("a"), /^tg_default_[0-9A-Za-z]{26}_[0-9A-Za-z]{6}$/);
  assert.equal(keyNamed("a"), keyNamed("a"));
  assert.notEqual(keyNamed("a"), keyNamed("b"));
  assert.equal(basicSpec().keys![0]!.sha256, digestHex(keyNamed("acme-1")));
});
