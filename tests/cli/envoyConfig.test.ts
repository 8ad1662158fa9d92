import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { parse } from "yaml";
import type { Api } from "../../control/domain/model.ts";
import { loadFile } from "../../control/domain/yamlFile.ts";
import { envoyArguments } from "../../tools/envoy/bootstrap.ts";
import { findEnvoy } from "../../devstack/envoy/find.ts";
import { ensureEnvoy } from "../../devstack/envoy/install.ts";
import { routesOf } from "../../tools/envoy/routes.ts";
import { oldestEnvoyVersion } from "../../devstack/envoy/version.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { standaloneGateway, tryGateway } from "./gateway.ts";
import { cli, root, writeIn } from "./support.ts";

const demo = join(root, "examples/demo/tollgate.yaml");

test("the configuration of the demo is commented YAML that the oldest and the newest Envoy accept", async () => {
  const outcome = await cli(["envoy-config", "-f", demo]);
  assert.equal(outcome.code, 0);
  assert.match(
    outcome.stdout,
    /^# Envoy with Tollgate for the environment default[^]*# Start: TOLLGATE_GATEWAY_TOKEN=<gateway token> envoy -c/,
  );
  assert.match(outcome.stdout, /# The gateway token comes from Envoy's environment[^\n]*\n +host_env_keys:/);
  assert.match(
    outcome.stdout,
    /strip_trailing_host_dot: true/,
    "a host's final dot: routes read it as the filter does",
  );
  const path = writeIn(temporaryFolder(), "envoy.yaml", outcome.stdout);
  for (const binary of [(await findEnvoy()).path, await ensureEnvoy(oldestEnvoyVersion)]) {
    const { stdout, stderr } = await promisify(execFile)(binary, ["--mode", "validate", ...envoyArguments(path, 1)], {
      env: { ...process.env, TOLLGATE_GATEWAY_TOKEN: "tgg_x" },
    });
    assert.match(stdout + stderr, /configuration '.*' OK/);
  }
  assert.deepEqual(JSON.parse((await cli(["envoy-config", "-f", demo, "--json"])).stdout), parse(outcome.stdout));
});

test("the standalone example works in Envoy without control", async () => {
  const { configPath, url } = await standaloneGateway(temporaryFolder());
  const { admitted, refusedStatus } = await tryGateway(
    url,
    (await findEnvoy()).path,
    envoyArguments(configPath, 1),
    process.env,
  );
  assert.equal((JSON.parse(admitted) as { headers: Record<string, string> }).headers["x-tollgate-claim-org"], "acme");
  assert.equal(refusedStatus, 401);
});

test("a plugin's configuration of one's own replaces the key sources of local runs", async () => {
  const plugin = writeIn(temporaryFolder(), "plugin.yaml", "mode: observe\n");
  const text = (await cli(["envoy-config", "-f", demo, "--plugin-config", plugin])).stdout;
  const value = /value: '?(\{.*\})'?$/m.exec(text)![1]!;
  assert.deepEqual(JSON.parse(value), {
    environment: "default",
    control: { cluster: "tollgate-control", authority: "tollgate-control" },
    mode: "observe",
  });
});

test("routes are in the filter's order: the most exact host, then the longest path, then the method", () => {
  const api = (id: string, hosts: string[], paths: string[], methods: string[] = []): string =>
    `  - {id: ${id}, hosts: ${JSON.stringify(hosts)}, paths: ${JSON.stringify(paths)}, methods: ${JSON.stringify(methods)}, upstream: {service: ${id}, port: 80}}\n`;
  const file = `version: 1\napis:\n${api("any", ["*"], ["/"])}${api("suffix", ["*.example.com"], ["/", "/a/b"])}${api("exact", ["www.example.com"], ["/a"])}${api("read", ["other.org"], ["/x"], ["GET"])}${api("write", ["other.org"], ["/x"], ["POST"])}`;
  const { spec, problems } = loadFile(file);
  assert.deepEqual(problems, []);
  const { virtualHosts, clusters } = routesOf(spec!.apis as Api[]);
  type Host = {
    name: string;
    routes: {
      match: {
        prefix?: string;
        path_separated_prefix?: string;
        headers?: { string_match: { safe_regex: { regex: string } } }[];
      };
      route?: { cluster: string };
      direct_response?: { status: number };
    }[];
  };
  const shown = Object.fromEntries(
    (virtualHosts as Host[]).map(({ name, routes }) => [
      name,
      routes.map(({ match, route, direct_response: answer }) =>
        [
          match.prefix ?? match.path_separated_prefix,
          ...(match.headers ?? []).map(({ string_match }) => string_match.safe_regex.regex),
          route?.cluster ?? answer?.status,
        ].join(" "),
      ),
    ]),
  );
  assert.deepEqual(shown, {
    "*": ["/ any:80"],
    "*.example.com": ["/a/b suffix:80", "/ suffix:80"],
    // `/a/b` of the suffix is hidden: an exact host that has a path for a request doesn't pass it on.
    "www.example.com": ["/a exact:80", "/ suffix:80"],
    "other.org": ["/x GET|HEAD read:80", "/x POST write:80", "/x 405", "/ any:80"],
  });
  assert.deepEqual(
    clusters.map(({ name }) => name),
    ["any:80", "suffix:80", "exact:80", "read:80", "write:80"],
  );
});

test("APIs with tokens have their issuers verified by Envoy, before the plugin, as the oldest and the newest Envoy accept it", async () => {
  const jwks =
    '{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}';
  const file = writeIn(
    temporaryFolder(),
    "tollgate.yaml",
    `version: 1
apis:
  - {id: plain, hosts: ["*"], paths: [/], upstream: {service: plain, port: 80}}
  - {id: orders, hosts: ["*.example.com"], paths: [/orders], methods: [GET], upstream: {service: orders, port: 80}, auth: {mode: jwt, jwt: {issuers: [{issuer: a, jwksUri: "https://login.example.com/keys"}, {issuer: b, jwks: '${jwks}'}]}}}
  - {id: open, hosts: ["*.example.com"], paths: [/orders/open], upstream: {service: open, port: 80}, auth: {mode: none}}
  - {id: kept, hosts: [www.example.com], paths: [/kept], upstream: {service: kept, port: 80}, auth: {mode: key-and-jwt, jwt: {issuers: [{issuer: a, jwksUri: "https://login.example.com/keys"}], forwardToken: false}}}
`,
  );
  const outcome = await cli(["envoy-config", "-f", file]);
  assert.equal(outcome.code, 0, outcome.stderr);
  const path = writeIn(temporaryFolder(), "envoy.yaml", outcome.stdout);
  for (const binary of [(await findEnvoy()).path, await ensureEnvoy(oldestEnvoyVersion)]) {
    const { stdout, stderr } = await promisify(execFile)(binary, ["--mode", "validate", ...envoyArguments(path, 1)], {
      env: { ...process.env, TOLLGATE_GATEWAY_TOKEN: "tgg_x" },
    });
    assert.match(stdout + stderr, /configuration '.*' OK/);
  }
  const { static_resources: resources } = parse(outcome.stdout) as {
    static_resources: {
      listeners: {
        filter_chains: { filters: { typed_config: { http_filters: { name: string; typed_config: JwtConfig }[] } }[] }[];
      }[];
      clusters: { name: string; transport_socket?: { typed_config: { sni: string } } }[];
    };
  };
  const filters = resources.listeners[0]!.filter_chains[0]!.filters[0]!.typed_config.http_filters;
  assert.deepEqual(
    filters.map(({ name }) => name),
    ["envoy.filters.http.jwt_authn", "tollgate", "envoy.filters.http.router"],
  );
  const { providers, rules } = filters[0]!.typed_config;
  assert.deepEqual(
    Object.values(providers).map(({ issuer, forward, payload_in_metadata }) => [issuer, forward, payload_in_metadata]),
    [
      ["a", false, "payload"],
      ["a", true, "payload"],
      ["b", true, "payload"],
    ],
  );
  // The most exact host first, then the longest path: the first match decides, and one that requires nothing reads no token.
  assert.deepEqual(
    rules.map(({ match, requires }) => [
      match.path_separated_prefix ?? match.prefix,
      requires?.requires_any.requirements.map(({ provider_name }) => provider_name ?? "none"),
    ]),
    [
      ["/kept", ["issuer-1", "none"]],
      ["/orders/open", undefined],
      ["/orders", ["issuer-2", "issuer-3", "none"]],
      ["/", undefined],
    ],
  );
  assert.deepEqual(
    resources.clusters
      .filter(({ transport_socket }) => transport_socket !== undefined)
      .map(({ name, transport_socket }) => [name, transport_socket!.typed_config.sni]),
    [["keys-of-login.example.com:443", "login.example.com"]],
  );
});

interface JwtConfig {
  providers: Record<string, { issuer: string; forward: boolean; payload_in_metadata: string }>;
  rules: {
    match: { prefix?: string; path_separated_prefix?: string };
    requires?: { requires_any: { requirements: { provider_name?: string }[] } };
  }[];
}
