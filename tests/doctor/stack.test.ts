/** The command against real Envoys and a real control in which something was really broken. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { runCli } from "../../cli/program.ts";
import type { Finding } from "../../tools/doctor/model.ts";
import { Gateway } from "../kit/gateway.ts";
import { adminToken, ControlProcess } from "../kit/control.ts";
import { eventually } from "../kit/eventually.ts";
import { filterModule } from "../kit/filterModule.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { startHttpServer } from "../kit/http.ts";
import {
  environment,
  file,
  jwtFilter,
  rbacFilter,
  secondPlugin,
  standalone,
  startGateway,
  withControl,
  type StartOptions,
} from "./gateways.ts";

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

async function doctor(gateway: Gateway | undefined, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const outcome = { code: 0, stdout: "", stderr: "" };
  const admin = gateway === undefined ? [] : ["--envoy-admin", `http://127.0.0.1:${gateway.envoy.adminPort}`];
  outcome.code = await runCli(["doctor", ...admin, ...args], {
    env,
    streams: { out: (text) => void (outcome.stdout += text), err: (text) => void (outcome.stderr += text) },
    readInput: async () => "",
  });
  return outcome;
}

const wrong = ({ stdout }: Outcome): string[] =>
  (JSON.parse(stdout) as Finding[])
    .filter(({ status }) => status === "fault" || status === "warning")
    .map(({ id, status }) => `${status} ${id}`);

describe("a gateway and its control", () => {
  let control: ControlProcess;
  let gatewayToken: string;
  let key: string;
  let env: NodeJS.ProcessEnv;
  const running: Gateway[] = [];
  before(async () => {
    control = await ControlProcess.start();
    gatewayToken = await control.createEnvironment(environment, file);
    key = (await control.call<{ key: string }>("POST", `/v1/keys?environment=${environment}`, { consumer: "acme" }))
      .key;
    env = { TOLLGATE_URL: `http://127.0.0.1:${control.adminPort}`, TOLLGATE_ADMIN_TOKEN: adminToken };
  });
  after(async () => {
    await Promise.all(running.map((gateway) => gateway.stop()));
    await control?.remove();
  });

  async function start(configuration: Record<string, unknown>, options: StartOptions = {}): Promise<Gateway> {
    const gateway = await startGateway(configuration, { syncPort: control.syncPort, gatewayToken, ...options });
    running.push(gateway);
    return gateway;
  }

  async function serves(gateway: Gateway): Promise<void> {
    await eventually(
      "a request to be admitted",
      async () => (await gateway.send({ path: "/orders", headers: [["x-api-key", key]] })).status === 200,
    );
    await eventually("the gateway to be up to date", async () => {
      const { version, items } = await control.call<{ version: number; items: { applied: number; state: string }[] }>(
        "GET",
        `/v1/gateways?environment=${environment}`,
      );
      return items.some(({ applied, state }) => applied === version && state === "connected");
    });
    await eventually("the snapshot to show", async () => (await gateway.metric("snapshot_version", environment)) > 0);
  }

  it("are well: nothing is wrong, and the code is 0", async () => {
    const gateway = await start(withControl());
    await serves(gateway);
    const outcome = await doctor(gateway, ["--module", await filterModule()], env);
    assert.equal(outcome.stdout, "Nothing is wrong: 23 ok, 0 skipped.\n");
    assert.equal(outcome.code, 0);
    assert.equal(outcome.stderr, "");
    const all = await doctor(gateway, ["--all"], env);
    assert.match(all.stdout, /^ok +snapshot\n +Workers decide by version \d+ of shop, 1 keys/m);
  });

  it("have another module than expected", async () => {
    const outcome = await doctor(running[0], ["--json", "--module", `sha256:${"0".repeat(64)}`], env);
    assert.deepEqual(wrong(outcome), ["fault plugin-digest"]);
    assert.equal(outcome.code, 1);
  });

  it("keep what was answered for a look elsewhere, without tokens", async () => {
    const folder = temporaryFolder("doctor");
    try {
      const path = join(folder, "evidence.json");
      await doctor(running[0], ["--save", path], env);
      const text = readFileSync(path, "utf8");
      for (const secret of [gatewayToken, adminToken, key]) assert.ok(!text.includes(secret));
      const outcome = await doctor(undefined, ["--json", "--from", path, "--module", "1".repeat(64)]);
      assert.deepEqual(wrong(outcome), ["fault plugin-digest"]);
      writeFileSync(path, "{}");
      const refused = await doctor(undefined, ["--from", path]);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /isn't what `tollgate doctor --save` writes/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("don't agree on the token", async () => {
    const gateway = await start(withControl(), { gatewayToken: "tgg_of_nobody" });
    await eventually("a call to be refused", async () => (await gateway.metric("sync_failed", environment)) > 0);
    const outcome = await doctor(gateway, ["--json", "--wait", "3"], env);
    // The gateway that is well has the same name.
    assert.deepEqual(wrong(outcome), ["fault gateway-token", "fault sync-calls", "fault snapshot"]);
    assert.equal(outcome.code, 1);
    const text = await doctor(gateway, ["--wait", "0"], env);
    assert.match(text.stdout, /^fault +gateway-token\n +Control refuses the gateway token: it answered 401/m);
    assert.match(text.stdout, /→ The token in the gateway's environment is unknown/);
  });

  it("don't agree on the environment", async () => {
    const other = await control.createEnvironment("other", { ...file, environment: "other" });
    const gateway = await start(withControl(), { gatewayToken: other });
    await eventually("a call to be refused", async () => (await gateway.metric("sync_failed", environment)) > 0);
    const outcome = await doctor(gateway, ["--json", "--wait", "0"], env);
    assert.ok(wrong(outcome).includes("fault gateway-token"));
    assert.match(outcome.stdout, /isn't one of shop/);
  });

  it("have no way between them: the cluster is missing", async () => {
    const gateway = await start(
      withControl({
        control: {
          cluster: "outbound|8091||tollgate-control.tollgate.svc.cluster.local",
          authority: "tollgate-control.tollgate",
        },
      }),
    );
    await eventually("a call to fail", async () => (await gateway.metric("sync_failed", environment)) > 0);
    const outcome = await doctor(gateway, ["--json", "--wait", "3"], env);
    assert.deepEqual(wrong(outcome), ["fault control-cluster", "fault sync-calls", "fault snapshot"]);
    assert.match(outcome.stdout, /PILOT_FILTER_GATEWAY_CLUSTER_CONFIG/);
  });

  it("have an API with tokens that nobody verifies", async () => {
    const orders = file.apis![0]!;
    await control
      .call("PUT", `/v1/apis/orders?environment=${environment}`, {
        ...orders,
        auth: {
          mode: "jwt",
          jwt: {
            issuers: [{ issuer: "https://issuer.test", jwksUri: "https://issuer.test/keys", audiences: ["api"] }],
          },
        },
      })
      .catch(() =>
        control.call("PUT", `/v1/apis/orders?environment=${environment}`, { ...orders, auth: { mode: "jwt" } }),
      );
    try {
      const outcome = await doctor(running[0], ["--json"], env);
      assert.ok(wrong(outcome).includes("fault token-verification"), outcome.stdout);
    } finally {
      await control.call("PUT", `/v1/apis/orders?environment=${environment}`, orders);
    }
  });

  it("is asked with a wrong admin token, or with none", async () => {
    await serves(running[0]!);
    assert.deepEqual(wrong(await doctor(running[0], ["--json"], { ...env, TOLLGATE_ADMIN_TOKEN: "wrong" })), [
      "fault control",
    ]);
    assert.deepEqual(wrong(await doctor(running[0], ["--json"], { TOLLGATE_URL: env["TOLLGATE_URL"] })), [
      "warning control",
    ]);
  });

  it("lose each other: control stops", async () => {
    await control.kill();
    const gateway = running[0]!;
    // The doctor sees calls that fail between its two looks: on a slow machine there's none in its usual six seconds.
    const outcome = await eventually(
      "all that follows to be found in one look",
      async () => {
        const found = await doctor(gateway, ["--json", "--wait", "10"], env);
        assert.deepEqual(
          wrong(found),
          ["fault control", "fault control-cluster-health", "fault sync-calls"],
          found.stdout,
        );
        return found;
      },
      180_000,
    );
    assert.equal(outcome.code, 1);
  });
});

describe("a clock that is off", () => {
  it("is read from answers' Date", async () => {
    const server = await startHttpServer((_request, response) => {
      response.setHeader("date", new Date(Date.now() + 120_000).toUTCString());
      response.setHeader("content-type", "application/json");
      response.end('{"status":"ok"}');
    });
    try {
      const { code, stdout } = await doctor(undefined, ["--json", "--no-envoy"], { TOLLGATE_URL: server.url });
      const clocks = (JSON.parse(stdout) as Finding[]).find(({ id }) => id === "clocks")!;
      assert.equal(clocks.status, "fault");
      assert.match(clocks.words, /^Control's clock is (?:119 s|2 min) ahead of/);
      assert.equal(code, 1);
    } finally {
      await server.close();
    }
  });
});

describe("a gateway alone", () => {
  const cases: [what: string, start: () => Promise<Gateway>, expected: string[]][] = [
    ["is well", () => startGateway(standalone()), []],
    [
      "runs the plugin where forged claims pass",
      () => startGateway(standalone({ keySources: [{ header: "x-api-key" }] }), { before: [jwtFilter, rbacFilter] }),
      ["fault plugin-phase"],
    ],
    [
      "takes keys for tokens",
      () => startGateway(standalone(), { before: [jwtFilter], after: [rbacFilter] }),
      ["fault bearer-keys"],
    ],
    [
      "has two plugins",
      async () => startGateway(standalone(), { after: [await secondPlugin(standalone())] }),
      ["fault plugins-share-names"],
    ],
    ["has an empty configuration", () => startGateway({}), ["fault plugin-configuration"]],
  ];
  for (const [what, start, expected] of cases) {
    it(what, async () => {
      const gateway = await start();
      try {
        const outcome = await doctor(gateway, ["--json", "--no-control"]);
        assert.deepEqual(wrong(outcome), expected, outcome.stdout);
        assert.equal(outcome.code, expected.length === 0 ? 0 : 1);
      } finally {
        await gateway.stop();
      }
    });
  }

  it("is not there", async () => {
    const outcome = await doctor(undefined, ["--json", "--no-control", "--envoy-admin", "http://127.0.0.1:1"]);
    assert.deepEqual(wrong(outcome), ["fault envoy"]);
    assert.equal(outcome.code, 1);
  });

  it("isn't asked with a wrong option", async () => {
    assert.equal((await doctor(undefined, ["--wait", "long"])).code, 2);
    const missing = await doctor(undefined, ["--module", "/nowhere.wasm", "--no-control", "--no-envoy"]);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /\/nowhere\.wasm can't be read/);
  });
});
