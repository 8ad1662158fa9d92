import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command } from "../../scripts/generate-manifests.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { cli, root, writeIn } from "./support.ts";

const folder = temporaryFolder();
const demo = join(root, "examples/demo/tollgate.yaml");
const image = `registry.example.com/tollgate@sha256:${"0".repeat(64)}`;
const basics = [
  "manifests",
  "-f",
  demo,
  "--image",
  image,
  "--control-image",
  "registry.example.com/tollgate-control:1",
];
const filesIn = (path: string) =>
  readdirSync(path, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(".yaml"))
    .sort();

test("manifests/ is what the command makes of the example", async () => {
  // Paths in the command are the project's own.
  const args = command.map((argument, index) =>
    command[index - 1] === "-f" || command[index - 1] === "-o" ? join(root, argument) : argument,
  );
  const { code, stdout, stderr } = await cli([...args, "--check"]);
  assert.match(`${stdout}${stderr}`, /^\S+: \d+ files, as they should be\.\n$/);
  assert.equal(code, 0);
});

test("a folder is written, compared, and written again without what is gone", async () => {
  const output = join(folder, "demo");
  const first = await cli([...basics, "-o", output]);
  assert.equal(first.code, 0, first.stderr);
  assert.equal(first.stderr, "");
  const made = filesIn(output);
  assert.equal(first.stdout, `${made.map((path) => `+ ${path}\n`).join("")}${output}: ${made.length} files.\n`);
  assert.ok(
    made.includes("base/platform/plugin.yaml") &&
      made.includes("base/apis/echo/route.yaml") &&
      made.includes("overlays/sqlite/kustomization.yaml"),
  );

  const again = await cli([...basics, "-o", output, "--check"]);
  assert.deepEqual(again, { code: 0, stdout: `${output}: ${made.length} files, as they should be.\n`, stderr: "" });

  const plugin = join(output, "base/platform/plugin.yaml");
  writeFileSync(plugin, readFileSync(plugin, "utf8").replace("AUTHN", "STATS"));
  rmSync(join(output, "istio/install.yaml"));
  mkdirSync(join(output, "base/apis/gone"));
  writeFileSync(join(output, "base/apis/gone/route.yaml"), readFileSync(plugin));
  writeFileSync(join(output, "own.yaml"), "mine: true\n");
  const off = await cli([...basics, "-o", output, "--check"]);
  assert.equal(off.code, 1);
  assert.equal(
    off.stdout,
    `- base/apis/gone/route.yaml\n~ base/platform/plugin.yaml\n+ istio/install.yaml\n${output} is out of date: run the command without --check.\n`,
  );
  assert.ok(readFileSync(plugin, "utf8").includes("STATS"), "--check writes nothing");

  const { code, stdout } = await cli([...basics, "-o", output, "--json"]);
  assert.equal(code, 0);
  assert.deepEqual((JSON.parse(stdout) as { changes: unknown }).changes, [
    { kind: "stale", path: "base/apis/gone/route.yaml" },
    { kind: "different", path: "base/platform/plugin.yaml" },
    { kind: "missing", path: "istio/install.yaml" },
  ]);
  assert.ok(!existsSync(join(output, "base/apis/gone")), "no empty folder stays");
  assert.equal(readFileSync(join(output, "own.yaml"), "utf8"), "mine: true\n", "what others made stays");
});

test("what others made is neither replaced nor removed", async () => {
  const output = join(folder, "foreign");
  const one = join(output, "one");
  assert.equal((await cli([...basics, "-o", one])).code, 0);
  const before = filesIn(output);
  mkdirSync(join(output, "base/platform"), { recursive: true });
  writeIn(join(output, "base/platform"), "plugin.yaml", "mine: true\n");
  for (const check of [["--check"], []]) {
    const { code, stderr } = await cli([...basics, "-o", output, ...check]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /base\/platform\/plugin\.yaml is there already, and this command hasn't made it/,
      "--check says what writing says",
    );
  }
  assert.deepEqual(filesIn(output), ["base/platform/plugin.yaml", ...before], "nothing was written");

  rmSync(join(output, "base/platform/plugin.yaml"));
  assert.equal((await cli([...basics, "-o", output])).code, 0);
  assert.deepEqual(
    filesIn(one).map((path) => `one/${path}`),
    before,
    "the manifests of another folder inside it stay",
  );
});

test("kustomizations list every file of their folder", async () => {
  const output = join(folder, "listed");
  assert.equal((await cli([...basics, "-o", output])).code, 0);
  const listed = [...readFileSync(join(output, "base/kustomization.yaml"), "utf8").matchAll(/^ {2}- (.*)$/gm)].map(
    ([, path]) => path,
  );
  assert.deepEqual(
    listed,
    filesIn(join(output, "base")).filter((path) => path !== "kustomization.yaml"),
  );
});

test("options end up where they belong", async () => {
  const output = join(folder, "options");
  const pluginConfig = writeIn(folder, "plugin.yaml", "keySources: [{header: x-my-key}]\nmaxSnapshotAgeSeconds: 600\n");
  const options = [
    "--namespace",
    "gate",
    "--gateway",
    "edge/main",
    "--gateway-selector",
    "app=edge,tier=front",
    "--istio-version",
    "1.26.3",
    "--trust-domain",
    "mesh.example",
    "--image-pull-secret",
    "pull",
    "--plugin-config",
    pluginConfig,
  ];
  const { code, stderr } = await cli([...basics, "-o", output, ...options]);
  assert.equal(code, 0, stderr);
  const plugin = readFileSync(join(output, "base/platform/plugin.yaml"), "utf8");
  for (const words of [
    "namespace: edge",
    "app: edge\n      tier: front",
    "FAIL_CLOSE",
    "imagePullSecret: pull",
    "x-my-key",
    "maxSnapshotAgeSeconds: 600",
    "outbound|8091||tollgate-control.gate.svc.cluster.local",
    `oci://${image}`,
  ])
    assert.ok(plugin.includes(words), words);
  assert.match(readFileSync(join(output, "istio/install.yaml"), "utf8"), /trustDomain: mesh\.example/);
  assert.match(readFileSync(join(output, "base/platform/control.yaml"), "utf8"), /namespace: gate\n/);
});

test("without --image the digest is that of the module built here, and it's said", async () => {
  const { code, stderr } = await cli(["manifests", "-f", demo, "-o", join(folder, "own-image")]);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^No --image: registry\.example\.com\/tollgate@sha256:[0-9a-f]{64} stands for it/);
});

test("what is wrong is refused by name, and nothing is written", async () => {
  const output = join(folder, "refused");
  const tokens = writeIn(
    folder,
    "tokens.yaml",
    `version: 1
apis:
  - id: orders
    hosts: [api.example.com]
    paths: [/]
    upstream: {service: orders.shop.svc.cluster.local, port: 80}
    auth: {mode: jwt, jwt: {issuers: [{issuer: "https://id.example.com/", jwksUri: "https://id.example.com/keys"}]}}
`,
  );
  const bearer = writeIn(folder, "bearer.yaml", "keySources: [{bearer: true}]\n");
  const dangling = writeIn(folder, "dangling.yaml", "version: 1\nconsumers:\n  - {id: a, tier: silver}\n");
  const usual = ["manifests", "--image", image, "-o", output];
  const refusals: [string[], number, RegExp][] = [
    [
      [...usual, "-f", tokens, "--plugin-config", bearer],
      1,
      /keySources\[0\]: keys can't come by `bearer` at a gateway whose API `orders` takes tokens \(auth\.mode jwt\)/,
    ],
    [[...usual, "-f", dangling], 1, /dangling\.yaml:3:\d+: consumers\[0\]\.tier: /],
    [["manifests", "-f", demo, "-o", output, "--image", "registry.example.com/tollgate:latest"], 1, /has no digest/],
    [[...usual, "-f", demo, "--istio-version", "1.20"], 1, /they need 1\.22 or newer/],
    [[...usual, "-f", demo, "--istio-version", "new"], 2, /Give a version such as 1\.31\./],
    [[...usual, "-f", demo, "--routing", "nginx"], 2, /Give istio or gateway-api\./],
    [[...usual, "-f", demo, "--gateway", "edge"], 2, /Give namespace\/name, such as istio-ingress\/tollgate\./],
    [[...usual, "-f", demo, "--gateway-selector", "edge"], 2, /Give labels such as istio=ingressgateway/],
    [
      [...usual, "-f", demo, "--routing", "gateway-api", "--gateway-selector", "a=b"],
      2,
      /--gateway-selector is for --routing istio/,
    ],
    [[...usual, "-f", demo, "--trust-domain", "two words"], 2, /Give a trust domain such as cluster\.local/],
    [[...usual, "-f", demo, "--workload-label", "app=x"], 2, /Give the name of a label/],
    [["manifests", "-f", demo, "--image", image, "-o", bearer], 1, /^\S+bearer\.yaml can't be written: /],
    [["manifests", "-f", demo, "--image", image, "-o", bearer, "--check"], 1, /^\S+bearer\.yaml can't be read: /],
    [["manifests", "-f", demo], 2, /required option '-o, --output <folder>'/],
  ];
  for (const [args, code, words] of refusals) {
    const outcome = await cli(args);
    assert.match(outcome.stderr, words);
    assert.equal(outcome.code, code, args.join(" "));
  }
  assert.ok(!existsSync(output));
});
