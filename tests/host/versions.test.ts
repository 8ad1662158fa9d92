/**
 * Gateways and control planes of different versions, in both orders. `fixtures/filter-before-route.wasm.gz` is the filter as it was built before
 * the limit subject `route`; what comes later than this version is put together by hand.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import type { FileInput } from "../../control/domain/schema.ts";
import { compileSnapshot } from "../../control/sync/compile.ts";
import { sealFrame } from "../../control/sync/frames.ts";
import { decodeFrames } from "../../control/sync/reader.ts";
import { HEADER_BYTES } from "../../control/sync/wire.ts";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import { ask, limitedSpec, minute } from "./limitsSupport.ts";
import { assertSound, basicSpec, keyRecord, outcome, readyGateway, startGateway, type Gateway } from "./support.ts";

afterEach(assertSound);

const olderFilter = new WebAssembly.Module(
  gunzipSync(readFileSync(new URL("./fixtures/filter-before-route.wasm.gz", import.meta.url))),
);
const upstream = { service: "echo", port: 8080 };

/** An API whose tier counts by route beside one that another tier may call. */
function routeSpec(mode: "enforce" | "shadow" = "enforce"): FileInput {
  const file = limitedSpec([minute(3, { subject: "route", mode })], { routes: [{ path: "/a" }] });
  file.tiers!.push({ id: "plain", limits: [minute(2)] });
  file.consumers!.push({ id: "beta", tier: "plain" });
  file.keys!.push(keyRecord("beta-1", "beta"));
  return file;
}

describe("a gateway that is older than the control plane", () => {
  test("refuses what a limit of a newer subject applies to, and serves everything else", () => {
    const gateway = readyGateway({ spec: routeSpec(), envoy: { module: olderFilter } });
    assert.equal(ask(gateway, { path: "/a" }), "record_unsupported");
    assert.equal(ask(gateway), "record_unsupported");
    assert.equal(ask(gateway, { key: "beta-1" }), "admitted");
    assert.equal(ask(gateway, { key: "beta-1" }), "admitted");
    assert.equal(ask(gateway, { key: "beta-1" }), "rate_limited");
    assert.equal(outcome(gateway.get("/public")), "admitted");
  });

  test("passes over a shadow limit of a newer subject", () => {
    const gateway = readyGateway({ spec: routeSpec("shadow"), envoy: { module: olderFilter } });
    assert.deepEqual(
      Array.from({ length: 5 }, () => ask(gateway)),
      Array.from({ length: 5 }, () => "admitted"),
    );
  });

  test("serves again once the limit is gone, by a delta", () => {
    const gateway = readyGateway({ spec: routeSpec(), envoy: { module: olderFilter } });
    assert.equal(ask(gateway), "record_unsupported");
    gateway.control.change((spec) => void (spec.tiers[0]!.limits = []));
    gateway.envoy.pump();
    assert.equal(ask(gateway), "admitted");
  });

  test("counts as one with a newer gateway where both know the limit", () => {
    const older = readyGateway({ spec: routeSpec(), envoy: { module: olderFilter } });
    const newer = readyGateway({ beside: older });
    assert.deepEqual([ask(older, { key: "beta-1" }), ask(newer, { key: "beta-1" })], ["admitted", "admitted"]);
    assert.deepEqual([ask(older, { key: "beta-1" }), ask(newer, { key: "beta-1" })], ["rate_limited", "rate_limited"]);
    assert.equal(ask(newer, { path: "/a" }), "admitted");
  });
});

/** A gateway by a snapshot of which bytes are changed: what a control plane of another version might send. */
function standalone(file: FileInput, change: (page: Buffer) => void, module?: WebAssembly.Module): Gateway {
  const bytes = Buffer.from(compileSnapshot(fillEnvironment(file, "default")));
  const [manifest, page] = decodeFrames(bytes).frames;
  assert.ok(manifest?.type === "manifest" && page?.type === "page");
  const frame = bytes.subarray(manifest.frameBytes);
  change(frame.subarray(HEADER_BYTES));
  sealFrame(frame, {
    type: "page",
    epoch: page.epoch,
    version: page.version,
    timeMs: page.timeMs,
    index: 0,
    pageCount: 1,
  });
  return startGateway({
    configuration: { environment: "default", snapshot: bytes.toString("base64") },
    ...(module === undefined ? {} : { envoy: { module } }),
  });
}

/** Finds the one record of a type in a payload whose body has the text, and gives its body. */
function bodyWith(payload: Buffer, type: number, text: string): Buffer {
  for (let at = 0; at < payload.length; ) {
    const code = payload[at++]!;
    let bytes = 0;
    for (let shift = 0, more = true; more; shift += 7) {
      bytes |= (payload[at]! & 127) << shift;
      more = payload[at++]! > 127;
    }
    const body = payload.subarray(at, at + bytes);
    if (code === type && body.includes(text)) return body;
    at += bytes;
  }
  throw new Error(`no record of type ${type} with ${text}`);
}

describe("a control plane that is newer than the gateway closes, by a value that isn't known,", () => {
  const two = (): FileInput => {
    const file = basicSpec();
    file.apis!.push({ id: "other", hosts: ["*"], paths: ["/other"], upstream });
    file.keys!.push(keyRecord("acme-2", "acme"));
    file.tiers!.push({ id: "silver", scopes: [] });
    file.consumers!.push({ id: "beta", tier: "silver" });
    file.keys!.push(keyRecord("beta-1", "beta"));
    return file;
  };
  const cases: [
    what: string,
    type: number,
    text: string,
    offset: number,
    value: number,
    expected: [own: string, elsewhere: string, secondKey: string, otherCaller: string],
  ][] = [
    [
      "an API by its auth mode",
      1,
      "echo",
      4,
      77,
      ["auth_mode_unsupported", "admitted", "auth_mode_unsupported", "auth_mode_unsupported"],
    ],
    [
      "an API by its failure mode",
      1,
      "echo",
      5,
      3,
      ["record_unsupported", "admitted", "record_unsupported", "record_unsupported"],
    ],
    [
      "an API by a flag",
      1,
      "echo",
      7,
      1,
      ["record_unsupported", "admitted", "record_unsupported", "record_unsupported"],
    ],
    [
      "a tier by a flag",
      2,
      "bronze",
      7,
      1,
      ["record_unsupported", "record_unsupported", "record_unsupported", "admitted"],
    ],
    [
      "a consumer by a flag",
      3,
      "acme",
      8,
      16,
      ["record_unsupported", "record_unsupported", "record_unsupported", "admitted"],
    ],
    ["a key by its state", 4, "acme-1", 20, 3, ["record_unsupported", "record_unsupported", "admitted", "admitted"]],
    ["a key by a flag", 4, "acme-1", 21, 2, ["record_unsupported", "record_unsupported", "admitted", "admitted"]],
    [
      "a key by its digest algorithm",
      4,
      "acme-1",
      22,
      1,
      ["record_unsupported", "record_unsupported", "admitted", "admitted"],
    ],
  ];
  for (const [what, type, text, offset, value, expected] of cases) {
    test(`${what}, and nothing else`, () => {
      const gateway = standalone(two(), (page) => void (bodyWith(page, type, text)[offset] = value));
      assert.deepEqual(
        [
          ask(gateway),
          ask(gateway, { path: "/other" }),
          ask(gateway, { key: "acme-2" }),
          ask(gateway, { key: "beta-1" }),
        ],
        expected,
      );
    });
  }

  const limits: [what: string, offset: number, value: number, otherCaller: string][] = [
    ["its kind", 5, 3, "admitted"],
    ["its subject", 6, 200, "admitted"],
    ["a flag", 7, 128, "admitted"],
    ["its period", 28, 4, "admitted"],
    // It could apply to anyone.
    ["the kind of its owner", 4, 30, "record_unsupported"],
  ];
  for (const failureMode of ["closed", "open", "local"] as const) {
    for (const [what, offset, value, otherCaller] of limits) {
      test(`a limit by ${what}, with failureMode ${failureMode}`, () => {
        const file = two();
        file.tiers![0]!.limits = [minute(5)];
        for (const api of file.apis!) api.failureMode = failureMode;
        const gateway = standalone(file, (page) => void (bodyWith(page, 6, "minute")[offset] = value));
        assert.deepEqual(
          [ask(gateway), ask(gateway, { path: "/other" }), ask(gateway, { key: "beta-1" })],
          ["record_unsupported", "record_unsupported", otherCaller],
        );
      });
    }
  }
});

describe("a control plane that is older than the gateway", () => {
  test("sends routes without a number, and everything works as before", () => {
    const file = limitedSpec([minute(3)], { routes: [{ path: "/a", cost: 2 }] });
    const gateway = standalone(file, (page) => {
      const api = bodyWith(page, 1, "/a");
      const cost = api.indexOf(Buffer.from([2, 0, 0, 0]), api.indexOf("/a"));
      api.fill(0, cost + 4, cost + 8);
    });
    assert.deepEqual(
      [ask(gateway, { path: "/a" }), ask(gateway, { path: "/a" }), ask(gateway)],
      ["admitted", "rate_limited", "admitted"],
    );
  });
});
