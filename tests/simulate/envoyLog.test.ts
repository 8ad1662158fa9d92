/** What a real Envoy writes in each of its formats says the same to the simulation. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { envoyArguments, envoyBootstrap, type EnvoyObject } from "../../tools/envoy/bootstrap.ts";
import { findEnvoy } from "../../devstack/envoy/find.ts";
import { istioDefaultFormat } from "../../tools/simulate/envoyFormat.ts";
import { Program } from "../kit/process.ts";
import { send } from "../kit/http1.ts";
import { freePort } from "../kit/ports.ts";
import { eventually } from "../kit/eventually.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { environment, replay, upstream, writeIn } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const custom =
  '%START_TIME(%d/%b/%Y:%H:%M:%S.%3f %z)%|%REQ(:AUTHORITY)%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%REQ(X-TOLLGATE-CONSUMER)%|%REQ(X-TOLLGATE-KEY-ID)%|"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"|%REQ(USER-AGENT)%|';

function fileLog(path: string, format?: string): EnvoyObject {
  return {
    name: path,
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
      path: at(path),
      ...(format === undefined ? {} : { log_format: { text_format_source: { inline_string: `${format}\n` } } }),
    },
  };
}

/** The bootstrap of this project, whose listener answers by itself and logs in four formats. */
function configuration(port: number): EnvoyObject {
  const routes = [{ match: { prefix: "/" }, direct_response: { status: 200 } }];
  const bootstrap = envoyBootstrap({
    adminPort: -1,
    listeners: [{ port, routes, accessLog: at("json.log"), escapedSlashes: "KEEP_UNCHANGED" }],
    clusters: [{ name: "unused", host: "127.0.0.1", port: 1 }],
  });
  const copy = JSON.parse(JSON.stringify(bootstrap), (name, value: unknown) =>
    name === "access_log"
      ? [
          ...(value as EnvoyObject[]),
          fileLog("envoy.log"),
          fileLog("istio.log", istioDefaultFormat),
          fileLog("custom.log", custom),
        ]
      : value,
  ) as EnvoyObject;
  return copy;
}

const agents = ["curl/8", '"', '" "', 'a" "b" "evil.example.com" "c', "-", "ü ö", "\\x22", "{}", "|%|"];
const paths = ["/a", "/search?q=%22x%22", "/caf%C3%A9", "/b;x", "/a%2Fb", "/public/x"];
const logs = ["json.log", "envoy.log", "istio.log", "custom.log"];
const count = agents.length * paths.length;

before(async () => {
  const port = await freePort();
  const config = writeIn(folder, "envoy.json", JSON.stringify(configuration(port)));
  const { path } = await findEnvoy();
  const envoy = new Program(path, [...envoyArguments(config, 1, "error"), "--file-flush-interval-msec", "20"]);
  after(() => envoy.stop());
  await envoy.until("it answers", async () => (await send(port, { path: "/ready" })).status === 200);
  for (const agent of agents) {
    for (const target of paths) {
      const headers: [string, string][] = [
        ["host", "api.example.com:8080"],
        ["user-agent", Buffer.from(agent, "utf8").toString("latin1")],
        ["x-tollgate-consumer", "acme"],
        ["x-tollgate-key-id", "acme-1"],
      ];
      assert.equal((await send(port, { path: target, headers })).status, 200);
    }
  }
  const lines = (name: string) =>
    readFileSync(at(name), "utf8")
      .split("\n")
      .filter((line) => line !== "" && !line.includes("/ready"));
  await eventually("the logs", () => logs.every((name) => lines(name).length >= count));
  for (const name of logs) writeIn(folder, name, `${lines(name).join("\n")}\n`);
});

const spec = environment({
  apis: [
    {
      id: "echo",
      hosts: ["api.example.com"],
      paths: ["/"],
      upstream,
      limits: [{ name: "address", kind: "rate", limit: 3, windowSeconds: 3600, subject: "ip" }],
      routes: [{ path: "/search", cost: 2 }],
    },
    { id: "public", hosts: ["api.example.com"], paths: ["/public"], upstream, auth: { mode: "none" } },
  ],
  tiers: [{ id: "bronze", limits: [{ name: "day", kind: "quota", limit: 2, period: "30d", subject: "consumer" }] }],
  consumers: [{ id: "acme", tier: "bronze" }],
});

for (const name of logs) {
  test(`${name}: every line is read, and says where the request went and whence it came`, async () => {
    const more = name === "custom.log" ? { format: custom } : {};
    // Envoy's own format tells no address but that of X-Forwarded-For, and no claims.
    const report = await replay(spec, readFileSync(at(name), "utf8"), { tier: "bronze", ...more });
    const [log] = report.logs;
    assert.deepEqual([log!.lines, log!.badLines, log!.noRequest, log!.late], [count, 0, 0, 0], JSON.stringify(log));
    assert.deepEqual(report.requests.refused, { path_invalid: agents.length });
    assert.equal(report.requests.decided, count - agents.length);
    assert.equal(report.requests.unlimited, agents.length);
    const address = report.limits.find((limit) => limit.name === "address")!;
    assert.equal(address.enough.all, agents.length * (2 + 1 + 1 + 1));
    const [limited] = report.limitedCallers.filter((caller) => caller.name === "address");
    // In place of a loopback address Envoy appends its own to X-Forwarded-For.
    if (name === "envoy.log") assert.equal(isIPv4(limited!.address!), true);
    else assert.equal(limited!.address, "127.0.0.1");
    if (name === "json.log" || name === "custom.log")
      assert.equal(report.limitedCallers.find((caller) => caller.name === "day")!.consumer, "acme");
  });
}
