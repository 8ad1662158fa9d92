import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { importOpenApi } from "../../tools/openapi/importOpenApi.ts";
import { OpenApiError } from "../../tools/openapi/source.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { goldens } from "./importOpenapi/goldens.ts";
import { cli, startTestControl, writeIn } from "./support.ts";

const folder = temporaryFolder();
const shop = join(import.meta.dirname, "importOpenapi", "shop.yaml");

/** A document of these paths with an API key, and more fields beside them. */
function documentOf(paths: object, more: object = {}): string {
  return JSON.stringify({
    openapi: "3.1.0",
    info: { title: "T", version: "1" },
    security: [{ key: [] }],
    paths,
    components: {
      securitySchemes: {
        key: { type: "apiKey", in: "header", name: "X-API-Key" },
        login: { type: "openIdConnect", openIdConnectUrl: "https://x.example/" },
      },
    },
    ...more,
  });
}

for (const { input, outputs } of goldens()) {
  for (const { path, text } of outputs)
    test(`${path.split("/").at(-1)} is as committed (npm run generate writes it)`, () =>
      assert.equal(text, readFileSync(path, "utf8")));
  test(`what is made of ${input.split("/").at(-1)} is valid`, async () => {
    const imported = await cli(["import", "openapi", "-f", input]);
    assert.equal(imported.code, 0, imported.stderr);
    const checked = await cli(["validate", "-f", writeIn(folder, "made.yaml", imported.stdout)]);
    assert.equal(checked.code, 0, checked.stderr);
  });
}

test("options name hosts, id, service, port and prefix; what is known then isn't asked for", async () => {
  const input = join(import.meta.dirname, "importOpenapi", "silent.yaml");
  const args = [
    "import",
    "openapi",
    "-f",
    input,
    "--host",
    "API.example.com",
    "--host",
    "*.example.org",
    "--id",
    "reports",
    "--service",
    "reports.legacy.svc.cluster.local",
    "--port",
    "8081",
    "--prefix",
    "/legacy/",
    "--json",
  ];
  const { code, stdout, stderr } = await cli(args);
  assert.deepEqual([code, stderr], [0, ""]);
  const { apis, notes } = JSON.parse(stdout) as {
    apis: Record<string, unknown>[];
    notes: { message: string; line: number; path: string }[];
  };
  assert.equal(apis.length, 1);
  const { id, hosts, paths, upstream, auth } = apis[0]!;
  assert.deepEqual(
    { id, hosts, paths, upstream, auth },
    {
      id: "reports",
      hosts: ["api.example.com", "*.example.org"],
      paths: ["/legacy"],
      upstream: { service: "reports.legacy.svc.cluster.local", port: 8081 },
      auth: { mode: "key" },
    },
  );
  assert.deepEqual(
    notes.map(({ path }) => path),
    ["", "paths./odd path/%7Eraw", "paths./do?action=start", "paths./do?action=stop"],
  );
});

test("the result goes to a file or, with -, to standard output; an environment is named", async () => {
  const output = join(folder, "shop.yaml");
  const written = await cli(["import", "openapi", "-f", shop, "-o", output, "-e", "staging"]);
  assert.deepEqual([written.code, written.stdout], [0, ""]);
  assert.match(
    written.stderr,
    /^.*shop\.yaml:28:7: warning: paths\.\/orders\.post: POST \/orders and POST \/orders\/\{id\}\/refund are one route/m,
  );
  const shown = await cli(
    ["import", "openapi", "-f", "-", "--output", "-", "-e", "staging"],
    {},
    readFileSync(shop, "utf8"),
  );
  assert.equal(shown.stdout, readFileSync(output, "utf8"));
  assert.match(shown.stdout, /^environment: staging$/m);
});

test("control takes what was made", async () => {
  const { env } = await startTestControl();
  const imported = await cli(["import", "openapi", "-f", shop]);
  const applied = await cli(["apply", "-f", writeIn(folder, "apply.yaml", imported.stdout)], env);
  assert.equal(applied.code, 0, applied.stderr);
  assert.match(applied.stdout, /^\+ api web-shop$/m);
});

test("what is no OpenAPI 3 document is refused, with line and column", () => {
  const refusals: [text: string, line: number, column: number, message: RegExp][] = [
    ["", 1, 1, /^The file is empty/],
    ["- a\n", 1, 1, /not an OpenAPI document/],
    ["openapi: 3.0.0\npaths:\n\t/a: {}\n", 3, 1, /./],
    ["openapi: 3.0.0\nopenapi: 3.0.0\n", 2, 1, /written twice/],
    ['{"openapi": "3.0.0",\n "paths": {"/a": {]}}', 2, 19, /./],
    ["info: {}\nswagger: '2.0'\n", 2, 10, /Swagger 2\.0, which is older/],
    ["info: {}\n", 1, 1, /no field `openapi`/],
    ["info: {}\nopenapi: 4.0.0\n", 2, 10, /OpenAPI 4\.0\.0 is not understood/],
    ["openapi: 3.0.0\npaths: {}\n", 2, 8, /no operations/],
    ["openapi: 3.0.0\npaths: [a]\n", 2, 8, /Must be an object/],
    ["openapi: 3.0.0\npaths:\n  pets: {get: {}}\n", 3, 9, /doesn't begin with/],
    ["openapi: 3.0.0\npaths:\n  /pets:\n    get: 5\n", 4, 10, /Must be an object/],
    [
      "openapi: 3.0.0\npaths:\n  /pets:\n    $ref: other.yaml#/pets\n",
      4,
      11,
      /outside the document, and nothing is fetched/,
    ],
    [
      "openapi: 3.0.0\npaths:\n  /pets: {$ref: '#/components/pathItems/pest'}\ncomponents: {pathItems: {pets: {}}}\n",
      3,
      17,
      /names nothing/,
    ],
    [
      "openapi: 3.0.0\npaths:\n  /a: {$ref: '#/paths/~1b'}\n  /b: {$ref: '#/paths/~1a'}\n",
      3,
      14,
      /leads back to itself/,
    ],
    [
      "openapi: 3.0.0\nsecurity: [{kye: []}]\npaths: {/a: {get: {}}}\ncomponents: {securitySchemes: {key: {type: http, scheme: basic}}}\n",
      2,
      18,
      /no security scheme `kye`/,
    ],
    [
      "openapi: 3.0.0\nsecurity: [{key: []}]\npaths: {/a: {get: {}}}\ncomponents: {securitySchemes: {key: {type: apikey}}}\n",
      4,
      44,
      /`apikey` is no type/,
    ],
    [
      "openapi: 3.0.0\nsecurity: [{key: []}]\npaths: {/a: {get: {}}}\ncomponents: {securitySchemes: {key: {type: apiKey}}}\n",
      4,
      37,
      /needs `name`/,
    ],
    [
      "openapi: 3.0.0\nservers: [{url: 'https://{x}.a.example'}]\npaths: {/a: {get: {}}}\n",
      2,
      17,
      /`\{x\}` that `variables` doesn't define/,
    ],
    ["openapi: 3.0.0\nservers: [{url: 'https://exa mple'}]\npaths: {/a: {get: {}}}\n", 2, 17, /is not a host name/],
    ["openapi: 3.0.0\npaths:\n  /a:\n    get:\n      x-tollgate: {costs: 5}\n", 5, 20, /Unknown field `costs`/],
    [
      "openapi: 3.0.0\nx-tollgate:\n  limits: [{name: a, kind: rate, limit: 5}]\npaths: {/a: {get: {}}}\n",
      3,
      12,
      /A rate needs `windowSeconds`/,
    ],
    [
      "openapi: 3.0.0\npaths:\n  /a:\n    get: {security: [], x-tollgate: {scopes: [a]}}\n",
      4,
      10,
      /Scopes are asked for where everybody may call/,
    ],
    [
      "openapi: 3.0.0\npaths:\n  /a:\n    get: {security: [], x-tollgate: {limits: [{name: a, kind: quota, limit: 5, period: day}]}}\n",
      4,
      10,
      /counts each key where everybody may call/,
    ],
  ];
  for (const [text, line, column, message] of refusals) {
    assert.throws(
      () => importOpenApi(text),
      (error) => {
        assert.ok(error instanceof OpenApiError, `${text}: ${String(error)}`);
        const [first] = error.problems;
        assert.deepEqual([first!.line, first!.column], [line, column], `${text}: ${first!.message}`);
        assert.match(first!.message, message);
        return true;
      },
    );
  }
});

test("the command names the file, says what to do, and ends with 1; a wrong option ends with 2", async () => {
  const file = writeIn(folder, "old.yaml", "swagger: '2.0'\ninfo: {}\n");
  assert.deepEqual(await cli(["import", "openapi", "-f", file]), {
    code: 1,
    stdout: "",
    stderr: `${file}:1:10: swagger: This is Swagger 2.0, which is older than OpenAPI 3. Convert it first, for example with \`npx swagger2openapi\`.\n`,
  });
  for (const option of [
    ["--host", "a b"],
    ["--port", "70000"],
    ["--prefix", "a"],
    ["--id", "A"],
    ["--service", "a_b"],
  ]) {
    const { code, stderr } = await cli(["import", "openapi", "-f", file, ...option]);
    assert.equal(code, 2);
    assert.match(stderr, new RegExp(option[0]!));
  }
  assert.equal((await cli(["import", "openapi"])).code, 2);
});

test("schemes become auth modes", () => {
  const schemes = {
    key: { type: "apiKey", in: "cookie", name: "k" },
    oauth: { type: "oauth2", flows: {} },
    oidc: { type: "openIdConnect", openIdConnectUrl: "https://x.example/" },
    jwt: { type: "http", scheme: "Bearer", bearerFormat: "JWT" },
    opaque: { type: "http", scheme: "bearer", bearerFormat: "opaque" },
    bearer: { type: "http", scheme: "bearer" },
    basic: { type: "http", scheme: "basic" },
    mtls: { type: "mutualTLS" },
  };
  const cases: [security: object[], mode: string, scopes: string[] | undefined][] = [
    [[{ key: [] }], "key", undefined],
    [[{ oauth: ["b", "a"] }], "jwt", ["a", "b"]],
    [[{ oidc: ["a b"] }], "jwt", ["a", "b"]],
    [[{ jwt: [] }], "jwt", undefined],
    [[{ opaque: [] }], "key", undefined],
    [[{ bearer: [] }], "key-or-jwt", undefined],
    [[{ key: [] }, { oauth: ["a"] }], "key-or-jwt", ["a"]],
    [[{ key: [], oauth: ["a"] }], "key", ["a"]],
    [[{ oauth: ["a"] }, { oauth: ["b"] }], "jwt", ["a", "b"]],
    [[{ basic: [] }], "key", undefined],
    [[{ mtls: [], oauth: ["a"] }], "jwt", ["a"]],
    [[{}, { key: [] }], "key", undefined],
    [[{}], "none", undefined],
    [[], "none", undefined],
  ];
  for (const [security, mode, scopes] of cases) {
    const { apis } = importOpenApi(
      documentOf({ "/a": { get: { security } } }, { components: { securitySchemes: schemes } }),
    );
    assert.deepEqual(
      apis.map(({ auth, scopes: needed }) => [auth!.mode, needed]),
      [[mode, scopes]],
      JSON.stringify(security),
    );
  }
});

test("servers become hosts and base paths, the nearest ones counting", () => {
  const { apis } = importOpenApi(
    documentOf(
      {
        "/a": { get: {}, servers: [{ url: "https://A.example.com:8443/x/" }] },
        "/b": { get: { servers: [{ url: "//b.example.com" }, { url: "y" }] } },
        "/c": { get: {} },
      },
      {
        servers: [
          {
            url: "wss://{env}.example.com/{v}",
            variables: { env: { enum: ["c1", "c2"], default: "c1" }, v: { default: "v1" } },
          },
        ],
      },
    ),
  );
  assert.deepEqual(
    apis.map(({ hosts, paths }) => [hosts, paths]),
    [
      [["a.example.com"], ["/x/a"]],
      [["b.example.com"], ["/b", "/y/b"]],
      [["c1.example.com", "c2.example.com"], ["/v1/c"]],
    ],
  );
});

test("a document with more paths than an API may have becomes several APIs", () => {
  const paths = Object.fromEntries(Array.from({ length: 600 }, (_, index) => [`/p${index}/{id}`, { get: {} }]));
  const { apis } = importOpenApi(documentOf(paths));
  assert.deepEqual(
    apis.map(({ id, paths: list }) => [id, list.length]),
    [
      ["t", 256],
      ["t-2", 256],
      ["t-3", 88],
    ],
  );
});

test("routes that say nothing of their own give way when there are too many", () => {
  const paths = Object.fromEntries(
    Array.from({ length: 700 }, (_, index) => [
      `/a/p${index}`,
      { get: index % 2 === 0 ? {} : { "x-tollgate": { cost: 2 } } },
    ]),
  );
  const { apis } = importOpenApi(documentOf({ "/a": { get: {} }, ...paths }));
  assert.deepEqual(
    apis.map(({ paths: list, routes }) => [list, routes!.length]),
    [[["/a"], 350 + 1]],
  );
});

test("what a document says can't leave its line, in comments or on a terminal", () => {
  const { yaml, notes } = importOpenApi(
    documentOf(
      { "/a\nb: {}": { get: { security: [] } }, "/a": { post: {} } },
      { info: { title: "x\ny: 1\u001b[2J", version: "\n" } },
    ),
  );
  assert.match(yaml, /^# APIs of x y: 1 \[2J, made by/);
  for (const { message } of notes) assert.doesNotMatch(message, /[\u0000-\u001f]/);
});

test("a version written as a YAML number is read as it was written", () => {
  const text = (version: string) =>
    `openapi: ${version}\ninfo: {title: T, version: 1.0}\npaths: {/a: {get: {responses: {200: {description: ok}}}}}\n`;
  for (const version of ["3.0", "3.1", "3.2", '"3.0"', "'3.1.0'", "3.0.3"])
    assert.equal(importOpenApi(text(version), { hosts: ["a.example"], upstream: {} }).apis.length, 1, version);
  for (const version of ["3", "3.00", "2.0", "4.0", "3.10", "30", "true"]) {
    assert.throws(
      () => importOpenApi(text(version), { upstream: {} }),
      (error) => error instanceof OpenApiError && error.message.includes(`OpenAPI ${version} is not understood`),
      version,
    );
  }
});
