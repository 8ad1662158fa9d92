import assert from "node:assert/strict";
import { before, test } from "node:test";
import { digestHex } from "../../control/domain/keys.ts";
import { decodeFrames, type DecodedFrame } from "../../control/sync/reader.ts";
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
  send(path: string): { answer?: HttpAnswer | "broken" };
}

/** Calls control's cluster directly, without a module between. */
function client(options: ControlOptions = {}): Client {
  const envoy = new Envoy({ module });
  const control = new SimulatedControl(basicSpec(), options);
  control.serve(envoy);
  const send = (path: string): { answer?: HttpAnswer | "broken" } => {
    const got: { answer?: HttpAnswer | "broken" } = {};
    const headers = new Map([["authorization", `Bearer ${control.token}`]]);
    const direct = envoy.clusters.get("control")!({
      cluster: "control",
      headers: { first: (name: string) => headers.get(name) } as never,
      method: "GET",
      path,
      authority: "control",
      body: Buffer.alloc(0),
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
  const pages = Array.from({ length: pageCount }, (_, index) => frames(send(`/sync/v1/pages/${index}?environment=default&epoch=1122334455667788&version=1&gateway=a~b`))[0]!);
  const records = pages.flatMap((page) => (page.type === "page" ? page.records : []));
  assert.deepEqual(records.map((record) => record.type), ["api", "api", "tier", "consumer", "key"]);
  assert.equal(manifest.type === "manifest" && manifest.counts.totalBytes, pages.reduce((sum, page) => sum + page.frameBytes, 0));
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
  assert.deepEqual(delta.records.map((record) => record.type), ["consumer", "key"]);
});

test("deletions come last, dependants first; wire ids aren't used again", () => {
  const { control, send } = client();
  control.change((spec) => ({ ...spec, keys: [], consumers: [] }));
  control.change((spec) => ({ ...spec, consumers: [{ id: "c", claims: {}, suspended: false }] }));
  const [first, second] = frames(send(watch(control, 1n)));
  if (first?.type !== "delta" || second?.type !== "delta") assert.fail("no deltas");
  assert.deepEqual(first.records.map((record) => record.type === "delete" && record.kind), ["key", "consumer"]);
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

test("keys of support are well-formed, stable and different", () => {
  assert.match(keyNamed("a"), /^tg_default_[0-9A-Za-z]{26}_[0-9A-Za-z]{6}$/);
  assert.equal(keyNamed("a"), keyNamed("a"));
  assert.notEqual(keyNamed("a"), keyNamed("b"));
  assert.equal(basicSpec().keys![0]!.sha256, digestHex(keyNamed("acme-1")));
});
