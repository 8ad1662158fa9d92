/** Frames near their greatest size, which the room for one callback holds only once. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Envoy } from "./host.ts";
import { SimulatedControl } from "./simulatedControl.ts";
import {
  assertSound,
  basicSpec,
  filterModule,
  keyNamed,
  keyRecord,
  outcome,
  pluginConfiguration,
  readyGateway,
  requestHeaders,
  startWorker,
} from "./support.ts";

afterEach(assertSound);

/** With these many keys on it a page has nearly 1 MiB. */
const KEYS = 26_000;

test("a VM that leads and serves at once loads pages of 1 MiB", () => {
  const keys = Array.from({ length: 2 * KEYS - 4 }, (_, i) => keyRecord(`key-${i}`, "acme"));
  const envoy = new Envoy({ module: filterModule(), vm: { environment: { TOLLGATE_GATEWAY_TOKEN: "tgg_simulated" } } });
  const control = new SimulatedControl({ ...basicSpec(), keys }, { token: "tgg_simulated", recordsPerPage: KEYS });
  control.serve(envoy);
  const { vm, root } = startWorker(envoy, pluginConfiguration());
  const stream = vm.request(root, {
    headers: requestHeaders("/x", { "x-api-key": keyNamed("key-1") }, "GET", "api.example.com"),
  });
  envoy.advance(1000);
  assert.equal(control.of("page").length, 2);
  assert.equal(outcome(stream), "admitted");
});

test("a delta of 1 MiB frames is taken as it comes", () => {
  const gateway = readyGateway({ control: { recordsPerDelta: KEYS } });
  const pages = gateway.control.of("page").length;
  gateway.control.change((spec) => {
    for (let i = 0; i < 2 * KEYS; i++)
      spec.keys.push({ ...spec.keys[0]!, ...keyRecord(`key-${i}`, "acme") } as (typeof spec.keys)[number]);
  });
  gateway.envoy.advance(1000);
  assert.equal(outcome(gateway.get("/x", { "x-api-key": keyNamed(`key-${2 * KEYS - 1}`) })), "admitted");
  assert.equal(gateway.control.of("page").length, pages);
});
