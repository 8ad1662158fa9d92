/** The gateway token as the VM's environment has it: a Secret made of a file ends with a line break. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Envoy } from "./host.ts";
import { SimulatedControl } from "./simulatedControl.ts";
import {
  assertSound,
  basicSpec,
  filterModule,
  keyNamed,
  outcome,
  pluginConfiguration,
  requestHeaders,
  startWorker,
} from "./support.ts";

afterEach(assertSound);

function gatewayWith(value: string) {
  const envoy = new Envoy({ module: filterModule(), vm: { environment: { TOLLGATE_GATEWAY_TOKEN: value } } });
  const control = new SimulatedControl(basicSpec(), { token: "tgg_simulated" });
  control.serve(envoy);
  return { envoy, control };
}

for (const value of ["tgg_simulated\n", "tgg_simulated\r\n", " tgg_simulated", "\ttgg_simulated \n\n"]) {
  test(`a token given as ${JSON.stringify(value)} is sent without what is around it`, () => {
    const { envoy, control } = gatewayWith(value);
    const { vm, root } = startWorker(envoy, pluginConfiguration());
    const stream = vm.request(root, {
      headers: requestHeaders("/x", { "x-api-key": keyNamed("acme-1") }, "GET", "api.example.com"),
    });
    envoy.advance(1000);
    assert.equal(control.of("watch")[0]?.authorization, "Bearer tgg_simulated");
    assert.equal(outcome(stream), "admitted");
  });
}

for (const [value, why] of [
  ["", /no such variable|empty/],
  ["\r\n", /empty/],
  ["tgg_one\ntgg_two", /blanks or control characters inside/],
  ["tgg one", /blanks or control characters inside/],
] as const) {
  test(`a token given as ${JSON.stringify(value)} is refused by name`, () => {
    const { envoy } = gatewayWith(value);
    assert.throws(() => startWorker(envoy, pluginConfiguration()));
    const logged = envoy.logs.map(({ message }) => message).join("\n");
    assert.match(logged, /configuration refused: control\.tokenEnv/);
    assert.match(logged, why);
    assert.ok(!/tgg_?(one|two)/.test(logged), "never the value");
  });
}
