/** The plugin's schema and the filter's own reader agree. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { loadFile } from "../../control/domain/yamlFile.ts";
import { PluginSchema } from "../../control/domain/pluginSchema.ts";
import { messageHeaders } from "../../protocol/enums.ts";
import { structureCheck } from "../../control/domain/structure.ts";
import { compileSnapshot } from "../../control/sync/compile.ts";
import { Envoy } from "../host/host.ts";
import {
  basicSpec,
  filterModule,
  keyNamed,
  outcome,
  pluginConfiguration,
  startGateway,
  type Gateway,
} from "../host/support.ts";

const check = structureCheck(PluginSchema);
const schemaTakes = (configuration: unknown): boolean => check(configuration).length === 0;

const environment = { TOLLGATE_GATEWAY_TOKEN: "tgg_simulated", _other2: "tgg_simulated" };
const envoy = new Envoy({ module: filterModule(), vm: { environment } });
envoy.recording = false;

function filterTakes(configuration: unknown): boolean {
  envoy.logs.length = 0;
  const taken = envoy.accepts(configuration);
  assert.deepEqual(envoy.traps, []);
  return taken;
}

const snapshot = compileSnapshot(loadFile(JSON.stringify(basicSpec())).spec!).toString("base64");
const control = { cluster: "outbound|8091||control.svc", authority: "control.svc:8091" };
const withControl = (more: object) => ({ environment: "default", control: { ...control, ...more } });
const with_ = (more: object) => ({ environment: "default", control, ...more });
const sources = (...keySources: unknown[]) => with_({ keySources });
const names = (claims: object) => with_({ claims: { names: claims } });
const prefix = (text: unknown) => with_({ claims: { prefix: text } });
const many = (count: number, make: (i: number) => [string, unknown]) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => make(i)));

const good: Record<string, unknown[]> = {
  whole: [
    {},
    with_({}),
    { environment: "default", snapshot },
    { environment: "pr-7", snapshot: snapshot.replaceAll("=", "").replaceAll("+", "-").replaceAll("/", "_") },
  ],
  environment: [
    { ...with_({}), environment: "a".repeat(32) },
    { ...with_({}), environment: "0-" },
  ],
  control: [
    withControl({ cluster: "!", authority: "~" }),
    withControl({ cluster: "c".repeat(300) }),
    withControl({ tokenEnv: "_other2" }),
    withControl({ timeoutMs: 100, waitMs: 100 }),
    withControl({ timeoutMs: 60_000, waitMs: 55_000 }),
  ],
  keySources: [
    sources(
      { header: "X-Key" },
      { header: "authorization" },
      { bearer: true },
      { query: "api key" },
      { cookie: "api_key" },
      { query: "Käse" },
    ),
    sources({ header: "a".repeat(128) }),
    sources({ cookie: "a".repeat(128) }),
    sources({ query: "a".repeat(128) }),
    sources({ header: "!#$%&'*+.^_`|~09" }),
    sources(
      { query: "a" },
      { query: "A" },
      { cookie: "a" },
      { cookie: "A" },
      { header: "hosts" },
      { header: "x-forwarded-forr" },
      { header: "tee" },
      { header: "xhost" },
    ),
  ],
  claims: [
    with_({ claims: {} }),
    names({}),
    prefix("X-Caller-"),
    prefix("1-"),
    prefix(`a${"b".repeat(126)}-`),
    prefix("x-forwarded-f-"),
    prefix("te-"),
    prefix("via-"),
    names({
      consumer: "x-consumer",
      tier: "X-Plan",
      "key-id": "x-key-id",
      scopes: "x_scopes",
      "claim-org": "x-org",
      [`claim-${"a".repeat(122)}`]: "y",
    }),
    names(many(64, (i) => [`claim-c${i}`, `x-c${i}`])),
    names({ consumer: "a".repeat(128) }),
    names({ consumer: "x-api-key2" }),
  ],
  choices: [
    with_({ unknownApi: "allow", failureMode: "open", mode: "observe", observe: { key: "keep" } }),
    with_({ unknownApi: "deny", failureMode: "closed", mode: "enforce", observe: { key: "strip" } }),
    with_({ observe: {} }),
  ],
  numbers: [
    with_({ snapshotWaitTimeoutMs: 0, maxSnapshotWaiters: 0, maxSnapshotAgeSeconds: 0 }),
    with_({ snapshotWaitTimeoutMs: 60_000, maxSnapshotWaiters: 8192, maxSnapshotAgeSeconds: 316_224_000 }),
    with_({ snapshotWaitTimeoutMs: -0 }),
  ],
};

const bad: Record<string, unknown[]> = {
  whole: [
    null,
    [],
    "",
    7,
    true,
    { environment: "default" },
    { control },
    { snapshot },
    { mode: "observe" },
    { environment: "default", control, snapshot },
    with_({ kyeSources: [] }),
    with_({ "": 1 }),
    ...[
      "control",
      "environment",
      "keySources",
      "claims",
      "unknownApi",
      "failureMode",
      "snapshotWaitTimeoutMs",
      "maxSnapshotWaiters",
      "maxSnapshotAgeSeconds",
      "mode",
      "observe",
    ].map((name) => ({ ...with_({}), [name]: null })),
    { environment: "default", snapshot: null },
  ],
  environment: ["", "Default", "a_b", "a".repeat(33), " a", 7].map((text) => ({ ...with_({}), environment: text })),
  control: [
    { environment: "default", control: {} },
    { environment: "default", control: "c" },
    { environment: "default", control: { cluster: "c" } },
    { environment: "default", control: { authority: "a" } },
    withControl({ cluster: "" }),
    withControl({ cluster: "a b" }),
    withControl({ cluster: "ä" }),
    withControl({ authority: "a\r\nb: c" }),
    withControl({ authority: "\u007f" }),
    withControl({ clutser: "c" }),
    withControl({ tokenEnv: "" }),
    withControl({ tokenEnv: "1A" }),
    withControl({ tokenEnv: "tgg-secret" }),
    withControl({ tokenEnv: "A".repeat(129) }),
    withControl({ timeoutMs: 99 }),
    withControl({ timeoutMs: 60_001 }),
    withControl({ waitMs: 99 }),
    withControl({ waitMs: 55_001 }),
    withControl({ waitMs: "25s" }),
    withControl({ waitMs: 1000.5 }),
  ],
  snapshot: ["", "====", "A", "AA=A", "AAA A", "AB", "AAB", "AAAA=", "AA=", "é", `${"A".repeat(174_764)}AAAA`].map(
    (text) => ({ environment: "default", snapshot: text }),
  ),
  keySources: [
    with_({ keySources: [] }),
    with_({ keySources: {} }),
    with_({ keySources: "x-api-key" }),
    sources({}),
    sources("header"),
    sources(null),
    sources({ header: "a", query: "b" }),
    sources({ heder: "a" }),
    sources({ bearer: false }),
    sources({ bearer: "yes" }),
    sources({ bearer: true }, { bearer: true }),
    sources({ header: "a" }, { query: "b" }, { header: "a" }),
    sources({ cookie: "a" }, { cookie: "a" }),
    sources(...Array.from({ length: 9 }, (_, i) => ({ query: `q${i}` }))),
    ...["", "x key", ":authority", "ä", "a".repeat(129), 7, null, true].flatMap((name) => [
      sources({ header: name }),
      sources({ cookie: name === ":authority" ? "a;b" : name }),
    ]),
    sources({ query: "" }),
    sources({ query: "q".repeat(129) }),
    sources({ query: 1 }),
  ],
  claims: [
    with_({ claims: [] }),
    with_({ claims: { prefixes: "x-" } }),
    ...["", "-", "tollgate", "x_caller_", "x tollgate-", ":x-", "-x-", "_a-", 7, `a${"b".repeat(127)}-`].map(prefix),
    ...["X-", "x_forwarded-", "Content-", "x-envoy-", "grpc-", "keep-"].map(prefix),
    names([]),
    names({ teir: "x-a" }),
    names({ unchecked: "x-a" }),
    names({ "claim-": "x-a" }),
    names({ "claim-Org": "x-a" }),
    names({ claim_org: "x-a" }),
    names({ [`claim-${"a".repeat(123)}`]: "y" }),
    ...["", "x a", ":path", "ä", "a".repeat(129), 7, null, "Authorization", "AUTHORIZATION"].flatMap((header) => [
      names({ consumer: header }),
      names({ "claim-org": header }),
    ]),
  ],
  choices: [
    with_({ unknownApi: "pass" }),
    with_({ failureMode: "local" }),
    with_({ failureMode: "" }),
    with_({ mode: 1 }),
    with_({ mode: "Enforce" }),
    with_({ observe: { keys: "strip" } }),
    with_({ observe: { key: "drop" } }),
    with_({ observe: "strip" }),
  ],
  numbers: [
    ...[-1, 60_001, 0.5, 1e300, "2s", true].map((value) => with_({ snapshotWaitTimeoutMs: value })),
    ...[-1, 8193, 1.5].map((value) => with_({ maxSnapshotWaiters: value })),
    ...[-1, 316_224_001, 0.1].map((value) => with_({ maxSnapshotAgeSeconds: value })),
  ],
};

/** What pluginRules tells: the schema takes it, the filter doesn't. */
const beyondSchema: Record<string, unknown> = {
  "two header sources in two spellings": sources({ header: "x-a" }, { header: "X_A" }),
  "a header source below the claims' prefix": sources({ header: "X_Tollgate_Key" }),
  "a header source that is a claim's header": {
    ...sources({ header: "x-org" }),
    claims: { names: { "claim-org": "X-Org" } },
  },
  "a claim in the default source's header": names({ consumer: "X-Api-Key" }),
  "two claims in one header": names({ tier: "x-a", scopes: "X_A" }),
  "a claim in another's default header": names({ tier: "x-tollgate-consumer" }),
  "a claim in the mark of unchecked requests": names({ "claim-a": "x-tollgate-unchecked" }),
  "a claim in the header of some other claim": names({ "claim-a": "x-tollgate-claim-b" }),
  "65 renamed claims": names(many(65, (i) => [`claim-c${i}`, `x-c${i}`])),
  "a query name of 128 characters and more bytes": sources({ query: "ä".repeat(65) }),
  "a snapshot of 128 KiB and a byte": { environment: "default", snapshot: "A".repeat(174_764) },
  "base64 that is no snapshot": { environment: "default", snapshot: "AAEC" },
  "a token variable that isn't there": withControl({ tokenEnv: "ABSENT" }),
};

describe("schema and filter", () => {
  for (const [group, configurations] of Object.entries(good)) {
    test(`both take: ${group}`, () => {
      for (const configuration of configurations) {
        const text = JSON.stringify(configuration).slice(0, 300);
        assert.deepEqual(check(configuration), [], text);
        assert.ok(filterTakes(configuration), `${text}\n${envoy.logTail()}`);
      }
    });
  }
  for (const [group, configurations] of Object.entries(bad)) {
    test(`both refuse: ${group}`, () => {
      for (const configuration of configurations) {
        const text = JSON.stringify(configuration).slice(0, 300);
        assert.equal(schemaTakes(configuration), false, `the schema takes ${text}`);
        assert.equal(filterTakes(configuration === "" ? '""' : configuration), false, `the filter takes ${text}`);
      }
    });
  }

  test("both refuse a message's header as source and as claim, in every spelling", () => {
    for (const name of [...messageHeaders, "authorization"]) {
      for (const spelling of [name, name.toUpperCase(), name.replaceAll("-", "_"), name.replaceAll("-", ".")]) {
        assert.deepEqual(
          [schemaTakes(names({ tier: spelling })), filterTakes(names({ tier: spelling }))],
          [false, false],
          spelling,
        );
        const source = sources({ header: spelling });
        const taken = name === "authorization";
        assert.deepEqual([schemaTakes(source), filterTakes(source)], [taken, taken], spelling);
      }
    }
  });

  for (const [name, configuration] of Object.entries(beyondSchema)) {
    test(`only the filter refuses ${name}`, () => {
      assert.deepEqual(check(configuration), []);
      assert.equal(filterTakes(configuration), false);
    });
  }
});

/** A configuration with every default of the schema written out. */
function spelledOut(): Record<string, unknown> {
  const defaults = (schema: { properties: object }) =>
    Object.fromEntries(
      Object.entries(schema.properties).flatMap(([name, property]) =>
        property.default === undefined ? [] : [[name, property.default as unknown]],
      ),
    );
  const { control: controlSchema, claims, observe } = PluginSchema.properties;
  return {
    ...pluginConfiguration(defaults(PluginSchema)),
    control: { ...defaults(controlSchema), cluster: "control", authority: "tollgate-control" },
    claims: defaults(claims),
    observe: defaults(observe),
  };
}

describe("the schema's defaults", () => {
  test("are all there", () => {
    const { control: controlDefaults, ...rest } = spelledOut();
    assert.deepEqual(Object.keys(controlDefaults as object).sort(), [
      "authority",
      "cluster",
      "timeoutMs",
      "tokenEnv",
      "waitMs",
    ]);
    assert.deepEqual(Object.keys(rest).sort(), [
      "claims",
      "environment",
      "failureMode",
      "keySources",
      "limitWaitTimeoutMs",
      "maxCounters",
      "maxLimitWaiters",
      "maxSnapshotAgeSeconds",
      "maxSnapshotWaiters",
      "mode",
      "observe",
      "pathCase",
      "problemTypeBase",
      "responseSamplesPerSecond",
      "snapshotWaitTimeoutMs",
      "unknownApi",
    ]);
  });

  test("are the filter's: written out they change nothing", () => {
    assert.deepEqual(
      observed(startGateway({ configuration: spelledOut() })),
      observed(startGateway({ configuration: pluginConfiguration() })),
    );
  });
});

/** All that defaults decide, from the first request to a snapshot that is too old. */
function observed(gateway: Gateway): unknown[] {
  const { envoy: gatewayEnvoy, control: served } = gateway;
  const seen: unknown[] = [];
  gatewayEnvoy.recording = false;
  const ask = (path: string, headers: Record<string, string>): unknown[] => {
    const stream = gateway.get(path, headers);
    return [outcome(stream), stream.headers.pairs];
  };
  // the hold: how many, how long, and what follows
  served.failure = "silent";
  const held = Array.from({ length: 1100 }, () => gateway.get("/x"));
  seen.push(held.map(outcome).lastIndexOf("held"));
  const heldAtMs = gatewayEnvoy.nowMs;
  gatewayEnvoy.until(() => held.every((stream) => stream.state !== "held"));
  seen.push(gatewayEnvoy.nowMs - heldAtMs, outcome(held[0]!));
  // the calls: their timeouts
  gatewayEnvoy.advance(12_000);
  served.failure = undefined;
  gatewayEnvoy.advance(40_000);
  seen.push(
    served.requests.map(({ kind, query, call, authorization, atMs }) => [
      kind,
      query.get("waitMs"),
      call.timeoutMs,
      authorization,
      atMs,
    ]),
  );
  // sources, claims, unknown APIs
  const key = keyNamed("acme-1");
  const forged = { "x-tollgate-consumer": "forged", "x-caller-consumer": "kept" };
  const places: Record<string, string>[] = [
    { "x-api-key": key },
    { authorization: `Bearer ${key}` },
    { cookie: `api_key=${key}` },
    { "x-api-key": "other", authorization: `Bearer ${key}` },
    {},
  ];
  for (const place of places) seen.push(ask(`/x?api_key=${key}`, { ...place, ...forged }));
  served.change((spec) => void spec.apis.splice(0, 1));
  gatewayEnvoy.advance(1000);
  seen.push(ask("/x", { "x-api-key": key }));
  // the snapshot's age, to the second
  served.failure = "reset";
  served.dropWaiting();
  gatewayEnvoy.loop.drift(86_395_000);
  for (let second = 0; second < 15; second++) {
    gatewayEnvoy.advance(1000);
    seen.push(outcome(gateway.get("/public")));
  }
  assert.equal(new Set(seen.slice(-15)).size, 2);
  return seen;
}
