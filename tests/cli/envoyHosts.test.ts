/**
 * The filter and Envoy's routes must find the same API for every spelling of a host, else a request is admitted as one of an API that asks for
 * nothing and sent to the upstream of one that asks for a key.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { envoyArguments } from "../../tools/envoy/bootstrap.ts";
import { findEnvoy } from "../../devstack/envoy/find.ts";
import { reasonOf } from "../kit/gateway.ts";
import { send } from "../kit/http1.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { startHttpServer } from "../kit/http.ts";
import { freePorts } from "../kit/ports.ts";
import { Program } from "../kit/process.ts";
import { cli, writeIn } from "./support.ts";

const folder = temporaryFolder();
const upstreams = { keyed: await upstream("keyed"), free: await upstream("free") };

/** At each path one API asks for a key and one doesn't: which is which differs between the exact host, those below a wildcard, and all others. */
const file = `version: 1
apis:
  - {id: a, hosts: ["*"], paths: [/one], upstream: {service: 127.0.0.1, port: ${upstreams.keyed}}}
  - {id: b, hosts: [api.example.com, "*.example.org"], paths: [/one], upstream: {service: 127.0.0.1, port: ${upstreams.free}}, auth: {mode: none}}
  - {id: c, hosts: ["*"], paths: [/two], upstream: {service: 127.0.0.1, port: ${upstreams.free}}, auth: {mode: none}}
  - {id: d, hosts: [api.example.com, "*.example.org"], paths: [/two], upstream: {service: 127.0.0.1, port: ${upstreams.keyed}}}
`;

const long = "x".repeat(300);
const hosts = ["api.example.com", "a.example.org"].flatMap((host) => [
  host,
  host.toUpperCase(),
  ...[
    ":80",
    ":",
    ":99999",
    ":abc",
    ":8x",
    ":+80",
    ":80:80",
    ":80.",
    `:${"1".repeat(300)}`,
    ".",
    "..",
    "...",
    ".:80",
    "..:80",
    ".:abc",
    ":80..",
    "%2e",
    ",",
  ].map((end) => `${host}${end}`),
  `user@${host}`,
  `x.${host}`,
  `.${host}`,
  `${long}.${host}`,
  `[${host}]:80`,
]);

test("no spelling of a host reaches an upstream without the key that its API asks for", async () => {
  const [port = 0, admin = 0] = await freePorts(2);
  const made = await cli([
    "envoy-config",
    "-f",
    writeIn(folder, "tollgate.yaml", file),
    "--standalone",
    "--listen",
    `127.0.0.1:${port}`,
    "--admin",
    `127.0.0.1:${admin}`,
    "--access-log",
    "/dev/null",
  ]);
  assert.equal(made.code, 0, made.stderr);
  const envoy = new Program((await findEnvoy()).path, envoyArguments(writeIn(folder, "envoy.yaml", made.stdout), 1));
  after(() => envoy.stop());
  const ask = (host: string, path: string) => send(port, { path, headers: [["Host", host]] });
  await envoy.until("the filter answers", async () => reasonOf(await ask("x.net", "/one")) === "key_missing");
  for (const host of hosts)
    for (const path of ["/one", "/two"]) {
      const response = await ask(host, path);
      // Envoy itself refuses what is no host at all.
      assert.ok(
        response.status === 401 || response.status === 400 || (response.status === 200 && response.body === "free"),
        `${host}${path}: ${response.status} ${response.body}`,
      );
    }
  // Refusing everything would be no proof.
  for (const host of [
    "api.example.com",
    "API.example.com",
    "api.example.com:80",
    "a.example.org",
    "A.EXAMPLE.ORG:99",
    "x.a.example.org",
  ]) {
    assert.equal((await ask(host, "/one")).body, "free", host);
    assert.equal((await ask(host, "/two")).status, 401, host);
  }
  assert.equal((await ask("api.example.com.", "/one")).body, "free", "the final dot of DNS");
});

async function upstream(name: string): Promise<number> {
  const { port, close } = await startHttpServer((_request, response) => void response.end(name));
  after(close);
  return port;
}
