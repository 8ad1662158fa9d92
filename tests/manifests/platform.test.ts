/** The platform's part of the manifests: what is made of definitions, and that control and the filter would take it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { readConfig } from "../../control/config.ts";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import { PluginSchema } from "../../control/domain/pluginSchema.ts";
import { structureCheck } from "../../control/domain/structure.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import { manifestFiles, platformFiles } from "../../tools/manifests/files.ts";
import type { KubernetesObject, ManifestFile, ManifestOptions } from "../../tools/manifests/model.ts";
import { checkNames } from "../../tools/manifests/platform/checks.ts";
import { componentFiles } from "../../tools/manifests/platform/components.ts";
import { storageFiles } from "../../tools/manifests/platform/storage.ts";
import { heading, manifestText } from "../../tools/manifests/write.ts";
import { settings } from "../../control/settings.ts";
import { platformGoldens } from "./platformGoldens.ts";
import { manifestOptions } from "./support/options.ts";

const jwks =
  '{"keys":[{"kty":"EC","crv":"P-256","kid":"one","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}';
const upstream = { service: "web.shop.svc.cluster.local", port: 80 };
type ApiInput = NonNullable<FileInput["apis"]>[number];

const keyApi: ApiInput = { id: "keys", hosts: ["*"], paths: ["/"], upstream };
const tokenApi = (mode: "jwt" | "key-or-jwt" | "key-and-jwt", over: Partial<ApiInput> = {}): ApiInput => ({
  id: "tokens",
  hosts: ["*"],
  paths: ["/t"],
  upstream,
  auth: { mode, jwt: { issuers: [{ issuer: "https://id.example.com/", jwks, audiences: ["t"] }] } },
  ...over,
});
const fileOf = (...apis: ApiInput[]): FileInput => ({ version: 1, apis });

function objects(files: readonly ManifestFile[]): KubernetesObject[] {
  return files.flatMap(({ documents }) => documents.map(({ object }) => object));
}

function platform(file: FileInput, options: Partial<ManifestOptions> = {}): KubernetesObject[] {
  const all = manifestOptions(options);
  return objects(platformFiles(fillEnvironment(file, all.environment), all));
}

// Tests look into objects of many kinds.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Loose = any;

function find(found: readonly KubernetesObject[], kind: string, name?: string): Loose {
  const one = found.find((object) => object.kind === kind && (name === undefined || object.metadata.name === name));
  assert.ok(one !== undefined, `there is a ${kind} ${name ?? ""}`);
  return one;
}

for (const { name, output, text } of platformGoldens()) {
  test(`${name} makes what ${name.replace(".in.", ".out.")} says`, () => {
    const [made, golden] = [text, readFileSync(output, "utf8")].map((one) => one.split("\n"));
    const line = made!.findIndex((own, index) => own !== golden![index]);
    assert.ok(
      text === golden!.join("\n"),
      `line ${line + 1} of ${output} is \`${golden![line]}\`, and would be \`${made![line]}\`: run \`npm run generate\`, and look at the difference`,
    );
  });
}

test("what is written is read back as the same objects, by readers of YAML 1.1 as well", () => {
  for (const { files } of platformGoldens()) {
    for (const file of files) {
      const text = manifestText(file);
      assert.ok(text.startsWith(heading));
      for (const version of ["1.1", "1.2"] as const) {
        const read = parseAllDocuments(text, { version });
        assert.ok(Array.isArray(read));
        assert.deepEqual(
          read.map((document) => document.toJS() as unknown),
          JSON.parse(JSON.stringify(file.documents.map(({ object }) => object))),
        );
      }
    }
  }
});

test("strings that YAML 1.1 would take for something else are quoted", () => {
  const values = [
    "on",
    "no",
    "yes",
    "y",
    "null",
    "~",
    "010",
    "1e3",
    "12:30:00",
    "1_000",
    "0x1f",
    ".5",
    "2027-01-01",
    "*",
    "true",
    "",
  ];
  const text = manifestText({
    path: "a.yaml",
    documents: [{ comment: "Why.", object: { apiVersion: "v1", kind: "A", metadata: { name: "a" }, values } }],
  });
  for (const version of ["1.1", "1.2"] as const) {
    const [document] = parseAllDocuments(text, { version });
    assert.deepEqual((document!.toJS() as { values: unknown }).values, values);
  }
});

test("a comment on a field that isn't there is a mistake of ours", () => {
  assert.throws(
    () =>
      manifestText({
        path: "a.yaml",
        documents: [
          {
            comment: "Why.",
            object: { apiVersion: "v1", kind: "A", metadata: { name: "a" } },
            comments: new Map([["/spec/a", "x"]]),
          },
        ],
      }),
    /a\.yaml: A a has no field \/spec\/a/,
  );
});

test("the plugin is in AUTHN with keys alone, in AUTHZ as soon as one API takes tokens, never in STATS", () => {
  assert.equal(find(platform(fileOf(keyApi)), "WasmPlugin").spec.phase, "AUTHN");
  for (const mode of ["jwt", "key-or-jwt", "key-and-jwt"] as const)
    assert.equal(find(platform(fileOf(keyApi, tokenApi(mode))), "WasmPlugin").spec.phase, "AUTHZ", mode);
});

test("FAIL_RELOAD from Istio 1.27 on, FAIL_CLOSE before", () => {
  const strategy = (minor: number) =>
    find(platform(fileOf(keyApi), { istioVersion: { major: 1, minor } }), "WasmPlugin").spec.failStrategy as string;
  assert.deepEqual([22, 26, 27, 31].map(strategy), ["FAIL_CLOSE", "FAIL_CLOSE", "FAIL_RELOAD", "FAIL_RELOAD"]);
});

test("TrafficExtension says what WasmPlugin says, and takes its place", () => {
  for (const file of [fileOf(keyApi), fileOf(keyApi, tokenApi("key-and-jwt"))]) {
    const spec = fillEnvironment(file, "default");
    const { phase, priority, selector, ...wasm } = find(platform(file), "WasmPlugin").spec;
    const components = componentFiles(spec, manifestOptions());
    assert.deepEqual(find(objects(components), "TrafficExtension").spec, { phase, priority, selector, wasm });
    const component = components.find(({ path }) => path === "components/traffic-extension/kustomization.yaml")!
      .documents[0]!.object as Loose;
    assert.match(
      component.patches[0].patch,
      /\$patch: delete\napiVersion: extensions\.istio\.io\/v1alpha1\nkind: WasmPlugin\n/,
    );
  }
});

test("the filter would take its configuration, and the gateway token isn't in it", () => {
  const check = structureCheck(PluginSchema);
  const withToken: FileInput = {
    ...fileOf(keyApi, tokenApi("jwt"), { ...keyApi, id: "peers", hosts: ["peers.shop"], auth: { mode: "mtls" } }),
    internalToken: { issuer: "https://tokens.example.com" },
  };
  for (const file of [fileOf(keyApi), withToken]) {
    const plugins = platform(file, { keySources: undefined }).filter(({ kind }) => kind === "WasmPlugin") as Loose[];
    for (const { spec } of plugins) {
      assert.deepEqual(check(spec.pluginConfig), []);
      assert.deepEqual(spec.vmConfig, { env: [{ name: "TOLLGATE_GATEWAY_TOKEN", valueFrom: "HOST" }] });
    }
  }
  const gateway = find(
    platform(withToken, { keySources: undefined, plugin: { claims: { prefix: "x-who-" } } }),
    "WasmPlugin",
    "tollgate",
  ).spec.pluginConfig;
  assert.deepEqual(gateway.claims, { token: "x-tollgate-token", prefix: "x-who-" });
  assert.deepEqual(gateway.keySources, [{ header: "x-api-key" }], "no bearer keys beside tokens");
  assert.deepEqual(
    find(platform(fileOf(keyApi), { keySources: undefined }), "WasmPlugin").spec.pluginConfig.keySources,
    [{ header: "x-api-key" }, { bearer: true }],
  );
});

test("control would start with its variables, in each overlay, and needs no root", () => {
  const found = platform(fileOf(keyApi));
  const { data } = find(found, "ConfigMap");
  const deployment = find(found, "Deployment");
  const [container] = deployment.spec.template.spec.containers;
  const patch = find(
    objects(storageFiles(manifestOptions()).filter(({ path }) => path === "overlays/postgres-valkey/control.yaml")),
    "Deployment",
  );
  const secrets: Record<string, string> = {
    TOLLGATE_ADMIN_TOKEN: "a".repeat(32),
    TOLLGATE_DATABASE_URL: "postgres://tollgate@db/tollgate",
    TOLLGATE_REDIS_URL: "rediss://cache:6380",
  };
  const variables = (env: { name: string; valueFrom: unknown }[]) => {
    for (const { name, valueFrom } of env) {
      assert.ok(name in settings, `control reads ${name}`);
      assert.ok(
        JSON.stringify(valueFrom).startsWith('{"secretKeyRef":{"name":"tollgate-control"'),
        `${name} is a secret by reference`,
      );
    }
    return Object.fromEntries(env.map(({ name }) => [name, secrets[name]]));
  };
  for (const name of Object.keys(data)) assert.ok(name in settings, `control reads ${name}`);

  const embedded = readConfig({ ...data, ...variables(container.env) });
  assert.equal(embedded.databaseUrl, "file:/var/lib/tollgate/tollgate.db");
  assert.equal(embedded.host, "0.0.0.0", "gateways reach it");
  assert.deepEqual(
    [embedded.controlPort, embedded.syncPort],
    container.ports.map(({ containerPort }: Loose) => containerPort),
  );
  const production = readConfig({
    ...data,
    ...variables(container.env),
    ...variables(patch.spec.template.spec.containers[0].env),
  });
  assert.equal(production.redisUrl, secrets["TOLLGATE_REDIS_URL"]);
  assert.equal(patch.spec.template.spec.containers[0].name, container.name, "the patch is for that container");

  const image = readFileSync(join(import.meta.dirname, "../../deploy/Containerfile"), "utf8");
  const user = Number(/^USER (\d+):\d+$/m.exec(image)![1]);
  assert.equal(deployment.spec.template.spec.securityContext.runAsUser, user);
  assert.equal(deployment.spec.template.spec.securityContext.runAsNonRoot, true);
  assert.equal(container.securityContext.readOnlyRootFilesystem, true);
  assert.equal(
    container.volumeMounts[0].mountPath,
    /TOLLGATE_DATA_DIR=(\S+)/.exec(image)![1],
    "the one folder that it writes",
  );
  assert.match(image, new RegExp(`EXPOSE ${embedded.controlPort} ${embedded.syncPort}`));
  for (const { kind, spec } of found as Loose[])
    if (kind === "Service") assert.deepEqual(spec.selector, deployment.spec.selector.matchLabels);
});

test("the sync port is reached from gateways, and with internal tokens from services; the admin API from neither", () => {
  const file: FileInput = { ...fileOf(keyApi), internalToken: { issuer: "https://tokens.example.com" } };
  const found = platform(file, { gateway: { name: "edge", namespace: "edges", selector: { app: "edge" } } });
  assert.equal(
    find(found, "Service", "tollgate-control").metadata.annotations["networking.istio.io/exportTo"],
    ".,edges,shop",
  );
  assert.equal(find(found, "Service", "tollgate-admin").metadata.annotations["networking.istio.io/exportTo"], ".");
  assert.equal(find(found, "PeerAuthentication").spec.mtls.mode, "STRICT");
  const rules = find(found, "AuthorizationPolicy", "tollgate-control").spec.rules as Loose[];
  assert.deepEqual(
    rules.map(({ from, to }) => [from[0].source.namespaces, to[0].operation.ports, to[0].operation.paths]),
    [
      [["edges"], ["8091"], ["/sync/*"]],
      [["tollgate"], ["8090"], undefined],
      [["shop"], ["8091"], ["/.well-known/tollgate/*"]],
    ],
  );
  const from = (ingress: Loose) =>
    ingress.from?.map(({ namespaceSelector }: Loose) => namespaceSelector.matchLabels["kubernetes.io/metadata.name"]);
  assert.deepEqual((find(found, "NetworkPolicy").spec.ingress as Loose[]).map(from), [
    ["edges", "shop"],
    ["tollgate"],
    undefined,
  ]);
});

test("one rule for each issuer, with the audiences of all its APIs", () => {
  const other = tokenApi("jwt", {
    id: "more",
    paths: ["/m"],
    auth: { mode: "jwt", jwt: { issuers: [{ issuer: "https://id.example.com/", jwks, audiences: ["m"] }] } },
  });
  const any = tokenApi("jwt", {
    id: "any",
    paths: ["/a"],
    auth: { mode: "jwt", jwt: { issuers: [{ issuer: "https://id.example.com/", jwks }] } },
  });
  const rules = (...apis: ApiInput[]) =>
    find(platform(fileOf(...apis)), "RequestAuthentication").spec.jwtRules as Loose[];
  assert.deepEqual(
    rules(tokenApi("jwt"), other).map(({ audiences }) => audiences),
    [["m", "t"]],
  );
  assert.deepEqual(
    rules(tokenApi("jwt"), any).map(({ audiences }) => audiences),
    [undefined],
    "one API takes any: Envoy must let any pass",
  );
  assert.deepEqual(rules(tokenApi("jwt"))[0].fromHeaders, [{ name: "Authorization", prefix: "Bearer " }]);
  assert.equal(
    platform(fileOf(keyApi)).find(({ kind }) => kind === "RequestAuthentication"),
    undefined,
  );
});

test("a waypoint with the filter is given control's cluster, which istiod keeps from it otherwise", () => {
  const peers = fileOf({ ...keyApi, id: "peers", hosts: ["peers.shop"], auth: { mode: "mtls" } });
  const filters = (meshProxy: "sidecar" | "waypoint") =>
    platform(peers, { meshProxy }).filter(
      ({ kind, metadata }) => kind === "EnvoyFilter" && metadata.name.endsWith("-control"),
    ) as Loose[];
  const [filter] = filters("waypoint");
  const plugin = platform(peers, { meshProxy: "waypoint" }).find(
    ({ kind, metadata }) => kind === "WasmPlugin" && metadata.name !== "tollgate",
  ) as Loose;
  assert.equal(
    plugin.spec.pluginConfig.control.cluster,
    `outbound|8091||${filter!.metadata.annotations["envoyfilter.istio.io/referenced-services"]}`,
  );
  assert.deepEqual(
    [filter!.metadata.namespace, filter!.spec.targetRefs[0].kind],
    ["istio-system", "GatewayClass"],
    "istiod matches no EnvoyFilter of a Service when it makes clusters",
  );
  assert.deepEqual(filters("sidecar"), [], "sidecars get every cluster");
});

test("services that get nothing of an API have no rule for its callers", () => {
  const version = (name: string, over: object) => ({
    name,
    upstream: { service: `${name}.shop.svc`, port: 80 },
    ...over,
  });
  const policies = (versions: object[]) => {
    const file = {
      ...fileOf({ ...keyApi, traffic: { versions } } as ApiInput),
      internalToken: { issuer: "https://tokens.example.com" },
    };
    const made = manifestFiles(file, manifestOptions({})).filter(
      ({ path }) => path.startsWith("components/mesh-identity/") && !path.endsWith("kustomization.yaml"),
    );
    return made.map(({ path }) => path.slice(path.lastIndexOf("/") + 1, -".yaml".length));
  };
  const own = policies([]);
  assert.equal(own.length, 1);
  assert.deepEqual(policies([version("one", { weight: 40 }), version("two", { weight: 60 })]), [
    "shop.one",
    "shop.two",
  ]);
  assert.deepEqual(
    policies([version("one", { match: { header: { "x-v": "1" } } })]).sort(),
    [...own, "shop.one"].sort(),
    "the rest goes to the API's upstream",
  );
  assert.deepEqual(
    policies([version("one", { weight: 40 }), { name: "two", labels: { version: "two" }, weight: 60 }]).sort(),
    [...own, "shop.one"].sort(),
    "labels are of its pods",
  );
});

test("a policy for each API with callers, none where nothing is asked for or refused", () => {
  const open: ApiInput = { ...keyApi, id: "open", paths: ["/open"], auth: { mode: "none" } };
  const names = (file: FileInput, options?: Partial<ManifestOptions>) =>
    platform(file, options)
      .filter(({ kind, metadata }) => kind === "AuthorizationPolicy" && metadata.namespace === "istio-ingress")
      .map(({ metadata }) => metadata.name);
  assert.deepEqual(names(fileOf(keyApi, open, tokenApi("key-and-jwt"))), ["tollgate-keys", "tollgate-tokens"]);
  assert.deepEqual(
    names(fileOf(keyApi), { plugin: { mode: "observe" } }),
    [],
    "a filter that only observes refuses nothing, and so must policies",
  );
  const rules = find(platform(fileOf(tokenApi("key-or-jwt"))), "AuthorizationPolicy", "tollgate-tokens").spec
    .rules as Loose[];
  assert.equal(rules.length, 1, "a key is enough: no token is asked for");
  const unchecked = find(
    platform(fileOf(keyApi), { plugin: { failureMode: "open" } }),
    "AuthorizationPolicy",
    "tollgate-keys",
  ).spec.rules[0].when as Loose[];
  assert.deepEqual(
    unchecked.map(({ key }) => key),
    ["request.headers[x-tollgate-tier]", "request.headers[x-tollgate-unchecked]"],
  );
});

test("what can't work is refused, with what would do", () => {
  const refused = (file: FileInput, options: Partial<ManifestOptions>, words: RegExp) =>
    assert.throws(() => manifestFiles(file, manifestOptions(options)), { name: "ManifestError", message: words });
  refused(
    fileOf(tokenApi("key-or-jwt")),
    { keySources: [{ header: "x-api-key" }, { bearer: true }] },
    /keySources\[1\]: keys can't come by `bearer` at a gateway whose API `tokens` takes tokens.*Use another source/,
  );
  refused(
    fileOf(tokenApi("key-and-jwt")),
    { keySources: [{ header: "Authorization" }] },
    /keySources\[0\]: keys can't come by `header: authorization`/,
  );
  refused(
    fileOf(keyApi),
    { image: { module: "registry.example.com/tollgate:1", control: "c" } },
    /has no digest: a tag can be moved.*npm run image/,
  );
  refused(
    fileOf(keyApi),
    { istioVersion: { major: 1, minor: 21 } },
    /Istio 1\.21 has not all of the APIs.*1\.22 or newer/,
  );
  refused(
    fileOf({ ...keyApi, auth: { mode: "mtls" }, upstream: { service: "example.net", port: 443 } }),
    {},
    /API `keys`: auth\.mode mtls needs an upstream in the mesh/,
  );
  refused(
    fileOf({ ...keyApi, auth: { mode: "mtls" }, traffic: { timeoutSeconds: 1 } }),
    {},
    /API `keys`: traffic has no meaning with auth\.mode mtls/,
  );
  for (const mode of ["jwt", "key-or-jwt", "key-and-jwt"] as const) {
    refused(
      fileOf(keyApi, { ...keyApi, id: "closed", paths: ["/c"], auth: { mode } }),
      {},
      new RegExp(`API \`closed\`: auth\\.mode ${mode} says not whose tokens it takes.*Add auth\\.jwt`),
    );
  }
  for (const scope of ["read*", "*read", "*"]) {
    refused(
      { ...fileOf({ ...keyApi, scopes: [scope] }), internalToken: { issuer: "https://tokens.example.com" } },
      {},
      /can't be asked for in an AuthorizationPolicy of services/,
    );
  }
  const other = tokenApi("jwt", {
    id: "more",
    paths: ["/m"],
    auth: {
      mode: "jwt",
      jwt: { issuers: [{ issuer: "https://id.example.com/", jwksUri: "https://id.example.com/keys" }] },
    },
  });
  refused(
    fileOf(tokenApi("jwt"), other),
    {},
    /APIs `tokens` and `more`: auth\.jwt has the issuer https:\/\/id\.example\.com\/ with different keys/,
  );
});

test("two objects of one name, or two files of one path, are noticed", () => {
  const file = (path: string): ManifestFile => ({
    path,
    documents: [{ comment: "", object: { apiVersion: "v1", kind: "A", metadata: { name: "a" } } }],
  });
  assert.throws(() => checkNames([file("a"), file("b")]), /a and b would both hold the A a/);
  assert.throws(() => checkNames([file("a"), file("a")]), /Two files would be a/);
});

test("with the Gateway API policies name the Gateway, and its pods get the token", () => {
  const files = manifestFiles(fileOf(keyApi), manifestOptions({ routing: "gateway-api" }));
  const base = objects(files.filter(({ path }) => path.startsWith("base/")));
  for (const kind of ["WasmPlugin", "Telemetry"])
    assert.deepEqual(find(base, kind).spec.targetRefs, [
      { group: "gateway.networking.k8s.io", kind: "Gateway", name: "tollgate" },
    ]);
  const pods = find(base, "ConfigMap", "tollgate-pods");
  assert.match(
    pods.data.deployment,
    /name: TOLLGATE_GATEWAY_TOKEN\n\s+valueFrom:\n\s+secretKeyRef:\n\s+name: tollgate-gateway/,
  );
  const gateway = base.find(
    ({ apiVersion, kind }) => kind === "Gateway" && apiVersion.startsWith("gateway.networking.k8s.io/"),
  ) as Loose;
  assert.deepEqual(gateway.spec.infrastructure.parametersRef, {
    group: "",
    kind: "ConfigMap",
    name: pods.metadata.name,
  });
  assert.equal(gateway.metadata.namespace, pods.metadata.namespace);
});
