import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { wrap } from "../../cli/commands/routesTable.ts";
import type { RouteAccess } from "../../cli/commands/routesAccess.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { cli, root, startTestControl, writeIn } from "./support.ts";

const folder = temporaryFolder();
const demo = join(root, "examples/demo/tollgate.yaml");
const shop = writeIn(
  folder,
  "shop.yaml",
  `version: 1
apis:
  - id: orders
    hosts: [api.example.com]
    paths: [/orders]
    methods: [GET, POST, HEAD]
    upstream: {service: orders, port: 80}
    scopes: [orders]
    limits:
      - {name: all, kind: quota, limit: 100000, period: month, subject: api}
      - {name: minute, kind: rate, limit: 30, windowSeconds: 60, mode: shadow}
    routes:
      - {path: /orders, methods: [GET], cost: 0}
      - {path: /orders/export, methods: [GET], cost: 50, scopes: [export], limits: [{name: minute, kind: rate, limit: 2, windowSeconds: 60, subject: consumer}]}
      - {path: /orders/old, methods: [GET]}
  - {id: old, hosts: [api.example.com], paths: [/orders/old], methods: [GET], upstream: {service: old, port: 80}, auth: {mode: none}, limits: [{name: ip, kind: rate, limit: 5, windowSeconds: 1, subject: ip, enforcement: gateway}]}
  - {id: tokens, hosts: ["*.example.com", "*"], paths: [/], upstream: {service: tokens, port: 80}, auth: {mode: jwt, jwt: {issuers: [{issuer: "https://login.example.com", jwksUri: "https://login.example.com/keys"}]}}, routes: [{path: /, methods: [PUT], scopes: [write]}]}
tiers:
  - {id: bronze, scopes: [orders], apis: [orders], limits: [{name: minute, kind: rate, limit: 60, windowSeconds: 60, smoothing: {perSecond: 5, burst: 10}}, {name: day, kind: quota, limit: 1000, period: day, subject: consumer}]}
  - {id: gold, scopes: ["*"]}
  - {id: empty, scopes: [], apis: []}
consumers:
  - {id: acme, tier: gold}
  - {id: initech, tier: bronze}
  - {id: gone, tier: bronze, suspended: true}
  - {id: nobody}
keys:
  - {id: acme-1, consumer: acme, sha256: "${"a".repeat(64)}", apis: [orders], scopes: [orders], limits: [{name: day, kind: quota, limit: 5, period: day}], allowedCidrs: [10.0.0.0/8], expiresAt: 2020-01-01T00:00:00Z}
  - {id: initech-1, consumer: initech, tier: gold, sha256: "${"b".repeat(64)}"}
  - {id: initech-2, consumer: initech, state: revoked, sha256: "${"c".repeat(64)}"}
`,
);

interface Result {
  routes: RouteAccess[];
  asker?: object;
  remarks?: string[];
}

async function routes(...args: string[]): Promise<Result> {
  const { code, stdout, stderr } = await cli(["routes", "-f", shop, "--json", ...args]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Result;
}

const brief = ({ api, path, methods, scopes, cost, callers }: RouteAccess) => [
  api,
  path,
  methods.join(),
  scopes.join(),
  cost,
  callers.map(({ tier, consumers, keys }) => [tier, ...consumers, ...keys].join(" ")).join("; "),
];

test("the demo's routes as a table", async () => {
  const { code, stdout, stderr } = await cli(["routes", "-f", demo]);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(
    stdout,
    `HOST  PATH     METHODS  API     AUTH  SCOPES  COST  WHO MAY            LIMITS
*     /        any      echo    key   -       1     bronze: initech    minute 60/60s per key (tier bronze)
                                                                       day 1000/day per consumer (tier bronze)
                                                    platinum: acme     minute 6000/60s per key (200/s, burst 50; tier
                                                                         platinum)
                                                    admin: operations  unlimited
*     /public  any      public  none  -       1     everybody          per-ip 600/60s per ip (each gateway; api public)
*     /search  POST     echo    key   search  5     platinum: acme     minute 6000/60s per key (200/s, burst 50; tier
                                                                         platinum)
                                                    admin: operations  unlimited
`,
  );
});

test("a line for each route and what is left of a path: who may call it, by tier", async () => {
  const { routes: lines } = await routes();
  assert.deepEqual(lines.map(brief), [
    ["orders", "/orders", "GET", "orders", 0, "bronze initech; gold acme initech-1"],
    ["orders", "/orders", "POST", "orders", 1, "bronze initech; gold acme initech-1"],
    ["orders", "/orders/export", "GET", "orders,export", 50, "gold acme initech-1"],
    ["old", "/orders/old", "GET", "", 1, ""],
    ["orders", "/orders/old", "GET", "orders", 1, "bronze initech; gold acme initech-1"],
    ["tokens", "/", "", "", 1, "gold acme"],
    ["tokens", "/", "PUT", "write", 1, "gold acme"],
  ]);
  assert.equal(lines[5]!.otherMethods, true);
});

test("limits are those of the request, with whose they are: the most specific of a name", async () => {
  const { routes: lines } = await routes("--api", "orders");
  const of = (path: string, tier: string) =>
    lines
      .find((line) => line.path === path)!
      .callers.find((caller) => caller.tier === tier)!
      .limits.map(({ name, limit, mode, from }) => [name, limit, mode, from]);
  assert.deepEqual(of("/orders", "bronze"), [
    ["minute", 30, "shadow", "api orders"],
    ["day", 1000, "enforce", "tier bronze"],
    ["all", 100000, "enforce", "api orders"],
  ]);
  assert.deepEqual(of("/orders/export", "gold"), [
    ["all", 100000, "enforce", "api orders"],
    ["minute", 2, "enforce", "route GET /orders/export of orders"],
  ]);
  const { routes: keyless } = await routes("--api", "old");
  assert.deepEqual(keyless[0]!.callers, [
    {
      keys: [],
      consumers: [],
      limits: [
        {
          name: "ip",
          kind: "rate",
          limit: 5,
          windowSeconds: 1,
          subject: "ip",
          enforcement: "gateway",
          mode: "enforce",
          from: "api old",
        },
      ],
    },
  ]);
});

test("a route that no request reaches says what takes them", async () => {
  const { routes: lines } = await routes();
  assert.deepEqual(
    lines.filter(({ hiddenBy }) => hiddenBy !== undefined).map(({ api, path, hiddenBy }) => [api, path, hiddenBy]),
    [["orders", "/orders/old", "api old"]],
  );
  assert.match((await cli(["routes", "-f", shop])).stdout, /no request gets/);
});

test("--tier, --consumer and --key: what they may call, and why not the rest", async () => {
  const bronze = await routes("--tier", "bronze");
  assert.deepEqual(bronze.asker, { tier: "bronze" });
  assert.deepEqual(
    bronze.routes
      .filter(({ refused }) => refused !== undefined)
      .map(({ path, refused }) => [path, refused!.reason, refused!.message]),
    [
      ["/orders/export", "scope_missing", "tier bronze lacks export"],
      ["/", "api_not_allowed", "tier bronze doesn't include the API"],
      ["/", "api_not_allowed", "tier bronze doesn't include the API"],
    ],
  );
  const initech = await routes("--consumer", "initech");
  assert.deepEqual(initech.remarks, ["Keys with rights or limits of their own, see --key: initech-1."]);
  assert.deepEqual(
    initech.routes.map(({ refused }) => refused?.reason),
    bronze.routes.map(({ refused }) => refused?.reason),
  );
  const nobody = await routes("--consumer", "nobody");
  assert.deepEqual(
    new Set(nobody.routes.map(({ auth, refused }) => `${auth} ${refused?.reason}`)),
    new Set(["key tier_missing", "none undefined", "jwt tier_missing"]),
  );
  assert.match((await routes("--consumer", "gone")).remarks![0]!, /consumer_suspended/);

  const key = await routes("--key", "acme-1");
  assert.deepEqual(key.asker, { key: "acme-1", consumer: "acme", tier: "gold" });
  assert.deepEqual(key.remarks, [
    "The key expired at 2020-01-01T00:00:00Z: every call is refused (key_expired).",
    "Only from 10.0.0.0/8 (ip_not_allowed).",
  ]);
  assert.deepEqual(
    key.routes.map(({ path, refused }) => [path, refused?.message]),
    [
      ["/orders", undefined],
      ["/orders", undefined],
      ["/orders/export", "key acme-1 lacks export"],
      ["/orders/old", undefined],
      ["/orders/old", undefined],
      ["/", "the API takes no keys"],
      ["/", "the API takes no keys"],
    ],
  );
  assert.deepEqual(
    key.routes[1]!.callers[0]!.limits.map(({ name, limit, from }) => [name, limit, from]),
    [
      ["all", 100000, "api orders"],
      ["minute", 30, "api orders"],
      ["day", 5, "key acme-1"],
    ],
  );
  assert.match(
    (await routes("--key", "initech-2")).remarks![0]!,
    /^The key is revoked: every call is refused \(key_revoked\)/,
  );
});

test("for people: who is asked about, remarks, the table, what may not be called", async () => {
  const { stdout } = await cli(["routes", "-f", shop, "--key", "acme-1"]);
  const lines = stdout.split("\n");
  assert.equal(lines[0], "key acme-1 of consumer acme, tier gold");
  assert.match(lines[1]!, /^The key expired/);
  assert.match(stdout, /free {2}acme|free {2}gold: acme/);
  assert.match(stdout, /not counted/);
  assert.ok(
    stdout.endsWith(
      "May not call:\n  GET /orders/export (orders): key acme-1 lacks export\n  others / (tokens): the API takes no keys\n  PUT / (tokens): the API takes no keys\n",
    ),
    stdout,
  );
});

test("whatever the names, no line is longer than 120 characters and nothing is lost", async () => {
  const long = (letter: string, length: number) => letter.repeat(length);
  const file = writeIn(
    folder,
    "long.yaml",
    JSON.stringify({
      version: 1,
      apis: [
        {
          id: long("a", 63),
          hosts: [`${long("h", 60)}.${long("o", 60)}.example`, "*"],
          paths: [`/${long("p", 100)}/${long("q", 100)}`],
          methods: ["GET", "POST", "PROPPATCH", "MKCALENDAR"],
          upstream: { service: "s", port: 1 },
          scopes: [long("s", 128), long("t", 90)],
        },
      ],
      tiers: [
        {
          id: long("z", 63),
          scopes: ["*"],
          limits: [
            {
              name: long("l", 63),
              kind: "quota",
              limit: Number.MAX_SAFE_INTEGER,
              period: "366d",
              subject: "consumer+api",
              enforcement: "gateway",
              mode: "shadow",
            },
          ],
        },
      ],
      consumers: Array.from({ length: 9 }, (_, index) => ({ id: `${long("c", 40)}${index}`, tier: long("z", 63) })),
    }),
  );
  const { code, stdout, stderr } = await cli(["routes", "-f", file]);
  assert.equal(code, 0, stderr);
  for (const line of stdout.split("\n")) assert.ok(line.length <= 120, `${line.length}: ${line}`);
  for (const [letter, count] of [
    ["p", 100],
    ["q", 100],
    ["z", 63],
  ] as const)
    assert.ok(stdout.split(letter).length - 1 >= count, letter);
  assert.match(stdout, /\b3\s+more/);
});

test("cells break after blanks and commas, before slashes, else anywhere", () => {
  assert.deepEqual(wrap("GET, POST", 9), ["GET, POST"]);
  assert.deepEqual(wrap("GET, POST", 8), ["GET,", "POST"]);
  assert.deepEqual(wrap("/one/two/three", 10), ["/one/two", "  /three"]);
  assert.deepEqual(wrap("abcdefghijklmnop", 10), ["abcdefghij", "  klmnop"]);
  assert.deepEqual(wrap("", 5), [""]);
});

test("of control, as of the file that was applied", async () => {
  const { env } = await startTestControl();
  assert.equal((await cli(["apply", "-f", shop], env)).code, 0);
  const byOrder = (lines: RouteAccess[]) =>
    lines.map((line) => ({
      ...line,
      callers: line.callers.map((caller) => ({ ...caller, keys: [] })).sort((a, b) => (a.tier! < b.tier! ? -1 : 1)),
    }));
  const stored = await cli(["routes", "--json"], env);
  assert.equal(stored.code, 0, stored.stderr);
  assert.deepEqual(byOrder((JSON.parse(stored.stdout) as Result).routes), byOrder((await routes()).routes));
  assert.match((await cli(["routes"], env)).stderr, /^Keys with a tier of their own aren't among these/);
  for (const asked of [
    ["--key", "acme-1"],
    ["--consumer", "initech"],
    ["--tier", "bronze"],
  ]) {
    const answer = await cli(["routes", "--json", ...asked], env);
    assert.deepEqual(JSON.parse(answer.stdout), await routes(...asked));
  }
  const absent = await cli(["routes", "--key", "acme-9"], env);
  assert.equal(absent.code, 1);
  assert.match(absent.stderr, /^There is no key `acme-9`\./);
});

test("wrong questions end with 2, a wrong file with 1", async () => {
  assert.deepEqual(await cli(["routes", "-f", shop, "--tier", "bronce"]), {
    code: 2,
    stdout: "",
    stderr: "There is no tier `bronce`. Did you mean `bronze`?\n",
  });
  assert.match((await cli(["routes", "-f", shop, "--api", "x"])).stderr, /^There is no API `x`/);
  assert.equal((await cli(["routes", "-f", shop, "--tier", "gold", "--key", "acme-1"])).code, 2);
  assert.equal((await cli(["routes"])).code, 2);
  assert.equal((await cli(["routes", "-f", writeIn(folder, "bad.yaml", "version: 2\n")])).code, 1);
});

test("APIs by token and by certificate: keys don't count, identities do", async () => {
  const file = writeIn(
    folder,
    "mesh.yaml",
    `version: 1
apis:
  - {id: mesh, hosts: ["*"], paths: [/mesh], upstream: {service: mesh, port: 80}, auth: {mode: mtls}}
  - {id: both, hosts: ["*"], paths: [/both], upstream: {service: both, port: 80}, auth: {mode: key-and-jwt, jwt: {issuers: [{issuer: i, jwksUri: "https://i.example.com/keys"}]}}}
  - {id: closed, hosts: ["*"], paths: [/closed], upstream: {service: closed, port: 80}, auth: {mode: jwt}}
tiers: [{id: gold}]
consumers:
  - {id: workload, tier: gold, identities: ["spiffe://cluster.local/ns/shop/sa/checkout"]}
  - {id: person, tier: gold}
keys: [{id: key-1, consumer: person, sha256: "${"d".repeat(64)}", tier: gold}]
`,
  );
  const of = async (...args: string[]): Promise<Result> =>
    JSON.parse((await cli(["routes", "-f", file, "--json", ...args])).stdout) as Result;
  assert.deepEqual(
    (await of()).routes.map((line) => brief(line).at(-1)),
    ["gold workload person key-1", "", "gold workload"],
  );
  const refusals = async (...args: string[]) =>
    (await of(...args)).routes.map(({ api, refused }) => [api, refused?.reason]);
  assert.deepEqual(await refusals("--key", "key-1"), [
    ["both", undefined],
    ["closed", "auth_mode_unsupported"],
    ["mesh", "peer_missing"],
  ]);
  assert.deepEqual(await refusals("--consumer", "person"), [
    ["both", undefined],
    ["closed", "auth_mode_unsupported"],
    ["mesh", "unknown_peer"],
  ]);
  assert.deepEqual(await refusals("--consumer", "workload"), [
    ["both", undefined],
    ["closed", "auth_mode_unsupported"],
    ["mesh", undefined],
  ]);
});
